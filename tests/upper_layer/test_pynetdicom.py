"""pynetdicom's application entity, with its threads, as the other side."""

import asyncio
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_role, evt

from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.message import Context, Message
from dicomweb_box.upper_layer.requestor import Proposed, request
from tests.upper_layer.peers import (
    CT,
    EXPLICIT,
    IMPLICIT,
    QUICK,
    VERIFICATION,
    Archive,
    pynetdicom_acceptor,
    response,
    serving,
)

STUDY_ROOT_FIND, STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.3"


@pytest.fixture
def ct() -> pydicom.FileDataset:
    found = get_testdata_file("CT_small.dcm", download=False)
    assert isinstance(found, str)
    return pydicom.dcmread(Path(found))


def entity() -> AE:
    ae = AE("PYNETDICOM")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 30
    return ae


async def test_its_scu_echoes_and_stores_with_us(ct: pydicom.FileDataset):
    archive = Archive()

    def store(port: int) -> tuple[int, int]:
        ae = entity()
        ae.add_requested_context(VERIFICATION)
        ae.add_requested_context(CT, EXPLICIT)
        association = ae.associate("127.0.0.1", port)
        assert association.is_established
        statuses = association.send_c_echo().Status, association.send_c_store(ct).Status
        association.release()
        assert association.is_released
        return statuses

    async with serving(archive.talk) as port:
        assert await asyncio.to_thread(store, port) == (0, 0)
    transfer_syntax, data = archive.stored[ct.SOPInstanceUID]
    assert transfer_syntax == EXPLICIT
    got = pydicom.dcmread(pydicom.filebase.DicomBytesIO(preamble(data)))
    assert got == ct


def preamble(data: bytes) -> bytes:
    meta = Dataset()
    meta.file_meta = pydicom.dataset.FileMetaDataset()
    meta.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.file_meta.MediaStorageSOPClassUID = CT
    meta.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    out = pydicom.filebase.DicomBytesIO()
    meta.save_as(out, enforce_file_format=True)
    return out.getvalue() + data


async def test_its_scp_echoes_and_stores_for_us(ct: pydicom.FileDataset):
    got = []

    def handle(event: evt.Event) -> int:
        got.append(event.encoded_dataset(include_meta=False))
        return 0x0000

    ae = entity()
    ae.add_supported_context(VERIFICATION)
    ae.add_supported_context(CT, EXPLICIT)
    data = bytes(range(256)) * 1000
    with pynetdicom_acceptor(ae, [(evt.EVT_C_STORE, handle)]) as port:
        association = await request(
            "127.0.0.1",
            port,
            calling="BOX",
            called="PYNETDICOM",
            contexts=[
                Proposed(abstract_syntax=VERIFICATION, transfer_syntaxes=[IMPLICIT]),
                Proposed(abstract_syntax=CT, transfer_syntaxes=[IMPLICIT, EXPLICIT]),
                Proposed(abstract_syntax="1.2.3.4", transfer_syntaxes=[IMPLICIT]),
            ],
            timeouts=QUICK,
        )
        assert set(association.contexts) == {1, 3}
        assert association.contexts[3] == Context(
            id=3, abstract_syntax=CT, transfer_syntax=EXPLICIT, as_scp=False, as_scu=True
        )
        echo = {"AffectedSOPClassUID": VERIFICATION, "CommandField": commands.C_ECHO_RQ}
        assert (await association.ask_one(association.contexts[1], echo)).command.Status == 0
        command = {
            "AffectedSOPClassUID": CT,
            "AffectedSOPInstanceUID": "1.2.3",
            "CommandField": commands.C_STORE_RQ,
            "Priority": 2,
        }
        answer = await association.ask_one(association.contexts[3], command, data)
        assert answer.command.Status == 0
        await association.release()
    assert got == [data]


@pytest.mark.dicom("PS3.7 9.1.2")
async def test_its_scu_finds_with_us_and_cancels():
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.PatientID = ""

    async def find(association: Association) -> None:
        while (message := await association.receive()) is not None:
            assert message.command.CommandField == commands.C_FIND_RQ
            query = await message.whole()
            cancelled = association.cancelled(message.command.MessageID)
            for _ in range(3):
                await association.send(message.context, response(message, 0xFF00), query)
            await asyncio.wait_for(cancelled.wait(), 30)
            await association.send(message.context, response(message, 0xFE00))

    def ask(port: int) -> list[tuple[int, str | None]]:
        ae = entity()
        ae.add_requested_context(STUDY_ROOT_FIND)
        association = ae.associate("127.0.0.1", port)
        got = []
        for status, match in association.send_c_find(identifier, STUDY_ROOT_FIND, msg_id=9):
            got.append((status.Status, match and match.QueryRetrieveLevel))
            if len(got) == 3:
                association.send_c_cancel(9, query_model=STUDY_ROOT_FIND)
        association.release()
        return got

    async with serving(find) as port:
        got = await asyncio.to_thread(ask, port)
    assert got == [(0xFF00, "STUDY")] * 3 + [(0xFE00, None)]


@pytest.mark.dicom("PS3.7 D.3.3.4")
async def test_its_scu_gets_from_us_over_the_same_association(ct: pydicom.FileDataset):
    data = bytes(1000)

    async def give(association: Association) -> None:
        while (message := await association.receive()) is not None:
            await message.whole()
            (store,) = (context for context in association.contexts.values() if context.as_scu)
            answer = await association.ask_one(
                store,
                {
                    "AffectedSOPClassUID": CT,
                    "AffectedSOPInstanceUID": "1.2.3",
                    "CommandField": commands.C_STORE_RQ,
                    "Priority": 0,
                },
                data,
            )
            assert answer.command.Status == 0
            await association.send(
                message.context, {**response(message), "NumberOfCompletedSuboperations": 1}
            )

    got = []

    def handle(event: evt.Event) -> int:
        got.append(event.encoded_dataset(include_meta=False))
        return 0x0000

    def ask(port: int) -> list[int]:
        ae = entity()
        ae.add_requested_context(STUDY_ROOT_GET)
        ae.add_requested_context(CT, EXPLICIT)
        association = ae.associate(
            "127.0.0.1",
            port,
            ext_neg=[build_role(CT, scp_role=True)],
            evt_handlers=[(evt.EVT_C_STORE, handle)],
        )
        query = Dataset()
        query.QueryRetrieveLevel = "STUDY"
        statuses = [status.Status for status, _ in association.send_c_get(query, STUDY_ROOT_GET)]
        association.release()
        return statuses

    async with serving(give) as port:
        assert await asyncio.to_thread(ask, port) == [0]
    assert got == [data]


@pytest.mark.dicom("PS3.7 D.3.3.4")
async def test_we_get_from_its_scp_over_the_same_association(ct: pydicom.FileDataset):
    def handle(event: evt.Event):
        yield 3
        for _ in range(3):
            yield 0xFF00, ct

    ae = entity()
    ae.add_supported_context(STUDY_ROOT_GET)
    ae.add_supported_context(CT, EXPLICIT, scu_role=True, scp_role=True)
    with pynetdicom_acceptor(ae, [(evt.EVT_C_GET, handle)]) as port:
        association = await request(
            "127.0.0.1",
            port,
            calling="BOX",
            called="PYNETDICOM",
            contexts=[
                Proposed(abstract_syntax=STUDY_ROOT_GET, transfer_syntaxes=[IMPLICIT]),
                Proposed(abstract_syntax=CT, transfer_syntaxes=[EXPLICIT], as_scp=True),
            ],
            timeouts=QUICK,
        )
        assert association.contexts[3].as_scp
        archive = Archive()

        async def receive() -> None:
            while True:
                message = await association.receive()
                assert isinstance(message, Message)
                await archive.serve(association, message)

        receiving = asyncio.create_task(receive())
        query = pydicom.filebase.DicomBytesIO()
        query.is_little_endian, query.is_implicit_VR = True, True
        level = Dataset()
        level.QueryRetrieveLevel = "STUDY"
        pydicom.filewriter.write_dataset(query, level)
        statuses = [
            answer.command.Status
            async for answer in association.ask(
                association.contexts[1],
                {"AffectedSOPClassUID": STUDY_ROOT_GET, "CommandField": commands.C_GET_RQ, "Priority": 0},
                query.getvalue(),
            )
        ]
        receiving.cancel()
        await association.release()
    assert statuses == [0xFF00] * 3 + [0]
    assert set(archive.stored) == {ct.SOPInstanceUID}


async def test_it_sees_our_abort():
    async def abort(association: Association) -> None:
        await association.receive()
        await association.abort()

    def ask(port: int) -> bool:
        ae = entity()
        ae.add_requested_context(VERIFICATION)
        association = ae.associate("127.0.0.1", port)
        # Aborted any sooner, it would not have begun the thread that is waited for.
        association.send_c_echo()
        association.join(30)
        return bool(association.is_aborted)

    async with serving(abort) as port:
        assert await asyncio.to_thread(ask, port)
