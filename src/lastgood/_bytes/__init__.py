"""Where each byte of a checkpoint goes, and back: plans of files, their records and digests, and how they are read."""
