"""Keys of objects, as paths: a run may lie at the root of its bucket, whose key is empty."""


def join(directory: str, name: str) -> str:
    """Return the key of a name in a directory."""
    return f"{directory}/{name}" if directory else name


def relative(key: str, directory: str) -> str:
    """Return a key relative to a directory that contains it."""
    return key.removeprefix(f"{directory}/") if directory else key


def is_in(key: str, directory: str) -> bool:
    """Return whether a key lies in a directory or is that directory."""
    return not directory or key == directory or key.startswith(f"{directory}/")


def parent(key: str) -> str:
    """Return the directory of a key."""
    return key.rpartition("/")[0]


def name(key: str) -> str:
    """Return the last part of a key."""
    return key.rpartition("/")[2]
