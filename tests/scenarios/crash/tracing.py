"""System calls of a process: listed, or made to kill it, to fail, or to take long. By strace."""

import re
import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

# The calls by which files come into being, change, and go.
CALLS = [
    "openat",
    "write",
    "pwrite64",
    "pwritev",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fallocate",
    "ioctl",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "flock",
    "link",
    "linkat",
    "close",
]
_ENTRY = re.compile(r"(\d+) +(\w+)\((.*)")


@contextmanager
def traced(pid, log, inject=None):
    """Trace a process and its threads while the block runs, or until it ends.

    Args:
        pid: The process; it waits at a gate meanwhile.
        log: Where the calls are listed.
        inject: What is done to them, in strace's words.
    """
    command = ["strace", "-f", "-y", "-qq", "-s", "0", "-o", str(log), "-p", str(pid)]
    command += ["-e", f"trace={','.join(CALLS)}"]
    if inject:
        command += ["-e", f"inject={inject}"]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        _wait_for(lambda: _is_traced(pid) or tracer.poll() is not None)
        if tracer.poll() is not None:
            raise RuntimeError(f"strace cannot trace here: {tracer.stderr.read()}")
        yield
    finally:
        _end(tracer)


def _end(tracer):
    """End a tracer; what it traces goes on, if it lives."""
    tracer.terminate()
    try:
        tracer.wait(0.5)
    except subprocess.TimeoutExpired:  # it waits for a thread of a process that is dead
        tracer.kill()
        tracer.wait()
    tracer.stderr.close()


def _is_traced(pid):
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return bool(tasks) and all("TracerPid:\t0\n" not in (task / "status").read_text() for task in tasks)
    except OSError:
        return True  # it has ended


def _wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.001)


def boundaries(log, directory):
    """Return the calls that a trace has on files below ``directory``: (name, which one of its name in its thread)."""
    counts, found = Counter(), {}
    for line in Path(log).read_text(errors="replace").splitlines():
        match = _ENTRY.match(line)
        if match is None:
            continue
        thread, name, rest = match.groups()
        counts[thread, name] += 1
        if str(directory) in rest:
            found.setdefault((name, counts[thread, name]), rest)
    return list(found)
