"""Files in memory that others write by a path, and that reach the disk by our own writes.

HDF5 keeps small writes back until a data set is closed, where h5py can raise nothing: an error of the disk then leaves
zeros in a file that seems to have been written, or the process crashes. So HDF5 never writes to the disk itself.
"""

import mmap
import os
from pathlib import Path

import numpy as np

from . import direct


class FileInMemory:
    """A file in memory, and a link to it where it is to be on the disk."""

    def __init__(self, link: Path, descriptor: int) -> None:
        """Keep an open file and its link; use :meth:`at`."""
        self._link = link
        self._descriptor = descriptor

    @classmethod
    def at(cls, path: Path) -> "FileInMemory | None":
        """Make one at ``path``, where nothing is; return None where the system has no such files, or no links.

        Whatever is then written to ``path`` in this process goes to memory.
        """
        if not hasattr(os, "memfd_create"):
            return None
        descriptor = os.memfd_create("lastgood", os.MFD_CLOEXEC)
        try:
            path.symlink_to(f"/proc/self/fd/{descriptor}")
        except (OSError, NotImplementedError):
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    def __del__(self) -> None:
        os.close(self._descriptor)

    def put_on_disk(self) -> None:
        """Write it to the disk, in the place of its link; what somebody put in that place stays.

        Raises:
            OSError: The storage refused.
        """
        if not self._link.is_symlink():
            return
        self._link.unlink()
        length = os.fstat(self._descriptor).st_size
        os.ftruncate(self._descriptor, direct.whole_blocks(length))
        with mmap.mmap(self._descriptor, direct.whole_blocks(length), prot=mmap.PROT_READ) as mapped:
            memory = np.frombuffer(mapped, np.uint8)
            direct.write_file(self._link, memory, (0, length), lambda: (length, []), lambda _: None)
            del memory
