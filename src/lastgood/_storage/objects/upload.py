"""The upload of a file, held back before its last request, which makes the object visible."""

import threading
from collections.abc import Iterator

from ..._threads import Beside
from ..base import Report, StoredFile
from .bucket import Bucket, Tag, part_size, whole


class _AbandonedError(Exception):
    """The upload was abandoned."""


class Upload:
    """The upload of one object.

    Attributes:
        content: The file that is sent.
    """

    def __init__(self, bucket: Bucket | None, key: str, content: StoredFile) -> None:
        """Prepare the upload.

        Args:
            bucket: The bucket to send it to; None to send nothing, because another process does.
            key: The object's key.
            content: The file, which must stay open.
        """
        self.content = content
        self._bucket = bucket
        self._key = key
        self._sent = threading.Event()
        self._decided = threading.Event()
        self._is_wanted = False
        self._sender: threading.Thread | None = None
        self._running: Beside[Tag] | None = None

    def send(self, report: Report) -> None:
        """Send all parts without making the object visible.

        Raises:
            OSError: The store failed.
        """
        bucket = self._bucket
        if bucket is None:
            report(self.content.size)
            return
        self._sender = threading.current_thread()
        self._running = running = Beside(lambda: self._run(bucket, report), "lastgood-upload")
        running.start()
        self._sent.wait()
        if running.wait(0):
            running.result()

    def _run(self, bucket: Bucket, report: Report) -> Tag:
        try:
            size = self.content.size
            if size <= part_size(size):
                self._wait()
                tag = bucket.put(self._key, self.content.part(0, size))
                report(self.content.size)
                return tag
            return whole(lambda: bucket.upload(self._key, self._parts(report), size))
        finally:
            self._sent.set()

    def _parts(self, report: Report) -> Iterator[memoryview]:
        length = part_size(self.content.size)
        coming = self._part(0, length)
        for at in range(0, self.content.size, length):
            part = coming.result()
            coming = self._part(at + length, length)
            yield part
            report(at + len(part))
        self._wait()

    def _part(self, at: int, length: int) -> Beside[memoryview]:
        """Read a part in a thread: the client's own cannot make requests, which reading from a bucket needs."""
        reading = Beside(lambda: self.content.part(at, max(0, min(length, self.content.size - at))), "lastgood-part")
        reading.start()
        return reading

    def _wait(self) -> None:
        """Wait until the upload is to be completed.

        Raises:
            _AbandonedError: It was abandoned instead.
        """
        if threading.current_thread() is self._sender:  # the interpreter exits and starts no threads
            return
        self._sent.set()
        self._decided.wait()
        if not self._is_wanted:
            raise _AbandonedError

    def complete(self) -> Tag | None:
        """Make the object visible; return its tag, or None if it was not to be sent.

        Raises:
            OSError: The store failed.
        """
        self._is_wanted = True
        self._decided.set()
        return self._running.result() if self._running is not None else None

    def abandon(self) -> None:
        """Abandon the upload unless it is complete; when this returns, its memory can be reused."""
        self._decided.set()
        if self._running is not None:
            self._running.wait()
