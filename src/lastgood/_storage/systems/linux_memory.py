"""How much memory this process can still take before the system, or the limit of its container, runs out.

Linux alone says so: /proc/meminfo, and the limits of control groups (cgroup-v2.rst, cgroup-v1/memory.rst in its
documentation), which containers and SLURM set. Memory that only caches files is free.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_MEMORY = Path("/proc/meminfo")
_OWN_GROUPS = Path("/proc/self/cgroup")
_UNLIMITED = 1 << 60  # version 1 has no word for it: a limit above this is none


def free_memory() -> int | None:
    """Return the number of bytes; None if this system does not say it."""
    with suppress(OSError, ValueError, AttributeError):
        found = re.search(r"^MemAvailable: +(\d+) kB", _MEMORY.read_text(), re.MULTILINE)
        return min(int(found[1]) * 1024, *_left_in_groups()) if found else None
    return None


def _left_in_groups() -> Iterator[int]:
    """Yield what is left in each control group of this process that has a limit; at least one number."""
    yield _UNLIMITED
    for line in _OWN_GROUPS.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            root, names = _GROUPS / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        elif not controllers:
            root, names = _GROUPS, ("memory.max", "memory.current", "")
        else:
            continue
        own = root / path.lstrip("/")
        for group in (own, *own.parents):
            if group.is_relative_to(root):
                with suppress(
                    OSError, ValueError, KeyError
                ):  # not visible in this container, or without a limit ("max")
                    yield _left(group, *names)


def _left(group: Path, limit: str, usage: str, prefix: str) -> int:
    statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    most, used = int((group / limit).read_text()), int((group / usage).read_text())
    cached = sum(int(statistics[f"{prefix}{state}_file"]) for state in ("active", "inactive"))
    return max(0, most - used + cached)
