"""Associations break off, DIMSE processes are killed: what was answered 0000 is there as it was sent.

What did not come wholly is not there, and nothing is left over.
"""

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from conformance.dimse import dataset_of
from conformance.server import Server, started
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.requestor import Proposed, request
from tests.soak.load import counter, instance, uid
from tests.soak.processes import peaks, tree
from tests.waiting import until

CT, VERIFICATION, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1", "1.2.840.10008.1.2.1"
ASSOCIATIONS = 8
STUDY_OF = 100
"""Instances of one study."""


@dataclass
class Sent:
    """What came of the numbered objects: SHA-256 of the data sets by number."""

    answered: dict[int, str] = field(default_factory=dict)
    """… that were answered 0000."""
    whole: dict[int, str] = field(default_factory=dict)
    """… whose last byte was sent, while no answer came."""
    broken: set[int] = field(default_factory=set)
    """Numbers of those that were broken off."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with started(tmp_path / "data", "--workers", "1", "--dimse-workers", "2", dimse=True) as one:
        yield one


async def associated(port: int) -> Association:
    contexts = [Proposed(abstract_syntax=one, transfer_syntaxes=[EXPLICIT]) for one in (CT, VERIFICATION)]
    return await request("127.0.0.1", port, calling="SOAK", called="DICOMWEB_BOX", contexts=contexts)


def context_of(association: Association, abstract_syntax: str) -> object:
    return next(one for one in association.contexts.values() if one.abstract_syntax == abstract_syntax)


async def echo(association: Association) -> int:
    command = {"CommandField": commands.C_ECHO_RQ, "AffectedSOPClassUID": VERIFICATION}
    answer = await association.ask_one(context_of(association, VERIFICATION), command)  # type: ignore[arg-type]
    return int(answer.command["Status"])


def test_what_was_answered_is_there_and_what_broke_off_is_not(
    server: Server, soak: bool, chance: random.Random
) -> None:
    each = 5000 if soak else 40
    sent, before = Sent(), held(server)

    asyncio.run(send_all(server, sent, each, chance))

    assert len(sent.answered) > each
    assert sent.broken
    verify(server, sent)
    until(lambda: held(server) == before, what="files, threads or connections are left over")
    assert [path for path in (server.data / "spool").rglob("*") if path.is_file()] == []
    assert max(peaks(server.process.pid).values()) < 400
    assert b"Traceback" not in server.log.read_bytes()


async def send_all(server: Server, sent: Sent, each: int, chance: random.Random) -> None:
    numbers = counter()
    over = asyncio.Event()
    killing = asyncio.create_task(kill_now_and_then(server, over, chance))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(ASSOCIATIONS):
            tasks.create_task(send(server.dimse, numbers, sent, each, chance))
    over.set()
    await killing
    async with asyncio.timeout(30):
        association = await associated(server.dimse)
        assert await echo(association) == 0
        await association.release()


async def send(port: int, numbers: Iterator[int], sent: Sent, each: int, chance: random.Random) -> None:
    """Stores so many objects over one association after another; breaks some of them off."""
    association: Association | None = None
    for _ in range(each):
        number = next(numbers)
        with contextlib.suppress(UpperLayerError, ConnectionError):
            if association is None or not association.is_open:
                association = None  # whatever it was that ended it
                association = await associated(port)
            await send_one(association, number, sent, chance)
    if association is not None:
        await association.release()


async def send_one(association: Association, number: int, sent: Sent, chance: random.Random) -> None:
    data = dataset_of(instance(number, study=number // STUDY_OF))
    digest = hashlib.sha256(data).hexdigest()
    command = {
        "CommandField": commands.C_STORE_RQ,
        "Priority": 0,
        "AffectedSOPClassUID": CT,
        "AffectedSOPInstanceUID": uid(3, number),
    }
    what = chance.random()
    stop = chance.randrange(len(data)) if what < 0.05 else len(data)

    async def pieces() -> AsyncIterator[bytes]:
        yield data[:stop]
        if stop < len(data):
            sent.broken.add(number)
            for _ in range(chance.randrange(24)):
                yield bytes(64 << 10)  # enough that some of it goes out, and into a spool file
            raise ConnectionError("broken off")
        # From here on nobody knows: it may have come wholly, and its answer not.
        sent.whole[number] = digest

    context = context_of(association, CT)
    if 0.05 <= what < 0.08:
        await association.send(context, {**command, "MessageID": 1}, pieces())  # type: ignore[arg-type]
        await association.abort()
        return
    answer = (await association.ask_one(context, command, pieces())).command  # type: ignore[arg-type]
    assert answer["Status"] == 0, f"{answer['Status']:04X}"
    sent.answered[number] = sent.whole.pop(number)


async def kill_now_and_then(server: Server, over: asyncio.Event, chance: random.Random) -> None:
    """Ends a DIMSE process of the server at once, again and again."""
    pause = chance.uniform(0.3, 1.0)
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), pause)
        pause = chance.uniform(20, 40)  # what dies young again and again is started later and later
        serving = dimse_processes(server)
        if serving and not over.is_set():
            os.kill(chance.choice(serving), signal.SIGKILL)


def dimse_processes(server: Server) -> list[int]:
    """Those that may accept on the DIMSE port, without their supervisor."""
    inode = next(
        (line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
         if line.split()[1].endswith(f":{server.dimse:04X}") and line.split()[3] == "0A"),
        None,
    )  # fmt: skip
    return [
        process
        for process in tree(server.process.pid)
        if process != server.process.pid and f"socket:[{inode}]" in files(process)
    ]


def files(process: int) -> list[str]:
    """What its descriptors are."""
    found = []
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(str(link.readlink()))
    return found


def held(server: Server) -> list[tuple[int, int]]:
    """Of each DIMSE process how many sockets and spool files it has open."""
    return sorted(
        (sum(one.startswith("socket:") for one in found), sum("/spool/" in one for one in found))
        for found in map(files, dimse_processes(server))
    )


def verify(server: Server, sent: Sent) -> None:
    """Each answered object comes back as sent; of the others only such as came wholly are there."""
    accept = {"Accept": "application/dicom; transfer-syntax=*"}
    with httpx.Client(base_url=server.dicomweb, headers=accept, timeout=60) as client:

        def digest(number: int) -> str | None:
            study = number // STUDY_OF
            path = f"/studies/{uid(1, study)}/series/{uid(2, study)}/instances/{uid(3, number)}"
            answer = client.get(path)
            return hashlib.sha256(dataset_of(answer.content)).hexdigest() if answer.is_success else None

        with ThreadPoolExecutor(4) as pool:
            numbers = sorted({*sent.answered, *sent.whole, *sent.broken})
            found = dict(zip(numbers, pool.map(digest, numbers), strict=True))
        lost = [number for number, told in sent.answered.items() if found[number] != told]
        assert lost == [], f"{len(lost)} of {len(sent.answered)} answered instances are not there as sent"
        assert [number for number in sent.broken if found[number] is not None] == []
        assert [n for n, told in sent.whole.items() if found[n] not in (None, told)] == []
        count = client.get("/instances/count", headers={"Accept": "*/*"})
        if count.is_success:
            assert int(count.json()["count"]) == sum(one is not None for one in found.values())


def test_a_thousand_idle_connections_hold_up_no_echo(server: Server, soak: bool) -> None:
    count = 1000 if soak else 200

    async def idle_and_ask() -> float:
        associations = [await associated(server.dimse) for _ in range(count)]
        silent = [await asyncio.open_connection("127.0.0.1", server.dimse) for _ in range(count // 4)]
        began = time.monotonic()
        one = await associated(server.dimse)
        assert await echo(one) == 0
        took = time.monotonic() - began
        for association in [one, *associations]:
            await association.release()
        for _, writer in silent:
            writer.close()
        return took

    before, threads_before = held(server), threads(server)
    assert asyncio.run(idle_and_ask()) < 20
    until(lambda: held(server) == before, what="connections are left over")
    assert threads(server) == threads_before
    assert max(peaks(server.process.pid).values()) < 400


def threads(server: Server) -> int:
    """Of all DIMSE processes."""
    return sum(len(list(Path(f"/proc/{one}/task").iterdir())) for one in dimse_processes(server))
