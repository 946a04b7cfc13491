"""Leases: the right to something in a bucket for a short time, renewed while the holder's process lives.

A lease is an object that names its holder. It is written under a condition: that there is none yet, or that it is
still the one that was read. A holder that does not renew it in time, by the store's clock, loses it: a process that
was stopped finds it gone when it wakes, and raises an error. If the holder was a process of this machine and has
ended, nobody waits for it.
"""

import contextlib
import json
import logging
import secrets
import threading
import time
import weakref
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..._errors import RunInUseError
from .bucket import Bucket, ChangedError, Tag
from .owner import Owner, this_process

SECONDS = 60.0
"""How long a lease lasts without being renewed."""

_RENEWALS = 3
_LOGGER = logging.getLogger("lastgood")


class Lease:
    """One lease, held until :meth:`release`, until it has no users, or until this process ends or sleeps too long.

    Attributes:
        users: The objects that use it.
    """

    def __init__(self, bucket: Bucket, key: str, what: str, seconds: float | None = None) -> None:
        """Create a lease without taking it.

        Args:
            bucket: The bucket of the lease's object.
            key: The object's key.
            what: What the lease gives the right to, for messages.
            seconds: How long it lasts without being renewed; None for ``SECONDS``.
        """
        self.users: weakref.WeakSet[Any] = weakref.WeakSet()
        self._bucket = bucket
        self._key = key
        self._what = what
        self._seconds = SECONDS if seconds is None else seconds
        self._tag: Tag | None = None
        self._renewed = 0.0
        self._lost_to: Owner | None = None
        self._ended = threading.Event()  # set while it is not held
        self._ended.set()
        self._lock = threading.Lock()

    def take(self, patience: float = 0.0) -> None:
        """Take the lease; if its holder may be dead, wait until that is known.

        Args:
            patience: How long to wait for a live holder, in seconds.

        Raises:
            RunInUseError: A live process holds it.
            OSError: The store failed.
        """
        end, pause, first = _now() + patience, 0.02, None
        if self._try(self._tag):
            return
        while True:
            holder = self._look()
            if holder is None or holder.may_be_replaced:
                if self._try(holder.tag if holder else None):
                    return
                continue
            lives = holder.owner.is_here() or (first and holder.tag != first)
            if lives and _now() > end:
                raise RunInUseError(str(holder.owner))
            if not first and not holder.owner.is_here():
                self._say_that_it_waits(holder)
            first = first or holder.tag
            time.sleep(pause)
            pause = min(1.0, pause * 1.5)

    def _say_that_it_waits(self, holder: "_Holder") -> None:
        _LOGGER.warning(
            "%s was held by %s %.0f s ago. Waiting up to %.0f s to see whether it still is.",
            *(self._what, holder.owner, holder.age, holder.seconds - holder.age),
        )

    def _try(self, instead_of: Tag | None) -> bool:
        """Write this process as the holder; return whether it holds the lease."""
        content, began = self._content(), _now()
        try:
            self._tag = self._bucket.put(self._key, content, new=instead_of is None, instead_of=instead_of)
        except (FileExistsError, ChangedError, FileNotFoundError):
            if not self._is_there(content):  # otherwise the write succeeded, and only the answer was lost
                return False
        self._renewed = began
        self._lost_to = None
        self._ended = ended = threading.Event()
        renewing = threading.Thread(target=self._keep_renewing, args=(ended,), name="lastgood-lease", daemon=True)
        with contextlib.suppress(RuntimeError):  # the interpreter exits: what is left takes no time
            renewing.start()
        return True

    def _is_there(self, content: bytes) -> bool:
        try:
            found, there = self._bucket.read(self._key, len(content) + 1)
        except FileNotFoundError:
            return False
        if there == content:
            self._tag = found.tag
        return there == content

    def _content(self) -> bytes:
        said = {"owner": this_process().to_json(), "seconds": self._seconds, "renewal": secrets.token_hex(8)}
        return json.dumps(said).encode()

    def _look(self) -> "_Holder | None":
        """Return the holder; None if there never was one."""
        try:
            found, content = self._bucket.read(self._key, 4096)
        except FileNotFoundError:
            return None
        try:
            said = json.loads(content)
            seconds, owner = float(said["seconds"]), said["owner"]
        except (ValueError, TypeError, KeyError):
            seconds, owner = self._seconds, None
        age = (_clock_of(self._bucket, self._key) - found.modified).total_seconds() if seconds else 0.0
        return _Holder(Owner.from_json(owner), found.tag, age, seconds)

    def _keep_renewing(self, ended: threading.Event) -> None:
        while not ended.wait(self._seconds / _RENEWALS) and self._lost_to is None:
            try:
                self._renew(ended)
            except OSError as error:
                _LOGGER.debug("A lease could not be renewed: %s", error)

    def _renew(self, ended: threading.Event) -> None:
        with self._lock:
            if ended.is_set() or self._lost_to is not None:
                return
            content, began = self._content(), _now()
            try:
                self._tag = self._bucket.put(self._key, content, instead_of=self._tag)
            except (ChangedError, FileNotFoundError, FileExistsError):
                if not self._is_there(content):
                    holder = self._look()
                    self._lost_to = holder.owner if holder else Owner.from_json(None)
                    return
            self._renewed = began

    def check(self) -> None:
        """Check that the lease is still held, before an action that only its holder may perform.

        Raises:
            RunInUseError: Another process has taken it.
            OSError: The store failed.
        """
        if self._lost_to is None and _now() - self._renewed > self._seconds / _RENEWALS * 2:
            self._renew(self._ended)
        if self._lost_to is not None:
            raise RunInUseError(
                f"{self._what} now belongs to {self._lost_to}: this process was stopped, or could not reach the "
                f"store, for more than {self._seconds:g} s. This process saves and deletes nothing more here. "
                "Stop one of the two."
            )

    def release(self) -> None:
        """Give up the lease, if it is still held."""
        with self._lock:
            if self._ended.is_set():
                return
            self._ended.set()
            if self._lost_to is None:
                nobody = json.dumps({"owner": None, "seconds": 0, "renewal": secrets.token_hex(4)})
                try:
                    self._tag = self._bucket.put(self._key, nobody.encode(), instead_of=self._tag)
                except OSError as error:  # it will expire
                    _LOGGER.debug("A lease could not be released: %s", error)


@dataclass(frozen=True)
class _Holder:
    """The holder of a lease.

    Attributes:
        owner: The process.
        tag: The lease's tag.
        age: How many seconds ago it was renewed, by the store's clock.
        seconds: How long it lasts; 0 if it was given up.
    """

    owner: Owner
    tag: Tag
    age: float
    seconds: float

    @property
    def may_be_replaced(self) -> bool:
        return self.age >= self.seconds or self.owner.is_gone()


def _clock_of(bucket: Bucket, beside: str) -> datetime:
    """Return the time by the store's clock: the machine's own may be wrong."""
    key = f"{beside}-{secrets.token_hex(8)}.clock"
    bucket.put(key, b"")
    try:
        return bucket.head(key).modified
    finally:
        bucket.delete([key])


def _now() -> float:
    """Return a time in seconds that also advances while the machine sleeps, where the system supports that."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
