"""From what a user writes to a storage and a path in it: local paths, URLs, and what only looks like one of them."""

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
        ("~backup.keras", Path("~backup.keras")),  # a name, and no user of this machine
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
def test_what_is_a_local_path(given, path):
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
        ("memory:/a/b", "/a/b", "memory://a/b"),  # what pathlib makes of it
        (Path("memory://a/b"), "/a/b", "memory://a/b"),
        ("memory:///a//b/", "/a/b", "memory://a/b"),
        ("MEMORY://a/b", "/a/b", "memory://a/b"),
        ("memory://", "/", "memory://"),
    ],
)
def test_what_lies_in_memory(given, path, text):
    at = locate(given)
    assert at.path == PurePosixPath(path)
    assert isinstance(at.storage, MemoryStorage)
    assert str(at) == text
    assert locate(str(at)) == at
    assert at.public() is at


def test_the_memory_is_one_and_the_same():
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
def test_a_url_of_an_unknown_scheme_is_no_directory_of_that_name(given):
    with pytest.raises(ArgumentError, match=r"is a URL, and there is no storage for its scheme.*memory://"):
        locate(given)
    with pytest.raises(ArgumentError, match="is a URL"):
        storage_of(str(given))


class OfBytes:
    def __fspath__(self):
        return b"m.keras"


@pytest.mark.parametrize("given", [b"m.keras", 3, 1.5, None, ["m.keras"], OfBytes(), object()])
def test_what_is_no_path_is_refused(given):
    with pytest.raises(ArgumentTypeError, match=r"path must be a str or os\.PathLike"):
        locate(given)


def test_a_location_is_what_it_is():
    at = locate("memory://a/b")
    assert locate(at) is at


def test_locations_are_alike_if_their_paths_are():
    at = locate("runs/m.keras")
    assert at == Location(Path("runs/m.keras"), LocalStorage())
    assert at.parent / "m.keras" == at.with_name("m.keras") == at
    assert (at.name, str(at.parent)) == ("m.keras", "runs")
    assert Path(at) == Path("runs/m.keras")


def test_faults_come_between_to_whoever_asks_while_they_are_planned():
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
def test_a_url_that_no_bucket_can_have_is_told_at_once_and_no_key_in_it_is_shown(given, said):
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
def test_a_url_of_a_bucket_is_what_it_is_written_as(url):
    assert str(locate(url)) == url
