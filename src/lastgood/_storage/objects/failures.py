"""Failures of a store as ``OSError``, with the URL and what to do, and without secrets."""

import errno
import os
import re
from collections.abc import Iterator

from ..._errors import StoreError

_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_KEY")
_SHORTEST_SECRET = 8  # anything shorter protects nothing, and may be part of any word

_ADVICE = {
    "NoSuchBucket": "There is no such bucket: create it, or correct its name.",
    "ContainerNotFound": "There is no such container: create it, or correct its name.",
    "RequestTimeTooSkewed": "The clock of this machine is off: set it.",
    "ExpiredToken": "The credentials have expired: renew them.",
    "InvalidAccessKeyId": "The store does not know the access key: check the credentials.",
    "SignatureDoesNotMatch": "The secret key does not match the access key: check the credentials.",
    "169.254.169.254": "No credentials were found in the environment, and the machine itself has none: set them.",
    "SlowDown": "The store asks for fewer requests: save less often.",
    "error sending request": "It could not be reached: check the network, and AWS_ENDPOINT_URL if you have set it.",
}


def store_error(error: Exception, url: str) -> StoreError:
    """Return the error for a request that a store refused, or did not answer."""
    said = _without_secrets(str(error))
    refused = type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError")
    return StoreError(errno.EACCES if refused else errno.EIO, f"{said}{_remedy(said, refused=refused)}", url)


def not_found(error: Exception, url: str) -> OSError:
    """Return the error for an object, or a bucket, that does not exist."""
    if "NoSuchBucket" in str(error) or "ContainerNotFound" in str(error):
        return store_error(error, url)
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url)


def bare(error: Exception) -> Exception:
    """Return an error that is safe to show: a client's text may contain a signed URL."""
    return type(error)(_without_secrets(str(error)))


def _remedy(said: str, *, refused: bool) -> str:
    """Return what to do about a store's message; empty if nothing is known."""
    advice = next((text for each, text in _ADVICE.items() if each in said), "")
    if refused and not advice:
        advice = "Check that the credentials are for this bucket, and may list, read, write and delete in it."
    return f". {advice}" if advice else ""


def _without_secrets(text: str) -> str:
    """Return a store's message without secrets and without details for the client's developers."""
    text = text.partition("\n\nDebug source:")[0]
    code, message = (re.search(rf"<{name}>([^<]*)</{name}>", text) for name in ("Code", "Message"))
    text = re.sub(r"\s*<\?xml.*", "", text, flags=re.DOTALL)
    if code:
        text = f"{text} {code[1]}{f' ({message[1]})' if message and message[1] else ''}"
    text = re.sub(r"\?[^\s'\")]*", "", text)
    for secret in _secrets():
        text = text.replace(secret, "…")
    return text.strip().rstrip(".")


def _secrets() -> Iterator[str]:
    """Yield the secrets in the environment."""
    said = [os.environ.get(name, "") for name in _SECRETS]
    pairs = (each.partition("=") for each in os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";"))
    said += [value for name, _, value in pairs if name in ("AccountKey", "SharedAccessSignature")]
    yield from (each for each in said if len(each) >= _SHORTEST_SECRET)
