"""Unfinished work of dead processes in a bucket. It is not visible, but billed.

A cloud lists unfinished uploads only on request. obstore cannot make that request; boto3 can, for S3. On Google Cloud
Storage a lifecycle rule has to remove them; Azure removes them by itself after a week.
"""

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from typing import Any

from ..base import TEMPORARY_PREFIX
from . import keys
from .bucket import Bucket, Object
from .owner import Owner
from .versions import COMMIT, Versions, begun, is_version

_LOGGER = logging.getLogger("lastgood")
# For this long, what nobody has claimed may be work that another process has under way.
_ABANDONED_SECONDS = 24 * 3600.0
_LONGEST = 4096  # bytes of an object that names its process

Owns = Callable[[str], bool]
"""Returns whether only this process saves under a name of the directory."""


def remove_objects(bucket: Bucket, versions: Versions, directory: str, owns: Owns) -> Iterator[str]:
    """Remove what dead processes left below a key, with one listing; yield what was removed.

    Args:
        bucket: The bucket.
        versions: Its directories.
        directory: The key below which the run lies.
        owns: Returns whether only this process saves under a name of the directory.
    """
    found = list(bucket.below(directory))
    yield from _remove_probes(bucket, directory, found)
    yield from _remove_versions(versions, directory, owns, found)


def _remove_probes(bucket: Bucket, directory: str, found: Iterable[Object]) -> Iterator[str]:
    """Remove the objects that dead processes wrote to test whether they can write."""
    for each in found:
        if keys.relative(each.key, directory).startswith(TEMPORARY_PREFIX):
            age = time.time() - each.modified.timestamp()
            if age > _ABANDONED_SECONDS or _owner(bucket, each.key).is_gone():
                bucket.delete([each.key])
                yield each.key


def _owner(bucket: Bucket, key: str) -> Owner:
    """Return the process that an object names."""
    try:
        return Owner.from_json(json.loads(bucket.read(key, _LONGEST)[1]))
    except (FileNotFoundError, ValueError):
        return Owner.from_json(None)


def _remove_versions(versions: Versions, directory: str, owns: Owns, found: Iterable[Object]) -> Iterator[str]:
    """Remove the files of versions that are not committed."""
    there: dict[str, set[str]] = {}
    committed: set[str] = set()
    for each in found:
        name, _, rest = keys.relative(each.key, directory).partition("/")
        if rest == COMMIT:
            committed.add(name)
        if is_version(rest.partition("/")[0]):
            there.setdefault(name, set()).add(rest.partition("/")[0])
    for name, begun_there in there.items():
        current = versions.find(keys.join(directory, name)) if name in committed else None
        for version in begun_there - {current.name if current else ""}:
            if owns(name) or time.time() - begun(version) > _ABANDONED_SECONDS:
                versions.remove(keys.join(directory, name), version)
                yield f"{keys.join(directory, name)}/{version}"


def abort_uploads(bucket: str, directory: str, owns: Owns, living: Collection[str]) -> Iterator[str]:
    """Abort uploads to S3 that no process continues; yield their keys.

    Args:
        bucket: The bucket's name.
        directory: The key below which the run lies.
        owns: Returns whether only this process saves under a name of the directory.
        living: The keys that this process is sending to.
    """
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    client = _client(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"), region)
    if client is None:
        return
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=keys.join(directory, ""))
        for upload in (each for page in pages for each in page.get("Uploads", ())):
            key = upload["Key"]
            name = keys.relative(key, directory).partition("/")[0]
            age = time.time() - upload["Initiated"].timestamp()
            if key not in living and (owns(name) or age > _ABANDONED_SECONDS):
                with contextlib.suppress(client.exceptions.NoSuchUpload):
                    client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"])
                yield key
    except (BotoCoreError, ClientError) as error:  # this only cleans up, and may be forbidden
        _LOGGER.debug("Unfinished uploads could not be aborted: %s", type(error).__name__)


@cache
def _client(endpoint: str | None, region: str | None) -> Any:
    """Return boto3's S3 client; None if boto3 is not installed."""
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError:
        return None
    retries = Config(retries={"total_max_attempts": 3}, connect_timeout=10, read_timeout=30)
    return boto3.client("s3", endpoint_url=endpoint, region_name=region, config=retries)
