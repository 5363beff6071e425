"""`python -m bench.people`: 20 people at once before one server, as one person has it.

Each asks for a list every 5 seconds and for 10 rendered frames a second, at moments fixed beforehand whether
or not the answer before has come (an open loop), over 127.0.0.1, by six connections as a browser has, for a
bounded time. A figure is the time from the moment planned to the last byte. First one person alone, then all,
then one alone again.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.viewer import fill
from conformance.server import started

LIST_EVERY, FRAME_EVERY = 5.0, 0.1
SLICES = 200


@dataclass(slots=True)
class Waited:
    """Milliseconds from the moment planned, by kind; and answers that were none."""

    lists: list[float] = field(default_factory=list)
    frames: list[float] = field(default_factory=list)
    failed: int = 0


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.people", description=__doc__)
    options.add_argument("--people", type=int, default=20)
    options.add_argument("--secs", type=float, default=20.0)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, started(Path(folder) / "data") as server:
        study = fill(server.dicomweb, SLICES)
        frames = _addresses(server.dicomweb, study)
        for address in frames:  # rendered once: people look at what somebody looked at before, mostly
            httpx.get(server.url + address, timeout=30).raise_for_status()
        for _ in range(40):  # in each process its first list reads the templates, once
            httpx.get(f"{server.url}/studies?q=SURNAME", timeout=30).raise_for_status()
        alone = asyncio.run(_all(server.url, frames, 1, asked.secs))
        crowd = asyncio.run(_all(server.url, frames, asked.people, asked.secs))
        again = asyncio.run(_all(server.url, frames, 1, asked.secs))
    print("| who | lists: median, p99 ms | frames: median, p99 ms | failed |\n|---|--:|--:|--:|")
    for name, waited in (("one", alone), (f"{asked.people} at once", crowd), ("one again", again)):
        print(f"| {name} | {_shown(waited.lists)} | {_shown(waited.frames)} | {waited.failed} |")


def _addresses(dicomweb: str, study: str) -> list[str]:
    rows = httpx.get(f"{dicomweb}/studies/{study}/instances?limit={SLICES}", timeout=30).json()
    return [
        f"/dicom-web/studies/{study}/series/{row['0020000E']['Value'][0]}/instances/"
        f"{row['00080018']['Value'][0]}/frames/1/rendered"
        for row in rows
    ]


async def _all(url: str, frames: list[str], people: int, secs: float) -> Waited:
    waited = Waited()
    began = time.monotonic() + 0.5
    async with asyncio.TaskGroup() as tasks:
        for number in range(people):
            tasks.create_task(_person(number, url, frames, began, secs, waited))
    return waited


async def _person(
    number: int, url: str, frames: list[str], began: float, secs: float, waited: Waited
) -> None:
    drawn = random.Random(number)
    begin, place = began + drawn.uniform(0, LIST_EVERY), drawn.randrange(len(frames))
    browser = _Browser(url)
    await browser.open()
    async with asyncio.TaskGroup() as tasks:
        for at in _moments(begin, LIST_EVERY, secs):
            tasks.create_task(_ask(browser, "/studies?q=SURNAME", at, waited.lists, waited))
        for step, at in enumerate(_moments(begin, FRAME_EVERY, secs)):
            address = frames[(place + step) % len(frames)]
            tasks.create_task(_ask(browser, address, at, waited.frames, waited))
    await browser.close()


class _Browser:
    """Six connections that are kept; an ask waits for the next that is free."""

    def __init__(self, url: str) -> None:
        self._host, _, port = url.removeprefix("http://").partition(":")
        self._port = int(port)
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def open(self) -> None:
        for _ in range(6):
            self._free.put_nowait(await asyncio.open_connection(self._host, self._port))

    async def get(self, address: str) -> int:
        """The status of the answer, whose body was read to its end."""
        reader, writer = await self._free.get()
        host = f"{self._host}:{self._port}"
        head = f"GET {address} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html, image/jpeg\r\n\r\n"
        writer.write(head.encode())
        said = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(said.partition(b"content-length:")[2].split()[0]))
        self._free.put_nowait((reader, writer))
        return int(said.split()[1])

    async def close(self) -> None:
        while not self._free.empty():
            self._free.get_nowait()[1].close()


def _moments(begin: float, every: float, secs: float) -> Iterator[float]:
    return (begin + number * every for number in range(int(secs / every)))


async def _ask(browser: _Browser, address: str, at: float, times: list[float], waited: Waited) -> None:
    await asyncio.sleep(max(0.0, at - time.monotonic()))
    try:
        async with asyncio.timeout(30):
            status = await browser.get(address)
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        status = 0
    if status == 200:
        times.append(1000 * (time.monotonic() - at))
    else:
        waited.failed += 1


def _shown(times: list[float]) -> str:
    if len(times) < 2:
        return "–"
    return f"{statistics.median(times):.1f}, {statistics.quantiles(times, n=100)[98]:.1f}"


if __name__ == "__main__":
    main()
