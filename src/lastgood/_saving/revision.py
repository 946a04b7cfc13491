"""The git commit that a directory has checked out, read from ``.git``: git is not run and need not be installed."""

import re
from pathlib import Path

from .._storage.plain import read_plain

_LONGEST = 4096
_LONGEST_PACKED = 4 * 1024 * 1024  # all branches and tags of a repository in one file
_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_HEADS = "refs/heads/"


def revision(directory: Path) -> dict[str, str]:
    """Return what is checked out in a directory or above it, as far as that can be read.

    Uncommitted changes are not detected: that would require a look at each file.

    Args:
        directory: The directory.

    Returns:
        The ``commit`` and, unless the checkout is detached, the ``branch``; empty if there is no repository.
    """
    for each in (directory, *directory.parents):
        head = _git_directory(each / ".git")
        text = _read(head / "HEAD")
        if text:
            return _checked_out(head, text)
    return {}


def _checked_out(git: Path, head: str) -> dict[str, str]:
    if not head.startswith("ref: "):
        return _as_commit(head, "")
    name = head.removeprefix("ref: ").strip()
    if not name.startswith("refs/") or ".." in name or not name.isprintable():
        return {}
    shared = git / (_read(git / "commondir") or ".")  # a linked work tree shares this with the main one
    text = _read(shared / name) or _packed(shared, name)
    return _as_commit(text, name.removeprefix(_HEADS))


def _as_commit(text: str, branch: str) -> dict[str, str]:
    if not _COMMIT.fullmatch(text):
        return {}
    return {"commit": text, "branch": branch} if branch else {"commit": text}


def _git_directory(at: Path) -> Path:
    """Return the git directory; in a linked work tree or a submodule, ``.git`` is a file that names it."""
    text = _read(at)
    return at.parent / text.removeprefix("gitdir: ") if text.startswith("gitdir: ") else at


def _packed(git: Path, name: str) -> str:
    for line in _read(git / "packed-refs", _LONGEST_PACKED).splitlines():
        commit, _, found = line.partition(" ")
        if found == name:
            return commit
    return ""


def _read(path: Path, longest: int = _LONGEST) -> str:
    """Return the text of a small file, stripped; empty if it cannot be read."""
    try:
        return read_plain(path, longest).decode("utf-8").strip()
    except (OSError, ValueError):
        return ""
