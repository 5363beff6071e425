"""Asking another archive: C-FIND as SCU, and bringing studies here, against pynetdicom's AE."""

import asyncio

import pytest

from dicomweb_box.accounts.access import EVERYTHING, SYSTEM, Actor
from dicomweb_box.box import Box
from dicomweb_box.dicom.remote_query import remote_query
from dicomweb_box.errors import BadQuery, PeerRefused, PeerUnreachable
from dicomweb_box.outbound import dimse_scu, peers, steering, transfers, worker
from dicomweb_box.outbound.dimse_scu import FIND
from dicomweb_box.outbound.enqueueing import Wanted, enqueue
from dicomweb_box.outbound.kinds import HANDLERS
from dicomweb_box.outbound.transfers import Item, Transfer
from tests.outbound.pacs import TITLE, pacs
from tests.outbound.queueing import CAROL, get
from tests.outbound.remote import dataset, north, study


async def bring(box: Box, *study_uids: str) -> str:
    wanted = Wanted(kind="retrieve", peer="north", actor=CAROL, scope=EVERYTHING)
    items = [Item(number=number, what="study", study_uid=uid) for number, uid in enumerate(study_uids, 1)]
    return await box.database.write(lambda w: enqueue(w, box, wanted, items))


async def brought(box: Box, key: str, actor: Actor = CAROL) -> Transfer:
    """The transfer after each of its items was tried once."""
    while (batch := await worker.leases.claim(box, {"retrieve": 1}, only=key)) is not None:
        await worker.do(box, worker.Desk(box, batch), HANDLERS["retrieve"])
    return await get(box, key, actor=actor)


async def held(box: Box) -> set[str]:
    rows = await box.database.fetch_all("select instance_uid from instance where state = 'current'")
    return {row["instance_uid"] for row in rows}


# Questions


@pytest.mark.dicom("PS3.4 C.4.1")
async def test_it_asks_and_hears_what_the_peer_has(box: Box) -> None:
    with pacs(dataset(PatientName="Doe^Jane"), dataset(PatientName="Roe^Rick")) as there:
        peer = await north(box, there)

        found = await dimse_scu.query(box, peer, remote_query("study", {"PatientName": "Doe*"}))

    (row,) = found.rows
    assert row["00100010"]["Value"] == [{"Alphabetic": "Doe^Jane"}]
    assert row["00080061"]["Value"] == ["CT"]
    assert not found.more
    ((_, asked),) = there.asked
    assert asked.QueryRetrieveLevel == "STUDY"
    assert "SpecificCharacterSet" not in asked
    assert "AccessionNumber" in asked


@pytest.mark.dicom("PS3.3 C.12.1.1.2")
@pytest.mark.parametrize(
    ("name", "charset", "said"),
    [
        ("Müller^Jörg", None, "ISO_IR 192"),
        ("Müller^Jörg", "ISO_IR 100", "ISO_IR 100"),
        ("Διονυσιος", "ISO_IR 126", "ISO_IR 126"),
        ("Διονυσιος", "ISO_IR 100", "ISO_IR 192"),
    ],
)
async def test_it_asks_for_names_in_the_peers_character_set_where_they_fit(
    box: Box, name: str, charset: str | None, said: str
) -> None:
    with pacs(dataset(PatientName=name, SpecificCharacterSet="ISO_IR 192")) as there:
        peer = await north(box, there, charset=charset)

        found = await dimse_scu.query(box, peer, remote_query("study", {"PatientName": name}))

    ((_, asked),) = there.asked
    assert (asked.SpecificCharacterSet, str(asked.PatientName)) == (said, name)
    assert [row["00100010"]["Value"] for row in found.rows] == [[{"Alphabetic": name}]]


async def test_it_cancels_when_there_are_more_than_it_asked_for(box: Box) -> None:
    with pacs(*(dataset() for _ in range(30))) as there:
        peer = await north(box, there)

        found = await dimse_scu.query(box, peer, remote_query("study", {}), most=3)

    assert (len(found.rows), found.more) == (3, True)


async def test_a_peer_that_cannot_answer_is_said_to_have_refused(box: Box) -> None:
    with pacs(find_status=0xC001) as there:
        peer = await north(box, there)

        with pytest.raises(PeerRefused, match="C001"):
            await dimse_scu.query(box, peer, remote_query("study", {}))


async def test_a_peer_that_is_not_there_is_unreachable(box: Box) -> None:
    with pacs() as there:
        peer = await north(box, there)

    with pytest.raises(PeerUnreachable):
        await dimse_scu.query(box, peer, remote_query("study", {}))


@pytest.mark.parametrize(
    "name", ["Nonsense", "PixelData", "QueryRetrieveLevel", "00080052", "SpecificCharacterSet"]
)
def test_what_cannot_be_asked_for_is_named(name: str) -> None:
    with pytest.raises(BadQuery, match=name):
        remote_query("study", {name: "1"})


# Retrieval


@pytest.mark.dicom("PS3.4 C.4.3")
async def test_a_study_is_brought_by_c_get_over_the_same_association(box: Box) -> None:
    theirs = study(6)
    with pacs(*theirs) as there:
        await north(box, there)
        key = await bring(box, theirs[0].StudyInstanceUID)

        found = await brought(box, key)

    assert found.state == "delivered"
    assert await held(box) == {one.SOPInstanceUID for one in theirs}
    (item,) = await transfers.items(box, key)
    assert (item.done, item.expected) == (6, 6)
    sources = await box.database.fetch_all("select distinct source from instance")
    assert [row["source"] for row in sources] == [f"dimse:{TITLE}"]


async def test_what_came_before_the_peer_gave_up_is_kept_and_only_the_rest_is_asked_for_again(
    box: Box,
) -> None:
    theirs = study(6)
    with pacs(*theirs, most=4) as there:
        await north(box, there)
        key = await bring(box, theirs[0].StudyInstanceUID)
        first = await brought(box, key)
        assert (first.state, len(await held(box))) == ("queued", 4)
        (item,) = await transfers.items(box, key)
        assert item.reason == "4 of 6 instances have come (status A702)."

        there.most = None
        await steering.retry(box, key, scope=EVERYTHING, actor=CAROL)
        second = await brought(box, key)

    assert second.state == "delivered"
    levels = [asked.QueryRetrieveLevel for kind, asked in there.asked if kind == "get"]
    assert levels == ["STUDY", "IMAGE", "IMAGE"]
    assert len(await held(box)) == 6


async def test_what_is_here_already_is_not_asked_for(box: Box) -> None:
    theirs = study(4)
    with pacs(*theirs) as there:
        await north(box, there)
        await brought(box, await bring(box, theirs[0].StudyInstanceUID))
        there.asked.clear()

        found = await brought(box, await bring(box, theirs[0].StudyInstanceUID))

    assert found.state == "delivered"
    assert {kind for kind, _ in there.asked} == {"find"}


async def test_a_study_that_the_peer_does_not_have_fails(box: Box) -> None:
    with pacs() as there:
        await north(box, there)
        key = await bring(box, "1.2.3")

        found = await brought(box, key)

    assert (found.state, (await transfers.items(box, key))[0].reason) == (
        "failed",
        "The peer does not have this study.",
    )


async def test_a_peer_that_only_answers_questions_refuses(box: Box) -> None:
    theirs = study(1)
    with pacs(*theirs, services=(FIND,)) as there:
        await north(box, there)
        key = await bring(box, theirs[0].StudyInstanceUID)

        found = await brought(box, key)

    assert found.state == "refused"


async def test_a_peer_that_is_away_costs_no_attempt(box: Box) -> None:
    with pacs() as there:
        await north(box, there)
    key = await bring(box, "1.2.3")

    found = await brought(box, key)

    assert (found.state, found.attempts) == ("queued", 1)
    assert "could not be reached" in found.reason


async def test_a_peer_that_was_removed_fails_what_was_asked_of_it(box: Box) -> None:
    with pacs() as there:
        await north(box, there)
    key = await bring(box, "1.2.3")
    await peers.remove(box, "north", actor=SYSTEM)

    assert (await brought(box, key)).state == "failed"


async def test_a_study_that_is_cancelled_on_its_way_stops_between_two_instances(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BEAT", 0.05)
    theirs = study(40)
    with pacs(*theirs, pause=0.5) as there:
        await north(box, there)
        key = await bring(box, theirs[0].StudyInstanceUID)
        running = asyncio.create_task(brought(box, key))
        async with asyncio.timeout(60):
            while len(await held(box)) < 2:
                await asyncio.sleep(0.02)
        await steering.cancel(box, key, scope=EVERYTHING, actor=CAROL)

        found = await asyncio.wait_for(running, 60)

    assert found.state == "withdrawn"
    assert 2 <= len(await held(box)) < 40
