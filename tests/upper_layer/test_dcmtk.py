"""DCMTK's programs as the other side."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from conformance.server import free_port
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.requestor import Proposed, request
from tests.upper_layer.peers import CT, EXPLICIT, IMPLICIT, QUICK, VERIFICATION, Archive, run, serving


@pytest.fixture
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT without what DCMTK leaves out when it sends: group lengths and padding."""
    found = get_testdata_file("CT_small.dcm", download=False)
    assert isinstance(found, str)
    dataset = pydicom.dcmread(found)
    del dataset.DataSetTrailingPadding
    path = tmp_path_factory.mktemp("ct") / "ct.dcm"
    dataset.save_as(path)
    return path


def data_set(path: Path) -> bytes:
    """The bytes after the file meta information."""
    meta = pydicom.filereader.read_file_meta_info(path)
    return path.read_bytes()[132 + 12 + meta.FileMetaInformationGroupLength :]


@pytest.mark.dicom("PS3.7 9.1.5")
async def test_it_answers_echoscu():
    archive = Archive()
    async with serving(archive.talk) as port:
        await run("echoscu", "127.0.0.1", str(port))
    assert archive.ended == ["released"]


@pytest.mark.dicom("PS3.7 9.1.1")
@pytest.mark.parametrize("program", [("storescu", "-xe"), ("dcmsend",)])
async def test_it_takes_the_data_set_byte_for_byte(program: tuple[str, ...], ct: Path):
    archive = Archive()
    async with serving(archive.talk) as port:
        await run(program[0], *program[1:], "127.0.0.1", str(port), ct)
    dataset = pydicom.dcmread(ct)
    assert archive.stored == {dataset.SOPInstanceUID: (EXPLICIT, data_set(ct))}
    assert archive.ended == ["released"]


@pytest.mark.dicom("PS3.8 9.3.1")
async def test_small_pdus_make_the_same_data_set(ct: Path):
    archive = Archive()
    async with serving(archive.talk) as port:
        await run("storescu", "-xe", "--max-send-pdu", "4096", "127.0.0.1", str(port), ct)
    assert [data for _, data in archive.stored.values()] == [data_set(ct)]


async def test_it_sees_an_abort():
    archive = Archive()
    async with serving(archive.talk) as port:
        await run("echoscu", "--abort", "127.0.0.1", str(port))
        while not archive.ended:
            await asyncio.sleep(0.01)
    assert archive.ended == ["Aborted"]


@contextlib.asynccontextmanager
async def storescp(folder: Path, *options: str) -> AsyncIterator[int]:
    program = shutil.which("storescp")
    if program is None:
        pytest.skip("storescp is not installed")
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        program, *options, "-od", str(folder), str(port), env={"TCP_NODELAY": "1", "PATH": "/usr/bin:/bin"}
    )
    try:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 0.2).close()
                    break
                await asyncio.sleep(0.02)
        yield port
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.dicom("PS3.7 9.1.1")
@pytest.mark.parametrize("options", [[], ["--max-pdu", "4096"]])
async def test_storescp_gets_the_data_set_byte_for_byte(tmp_path: Path, ct: Path, options: list[str]):
    sent = data_set(ct)
    uid = pydicom.dcmread(ct).SOPInstanceUID

    async def pieces() -> AsyncIterator[bytes]:
        for position in range(0, len(sent), 777):
            yield sent[position : position + 777]

    async with storescp(tmp_path, "+B", *options) as port:
        association = await request(
            "127.0.0.1",
            port,
            calling="BOX",
            called="STORESCP",
            contexts=[
                Proposed(abstract_syntax=VERIFICATION, transfer_syntaxes=[IMPLICIT]),
                Proposed(abstract_syntax=CT, transfer_syntaxes=[EXPLICIT]),
            ],
            timeouts=QUICK,
        )
        echo, store = association.contexts[1], association.contexts[3]
        answer = await association.ask_one(
            echo, {"AffectedSOPClassUID": VERIFICATION, "CommandField": commands.C_ECHO_RQ}
        )
        assert answer.command.Status == 0
        answer = await association.ask_one(
            store,
            {
                "AffectedSOPClassUID": CT,
                "AffectedSOPInstanceUID": uid,
                "CommandField": commands.C_STORE_RQ,
                "Priority": 0,
            },
            pieces(),
        )
        assert answer.command.Status == 0
        await association.release()
        assert not association.is_open
    (stored,) = tmp_path.iterdir()
    assert data_set(stored) == sent
