"""Retrievals by DIMSE, asked for by DCMTK's programs: the same client and receiver for both servers."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from bench.load import Done
from bench.servers import Server, free_port

Service = Literal["C-GET", "C-MOVE"]

RECEIVER = "STORESCP"
# Without it Debian's DCMTK waits for the acknowledgement of each message's last segment, on either side.
_ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}
_COMPLETED = re.compile(r"Completed Suboperations *: (\d+)")


def retrieve(server: Server, service: Service, study_uid: str, count: int) -> Done:
    """One study of `count` instances, once, kept by nobody; the association with the server included."""
    if shutil.which("getscu") is None:
        return Done(count=0, seconds=0, failed="DCMTK is not installed")
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study_uid}")
    to = ("-S", *keys, "-aec", server.ae_title, "127.0.0.1", str(server.dimse))
    if service == "C-GET":
        began = time.monotonic()
        said = _run("getscu", "-v", "--ignore", "-pdu", "131072", *to)
        seconds = time.monotonic() - began
        found = _COMPLETED.findall(said)
        got = int(found[-1]) if found else 0
    else:
        with _receiver() as port:
            _introduce(server, port)
            began = time.monotonic()
            said = _run("movescu", "-v", "-aem", RECEIVER, *to)
            seconds = time.monotonic() - began
        got = count if "Received Final Move Response (Success)" in said else 0
    return Done(count=got, seconds=seconds, failed="" if got == count else f"{service} failed")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=_ENVIRONMENT, timeout=300, check=False)
    return done.stdout + done.stderr


@contextmanager
def _receiver() -> Iterator[int]:
    """A receiver that throws away what it gets; gives its port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "storescp",
            "--fork",
            "--ignore",
            "-pdu",
            "131072",
            "-aet",
            RECEIVER,
            "-od",
            folder,
            str(port),
        ]
        process = subprocess.Popen(command, env=_ENVIRONMENT)
        try:
            time.sleep(0.5)
            yield port
        finally:
            process.kill()
            process.wait()


def _introduce(server: Server, port: int) -> None:
    """Tell the server of the receiver."""
    if server.name == "box":
        told = {"name": RECEIVER, "ae_title": RECEIVER, "host": "127.0.0.1", "port": port}
        _ask(server, "DELETE", f"/peers/{RECEIVER}")
        _ask(server, "POST", "/peers", told)
        time.sleep(1.5)  # after which each of its processes has heard of it
    else:
        _ask(server, "PUT", f"/modalities/{RECEIVER}", {"AET": RECEIVER, "Host": "127.0.0.1", "Port": port})


def _ask(server: Server, method: str, path: str, body: object = None) -> None:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}",
        data,
        {"Content-Type": "application/json", "Accept": "application/json"},
        method=method,
    )
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except urllib.error.HTTPError as error:
        if error.code != 404:  # a receiver that is not known yet cannot be forgotten
            raise
