"""URLs of buckets: which ones are accepted, and how to show them without secrets."""

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
    """Return a URL that is safe to show: anything that may be a key or a token is cut out."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    authority, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    cut = _SECRET if re.search(r"[?#]", rest) else ""
    if "@" in authority and (not scheme.lower().startswith("abfs") or ":" in authority):
        authority = f"{_SECRET}@{authority.rpartition('@')[2]}"
    return f"{scheme}://{authority}{slash}{path}{cut and '?' + cut}"


def parse(text: str) -> PurePosixPath:
    """Return a URL as a path; its first part is the bucket.

    Raises:
        ArgumentError: No object can have this URL.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme = text.partition(":")[0]
        raise ArgumentError(
            f"{without_secrets(text)!r} has lost a slash: pathlib.Path merges two into one. Pass the URL as a str, "
            f"such as {_example(scheme)!r}."
        )
    authority, _, path = rest.partition("/")
    shown = without_secrets(text)
    if re.search(r"[?#]", rest):
        raise ArgumentError(
            f"{shown!r} has a part after '?' or '#', which is not supported. Pass keys, tokens and options through the "
            "environment instead of the URL."
        )
    if "@" in authority and not (scheme.lower().startswith("abfs") and ":" not in authority):
        raise ArgumentError(f"{shown!r} has a user or a key in it. Remove them, and set them in the environment.")
    if not authority or authority in (".", "..") or "{" in authority:
        raise ArgumentError(f"{shown!r} names no bucket. Pass a URL such as {_example(scheme)!r}.")
    if any(part in (".", "..") for part in path.split("/")):
        raise ArgumentError(f"{shown!r} has a part '.' or '..', which is a plain name in a bucket. Remove it.")
    return PurePosixPath("/", authority, path.lstrip("/"))


def _example(scheme: str) -> str:
    return _EXAMPLES.get(scheme.lower(), f"{scheme.lower()}://bucket/run/{{epoch:02d}}.keras")
