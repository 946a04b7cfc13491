"""Object stores for tests: real servers on loopback, started by the tests and ended by them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

BUCKET = "checkpoints"
KEYS = {"AWS_ACCESS_KEY_ID": "anybody", "AWS_SECRET_ACCESS_KEY": "whatever-it-is", "AWS_REGION": "us-east-1"}
_NO_FILES = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "1"}
_PATIENCE = 60


def environment(endpoint):
    """Return the environment in which s3:// URLs lead to a server."""
    return {**KEYS, **_NO_FILES, "AWS_ENDPOINT_URL": endpoint}


def weed():
    """Return the path of SeaweedFS's program; None if it is not installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@contextmanager
def seaweedfs(directory):
    """Run SeaweedFS; give the URL at which it speaks S3."""
    master, volume, filer, s3 = _ports(4)
    where = [f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}"]
    options = [
        "-s3",
        "-filer",
        "-volume.max=50",
        "-master.volumeSizeLimitMB=256",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]
    command = [weed(), "server", f"-dir={directory}", "-ip=127.0.0.1", *where, *options]
    with Path(directory, "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory, start_new_session=True)
    try:
        for name in (BUCKET, f"{BUCKET}-other"):
            _until(lambda name=name: _post(f"http://127.0.0.1:{filer}/buckets/{name}/"), process, directory)
        _until(lambda: _answers(f"http://127.0.0.1:{s3}/"), process, directory)
        yield f"http://127.0.0.1:{s3}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _post(url):
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=5) as answer:
        return answer.status < 300


def _answers(url):
    with urllib.request.urlopen(url, timeout=5):
        return True


def _until(works, process, directory):
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            if works():
                return
        except OSError as error:
            if getattr(error, "code", None) in (400, 403, 404):  # it answers, and refuses
                return
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(Path(directory, "log").read_text()[-2000:]) from error
        time.sleep(0.1)


def _ports(count):
    """Return free ports; those 10,000 above are free, too, where SeaweedFS talks to itself."""
    found, sockets = [], []
    for port in range(20000 + os.getpid() % 5000 * 5, 45000):
        pair = [socket.socket() for _ in range(2)]
        try:
            for each, number in zip(pair, (port, port + 10000), strict=True):
                each.bind(("127.0.0.1", number))
        except OSError:
            continue
        finally:
            sockets += pair
        found.append(port)
        if len(found) == count:
            break
    for each in sockets:
        each.close()
    return found
