"""Google Cloud Storage for tests: the XML that its clients speak, translated for an S3 server on loopback.

The known emulators answer only its JSON API. In XML, requests and answers have the form of S3's, but conditions, copies
and versions have other names. Here the version of an object is the digest of its contents.
"""

import json
from contextlib import contextmanager

from scenarios.buckets.proxy import Handler, proxy

_COPY, _FROM = "x-goog-copy-source", "x-amz-copy-source"
_CONDITION = "x-goog-if-generation-match"


class _AsS3(Handler):
    def _forward(self, body):
        del self.headers["authorization"]  # the server asks for none
        if source := self.headers[_COPY]:
            self.headers[_FROM] = source
        version = self.headers[_CONDITION]
        if version == "0":
            self.headers["if-none-match"] = "*"
        elif version is not None:
            self.headers["if-match"] = f'"{version}"'
        status, reason, headers, content = super()._forward(body)
        tags = [value.strip('"') for name, value in headers if name.lower() == "etag"]
        return status, reason, [*headers, *(("x-goog-generation", tag) for tag in tags)], content


@contextmanager
def cloud_storage(endpoint):
    """Translate for an S3 server that asks for no credentials; give the environment in which gs:// URLs lead to it."""
    key = {"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": True}
    with proxy(endpoint, _AsS3) as (url, _):
        yield {"GOOGLE_BASE_URL": url, "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(key)}
