"""The suite that any storage has to pass, on ours, and on the one that fails on purpose while nothing is to fail."""

from lastgood._storage import LocalStorage
from lastgood.testing import FaultyStorage, StorageConformance


class TestLocalStorage(StorageConformance):
    def make_storage(self):
        return LocalStorage()


class TestFaultyStorageWithoutFaults(StorageConformance):
    def make_storage(self):
        return FaultyStorage(LocalStorage())
