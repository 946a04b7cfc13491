"""An object that is read by ranges, several at once when it is read from start to end."""

import errno
import threading
from collections import OrderedDict
from typing import Any

from ..._errors import StoreError
from ..._threads import Beside, cores, spread
from ..base import StoredFile
from .bucket import Bucket, ChangedError

# A checkpoint's record is at its end; one request returns that together with the length.
_TAIL = 64 * 1024
_PAGE = 64 * 1024
_BLOCK = 4 * 1024 * 1024
_AHEAD = 2
_AT_ONCE = 6


class ObjectFile(StoredFile):
    """An object of known length. If another replaces it, reading fails and never returns a mixture.

    Attributes:
        path: Its URL.
        size: Its length in bytes.
    """

    def __init__(self, bucket: Bucket, key: str) -> None:
        """Open the object, with one request.

        Raises:
            OSError: It does not exist, or the store failed.
        """
        self.path = bucket.url_of(key)
        self._bucket = bucket
        self._key = key
        found, self._tail = bucket.read(key, _TAIL)
        self.size, self._tag = found.size, found.tag
        self._blocks: OrderedDict[tuple[int, int], Beside[bytes]] = OrderedDict()
        self._kept = (_AHEAD + 2) * (cores() + 2)  # this many threads take turns, each reading its own part
        self._lock = threading.Lock()
        self._reached: set[int] = set()  # where reads have ended: one that begins there continues

    def close(self) -> None:
        """Close the object; drop what is still being read ahead."""
        self._blocks.clear()

    def read_into(self, buffer: Any, offset: int) -> None:
        """Fill ``buffer`` with the bytes from ``offset`` on. See :meth:`StoredFile.read_into`."""
        view = memoryview(buffer).cast("B")
        stop = offset + len(view)
        if offset < 0 or stop > self.size:
            raise OSError(errno.EIO, "the file ends too early", self.path)
        tail = self.size - len(self._tail)
        if offset >= tail:
            view[:] = self._tail[offset - tail : stop - tail]
        elif len(view) > _BLOCK:
            self._read_large(view, offset)
        else:
            self._read_small(view, offset)

    def _read_large(self, view: memoryview, offset: int) -> None:
        """Read straight into ``view``, several parts at once."""

        def fill(starts: Any) -> None:
            for start in starts:
                part = view[start : start + _BLOCK]
                part[:] = self._fetch(offset + start, offset + start + len(part))

        starts = range(0, len(view), _BLOCK)
        spread(fill, starts, min(_AT_ONCE, len(starts)))

    def _read_small(self, view: memoryview, offset: int) -> None:
        """Read through blocks that are kept; read ahead if this is long or continues where another read ended."""
        goes_on = offset in self._reached or len(view) > _PAGE
        length = _BLOCK if goes_on else _PAGE
        at, stop = offset, offset + len(view)
        while at < stop:
            start = at // length * length
            block = self._block(start, length)
            if goes_on:
                self._read_ahead(start + length)
            content = block.result()
            count = min(stop, start + length) - at
            view[at - offset : at - offset + count] = content[at - start : at - start + count]
            at += count
        self._reached.discard(offset)
        self._reached.add(stop)

    def _read_ahead(self, start: int) -> None:
        for at in range(start, min(start + _AHEAD * _BLOCK, self.size), _BLOCK):
            self._block(at, _BLOCK)

    def _block(self, start: int, length: int) -> Beside[bytes]:
        """Return a block that is being read or has been; start reading it if needed."""
        with self._lock:
            found = self._blocks.get((start, length))
            if found is None or found.has_failed:
                stop = min(start + length, self.size)
                found = Beside(lambda: self._fetch(start, stop), "lastgood-read")
                self._blocks[start, length] = found
                while len(self._blocks) > self._kept:
                    self._blocks.popitem(last=False)
                found.start()
            self._blocks.move_to_end((start, length))
            return found

    def _fetch(self, start: int, stop: int) -> bytes:
        try:
            content = self._bucket.get(self._key, start, stop, self._tag)
        except (ChangedError, FileNotFoundError) as error:
            raise OSError(errno.ESTALE, "it has been replaced or removed meanwhile", self.path) from error
        if len(content) != stop - start:
            raise StoreError(errno.EIO, "The store has sent fewer bytes than requested", self.path)
        return content
