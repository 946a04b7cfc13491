"""The bytes of a checkpoint: the layouts of files, their records and digests, and how they are read."""
