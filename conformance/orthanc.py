"""Orthanc in this server's place: the same viewer from the same origin, its DICOMweb answered by Orthanc."""

import contextlib
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from bench.servers import orthanc_program, start_orthanc

# What belongs to a single connection, RFC 9110 7.6.1; lengths are told anew.
_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "upgrade", "date", "server"}
)
_SERVICES = ("/dicom-web", "/wado")


@contextlib.contextmanager
def instead_of(viewer: str, folder: Path, files: list[Path]) -> Iterator[str]:
    """An address where `/ohif/` is that of `viewer` and the services are Orthanc's, which holds `files`."""
    program = orthanc_program()
    assert program is not None
    # Not with its GDCM plugin, which ends the program by an assertion where frames of one bit are asked for.
    orthanc = start_orthanc(folder, program, plugins=("DicomWeb",))
    try:
        _store(f"http://127.0.0.1:{orthanc.port}", files)
        with _joined(viewer, f"http://127.0.0.1:{orthanc.port}") as url:
            yield url
    finally:
        orthanc.stop()


def _store(orthanc: str, files: list[Path]) -> None:
    """Stores what can be; of the test files some are meant to be refused."""
    with httpx.Client(base_url=orthanc, timeout=60) as client:
        for file in files:
            client.post("/instances", content=file.read_bytes())


@contextlib.contextmanager
def _joined(viewer: str, services: str) -> Iterator[str]:
    """One origin before both, on a free port of the loopback address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self) -> None:
            self._pass_on(services if self.path.startswith(_SERVICES) else viewer)

        do_POST = do_HEAD = do_OPTIONS = do_GET  # noqa: N815

        def _pass_on(self, to: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            # The name asked for stays, since Orthanc makes the addresses it writes from it.
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            connection = http.client.HTTPConnection(str(urlsplit(to).netloc), timeout=60)
            with contextlib.closing(connection):
                connection.request(self.command, self.path, body or None, headers)
                answer = connection.getresponse()
                content = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the browser may have gone on
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as front:
        front.daemon_threads = True
        thread = threading.Thread(target=front.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{front.server_port}"
        finally:
            front.shutdown()
            thread.join(10)
