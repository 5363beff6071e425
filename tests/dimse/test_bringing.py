"""Studies brought here by C-MOVE to ourselves: they come through our own storage SCP."""

import asyncio

import pytest

from dicomweb_box.box import Box
from dicomweb_box.outbound import fetching, transfers, worker
from dicomweb_box.outbound.dimse_scu import FIND, GET, MOVE
from tests.dimse.doors import serving
from tests.outbound.pacs import TITLE, pacs
from tests.outbound.test_dimse_scu import bring, brought, held, north, study


@pytest.mark.dicom("PS3.4 C.4.2")
async def test_a_peer_without_c_get_moves_the_study_to_our_own_title(box: Box) -> None:
    theirs = study(4)
    async with serving(box) as door:
        with pacs(*theirs, services=(FIND, MOVE), destination=("127.0.0.1", door.port)) as there:
            await north(box, there)
            key = await bring(box, theirs[0].StudyInstanceUID)

            found = await brought(box, key)

    assert found.state == "delivered"
    assert await held(box) == {one.SOPInstanceUID for one in theirs}
    sources = await box.database.fetch_all("select distinct source from instance")
    assert [row["source"] for row in sources] == [f"dimse:{TITLE}"]


async def test_a_peer_that_does_not_know_where_to_send_it_refuses(box: Box) -> None:
    theirs = study(1)
    with pacs(*theirs, services=(FIND, MOVE)) as there:
        await north(box, there)
        key = await bring(box, theirs[0].StudyInstanceUID)

        found = await brought(box, key)

    assert found.state == "refused"
    (item,) = await transfers.items(box, key)
    assert "this box has to be set up there" in item.reason


async def test_a_peer_that_negotiates_c_get_and_does_not_serve_it_is_asked_to_move(box: Box) -> None:
    theirs = study(2)
    async with serving(box) as door:
        with pacs(*theirs, services=(FIND, GET, MOVE), destination=("127.0.0.1", door.port)) as there:
            there.get_status = 0xA900
            await north(box, there)
            key = await bring(box, theirs[0].StudyInstanceUID)

            found = await brought(box, key)

    assert found.state == "delivered"
    assert [kind for kind, _ in there.asked if kind != "find"] == ["get", "move"]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrived is looked at, and written, again and again."""
    monkeypatch.setattr(fetching, "_LOOK_EVERY", 0.02)
    monkeypatch.setattr(worker, "BEAT", 0.02)


@pytest.mark.dicom("PS3.4 C.4.2")
@pytest.mark.usefixtures("often")
async def test_a_study_is_delivered_when_it_is_here_and_not_when_the_peer_says_that_it_sent_it(
    box: Box,
) -> None:
    theirs = study(4)
    async with serving(box) as door:
        with pacs(*theirs, services=(FIND, MOVE), destination=("127.0.0.1", door.port), later=True) as there:
            await north(box, there)
            key = await bring(box, theirs[0].StudyInstanceUID)
            bringing = asyncio.create_task(brought(box, key))
            async with asyncio.timeout(60):
                while [kind for kind, _ in there.asked][-1:] != ["move"]:
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(there.push, *theirs[:2])
                while (await transfers.items(box, key))[0].done < 2:
                    await asyncio.sleep(0.01)
            (item,) = await transfers.items(box, key)
            assert (item.state, item.done, item.expected) == ("sending", 2, 4)
            assert not bringing.done()

            await asyncio.to_thread(there.push, *theirs[2:])
            found = await asyncio.wait_for(bringing, 60)

    assert found.state == "delivered"
    assert [kind for kind, _ in there.asked].count("move") == 1


@pytest.mark.usefixtures("often")
async def test_what_a_peer_says_that_it_sent_and_does_not_is_asked_for_again(box: Box) -> None:
    theirs = study(2)
    async with serving(box) as door:
        with pacs(*theirs, services=(FIND, MOVE), destination=("127.0.0.1", door.port), later=True) as there:
            await north(box, there, response_timeout=3)
            key = await bring(box, theirs[0].StudyInstanceUID)

            found = await brought(box, key)

    (item,) = await transfers.items(box, key)
    assert found.state == "queued"
    assert item.reason == "0 of 2 instances have come (the peer said that it sent all)."
