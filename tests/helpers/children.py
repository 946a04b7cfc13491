"""Child processes that run Python without importing Keras: each is forked from a process that has imported it.

LASTGOOD_PARENT can name what that process imports; LASTGOOD_PRELOAD names further imports.

``run`` does what :func:`subprocess.run` does with ``sys.executable``. To tests, a child behaves like a process of its
own: it exits as a script does, can be killed, and has its own directory, environment, arguments and streams.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import types
import warnings
from pathlib import Path

# The variables that matter when Keras and its backend are imported; TF_CONFIG is read later.
_LOOKED_AT = ("CUDA", "JAX", "KERAS", "LASTGOOD", "OMP", "PYTHON", "TF_CPP", "TF_USE", "XLA")
_parents = {}


def run(arguments, *, cwd=None, env=None, input="", timeout=300):
    """Run Python with arguments; return how it ended.

    Args:
        arguments: ``-W ignore`` or nothing, then ``-c`` and a script, ``-m`` and a module, or the path of a script.
        cwd: The working directory; by default, that of this process.
        env: The environment; by default, that of this process.
        input: What it reads from the standard input.
        timeout: The number of seconds that it may take.

    Raises:
        subprocess.TimeoutExpired: It took too long, and was killed.
    """
    arguments, env = [str(each) for each in arguments], dict(os.environ if env is None else env)
    parent = _parent_for(env)
    with tempfile.TemporaryDirectory() as directory:
        streams = [str(Path(directory, name)) for name in ("stdout", "stderr")]
        task = {"arguments": arguments, "cwd": str(cwd or Path.cwd()), "env": env, "streams": streams, "input": input}
        parent.stdin.write(json.dumps({**task, "timeout": timeout}) + "\n")
        parent.stdin.flush()
        answer = parent.stdout.readline()
        said = [Path(stream).read_text(errors="replace") if Path(stream).exists() else "" for stream in streams]
    if not answer:
        raise RuntimeError("the process that forks children has ended")
    if (status := json.loads(answer)) is None:
        raise subprocess.TimeoutExpired(arguments, timeout, *said)
    return subprocess.CompletedProcess(arguments, status, *said)


def _parent_for(env):
    """Return the process from which children with an environment are forked."""
    seen = {name: value for name, value in env.items() if name.startswith(_LOOKED_AT)}
    key = json.dumps(seen, sort_keys=True)
    if key not in _parents:
        command = [sys.executable, "-u", __file__]
        _parents[key] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        atexit.register(_end, _parents[key])
    return _parents[key]


def _end(parent):
    parent.kill()
    parent.communicate()


def _serve():
    """Fork a child for each task that comes in, and wait for it; return the task in the child."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an import prints is not an answer
    names = os.environ.get("LASTGOOD_PARENT", "helpers.kit h5py optree")
    for name in (*names.split(), *os.environ.get("LASTGOOD_PRELOAD", "").split()):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # otherwise each child collects all imported objects when it ends
    for line in iter(sys.stdin.readline, ""):
        task = json.loads(line)
        pid = os.fork()
        if not pid:
            answers.close()
            return task
        print(json.dumps(_wait(pid, task["timeout"])), file=answers, flush=True)
    return None


def _wait(pid, seconds):
    """Return the exit status of a child; None if it took too long and was killed."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.005)


def _become(task):
    """Set up this process as a task asks; return its code, and the module to run it in."""
    for number, path in enumerate(task["streams"], 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), number)
    with tempfile.TemporaryFile() as file:
        file.write(task["input"].encode())
        file.seek(0)
        os.dup2(file.fileno(), 0)
    sys.stdin = os.fdopen(0)
    sys.stdout.reconfigure(line_buffering=False, write_through=False)
    os.environ.clear()
    os.environ.update(task["env"])
    os.chdir(task["cwd"])
    random.seed()
    sys.modules["numpy"].random.seed()
    script, *arguments = task["arguments"]
    if script == "-W":
        action, script, *arguments = arguments
        warnings.simplefilter(action)
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if script == "-c":
        source, *arguments = arguments
        sys.path[0] = ""
    elif script == "-m":
        name, *arguments = arguments
        source, sys.path[0] = f"import runpy; runpy.run_module({name!r}, run_name='__main__', alter_sys=True)", ""
    else:
        source, sys.path[0], main.__file__ = Path(script).read_text(), str(Path(script).resolve().parent), script
    sys.argv = [script, *arguments]
    return compile(source, main.__dict__.get("__file__", "<string>"), "exec"), main


if __name__ == "__main__":
    sys.path.insert(1, str(Path(__file__).parents[1]))
    _task = _serve()
    if _task is not None:
        del sys.path[1]
        _code, _main = _become(_task)
        exec(_code, _main.__dict__)
