"""Lists the system calls of a process, or makes them kill it, fail, or take long, with strace."""

import re
import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

# The calls that create, change and delete files.
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
        pid: The process, which waits at a gate meanwhile.
        log: Where the calls are listed.
        inject: What is done to them, in strace's syntax.
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
    """End a tracer; the traced process continues, if it is alive."""
    tracer.terminate()
    try:
        tracer.wait(0.5)
    except subprocess.TimeoutExpired:  # it waits for a thread of a dead process
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
    """Return the calls in a trace on files below ``directory``: (name, its number among the calls of that name)."""
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
