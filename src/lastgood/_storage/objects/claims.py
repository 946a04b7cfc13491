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
    """The leases that this process has in one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        """Have none yet."""
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
                what = f"The checkpoints of {self._bucket.url_of(directory)!r}"
                lease = Lease(self._bucket, key, what)
                lease.take()
                self._leases[key] = lease
            self._leases[key].users.add(user)
        return ObjectClaim(self, key)

    def let_go(self, key: str, user: Any) -> None:
        """Give up a claim, unless another user in this process has it, too."""
        with self._taking:
            lease = self._leases.get(key)
            if lease is not None:
                lease.users.discard(user)
                if not lease.users:
                    self._let_go(key)

    def _let_go(self, key: str) -> None:
        self._leases.pop(key).release()

    def check(self, key: str) -> None:
        """Check that what was claimed around a key is still claimed.

        Raises:
            RunInUseError: Another process has taken it over.
            OSError: The store failed.
        """
        for each, lease in list(self._leases.items()):
            if keys.is_in(key, _directory_of(each)):
                lease.check()

    def covers(self, directory: str) -> bool:
        """Tell whether something in a directory is claimed by this process."""
        return any(_directory_of(each) == directory for each in self._leases)

    def forget(self) -> None:
        """Leave all to the parent, in a forked child."""
        self._leases.clear()
        self._taking = threading.RLock()


def _directory_of(lease: str) -> str:
    return keys.parent(keys.parent(lease))


class ObjectClaim(Claim):
    """One template's files, claimed until they are released."""

    def __init__(self, claims: Claims, key: str) -> None:
        """Take whose it is."""
        self._claims = claims
        self._key = key
        self._process = os.getpid()

    def release(self, user: Any) -> None:
        """Give it up. See :meth:`Claim.release`."""
        if os.getpid() == self._process:
            self._claims.let_go(self._key, user)


class NoClaim(Claim):
    """A claim that leaves nothing in the bucket, and that nobody else sees."""

    def release(self, user: Any) -> None:
        """Give up nothing."""
