"""URLs of buckets: which are taken, and what of them may be shown."""

import re
from pathlib import PurePosixPath

from ..._errors import ArgumentError

SCHEMES = ("s3", "gs", "az", "abfs", "abfss")
_EXAMPLES = {
    "abfs": "abfs://container@account.dfs.core.windows.net/run/{epoch:02d}.keras",
    "abfss": "abfss://container@account.dfs.core.windows.net/run/{epoch:02d}.keras",
}
_SECRET = "…"


def without_secrets(url: str) -> str:
    """Return a URL as it may be shown: what may be a key or a token is cut out of it."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    authority, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    cut = _SECRET if re.search(r"[?#]", rest) else ""
    if "@" in authority and (not scheme.lower().startswith("abfs") or ":" in authority):
        authority = f"{_SECRET}@{authority.rpartition('@')[2]}"
    return f"{scheme}://{authority}{slash}{path}{cut and '?' + cut}"


def parse(text: str) -> PurePosixPath:
    """Return a URL as a path, whose first part is the bucket.

    Raises:
        ArgumentError: It is none that an object can have.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme = text.partition(":")[0]
        raise ArgumentError(
            f"{without_secrets(text)!r} has lost a slash: pathlib.Path makes one of two. Pass the URL as a str, such "
            f"as {_example(scheme)!r}."
        )
    authority, _, path = rest.partition("/")
    shown = without_secrets(text)
    if re.search(r"[?#]", rest):
        raise ArgumentError(
            f"{shown!r} has a part behind '?' or '#', which no key has here. Give keys, tokens and options by the "
            "environment rather than in the URL."
        )
    if "@" in authority and not (scheme.lower().startswith("abfs") and ":" not in authority):
        raise ArgumentError(f"{shown!r} has a user or a key in it. Give them by the environment, and leave them out.")
    if not authority or authority in (".", "..") or "{" in authority:
        raise ArgumentError(f"{shown!r} names no bucket. Pass a URL such as {_example(scheme)!r}.")
    if any(part in (".", "..") for part in path.split("/")):
        raise ArgumentError(f"{shown!r} has a part '.' or '..', which a bucket takes for a name. Leave it out.")
    return PurePosixPath("/", authority, path.lstrip("/"))


def _example(scheme: str) -> str:
    return _EXAMPLES.get(scheme.lower(), f"{scheme.lower()}://bucket/run/{{epoch:02d}}.keras")
