"""Google Cloud Storage for tests: the XML that its clients speak, translated for an S3 server on loopback.

No emulator of it answers these requests: those that exist know its JSON API alone. Requests and answers have the form
of S3's; conditions, copies and versions have other names. Here an object's generation is the digest of its content.
"""

import http.client
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

_OWN = {"connection", "transfer-encoding", "keep-alive", "content-length", "host", "authorization"}
_NAMES = {"x-goog-copy-source": "x-amz-copy-source", "x-goog-metadata-directive": "x-amz-metadata-directive"}
_IF_GENERATION = "x-goog-if-generation-match"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def _serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(self.server.behind, timeout=60)
        connection.request(self.command, self.path, body, dict(self._asked()))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.send_response(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _OWN:
                self.send_header(name, value)
        if tag := answer.getheader("ETag"):
            self.send_header("x-goog-generation", tag.strip('"'))
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        self.wfile.write(content)

    def _asked(self):
        """Yield the headers of the request as S3 names them."""
        for name, value in self.headers.items():
            if name.lower() == _IF_GENERATION:
                yield ("If-None-Match", "*") if value == "0" else ("If-Match", f'"{value}"')
            elif name.lower() not in _OWN:
                yield _NAMES.get(name.lower(), name), value

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - the names that http.server requires

    def log_message(self, *arguments):
        """Print nothing."""


@contextmanager
def cloud_storage(endpoint):
    """Translate for an S3 server that asks for no credentials; give the environment in which gs:// URLs lead to it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.behind = urlsplit(endpoint).netloc
    Thread(target=server.serve_forever, daemon=True).start()
    key = {"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": True}
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield {"GOOGLE_BASE_URL": url, "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(key)}
    finally:
        server.shutdown()
        server.server_close()
