"""The conformance suite on the built-in storages, and on FaultyStorage without planned faults."""

from lastgood._storage import LocalStorage
from lastgood._storage.systems import SYSTEM
from lastgood.testing import FaultyStorage, MemoryStorage, StorageConformance


class TestLocalStorage(StorageConformance):
    replaces_open_files = SYSTEM.replaces_open_files

    def make_storage(self):
        return LocalStorage()


class TestMemoryStorage(StorageConformance):
    outlives_processes = False

    def make_storage(self):
        return MemoryStorage()

    def make_directory(self, tmp_path):
        return MemoryStorage().parse(f"memory://tests/{tmp_path.name}")


class TestFaultyStorageWithoutFaults(StorageConformance):
    replaces_open_files = SYSTEM.replaces_open_files

    def make_storage(self):
        return FaultyStorage(LocalStorage())
