"""The suite that any storage has to pass, on ours, and on the one that fails on purpose while nothing is to fail."""

from lastgood._storage import LocalStorage
from lastgood.testing import FaultyStorage, MemoryStorage, StorageConformance


class TestLocalStorage(StorageConformance):
    def make_storage(self):
        return LocalStorage()


class TestMemoryStorage(StorageConformance):
    outlives_processes = False

    def make_storage(self):
        return MemoryStorage()

    def make_directory(self, tmp_path):
        return MemoryStorage().parse(f"memory://tests/{tmp_path.name}")


class TestFaultyStorageWithoutFaults(StorageConformance):
    def make_storage(self):
        return FaultyStorage(LocalStorage())
