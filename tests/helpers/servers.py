"""Object stores for tests: real servers on loopback, started and ended by the tests."""

import base64
import hmac
import os
import re
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
_ATTEMPTS = 3


def environment(endpoint):
    """Return the environment in which s3:// URLs lead to a server."""
    return {**KEYS, **_NO_FILES, "AWS_ENDPOINT_URL": endpoint}


def weed():
    """Return the path of SeaweedFS's program; None if it is not installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@contextmanager
def seaweedfs(directory):
    """Run SeaweedFS; yield the URL of its S3 server."""

    def command(master, volume, filer, s3):
        where = [f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}"]
        sizes = ["-volume.max=50", "-master.volumeSizeLimitMB=256"]
        parts = ["-s3", "-filer", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        return [weed(), "server", f"-dir={directory}", "-ip=127.0.0.1", *where, *sizes, *parts]

    def ready(_master, _volume, filer, s3):
        for name in (BUCKET, f"{BUCKET}-other"):
            yield lambda name=name: _post(f"http://127.0.0.1:{filer}/buckets/{name}/")
        yield lambda: _answers(f"http://127.0.0.1:{s3}/")

    with _served(command, ready, 4, directory) as ports:
        yield f"http://127.0.0.1:{ports[-1]}"


@contextmanager
def _served(command, ready, count, directory):
    """Run a server; yield its ports once everything that `ready` yields works. Try other ports if these are taken."""
    for attempt in range(_ATTEMPTS):
        ports = _ports(count)
        with Path(directory, "log").open("wb") as log:
            process = subprocess.Popen(command(*ports), stdout=log, stderr=log, cwd=directory, start_new_session=True)
        try:
            try:
                for works in ready(*ports):
                    _until(works, process, directory)
            except RuntimeError:
                taken = re.search(
                    "address already in use|EADDRINUSE", Path(directory, "log").read_text(), re.IGNORECASE
                )
                if not taken or attempt + 1 == _ATTEMPTS:
                    raise
                continue
            yield ports
            return
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
            if getattr(error, "code", None) in (400, 403, 404, 409):  # it answers, but refuses, or has already made it
                return
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(Path(directory, "log").read_text()[-2000:]) from error
        time.sleep(0.1)


def _ports(count):
    """Return free ports; the ones 10,000 above are free, too, since SeaweedFS uses them internally.

    All are below 32768, where the ports begin that Linux gives to clients.
    """
    found, sockets = [], []
    for port in range(10240 + os.getpid() % 1000 * 10, 22700):
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

    def command(port):
        options = ["--blobHost", "127.0.0.1", "--location", str(directory), "--skipApiVersionCheck"]
        return [azurite(), "--blobPort", str(port), *options]

    def ready(port):
        yield lambda: _make_container(f"http://127.0.0.1:{port}/{ACCOUNT}")

    with _served(command, ready, 1, directory) as (port,):
        keys = f"AccountName={ACCOUNT};AccountKey={_KEY}"
        endpoint = f"BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT}"
        yield {"AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;{keys};{endpoint};"}


def _make_container(endpoint):
    """Make the bucket, with a request that is signed as Azure requires."""
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
    """Run moto, which imitates S3; yield its URL."""

    def command(port):
        return [moto(), "-H", "127.0.0.1", "-p", str(port)]

    def ready(port):
        make = f"http://127.0.0.1:{port}/{BUCKET}"
        request = urllib.request.Request(make, method="PUT", headers={"Content-Length": "0"})
        yield lambda: urllib.request.urlopen(request, timeout=5).status == 200

    with _served(command, ready, 1, directory) as (port,):
        yield f"http://127.0.0.1:{port}"
