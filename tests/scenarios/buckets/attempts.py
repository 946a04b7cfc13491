"""One attempt: a training into a bucket with a fault, what is there afterwards, and how a restart continues."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import keras

from helpers import servers
from scenarios.buckets import job
from scenarios.buckets.job import FAILED, digest
from scenarios.buckets.proxy import Plan

JOB = Path(__file__).with_name("job.py")
FIRST, LAST, END = 2, 3, 4  # epochs of a training with a fault, of a restart, and of the final training
TRANSIENT = ("503", "429", "500", "reset", "reset in the body", "lost answer", "cut answer")
LASTING = ("expired credentials", "reset")
KILLS = ("killed before", "killed after")
ENDINGS = (".keras", ".weights.h5", "")


@dataclass(frozen=True)
class Case:
    """A fault in a training.

    Attributes:
        ending: The ending of the checkpoints.
        fault: What goes wrong.
        lasts: Whether it happens to all later requests, too.
        restart: Whether it strikes a restart rather than a training from the beginning.
        at: The number of the request.
    """

    ending: str
    fault: str
    lasts: bool
    restart: bool
    at: int

    def __str__(self):
        what = f"{self.fault}{' from' if self.lasts else ' at'} request {self.at}"
        return f"{self.ending or 'directory'}, {what} of a {'restart' if self.restart else 'training'}"

    @property
    def title(self):
        """The fault, for a table."""
        return f"{self.fault}, from then on" if self.lasts else self.fault


class Jobs:
    """Forks of one process that has imported everything."""

    def __init__(self):
        pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
        environment = {**os.environ, "KERAS_BACKEND": "torch", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        self._process = subprocess.Popen(
            [sys.executable, JOB], stdin=pipe, stdout=pipe, stderr=quiet, text=True, env=environment
        )
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("The process that forks others did not start.")
        self._scratch = tempfile.TemporaryDirectory(prefix="lastgood-buckets-")
        self._count = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        self._scratch.cleanup()

    def _ask(self, command):
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, endpoint, *arguments, **environment):
        """Begin a training; return what :meth:`end` takes."""
        self._count += 1
        log = Path(self._scratch.name, str(self._count))
        command = {"arguments": arguments, "environment": {**servers.environment(endpoint), **environment}}
        return self._ask({**command, "log": str(log)}), log

    def end(self, started, seconds=120):
        """Wait for a training; return its exit status and its events."""
        pid, log = started
        status = self._ask({"wait": pid, "seconds": seconds})
        return status, said(log)

    def run(self, endpoint, *arguments, **environment):
        """Train, and wait for the end."""
        return self.end(self.start(endpoint, *arguments, **environment))


def said(log):
    """Return the events that a training reported."""
    events = []
    for line in log.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            events.append(json.loads(line))
    return [each for each in events if isinstance(each, dict)] or [{"event": "log", "text": log.read_text()[-2000:]}]


class Store:
    """The bucket, accessed without lastgood."""

    def __init__(self, endpoint):
        import boto3

        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
        self._client = boto3.client("s3", endpoint_url=endpoint, **keys)

    def keys(self, prefix):
        """Return all keys below a prefix, relative to it."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=servers.BUCKET, Prefix=f"{prefix}/")
        return [each["Key"].removeprefix(f"{prefix}/") for page in pages for each in page.get("Contents", ())]

    def unfinished(self, prefix):
        """Return the keys of uploads that are neither completed nor aborted."""
        found = self._client.list_multipart_uploads(Bucket=servers.BUCKET, Prefix=f"{prefix}/")
        return [each["Key"] for each in found.get("Uploads", ())]

    def copy(self, prefix, to):
        """Copy all that is below a prefix."""
        for key in self.keys(prefix):
            source = {"Bucket": servers.BUCKET, "Key": f"{prefix}/{key}"}
            self._client.copy_object(Bucket=servers.BUCKET, Key=f"{to}/{key}", CopySource=source)

    def get(self, key, path):
        """Download an object."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content(key))

    def content(self, key):
        """Return an object's bytes."""
        return self._client.get_object(Bucket=servers.BUCKET, Key=key)["Body"].read()


def checkpoints(store, prefix, ending, scratch):
    """Return a digest of the weights of each visible checkpoint, by epoch, as stock Keras loads it."""
    found, keys = {}, store.keys(prefix)
    for name in sorted({key.partition("/")[0] for key in keys}):
        match = re.fullmatch(rf"(\d\d){re.escape(ending)}", name)
        if not match:
            continue
        local = scratch / name
        if ending:
            store.get(f"{prefix}/{name}", local)
        else:
            if f"{name}/lastgood.commit" not in keys:
                continue
            version = json.loads(store.content(f"{prefix}/{name}/lastgood.commit"))["version"]
            for key in keys:
                if key.startswith(f"{name}/{version}/"):
                    store.get(f"{prefix}/{key}", local / key.removeprefix(f"{name}/{version}/"))
        found[int(match[1])] = _weights(local, ending)
    return found


def _weights(path, ending):
    if ending == ".keras":
        return digest(keras.models.load_model(path).get_weights())
    made = _empty_model()
    for weight in made.weights:
        weight.assign(keras.ops.zeros_like(weight))
    made.load_weights(path)
    return digest(made.get_weights())


@cache
def _empty_model():
    """Return a model to load weights into: making it takes longer than everything else."""
    return job.model()


class Stage:
    """Where attempts are made.

    Attributes:
        expected: By epoch, the digest of the weights of a training without a fault.
        requests: How many requests a training of each ending makes: from the beginning, and in a restart.
    """

    def __init__(self, jobs, endpoint, through, follow):
        self._jobs, self._endpoint, self._through, self._follow = jobs, endpoint, through, follow
        self._store = Store(endpoint)
        self.expected, self.requests, self._begun = {}, {}, {}

    def measure(self, ending):
        """Train without a fault, and record the results."""
        prefix, plan = _new_prefix(), self._follow(Plan())
        status, events = self._train(prefix, ending, FIRST)
        assert status == 0, events
        before, self._begun[ending] = len(plan.seen), _new_prefix()
        self._store.copy(prefix, self._begun[ending])
        status, events = self._train(prefix, ending, LAST)
        assert status == 0, events
        self.requests[ending] = (before, len(plan.seen) - before)
        self.expected.update(_weights_of(self._train(_new_prefix(), ending, END)[1]))

    def _train(self, prefix, ending, epochs, **environment):
        return self._jobs.run(self._through, f"s3://{servers.BUCKET}/{prefix}", ending, str(epochs), **environment)

    def attempt(self, case):
        """Inject a fault; return what is wrong, or an empty text, and whether it ended the training."""
        prefix, epochs = _new_prefix(), FIRST
        acknowledged = set()
        self._follow(Plan())
        if case.restart:
            self._store.copy(self._begun[case.ending], prefix)
            acknowledged, epochs = {FIRST}, LAST
        plan = Plan(case.at, case.fault, case.lasts)
        url, patience = f"s3://{servers.BUCKET}/{prefix}", "2" if case.lasts else "8"
        started = self._jobs.start(self._through, url, case.ending, str(epochs), PATIENCE=patience)
        plan.strike = lambda: os.kill(started[0], signal.SIGKILL)
        self._follow(plan)
        status, events = self._jobs.end(started)
        self._follow(Plan())
        acknowledged |= _acknowledged(events)
        was_killed = status == -signal.SIGKILL and case.fault in KILLS
        was_told = case.lasts and (status == FAILED or events[-1].get("is_ours"))
        if not (status == 0 or was_killed or was_told):
            return f"it ended with {status}: {events[-1]}", False
        if status == 0:
            acknowledged.add(epochs)
        wrong = self._look(prefix, case.ending, acknowledged)
        if not wrong and (status != 0 or case.lasts):  # else it continued as if nothing had happened
            wrong = self._restart(prefix, case.ending, acknowledged)
        return wrong, status != 0

    def _look(self, prefix, ending, acknowledged):
        """Return what is wrong with what is there."""
        with tempfile.TemporaryDirectory() as scratch:
            try:
                there = checkpoints(self._store, prefix, ending, Path(scratch))
            except Exception as error:  # noqa: BLE001 - it is the finding
                return f"what is there is not a checkpoint: {error!r}"
        newest = max(acknowledged, default=0)
        if newest and max(there, default=0) < newest:
            return f"epoch {newest} was acknowledged, and is not there: {sorted(there)}"
        mixed = [epoch for epoch, found in there.items() if found != self.expected[epoch]]
        return f"the checkpoints of {mixed} are of another state" if mixed else ""

    def _restart(self, prefix, ending, acknowledged):
        """Return what is wrong with how training resumes."""
        status, events = self._train(prefix, ending, END)
        if status != 0 or events[-1].get("digest") != self.expected[END]:
            return f"the restart ended with {status}: {events[-1]}"
        begun = min((each["epoch"] for each in events if each["event"] == "epoch"), default=END)
        if begun < max(acknowledged, default=0):
            return f"epoch {max(acknowledged)} was acknowledged, and training resumed from {begun}"
        left = {key.partition("/")[0] for key in self._store.keys(prefix)}
        names = {".lastgood", *(f"{epoch:02d}{ending}" for epoch in (END - 1, END))}
        if left != names or self._store.unfinished(prefix):
            return f"left: {sorted(left ^ names)}, unfinished: {self._store.unfinished(prefix)}"
        return ""


def _new_prefix():
    return f"attempt-{time.time_ns()}"


def _acknowledged(events):
    return {each["epoch"] for each in events if each["event"] == "acknowledged"}


def _weights_of(events):
    return {each["epoch"]: each["digest"] for each in events if each["event"] == "weights"}
