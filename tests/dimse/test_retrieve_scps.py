"""C-GET and C-MOVE: who is given what, who may have it sent where, and what is recorded of it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.accounts.audit_reads import reads
from dicomweb_box.box import Box
from dicomweb_box.dimse import suboperations
from dicomweb_box.outbound import peers
from dicomweb_box.outbound.services import Service
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.message import Message
from dicomweb_box.upper_layer.requestor import Proposed, request
from tests.archive.test_corrections import keep
from tests.builders import make_instance
from tests.conftest import MakeBox
from tests.dimse.associations import encoded
from tests.dimse.doors import Door, serving
from tests.outbound.receiver import receiving
from tests.outbound.told import told

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
GET, MOVE = "1.2.840.10008.5.1.4.1.2.1.3", "1.2.840.10008.5.1.4.1.2.1.2"
STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.3"
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
async def box(make_box: MakeBox) -> AsyncIterator[Box]:
    """A box with accounts, whose peers may be on this machine; two studies of two sources."""
    async with make_box(no_auth=False, peer_loopback=True) as opened:
        for source in "ab":
            for number in (1, 2):
                uid = f"1.{ord(source)}"
                data = make_instance(
                    study=uid, series=f"{uid}.1", instance=f"{uid}.1.{number}", PatientID=source
                )
                await keep(opened, data, f"dimse:{source.upper()}")
        yield opened


@pytest.fixture
async def door(box: Box) -> AsyncIterator[Door]:
    """Where the box is served."""
    async with serving(box) as served:
        yield served


async def peer(box: Box, title: str, *may: Service, port: int = 104, **more: Any) -> None:
    """A peer on this machine."""
    particulars = told(
        name=title.lower(), ae_title=title, host="127.0.0.1", port=port, may=frozenset(may), **more
    )
    await peers.add(box, particulars, actor=SYSTEM)


async def called(door: Door, calling: str, *more: Proposed, **extended: bytes) -> Association:
    contexts = [Proposed(abstract_syntax=uid, transfer_syntaxes=[IMPLICIT]) for uid in (GET, MOVE, STUDY_GET)]
    contexts.append(Proposed(abstract_syntax=CT, transfer_syntaxes=[EXPLICIT], as_scp=True))
    return await request(
        "127.0.0.1",
        door.port,
        calling=calling,
        called="DICOMWEB_BOX",
        contexts=[*contexts, *more],
        extended={uid: extended["asked"] for uid in (GET, MOVE) if extended},
    )


def identifier(level: str, **keys: Any) -> bytes:
    ds = Dataset()
    ds.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    return encoded(ds, IMPLICIT)


async def asked(
    association: Association, service: str, data: bytes, to: str | None = None
) -> tuple[list[Message], list[str]]:
    """The responses to a C-GET or C-MOVE, and the UIDs that came over the same association."""
    import asyncio

    context = next(one for one in association.contexts.values() if one.abstract_syntax == service)
    command = {
        "AffectedSOPClassUID": service,
        "CommandField": commands.C_MOVE_RQ if to is not None else commands.C_GET_RQ,
        "Priority": 0,
        "MoveDestination": to,
    }
    came: list[str] = []

    async def take() -> None:
        while (message := await association.receive()) is not None:
            await message.whole()
            came.append(message.command.AffectedSOPInstanceUID)
            answer = {
                "CommandField": commands.C_STORE_RQ | commands.RESPONSE,
                "MessageIDBeingRespondedTo": message.command.MessageID,
                "Status": 0,
            }
            await association.send(message.context, answer)

    taking = asyncio.create_task(take())
    responses = [message async for message in association.ask(context, command, data)]
    taking.cancel()
    return responses, came


def told_at_the_end(responses: list[Message]) -> tuple[int, int | None]:
    command = responses[-1].command
    return command.Status, command.get("NumberOfCompletedSuboperations")


async def recorded(box: Box) -> list[tuple[str, str, str, str, int]]:
    """What the audit holds of retrievals."""
    await reads(box).write(all_of_it=True)
    rows = await box.database.fetch_all(
        "select actor, action, outcome, study_uid, count from audit"
        " where action in ('export', 'retrieve') order by action, study_uid",
        {},
    )
    return [tuple(row) for row in rows]


async def test_a_peer_gets_for_itself_what_it_may_see_and_that_is_noted(box: Box, door: Door) -> None:
    await peer(box, "STATION", Service.RETRIEVE)
    association = await called(door, "STATION")

    responses, came = await asked(association, GET, identifier("PATIENT", PatientID="a"))
    await association.release()

    assert told_at_the_end(responses) == (0x0000, 2)
    assert came == ["1.97.1.1", "1.97.1.2"]
    assert await recorded(box) == [("station", "retrieve", "success", "1.97", 1)]


async def test_sending_to_itself_is_getting_and_sending_to_others_takes_the_right_to(
    box: Box, door: Door
) -> None:
    with receiving() as own, receiving() as other:
        await peer(box, "STATION", Service.RETRIEVE, port=own.port)
        await peer(box, "OTHER", port=other.port)
        association = await called(door, "STATION")

        itself, _ = await asked(association, MOVE, identifier("STUDY", StudyInstanceUID="1.97"), "STATION")
        others, _ = await asked(association, MOVE, identifier("STUDY", StudyInstanceUID="1.97"), "OTHER")
        await association.release()

    assert told_at_the_end(itself) == (0x0000, 2)
    assert told_at_the_end(others) == (0x0124, None)
    assert (len(own.taken), len(other.taken)) == (2, 0)
    assert await recorded(box) == [
        ("station", "export", "refused", "", 1),
        ("station", "retrieve", "success", "1.97", 1),
    ]


async def test_sending_to_others_is_an_export_in_the_audit(box: Box, door: Door) -> None:
    with receiving() as other:
        await peer(box, "STATION", Service.MOVE)
        await peer(box, "OTHER", port=other.port)
        association = await called(door, "STATION")

        both = identifier("STUDY", StudyInstanceUID=["1.97", "1.98"])
        responses, _ = await asked(association, MOVE, both, "OTHER")
        got, _ = await asked(association, GET, identifier("STUDY", StudyInstanceUID="1.97"))
        itself, _ = await asked(association, MOVE, identifier("STUDY", StudyInstanceUID="1.97"), "STATION")
        await association.release()

    assert told_at_the_end(responses) == (0x0000, 4)
    assert len(other.taken) == 4
    assert {one.originator[0] for one in other.taken} == {"STATION"}
    # Whoever may have others sent to has not thereby the right to get for itself.
    assert (got[-1].command.Status, itself[-1].command.Status) == (0x0124, 0x0124)
    assert ("station", "export", "success", "1.97", 2) in await recorded(box)
    assert ("station", "export", "success", "1.98", 2) in await recorded(box)


@pytest.mark.parametrize(
    ("level", "keys"),
    [
        ("PATIENT", {"PatientID": "b"}),
        ("STUDY", {"StudyInstanceUID": "1.98"}),
        ("SERIES", {"SeriesInstanceUID": "1.98.1"}),
        ("IMAGE", {"SOPInstanceUID": ["1.98.1.1", "1.98.1.2"]}),
    ],
)
async def test_what_is_not_in_its_part_of_the_archive_is_not_there_for_a_peer(
    box: Box, door: Door, level: str, keys: dict[str, Any]
) -> None:
    with receiving() as other:
        await peer(box, "STATION", Service.RETRIEVE, Service.MOVE, scope={"sources": ["dimse:A"]})
        await peer(box, "OTHER", port=other.port)
        association = await called(door, "STATION")

        got, came = await asked(association, GET, identifier(level, **keys))
        moved, _ = await asked(association, MOVE, identifier(level, **keys), "OTHER")
        await association.release()

    assert told_at_the_end(got) == told_at_the_end(moved) == (0x0000, 0)
    assert (came, other.taken) == ([], [])


async def test_of_a_list_of_uids_it_gets_those_that_it_may_see(box: Box, door: Door) -> None:
    await peer(box, "STATION", Service.RETRIEVE, scope={"sources": ["dimse:A"]})
    association = await called(door, "STATION")

    asked_for = identifier("IMAGE", SOPInstanceUID=["1.98.1.1", "1.97.1.2"])
    responses, came = await asked(association, GET, asked_for)
    await association.release()

    assert told_at_the_end(responses) == (0x0000, 1)
    assert came == ["1.97.1.2"]


@pytest.mark.dicom("PS3.4 C.5.2.1")
async def test_relational_retrieval_is_agreed_on_where_it_is_asked_for(box: Box, door: Door) -> None:
    await peer(box, "STATION", Service.RETRIEVE)

    association = await called(door, "STATION", asked=b"\1\1")
    await association.release()

    assert association.extended == {GET: b"\1\0", MOVE: b"\1\0"}
    assert suboperations.negotiated(b"\0") == b"\0"


@pytest.mark.dicom("PS3.4 C.4.2.1.5")
async def test_matches_that_cannot_be_looked_up_are_a701(
    box: Box, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dicomweb_box.archive import retrieve_keys
    from dicomweb_box.errors import OutOfResources

    async def broken(*_: object, **__: object) -> None:
        raise OutOfResources("the database is away")

    monkeypatch.setattr(retrieve_keys, "find", broken)
    await peer(box, "STATION", Service.RETRIEVE)
    association = await called(door, "STATION")

    responses, _ = await asked(association, STUDY_GET, identifier("STUDY", StudyInstanceUID="1.97"))
    await association.release()

    assert [one.command.Status for one in responses] == [0xA701]


async def test_an_identifier_that_is_no_data_set_is_refused(box: Box, door: Door) -> None:
    await peer(box, "STATION", Service.RETRIEVE)
    association = await called(door, "STATION")

    responses, _ = await asked(association, GET, b"\x08\x00\x52\x00\xff\xff\xff\x7fX")
    again, _ = await asked(association, GET, identifier("STUDY", StudyInstanceUID="1.97"))
    await association.release()

    assert responses[-1].command.Status == 0xA900
    assert told_at_the_end(again) == (0x0000, 2)
