"""Finding the storage and the path that a user means: local paths, URLs, and what only looks like one of them."""

import re
from pathlib import Path, PurePosixPath

import pytest

from lastgood import ArgumentError, ArgumentTypeError
from lastgood._storage import LocalStorage, Location, MemoryStorage, locate, storage_of
from lastgood.testing import Fault, FaultyStorage, faults

HOME = Path("/home/somebody")


@pytest.fixture(autouse=True)
def _home(monkeypatch):
    monkeypatch.setenv("HOME", str(HOME))


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/data/runs/m.keras", Path("/data/runs/m.keras")),
        (Path("/data/runs/m.keras"), Path("/data/runs/m.keras")),
        ("runs/m.keras", Path("runs/m.keras")),
        (Path("runs/m.keras"), Path("runs/m.keras")),
        ("m.keras", Path("m.keras")),
        ("runs/../m.keras", Path("runs/../m.keras")),
        ("~", HOME),
        ("~/runs/m.keras", HOME / "runs/m.keras"),
        (Path("~/runs/m.keras"), HOME / "runs/m.keras"),
        ("~backup.keras", Path("~backup.keras")),  # a file name, not a user of this machine
        ("runs/~/m.keras", Path("runs/~/m.keras")),
        ("runs/loss:0.5.keras", Path("runs/loss:0.5.keras")),
        ("loss:0.5.keras", Path("loss:0.5.keras")),
        ("a:b", Path("a:b")),
        ("c:/runs/m.keras", Path("c:/runs/m.keras")),
        ("12:30/m.keras", Path("12:30/m.keras")),
        ("runs/gs://m.keras", Path("runs/gs:/m.keras")),
        ("{epoch}://m.keras", Path("{epoch}:/m.keras")),
    ],
)
def test_local_paths_are_recognized(given, path):
    at = locate(given)
    assert at.path == path
    assert isinstance(at.path, Path)
    assert isinstance(at.storage, LocalStorage)
    assert str(at) == str(path)
    assert at.public() == path


@pytest.mark.parametrize(
    ("given", "path", "text"),
    [
        ("memory://a/b", "/a/b", "memory://a/b"),
        ("memory:/a/b", "/a/b", "memory://a/b"),  # what pathlib turns it into
        (Path("memory://a/b"), "/a/b", "memory://a/b"),
        ("memory:///a//b/", "/a/b", "memory://a/b"),
        ("MEMORY://a/b", "/a/b", "memory://a/b"),
        ("memory://", "/", "memory://"),
    ],
)
def test_memory_urls_are_recognized(given, path, text):
    at = locate(given)
    assert at.path == PurePosixPath(path)
    assert isinstance(at.storage, MemoryStorage)
    assert str(at) == text
    assert locate(str(at)) == at
    assert at.public() is at


def test_all_memory_urls_share_one_storage():
    at = locate("memory://here/m")
    at.storage.put(at.path, b"state")
    assert locate(Path("memory://here/m")).read(100) == b"state"
    at.storage.discard(at.path)
    assert locate("memory://here/m").kind is None


@pytest.mark.parametrize(
    "given",
    [
        "ftp://bucket/x.keras",
        Path("ftp://bucket/x.keras"),
        "hdfs:///x.keras",
        "file:///tmp/x.keras",
        "memories://a/b",
        "a+b.c-1://x",
    ],
)
def test_a_url_with_an_unknown_scheme_is_not_taken_for_a_local_path(given):
    with pytest.raises(ArgumentError, match=r"is a URL, and there is no storage for its scheme.*memory://"):
        locate(given)
    with pytest.raises(ArgumentError, match="is a URL"):
        storage_of(str(given))


class OfBytes:
    def __fspath__(self):
        return b"m.keras"


@pytest.mark.parametrize("given", [b"m.keras", 3, 1.5, None, ["m.keras"], OfBytes(), object()])
def test_values_that_are_not_paths_are_refused(given):
    with pytest.raises(ArgumentTypeError, match=r"path must be a str or os\.PathLike"):
        locate(given)


def test_locating_a_location_returns_it():
    at = locate("memory://a/b")
    assert locate(at) is at


def test_locations_are_equal_if_their_paths_are():
    at = locate("runs/m.keras")
    assert at == Location(Path("runs/m.keras"), LocalStorage())
    assert at.parent / "m.keras" == at.with_name("m.keras") == at
    assert (at.name, str(at.parent)) == ("m.keras", "runs")
    assert Path(at) == Path("runs/m.keras")


def test_locate_returns_a_faulty_storage_while_faults_are_planned():
    with faults(Fault("open", OSError("planned"))):
        inside = locate("memory://a/b")
    assert isinstance(inside.storage, FaultyStorage)
    assert isinstance(inside.storage.storage, MemoryStorage)
    assert isinstance(locate("memory://a/b").storage, MemoryStorage)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Path("gs://bucket/x.keras"), "pathlib.Path merges two into one"),
        ("s3:/bucket/x.keras", "pathlib.Path merges two into one"),
        ("s3:///x.keras", "names no bucket"),
        ("s3://", "names no bucket"),
        ("s3://{epoch}/x.keras", "names no bucket"),
        ("s3://bucket/../x.keras", "a part '.' or '..'"),
        ("s3://AKIA:wJalr@bucket/x.keras", "a user or a key in it"),
        ("az://container/x.keras?sv=1&sig=wJalr", "after '?' or '#'"),
        ("abfs://me:wJalr@account.dfs.core.windows.net/x.keras", "a user or a key in it"),
        ("hdfs://me:wJalr@host/x.keras?token=wJalr", "no storage for its scheme"),
    ],
)
def test_an_invalid_url_of_a_bucket_is_refused_without_showing_a_key_in_it(given, said):
    with pytest.raises(ArgumentError, match=re.escape(said)) as raised:
        locate(given)
    assert "wJalr" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/run/x.keras",
        "gs://bucket/x.keras",
        "az://container/a/b.keras",
        "abfs://container@account.dfs.core.windows.net/run/x.keras",
    ],
)
def test_a_url_of_a_bucket_is_displayed_as_written(url):
    assert str(locate(url)) == url
