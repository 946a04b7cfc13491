"""Watches one call: what it raised, how long it took, how much memory, what it wrote, and what it ran."""

import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from lastgood import LastgoodError

SECONDS, MEGABYTES = 1.0, 200
_HANGS = 5  # seconds after which a call is ended
_RUNS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_RELATIVE = ("os.remove", "os.rmdir")
_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.truncate", "shutil.rmtree")


class HangsError(BaseException):
    """The call did not return."""


class Referee:
    """Watches calls; there is one per process, since an audit hook cannot be removed."""

    def __init__(self):
        self._seen = None
        self._allowed = ()
        sys.addaudithook(self._hear)
        signal.signal(signal.SIGALRM, self._end)

    def watch(self, call, inside, around):
        """Call ``call``; return the observations.

        Args:
            call: The function to call.
            inside: Directories in which it may write.
            around: A directory in which nothing else may change.
        """
        self._allowed = tuple(os.path.realpath(each) for each in inside)
        before, small = tree(around, self._allowed), memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        wall, cpu = time.perf_counter(), time.process_time()
        with self._watching() as seen:
            outcome = _outcome(call)
        told = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        after = tree(around, self._allowed)
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        return {**outcome, **told, "megabytes": memory("VmHWM") - small, "seen": sorted(set(seen)), "changed": changed}

    @contextmanager
    def _watching(self):
        seen = self._seen = []
        signal.alarm(_HANGS)
        try:
            yield seen
        finally:
            signal.alarm(0)
            self._seen = None

    def _end(self, number, frame):
        raise HangsError

    def _hear(self, event, arguments):
        seen, self._seen = self._seen, None  # what this method does should not count
        if seen is None:
            return
        try:
            if event in _RUNS:
                seen.append(f"{event} {arguments[:1]}")
            elif (event == "open" and arguments[2] & _WRITES) or event in _CHANGES:
                follows = event == "open" and not arguments[2] & os.O_NOFOLLOW
                self._note_place(seen, event, follows, *arguments[:1], *(arguments[1:2] if event in _RELATIVE else ()))
        finally:
            self._seen = seen

    def _note_place(self, seen, event, follows, path, directory=-1):
        if isinstance(path, int) or path is None:
            return
        path = Path(os.fsdecode(path))
        if directory != -1:  # a descriptor
            path = Path(f"/proc/self/fd/{directory}").readlink() / path
        whole = str(path.resolve() if follows else path.absolute().parent.resolve() / path.name)
        if not whole.startswith(self._allowed) and whole != os.devnull:
            seen.append(f"{event} {whole}")


def _outcome(call):
    try:
        call()
    except LastgoodError as error:
        return {"outcome": "refused", "what": f"{type(error).__name__}: {error}"}
    except SystemExit as error:
        return {"outcome": "refused" if error.code else "done", "what": f"exit status {error.code}"}
    except HangsError:
        return {"outcome": "hangs", "what": ""}
    except BaseException as error:  # noqa: BLE001 - the tests check that there are none
        return {"outcome": "raised", "what": f"{type(error).__name__}: {error}"[:500]}
    return {"outcome": "done", "what": ""}


def memory(kind):
    """Return the memory of this process as the kernel reports it, in MB."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(kind)) / 1024


def tree(around, but):
    """Return what is in a directory, without some of its directories: contents, or the targets of links."""
    found = {}
    for parent, directories, files in os.walk(around):
        directories[:] = [name for name in directories if str(Path(parent).resolve() / name) not in but]
        for name in [*files, *directories]:
            path = Path(parent, name)
            plain = path.is_file() and not path.is_symlink()
            found[str(path)] = path.read_bytes() if plain else str(path.readlink()) if path.is_symlink() else "."
    return found
