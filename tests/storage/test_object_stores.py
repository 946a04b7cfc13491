"""The conformance suite on buckets: in a store in memory, and on real servers."""

import pytest

from helpers import servers
from lastgood._storage import Location
from lastgood._storage.objects import ObjectStorage
from lastgood.testing import StorageConformance

obstore = pytest.importorskip("obstore", reason="obstore is not installed")

_stores = {}


def _in_memory(bucket, patient):
    del patient
    return _stores.setdefault(bucket, obstore.store.MemoryStore())


class InBucket(StorageConformance):
    """The suite on the storage of one scheme, in the bucket that its server has for the tests.

    Attributes:
        scheme: The scheme.
    """

    scheme = "s3"
    reads_on = False
    starts = 30  # each sends several requests

    def make_storage(self):
        return ObjectStorage(self.scheme)

    def make_directory(self, tmp_path):
        return ObjectStorage(self.scheme).parse(f"{self.scheme}://{servers.BUCKET}/{tmp_path.name}")


class TestObstoresMemory(InBucket):
    outlives_processes = False

    def make_storage(self):
        return ObjectStorage(self.scheme, _in_memory)


@pytest.mark.usefixtures("bucket")
class TestSeaweedFS(InBucket):
    def names(self, directory):
        """Leave out empty directories, which this store lists for a while after their objects are deleted."""
        found = super().names(directory)
        return [name for name in found if Location(directory / name, self.storage).kind is not None]


@pytest.mark.usefixtures("google_bucket")
class TestGoogle(TestSeaweedFS):
    """SeaweedFS behind Google's names for conditions and versions."""

    scheme = "gs"


@pytest.fixture(scope="session")
def azure(tmp_path_factory):
    if servers.azurite() is None:
        pytest.skip("Azurite is not installed (npm install -g azurite)")
    with servers.azure(tmp_path_factory.mktemp("azurite")) as environment:
        yield environment


@pytest.fixture
def container(azure, monkeypatch):
    for name, value in azure.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("container")
class TestAzurite(InBucket):
    scheme = "az"


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    if servers.moto() is None:
        pytest.skip("moto is not installed (pip install 'moto[server]')")
    with servers.moto_s3(tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture
def imitation(moto, monkeypatch):
    for name, value in servers.environment(moto).items():
        monkeypatch.setenv(name, value)


@pytest.mark.long
@pytest.mark.usefixtures("imitation")
class TestMoto(InBucket):
    """A server that imitates S3."""
