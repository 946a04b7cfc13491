"""Checkpoints in a bucket of S3 or a compatible store, of Google Cloud Storage, or of Azure.

The layout below a run's URL:

    model-07.keras                       a checkpoint that is a file: one object
    model-07/lastgood.commit             a checkpoint that is a directory: names its current version,
    model-07/1764250000000000000/…       and the files of that version
    model-07.data-00000-of-00001, …      a group: its index is the object that makes it a checkpoint
    .lastgood/…                          the journal and leases, if the run keeps any

Only the last request of a save makes it visible: the completion of one upload, or the one small object that names the
rest. Nothing outside the run's URL is read or removed.
"""

from .storage import ObjectStorage

__all__ = ["ObjectStorage"]
