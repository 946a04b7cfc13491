"""A container that lacks what it may lack, for a command: containers.py COMMAND…, in a mount namespace of its own.

The root and /tmp are read-only, /dev/shm holds 64 MB, and the user has neither a name nor a home. The directory in
which this is started can be written to, and the command is started in the root.
"""

import os
import subprocess
import sys
from pathlib import Path

FORGOTTEN = ("HOME", "LOGNAME", "TEMP", "TMP", "TMPDIR", "USER")
NOBODY = 12345  # no user of this number is known
OWN = ("/dev", "/proc", "/sys")  # what every container has of its own


def _mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def _mounted():
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return {line.split(" ")[1] for line in lines}


def enter(run):
    """Have nothing be writable but the directory ``run``."""
    others = {place for place in _mounted() if not place.startswith(OWN)}
    _mount("--make-rprivate", "/")
    _mount("--bind", run, run)
    _mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", "/dev/shm")
    for place in others:
        _mount("-o", "remount,bind,ro", place)


if __name__ == "__main__":
    enter(str(Path.cwd()))
    kept = {name: value for name, value in os.environ.items() if name not in FORGOTTEN}
    os.chdir("/")  # a directory to start in is a temporary one to Python, where it can be written to
    nobody = ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]
    os.execvpe(nobody[0], [*nobody, *sys.argv[1:]], kept)
