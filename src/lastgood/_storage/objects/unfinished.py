"""What dead processes have left half-sent in a bucket. It is out of sight, and billed all the same.

A cloud lists unfinished uploads only to who asks for them, which obstore does not: boto3 does, for S3. Google's bucket
needs a rule for its lifecycle, and Azure's removes them after a week by itself.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator
from functools import cache
from typing import Any

from . import keys
from .bucket import Bucket
from .versions import COMMIT, Versions, begun, is_version

_LOGGER = logging.getLogger("lastgood")
# What nobody has claimed may be another process's work under way, for so long.
_ABANDONED_SECONDS = 24 * 3600.0

Owns = Callable[[str], bool]
"""Tells whether this process alone saves under a name of the directory."""


def remove_versions(bucket: Bucket, versions: Versions, directory: str, owns: Owns) -> Iterator[str]:
    """Remove the files of directories that were never committed; yield what was removed."""
    there: dict[str, set[str]] = {}
    committed: set[str] = set()
    for each in bucket.below(directory):
        name, _, rest = keys.relative(each.key, directory).partition("/")
        if rest == COMMIT:
            committed.add(name)
        if is_version(rest.partition("/")[0]):
            there.setdefault(name, set()).add(rest.partition("/")[0])
    for name, found in there.items():
        current = versions.find(keys.join(directory, name)) if name in committed else None
        for version in found - {current.name if current else ""}:
            if owns(name) or time.time() - begun(version) > _ABANDONED_SECONDS:
                versions.remove(keys.join(directory, name), version)
                yield f"{keys.join(directory, name)}/{version}"


def abort_uploads(bucket: str, directory: str, owns: Owns, living: Collection[str]) -> Iterator[str]:
    """Abort uploads to S3 that nobody goes on with; yield their keys.

    Args:
        bucket: The bucket's name.
        directory: The key below which the run lies.
        owns: Tells whether only this process saves under a name of the directory.
        living: The keys to which this process is sending.
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
    except (BotoCoreError, ClientError) as error:  # this is only tidying up, and may not be allowed
        _LOGGER.debug("Unfinished uploads could not be aborted: %s", type(error).__name__)


@cache
def _client(endpoint: str | None, region: str | None) -> Any:
    """Return boto3's client of S3; None where it is not installed."""
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError:
        return None
    retries = Config(retries={"total_max_attempts": 3}, connect_timeout=10, read_timeout=30)
    return boto3.client("s3", endpoint_url=endpoint, region_name=region, config=retries)
