"""A peer's number of associations, over several DIMSE processes and their deaths."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from conformance.server import Server, command, environment, started
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import Rejected, UpperLayerError
from dicomweb_box.upper_layer.requestor import Proposed, request
from tests.soak.test_dimse import dimse_processes

VERIFICATION, EXPLICIT = "1.2.840.10008.1.1", "1.2.840.10008.1.2.1"
MOST, PATIENCE = 3, 60.0


async def associated(server: Server) -> Association | None:
    """One more association; None where it is told to try again, or who answered has just died."""
    context = Proposed(abstract_syntax=VERIFICATION, transfer_syntaxes=[EXPLICIT])
    try:
        return await request(
            "127.0.0.1", server.dimse, calling="LIMITED", called="DICOMWEB_BOX", contexts=[context]
        )
    except Rejected as error:
        if not error.transient:
            raise
    except UpperLayerError:
        pass
    return None


async def as_many_as_there_are(server: Server, wanted: int) -> list[Association]:
    """So many, once there are, and none beyond."""
    found: list[Association] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < wanted:
            if (one := await associated(server)) is not None:
                found.append(one)
            else:
                await asyncio.sleep(0.1)
    for _ in range(4 * MOST):
        assert await associated(server) is None
    return found


@pytest.mark.dicom("PS3.8 9.3.4")
def test_a_peer_has_so_many_with_all_processes_and_those_of_a_killed_one_again(tmp_path: Path) -> None:
    with started(tmp_path / "data", "--dimse-workers", "3", accounts=True, dimse=True) as server:
        peer = ["peer", "add", "limited", "--dimse", "LIMITED", "--from", "127.0.0.1", "--may", "echo"]
        told = command(*peer, "--associations", str(MOST), "--data", str(server.data))
        subprocess.run(told, check=True, capture_output=True, env=environment(), timeout=300)

        async def run() -> None:
            first = await as_many_as_there_are(server, MOST)
            for process in dimse_processes(server):
                os.kill(process, signal.SIGKILL)
            for one in first:
                await one.closed()
            again = await as_many_as_there_are(server, MOST)
            await again[0].release()
            for one in [*again[1:], *await as_many_as_there_are(server, 1)]:
                await one.release()

        asyncio.run(run())
