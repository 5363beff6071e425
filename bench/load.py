"""The load: wrk for what is read, where it is installed, else threads; threads for what is stored."""

import http.client
import itertools
import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

BOUNDARY = "bench-part"
RELATED = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
ROOT = "/dicom-web"
JSON, JPEG = "application/dicom+json", "image/jpeg"
FRAME = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a load came to: operations, seconds, and the bytes of one answer."""

    count: int
    seconds: float
    size: int = 0
    failed: str = ""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A kind of request: paths to go through in turn, and the Accept header."""

    paths: Sequence[str]
    accept: str
    connections: int = 1
    proof: Mapping[str, str] = field(default_factory=dict)
    """Headers that say who asks."""

    @property
    def headers(self) -> dict[str, str]:
        return {"Accept": self.accept, **self.proof}


def get(port: int, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """One answer: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("GET", ROOT + path, headers=dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def ask_at_once(port: int, path: str, accept: str, connections: int = 16) -> None:
    """Asks for the same over many connections at once, so that every process of a server gets it to do."""
    with ThreadPoolExecutor(connections) as threads:
        list(threads.map(lambda _: get(port, path, {"Accept": accept}), range(connections)))


def read(port: int, ask: Ask, seconds: float) -> Done:
    """Asks for so many seconds over kept connections."""
    status, body = get(port, ask.paths[0], ask.headers)
    if status != 200:
        return Done(count=0, seconds=seconds, failed=f"answers {status}")
    done = (_by_wrk if shutil.which("wrk") else _by_threads)(port, ask, seconds)
    return Done(count=done.count, seconds=done.seconds, size=len(body), failed=done.failed)


def ask_each(port: int, paths: Sequence[str], accept: str) -> Done:
    """Asks for each path once, over one kept connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    began, size = time.monotonic(), 0
    for path in paths:
        connection.request("GET", ROOT + path, headers={"Accept": accept})
        response = connection.getresponse()
        size = len(response.read())
        if response.status != 200:
            return Done(count=0, seconds=1, failed=f"answers {response.status}")
    connection.close()
    return Done(count=len(paths), seconds=time.monotonic() - began, size=size)


def visit(port: int, study: str, series: str, instance: str) -> float:
    """Milliseconds to a viewer's first image: search, series, metadata, frame, on a new connection."""
    root = f"/studies/{study}"
    asks = [
        (f"/studies?StudyInstanceUID={study}", JSON),
        (f"{root}/series", JSON),
        (f"{root}/series/{series}/metadata", JSON),
        (f"{root}/series/{series}/instances/{instance}/frames/1", FRAME),
    ]
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for path, accept in asks:
        connection.request("GET", ROOT + path, headers={"Accept": accept})
        response = connection.getresponse()
        if not response.read() or response.status != 200:
            raise RuntimeError(f"answers {response.status}")
    connection.close()
    return (time.perf_counter() - began) * 1000


def _by_wrk(port: int, ask: Ask, seconds: float) -> Done:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        paths = ",".join(json.dumps(ROOT + path) for path in ask.paths)
        script.write(
            f"local paths={{{paths}}}\nlocal n=0\n"
            + "".join(f"wrk.headers['{name}']={json.dumps(said)}\n" for name, said in ask.headers.items())
            + "function request() n=n%#paths+1 return wrk.format('GET',paths[n]) end\n"
            "function done(s,l,r) io.write(string.format('RESULT %d %d %d\\n',s.requests,s.duration,"
            "s.errors.status+s.errors.read+s.errors.timeout)) end\n"
        )
        script.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{ask.connections}",
            f"-d{max(1, round(seconds))}s",
            "--timeout",
            "60",
            "-s",
            script.name,
        ]
        said = subprocess.run(
            [*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True
        ).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+)", said)
    if not found:
        return Done(count=0, seconds=seconds, failed="no answer")
    count, micros, errors = map(int, found.groups())
    # A server that closes its connections after each answer counts as errors of reading, though all arrived.
    return Done(count=count, seconds=micros / 1e6, failed=f"{errors} errors" if errors > count else "")


def _by_threads(port: int, ask: Ask, seconds: float) -> Done:
    paths = itertools.cycle(ask.paths)
    lock = threading.Lock()

    def one(connection: http.client.HTTPConnection) -> int:
        with lock:
            path = next(paths)
        connection.request("GET", ROOT + path, headers=ask.headers)
        response = connection.getresponse()
        while response.read(1 << 20):
            pass
        return 1

    return threads(port, one, connections=ask.connections, seconds=seconds)


def store(port: int, made: Iterator[bytes], *, connections: int, batch: int, seconds: float) -> Done:
    """Stores `batch` objects a request for so many seconds; counts what was acknowledged."""
    lock = threading.Lock()

    def one(connection: http.client.HTTPConnection) -> int:
        with lock:
            parts = list(itertools.islice(made, batch))
        return store_once(connection, parts)

    return threads(port, one, connections=connections, seconds=seconds)


def store_once(
    connection: http.client.HTTPConnection, parts: list[bytes], proof: Mapping[str, str] | None = None
) -> int:
    """One store; the number of instances the answer lists as stored. Raises RuntimeError unless it is all."""
    headers = {"Content-Type": RELATED, "Accept": "application/dicom+json", **(proof or {})}
    connection.request("POST", ROOT + "/studies", multipart(parts), headers)
    response = connection.getresponse()
    answer = response.read()
    stored = answer.count(b'"00081155"') if response.status in {200, 202} else 0
    if stored != len(parts):
        raise RuntimeError(f"{stored} of {len(parts)} stored: {response.status} {answer[:300]!r}")
    return stored


def multipart(parts: list[bytes]) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return (
        b"".join(piece for part in parts for piece in (head, part, b"\r\n")) + f"--{BOUNDARY}--\r\n".encode()
    )


def threads(
    port: int, one: Callable[[http.client.HTTPConnection], int], *, connections: int, seconds: float
) -> Done:
    """Calls `one` over and over, each thread on its own connection, until the time is over."""
    counts, problems = [0] * connections, []
    end = time.monotonic() + seconds

    def run(index: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            while time.monotonic() < end:
                counts[index] += one(connection)
        except Exception as error:  # noqa: BLE001 - whatever it was ends the measurement and is shown in its row
            problems.append(str(error))

    began = time.monotonic()
    running = [threading.Thread(target=run, args=(n,)) for n in range(connections)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return Done(count=sum(counts), seconds=time.monotonic() - began, failed="; ".join(problems[:1]))


def scratch() -> Path:
    """A folder for a server's data, on the disk the system keeps temporary files on."""
    return Path(tempfile.mkdtemp(prefix="bench-"))
