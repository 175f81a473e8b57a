"""Answer Prometheus in a worker or a gateway that has no web server beside it: ``GET /metrics``, nothing else.

Where processes share their numbers through a directory, as under `heddle up`, the web server gives those of all, and
there is no door here. One thread answers one request after the other, so that scraping costs the process one thread
and a slow scraper holds up nobody but other scrapers. Before it: ``service.worker`` and ``service.gateway``. After it:
``telemetry.recorder``.
"""

import contextlib
import errno
import http
import logging
import os
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from http import server
from typing import ClassVar, Final

from heddle.config import settings
from heddle.service import ports
from heddle.telemetry import multiprocess, recorder

PATH: Final = "/metrics"
REQUEST_TIMEOUT_S: Final = 5.0
logger = logging.getLogger(__name__)
_OTHERWISE: Final = "give each worker and gateway of a machine a HEDDLE_METRICS_PORT of its own"


@contextlib.contextmanager
def opened(limits: settings.Settings) -> Iterator[str | None]:
    """Answer for as long as the block lasts; gives the address, None where there is no door. Raises PortTaken."""
    if limits.metrics_port == 0 or multiprocess.ENVIRONMENT in os.environ:
        yield None
        return
    try:
        listening = (_Server6 if ":" in limits.metrics_host else _Server)(
            (limits.metrics_host, limits.metrics_port), _Scrape
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            where = f"port {limits.metrics_port} of {limits.metrics_host}"
            raise ports.PortTaken(f"{where} is taken: {_OTHERWISE}") from error
        raise
    thread = threading.Thread(target=listening.serve_forever, name="heddle-metrics", daemon=True)
    thread.start()
    try:
        yield f"http://{limits.metrics_host}:{limits.metrics_port}{PATH}"
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join(timeout=REQUEST_TIMEOUT_S)


class _Server(socketserver.TCPServer):
    """Listen alone, and ask no name server for our own name, as HTTPServer would."""

    allow_reuse_address = True

    def handle_error(self, _request: object, client_address: object) -> None:
        """Tell of a request that could not be answered."""
        logger.warning("metrics.unanswered client=%s", client_address, exc_info=sys.exc_info())


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Scrape(server.BaseHTTPRequestHandler):
    """Answer one request."""

    timeout: ClassVar[float] = REQUEST_TIMEOUT_S
    server_version = "heddle"
    sys_version = ""

    def do_GET(self) -> None:
        """Give the numbers."""
        if self.path.partition("?")[0] != PATH:
            self.send_error(http.HTTPStatus.NOT_FOUND)
            return
        content_type, body = recorder.render(accept=self.headers.get("Accept", ""))
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        # A scraper that does not take its answer in time has gone.
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no line for each scrape."""
