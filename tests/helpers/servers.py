"""Object stores for tests: real servers on loopback, started by the tests and ended by them."""

import base64
import hmac
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from email.utils import formatdate
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


ACCOUNT = "devstoreaccount1"
# The one key of every emulator; its makers have published it.
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def azurite():
    """Return the path of Azurite's program; None if it is not installed."""
    return shutil.which("azurite-blob")


@contextmanager
def azure(directory):
    """Run Azurite; give the environment in which az:// URLs lead to it."""
    (port,) = _ports(1)
    options = ["--blobHost", "127.0.0.1", "--location", str(directory), "--skipApiVersionCheck"]
    with Path(directory, "log").open("wb") as log:
        command = [azurite(), "--blobPort", str(port), *options]
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    try:
        _until(lambda: _make_container(endpoint), process, directory)
        said = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={_KEY};BlobEndpoint={endpoint};"
        yield {"AZURE_STORAGE_CONNECTION_STRING": said}
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _make_container(endpoint):
    """Make the bucket, with a request that is signed as Azure wants it."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
    named = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    resource = f"/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container"
    text = "PUT" + "\n" * 12 + named + resource
    signature = base64.b64encode(hmac.digest(base64.b64decode(_KEY), text.encode(), "sha256")).decode()
    headers |= {"Authorization": f"SharedKey {ACCOUNT}:{signature}", "Content-Length": "0"}
    request = urllib.request.Request(f"{endpoint}/{BUCKET}?restype=container", method="PUT", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status == 201
    except urllib.error.HTTPError as error:
        raise RuntimeError(error.read().decode()) from error


def moto():
    """Return the path of moto's program; None if it is not installed."""
    beside = Path(sys.executable).with_name("moto_server")
    return str(beside) if beside.exists() else shutil.which("moto_server")


@contextmanager
def moto_s3(directory):
    """Run moto, which imitates S3; give its URL."""
    (port,) = _ports(1)
    with Path(directory, "log").open("wb") as log:
        command = [moto(), "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    endpoint = f"http://127.0.0.1:{port}"
    make = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT", headers={"Content-Length": "0"})
    try:
        _until(lambda: urllib.request.urlopen(make, timeout=5).status == 200, process, directory)
        yield endpoint
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
