"""An HTTP proxy on loopback in front of an object store, which counts requests and makes some of them fail."""

import http.client
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_REFUSED = "<?xml version='1.0'?><Error><Code>{}</Code><Message>as the test wants it</Message></Error>"
_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}

FAULTS = {
    "503": (503, "SlowDown"),
    "429": (429, "SlowDown"),
    "500": (500, "InternalError"),
    "expired credentials": (403, "ExpiredToken"),
}


@dataclass
class Plan:
    """What should go wrong.

    Attributes:
        at: The number of the request, counted from 1; 0 for none.
        fault: What happens to it.
        lasts: Whether it happens to all later requests, too.
        strike: Called before the fault.
        seen: The requests so far, as method and path.
        hold: Set when requests may be answered; None to answer at once.
    """

    at: int = 0
    fault: str = ""
    lasts: bool = False
    strike: object = None
    hold: threading.Event | None = None
    seen: list = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, request):
        """Count a request; return its fault, if it has one."""
        with self.lock:
            self.seen.append(request)
            number = len(self.seen)
        if self.at and (number == self.at or (self.lasts and number > self.at)):
            return self.fault
        return ""


class Handler(BaseHTTPRequestHandler):
    """Forwards requests, or makes them fail as the server's plan says."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer takes 40 ms
    wbufsize = -1

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:  # the client is gone, or was disconnected
            self.close_connection = True

    def _serve(self):
        plan = self.server.plan
        length = int(self.headers.get("Content-Length") or 0)
        fault = plan.next(f"{self.command} {self.path}")
        if plan.hold is not None:
            plan.hold.wait(120)
        body = self.rfile.read(length // 2 if fault == "reset in the body" else length)
        if fault in FAULTS:
            status, code = FAULTS[fault]
            self._answer(status, "Refused", [], _REFUSED.format(code).encode())
            return
        if fault == "killed before" and plan.strike:
            plan.strike()
        if fault in ("reset", "reset in the body", "killed before"):
            self._hang_up()
            return
        status, reason, headers, content = self._forward(body)
        if fault == "killed after" and plan.strike:
            plan.strike()
        if fault in ("lost answer", "killed after"):
            self._hang_up()
            return
        self._answer(status, reason, headers, content, cut=fault == "cut answer")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 - the names that http.server requires

    def _forward(self, body):
        connection = http.client.HTTPConnection(self.server.backend, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body or self.command in ("PUT", "POST"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return answer.status, answer.reason, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status, reason, headers, content, *, cut=False):
        self.send_response_only(status, reason)
        length = len(content)
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
            elif name.lower() == "content-length" and self.command == "HEAD":
                length = int(value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if cut and content and self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self._hang_up()
            return
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def _hang_up(self):
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


@contextmanager
def proxy(endpoint, handler=Handler):
    """Run the proxy in front of a store; yield its URL, and a function that sets its plan."""
    server = _Server(("127.0.0.1", 0), handler)
    server.backend = urlsplit(endpoint).netloc
    server.plan = Plan()
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def follow(plan):
        server.plan = plan
        return plan

    try:
        yield f"http://127.0.0.1:{server.server_port}", follow
    finally:
        server.shutdown()
        server.server_close()
