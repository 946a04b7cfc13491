"""The process that holds something in a bucket, and whether it is known to have ended."""

import os
import socket
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Owner:
    """A process, as it identifies itself in an object.

    Attributes:
        host: The name of its machine.
        process: Its process ID there.
        life: Distinguishes it from other processes with this ID, also after a reboot; empty if unknown.
    """

    host: str
    process: int
    life: str

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}" if self.host else "another machine"

    def to_json(self) -> dict[str, Any]:
        """Return the owner as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Owner":
        """Return the owner from plain values that another process wrote, whatever they are."""
        found = values if isinstance(values, dict) else {}
        number = found.get("process")
        host, life = (str(found.get(name, "")) for name in ("host", "life"))
        return cls(host, number if isinstance(number, int) else 0, life)

    def is_gone(self) -> bool:
        """Return True if it was a process of this machine and has ended."""
        return self._was_here() and _life(self.process) != self.life

    def is_here(self) -> bool:
        """Return True if it is a live process of this machine."""
        return self._was_here() and _life(self.process) == self.life

    def _was_here(self) -> bool:
        mine, its = (life.rpartition(" ")[0] for life in (this_process().life, self.life))
        return bool(mine) and mine == its and self.host == this_process().host


def this_process() -> Owner:
    """Return this process."""
    return _of(os.getpid())


@cache
def _of(process: int) -> Owner:
    return Owner(socket.gethostname(), process, _life(process))


def _life(process: int) -> str:
    """Return the machine's boot ID, the PID namespace and the start time of a process; empty if unknown.

    Containers that share a machine's name differ in their PID namespaces.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = Path("/proc/self/ns/pid").readlink()
        began = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
    return f"{boot} {space} {began}"
