"""Clients for buckets, with the credentials that users of each cloud expect to be used."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..._errors import MissingExtraError

# One part of an upload must finish in this time, even over a slow connection.
_REQUEST = timedelta(minutes=5)
_CONNECT = timedelta(seconds=10)
_PATIENT = {
    "max_retries": 30,
    "retry_timeout": timedelta(minutes=3),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=15), "base": 2.0},
}
# Requests before training must fail while you are still watching.
_QUICK = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2.0},
}


def client_of(scheme: str, bucket: str, *, patient: bool) -> Any:
    """Return a client for a bucket.

    Args:
        scheme: The URL's scheme.
        bucket: The URL's first part.
        patient: Whether to repeat failed requests for minutes rather than for seconds.

    Raises:
        MissingExtraError: obstore is not installed.
    """
    store = library(f"{scheme}://{bucket}").store
    common = {"retry_config": _PATIENT if patient else _QUICK}
    http = {"timeout": _REQUEST, "connect_timeout": _CONNECT}
    if scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        s3: dict[str, Any] = {**common, **_aws(endpoint), "client_options": {**http, **_plain(endpoint)}}
        return store.S3Store(bucket, **s3)
    if scheme == "gs":
        gs: dict[str, Any] = {**common, "client_options": {**http, **_plain(os.environ.get("GOOGLE_BASE_URL"))}}
        return store.GCSStore(bucket, **gs)
    container, _, host = bucket.partition("@")
    said = {**_azure(), **({"account_name": host.partition(".")[0]} if host else {})}
    azure: dict[str, Any] = {**common, **said, "client_options": {**http, **_plain(said.get("endpoint"))}}
    return store.AzureStore(container, **azure)


def library(url: str) -> Any:
    """Return obstore, which ``url`` needs.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import obstore.store
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_feature(f"{url!r}", "obstore", "cloud") from error
    return obstore


def _plain(endpoint: str | None) -> dict[str, Any]:
    """Return the option that allows an unencrypted endpoint, if the user has chosen one."""
    return {"allow_http": True} if endpoint and endpoint.startswith("http://") else {}


def _aws(endpoint: str | None) -> dict[str, Any]:
    """Return the options that an S3 client does not take from the environment by itself."""
    found: dict[str, Any] = {"checksum_algorithm": "sha256"}
    if endpoint:
        found["endpoint"] = endpoint
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    session = None if os.environ.get("AWS_ACCESS_KEY_ID") else _session()
    if session is not None and session.get_credentials() is not None:
        from obstore.auth.boto3 import Boto3CredentialProvider

        found["credential_provider"] = Boto3CredentialProvider(session)
        region = region or session.region_name
    if region:
        found["region"] = region
    return found


def _session() -> Any:
    """Return a boto3 session if a profile may add to the environment; None if not, or without boto3."""
    files = {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials", "AWS_CONFIG_FILE": "~/.aws/config"}
    if not (os.environ.get("AWS_PROFILE") or any(_is_there(os.environ.get(*each)) for each in files.items())):
        return None
    try:
        import boto3
    except ModuleNotFoundError as error:
        if os.environ.get("AWS_PROFILE"):
            raise MissingExtraError.for_feature("AWS_PROFILE", "boto3", "cloud") from error
        return None
    return boto3.Session()


def _is_there(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except RuntimeError:  # the user of a container may have no home directory
        return False


def _azure() -> dict[str, str]:
    """Return the options of the connection string, if the environment has one."""
    text = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    said = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    names = {
        "AccountName": "account_name",
        "AccountKey": "account_key",
        "SharedAccessSignature": "sas_key",
        "BlobEndpoint": "endpoint",
    }
    return {name: said[each] for each, name in names.items() if each in said}
