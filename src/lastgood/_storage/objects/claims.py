"""Claims on the files of a template in a bucket, for processes on any machine."""

import hashlib
import os
import threading
from typing import Any

from ..base import NOTES, Claim
from . import keys
from .bucket import Bucket
from .lease import Lease


class Claims:
    """The leases that this process holds in one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        """Start without leases."""
        self._bucket = bucket
        self._leases: dict[str, Lease] = {}
        self._taking = threading.RLock()

    def take(self, directory: str, template: str, user: Any) -> "ObjectClaim":
        """Claim the paths of a template. See :meth:`Storage.claim`.

        Raises:
            RunInUseError: Another process has claimed them.
            OSError: The store failed.
        """
        name = f"{NOTES}/training-{hashlib.sha256(template.encode()).hexdigest()[:8]}.lease"
        key = keys.join(directory, name)
        with self._taking:
            for abandoned in [each for each, lease in self._leases.items() if not lease.users]:
                self._let_go(abandoned)
            if key not in self._leases:
                what = f"The right to save to {self._bucket.url_of(directory)!r}"
                lease = Lease(self._bucket, key, what)
                lease.take()
                self._leases[key] = lease
            self._leases[key].users.add(user)
        return ObjectClaim(self, key)

    def let_go(self, key: str, user: Any) -> None:
        """Give up a claim, unless another user in this process holds it too."""
        with self._taking:
            lease = self._leases.get(key)
            if lease is not None:
                lease.users.discard(user)
                if not lease.users:
                    self._let_go(key)

    def _let_go(self, key: str) -> None:
        self._leases.pop(key).release()

    def check(self, key: str) -> None:
        """Check that all claims on the directories of a key are still held.

        Raises:
            RunInUseError: Another process has taken one over.
            OSError: The store failed.
        """
        for each, lease in list(self._leases.items()):
            if keys.is_in(key, _directory_of(each)):
                lease.check()

    def covers(self, directory: str) -> bool:
        """Return whether this process holds a claim in a directory."""
        return any(_directory_of(each) == directory for each in self._leases)

    def forget(self) -> None:
        """Drop all leases in a forked child: they belong to the parent."""
        self._leases.clear()
        self._taking = threading.RLock()


def _directory_of(lease: str) -> str:
    return keys.parent(keys.parent(lease))


class ObjectClaim(Claim):
    """The claim on one template's files, held until it is released."""

    def __init__(self, claims: Claims, key: str) -> None:
        """Create a claim on the lease at ``key``."""
        self._claims = claims
        self._key = key
        self._process = os.getpid()

    def release(self, user: Any) -> None:
        """Give up the claim. See :meth:`Claim.release`."""
        if os.getpid() == self._process:
            self._claims.let_go(self._key, user)


class NoClaim(Claim):
    """A claim that leaves nothing in the bucket and that no other process sees."""

    def release(self, user: Any) -> None:
        """Do nothing."""
