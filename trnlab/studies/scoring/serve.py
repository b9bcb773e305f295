"""The scoring service: HTTP on this machine only, a request in JSON, an answer in JSON.

``POST /score`` takes what `trnlab.studies.scoring.request.Request` lists; ``GET /health`` says how
many answers were given. The server runs no kernel: every request has processes of its own. Who
says ``X-Caller: NAME`` shares the turns of that name; otherwise every connection is a caller.
"""

import hmac
import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from trnlab.errors import BadArguments, TrnlabError
from trnlab.studies.scoring.confine import hidden
from trnlab.studies.scoring.places import WAITING, Full, Places
from trnlab.studies.scoring.request import MB, request_of
from trnlab.studies.scoring.score import answer

BODY = 16 * MB
SENDING = 30  # seconds that a caller may take for a request
CONNECTIONS = 2 * WAITING
HOSTS = ("127.0.0.1", "localhost", "[::1]")


class Service(ThreadingHTTPServer):
    """A server that judges at most ``workers`` candidates at the same time."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, workers: int, token: str = "") -> None:
        self.places = Places(workers)
        self.connections = threading.Semaphore(CONNECTIONS)
        self.token, self.answered, self.refused = token, 0, 0
        self.counting = threading.Lock()
        hidden()
        try:
            super().__init__(("127.0.0.1", port), Handler)
        except OSError as error:
            why = f"cannot listen on port {port}: {error.strerror}"
            raise BadArguments(
                why, fix="take another one with --port; 0 takes a free one"
            ) from None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answers a connection in a thread of its own, unless there are too many."""
        if not self.connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads
            self.connections.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answers all that comes over a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is nobody's problem."""

    def count(self, *, good: bool) -> None:
        """Counts an answer."""
        with self.counting:
            self.answered += good
            self.refused += not good


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Service  # type: ignore[assignment]
    server_version, sys_version = "trnlab", ""
    protocol_version = "HTTP/1.1"
    timeout = SENDING

    def do_GET(self) -> None:
        """Answers ``/health``."""
        if not self._welcome():
            return
        if self.path != "/health":
            self._reply(404, {"error": f"there is nothing at {self.path[:80]}; POST /score"})
            return
        places, counts = self.server.places, ("answered", "refused")
        told = {name: getattr(self.server, name) for name in counts}
        told |= {"running": len(places.running), "waiting": len(places.waiting)}
        self._reply(200, told)

    def do_POST(self) -> None:
        """Answers ``/score``."""
        if not self._welcome():
            return
        if self.path != "/score":
            self._refuse(404, f"there is nothing at {self.path[:80]}; POST /score")
            return
        if self.headers.get_content_type() != "application/json":  # a web page cannot say that
            self._refuse(415, "Content-Type is not application/json")
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > BODY:
            self._refuse(413, f"a request has a Content-Length of at most {BODY:,} bytes")
            return
        try:
            request = request_of(json.loads(self._body(int(length))))
        except (TrnlabError, ValueError, RecursionError) as error:
            self._refuse(400, str(error) or type(error).__name__)
            return
        caller = self.headers.get("X-Caller") or str(self.client_address)
        try:
            with self.server.places.taken(caller):
                told = answer(request)
        except Full as error:
            self._refuse(503, str(error))
            return
        except (TrnlabError, OSError) as error:
            self._refuse(400 if isinstance(error, TrnlabError) else 500, str(error))
            return
        self.server.count(good=True)
        self._reply(200, told)

    def _body(self, length: int) -> bytes:
        """What a caller sends, within its time."""
        body, until = bytearray(), time.monotonic() + SENDING
        while len(body) < length:
            part = self.rfile.read1(length - len(body))  # type: ignore[attr-defined]
            if not part or time.monotonic() > until:
                raise BadArguments(f"{len(body):,} of {length:,} bytes came in {SENDING} s")
            body += part
        return bytes(body)

    def _welcome(self) -> bool:
        """Whether this caller may ask at all: from this machine, with the token if there is one."""
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in HOSTS:  # a name that somebody else's page let point here
            self._refuse(403, f"this service is {self.server.url}, and answers to that only")
            return False
        given = self.headers.get("Authorization", "")
        wanted = f"Bearer {self.server.token}"
        if self.server.token and not hmac.compare_digest(given.encode(), wanted.encode()):
            self._refuse(401, "the token is missing or wrong: Authorization: Bearer TOKEN")
            return False
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers what is no request of HTTP as everything else is answered: in JSON."""
        self._refuse(int(code), message or "no request that this service knows")

    def _refuse(self, status: int, why: str) -> None:
        self.server.count(good=False)
        self.close_connection = True  # its body may not have been read
        self._reply(status, {"error": why})

    def _reply(self, status: int, told: dict[str, Any]) -> None:
        data = json.dumps(told).encode() + b"\n"
        with suppress(ConnectionError, TimeoutError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: answers say it all."""
