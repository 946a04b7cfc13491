"""Checkpoints in a bucket: of S3 and what speaks its protocol, of Google Cloud Storage, of Azure.

What lies where, below a run's URL:

    model-07.keras                       a checkpoint that is a file: one object
    model-07/lastgood.commit             a checkpoint that is a directory: says which of its versions is there,
    model-07/1764250000000000000/…       and the files of that version
    model-07.data-00000-of-00001, …      a group: its index is the object that makes it a checkpoint
    .lastgood/…                          the journal, and leases; only where something is kept of the run

Only the last request of a save makes it visible: the completion of one upload, or the one small object that names the
rest. Nothing is looked at, or removed, outside of the run's URL.
"""

from .storage import ObjectStorage

__all__ = ["ObjectStorage"]
