"""The faults: each finds the points of a case at which it can strike, and strikes at one."""

import os
import secrets
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from scenarios.crash.disks import POWER, Disk, power_disk, small_disk
from scenarios.crash.oracle import Evidence, Finding, Verdict, judge
from scenarios.crash.tracing import boundaries, traced


@dataclass(frozen=True)
class Case:
    """What is saved, how, and with which fault.

    Attributes:
        fault: Its name in :data:`FAULTS`.
        contender: Who saves.
        naming: ``"new"``: each save has a new name, and two are kept; or ``"overwrite"``.
        background: Whether it saves in the background.
        numbers: The length of each of the model's eight weights.
        frozen: The length of a weight that is not trained, so that checkpoints can share its blocks.
        disk: What it saves to, if that is not an ordinary directory.
        backend: Keras's backend.
        on_error: What the callback does about a failed save.
    """

    fault: str
    contender: str
    naming: str = "new"
    background: bool = True
    numbers: int = 5000
    frozen: int = 0
    disk: str = ""
    backend: str = "torch"
    on_error: str = "raise"

    def __str__(self):
        details = (self.disk, self.contender, self.naming, "background" if self.background else "foreground")
        more = (
            [self.backend] * (self.backend != "torch")
            + ["large"] * (self.numbers > 5000)
            + ["frozen"] * (self.frozen > 0)
        )
        return f"{self.fault}: {', '.join([*filter(None, details), *more])}"


@dataclass
class Stage:
    """Where a case is tried: a server of processes, and a disk."""

    server: object
    case: Case
    disk: Disk

    def train(self, directory, strike):
        """Train in a process; ``strike`` gets it at the gate before the save to be struck, and ends it."""
        return self._attempt("train", directory, strike)

    def look(self, directory, strike=None):
        """Look at what is left and resume, in a process."""
        return self._attempt("look", directory, strike or _let_through)

    def _attempt(self, what, directory, strike):
        attempt = self.server.start(what, directory, asdict(self.case))
        if not attempt.reach("before"):
            attempt.end()
            raise RuntimeError(f"{self.case}: it did not reach the fault: {attempt.said}\n{attempt.log}")
        try:
            strike(attempt)
        except BaseException:
            _kill(attempt)
            raise
        finally:
            attempt.end()
        return attempt.said

    def judged(self, trained, directory, **options):
        """Look, resume, and judge; remove the directory."""
        looked = {event["event"]: event for event in self.look(directory)}
        kept = {"overwrite": 1, "new": 2}[self.case.naming] if self.case.contender.startswith("lastgood") else None
        self.disk.discard(directory)
        return judge(Evidence(trained, looked, self.case.naming, kept), **options)

    def log(self):
        """Return the path of a new trace."""
        return self.server.scratch / f"{secrets.token_hex(4)}.trace"


def _let_through(attempt):
    attempt.open("before")


def _kill(attempt):
    """Kill a process that may be dead."""
    with suppress(ProcessLookupError):
        os.kill(attempt.pid, signal.SIGKILL)


def _strike(stage, inject, log=None):
    """Return a strike that traces the save, and kills the process after it if it is still alive."""

    def strike(attempt):
        with traced(attempt.pid, log or stage.log(), inject):
            attempt.open("before")
            attempt.reach("after")
        _kill(attempt)

    return strike


class Kill:
    """SIGKILL when the process enters a system call of a save."""

    disks = ("",)

    def points(self, stage):
        log, directory = stage.log(), stage.disk.fresh()
        stage.train(directory, _strike(stage, None, log))
        stage.disk.discard(directory)
        return boundaries(log, directory)

    def strike(self, stage, point):
        directory = stage.disk.fresh()
        name, which = point
        trained = stage.train(directory, _strike(stage, f"{name}:signal=KILL:when={which}"))
        self.then(stage)
        return stage.judged(trained, directory)

    def then(self, stage):
        """Do what else belongs to the fault."""


class Power(Kill):
    """The power is cut when the process enters a system call of a save, or after the save was acknowledged."""

    disks = tuple(POWER)

    def points(self, stage):
        return [*super().points(stage), ("close", 65535)]  # which never happens

    def then(self, stage):
        stage.disk.cut()


class SecondKill:
    """SIGKILL in a save, and again at a system call of the restart."""

    disks = ("",)

    def points(self, stage):
        """The first kills are those that leave half-written files in different states."""
        found = []
        for first in (("fsync", 1), ("unlink", 1), ("unlinkat", 1)):
            log, directory = stage.log(), stage.disk.fresh()
            stage.train(directory, _strike(stage, f"{first[0]}:signal=KILL:when={first[1]}"))
            stage.look(directory, lambda attempt: self._second(attempt, log, None))  # noqa: B023 - called at once
            found += [(first, second) for second in boundaries(log, directory)]
            stage.disk.discard(directory)
        return found

    def strike(self, stage, point):
        (first, which), (second, when) = point
        directory = stage.disk.fresh()
        trained = stage.train(directory, _strike(stage, f"{first}:signal=KILL:when={which}"))
        stage.look(directory, lambda attempt: self._second(attempt, stage.log(), f"{second}:signal=KILL:when={when}"))
        return stage.judged(trained, directory)

    def _second(self, attempt, log, inject):
        with traced(attempt.pid, log, inject):
            attempt.open("before")
            attempt.reach("resumed")
        _kill(attempt)


class Refused:
    """A system call of a save fails; the process has to continue, report it, and succeed the next time."""

    disks = ("",)

    def __init__(self, error):
        self._error = error

    def points(self, stage):
        return Kill().points(stage)

    def strike(self, stage, point):
        name, which = point
        return _lives_on(
            stage, lambda attempt, _: _refusing(stage, attempt, f"{name}:error={self._error}:when={which}")
        )


@contextmanager
def _refusing(stage, attempt, inject):
    with traced(attempt.pid, stage.log(), inject):
        yield


def _lives_on(stage, fault):
    """Judge a training with a fault during a save, which has to continue when the fault is over."""

    directory = stage.disk.fresh()

    def strike(attempt):
        with fault(attempt, directory):
            attempt.open("before")
            attempt.reach("after")
        attempt.open("after")

    trained = stage.train(directory, strike)
    return stage.judged(trained, directory, survives=True)


class Full:
    """A disk has too little space for a save, to different degrees; then it has enough."""

    disks = ("small",)

    def points(self, stage):
        del stage
        return [0, 1, 4, 16, 40, 64, 128, 160, 180, 200, 240, 320]  # pages; a checkpoint takes 160 kB at least

    def strike(self, stage, point):
        return _lives_on(stage, lambda *_: self._ballast(stage.disk.root / "ballast", point * 4096))

    @staticmethod
    @contextmanager
    def _ballast(path, spare):
        free = os.statvfs(path.parent)
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(4096, free.f_bavail * free.f_bsize - spare))
        try:
            yield
        finally:
            path.unlink()


class NoInodes:
    """A disk allows no more files, or only a few; then it does."""

    disks = ("small",)

    def points(self, stage):
        del stage
        return [0, 1, 2, 3, 5, 8]

    def strike(self, stage, point):
        return _lives_on(stage, lambda *_: self._files(stage.disk.root, point))

    @staticmethod
    @contextmanager
    def _files(root, spare):
        ballast = root / "ballast"
        ballast.mkdir()
        for number in range(max(0, os.statvfs(root).f_favail - spare)):
            (ballast / str(number)).touch()
        try:
            yield
        finally:
            subprocess.run(["rm", "-r", ballast], check=True)


class ReadOnly:
    """The directory cannot be changed during a save, and can be afterwards."""

    disks = ("small",)

    def points(self, stage):
        del stage
        return ["directory", "all below it"]

    def strike(self, stage, point):
        return _lives_on(stage, lambda attempt, directory: self._immutable(directory, point == "all below it"))

    @staticmethod
    @contextmanager
    def _immutable(directory, deep):
        # A remount is refused while a file is open for writing, and modes do not stop root.
        change = ["chattr", *(["-R"] if deep else [])]
        subprocess.run([*change, "+i", directory], check=True)
        try:
            yield
        finally:
            subprocess.run([*change, "-i", directory], check=True)


class Slow:
    """A system call takes a second: a save in the background does not delay training, and succeeds."""

    disks = ("",)

    def points(self, stage):
        del stage
        return [(name, 1) for name in ("fsync", "pwrite64", "rename", "openat")]

    def strike(self, stage, point):
        name, which = point
        inject = f"{name}:delay_enter=1000000:when={which}"
        return _lives_on(stage, lambda attempt, _: _refusing(stage, attempt, inject))


class Memory:
    """The process is killed for memory when it takes a number of megabytes more than before a save."""

    disks = ("",)
    _ROOT = Path("/sys/fs/cgroup/memory")

    def points(self, stage):
        del stage
        return [1, 2, 4, 8, 16, 24, 32, 48]

    def strike(self, stage, point):
        group = self._ROOT / f"lastgood-{secrets.token_hex(4)}"
        group.mkdir()

        def strike(attempt):
            (group / "memory.limit_in_bytes").write_text(f"{point}M")
            (group / "cgroup.procs").write_text(str(attempt.pid))
            attempt.open("before")
            attempt.reach("after")
            _kill(attempt)

        directory = stage.disk.fresh()
        try:
            trained = stage.train(directory, strike)
        finally:
            group.rmdir()
        return stage.judged(trained, directory)


FAULTS = {
    "killed": Kill(),
    "killed again in the restart": SecondKill(),
    "power cut": Power(),
    "EIO": Refused("EIO"),
    "disk full": Full(),
    "no inodes": NoInodes(),
    "read-only": ReadOnly(),
    "slow disk": Slow(),
    "out of memory": Memory(),
}


@contextmanager
def stage(server, case):
    """Yield the stage of a case."""
    if case.disk in POWER:
        with power_disk(case.disk, Path("/dev/shm")) as disk:
            yield Stage(server, case, disk)
    elif case.disk:
        with small_disk(server.scratch, inodes=200 if case.fault == "no inodes" else 0) as disk:
            yield Stage(server, case, disk)
    else:
        root = server.scratch / secrets.token_hex(4)
        root.mkdir()
        yield Stage(server, case, Disk(root))


def attempt(place, point):
    """Strike at a point; return the finding. A case that does not reach its fault is a failure, too."""
    try:
        return FAULTS[place.case.fault].strike(place, point)
    except (RuntimeError, TimeoutError) as error:
        return Finding(Verdict.HARD_FAIL, f"the attempt itself failed: {error}")
