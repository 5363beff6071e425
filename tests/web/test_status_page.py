"""The state of the archive, for people and programs; and the events that say it changed."""

import asyncio

import httpx

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.archive import check, inventory, status
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.box import Box
from dicomweb_box.web.events import BEAT, CHANGED, feed
from tests.builders import make_instance, new_uid, pieces
from tests.web.pages import Page, assert_well_made


async def keep(box: Box, **attributes: object) -> None:
    await store(box, await receive(box, pieces(make_instance(**attributes))), source="test", actor=SYSTEM)


async def read(client: httpx.AsyncClient) -> Page:
    answer = await client.get("/status")
    assert answer.status_code == 200
    page = Page(answer.text)
    assert_well_made(page)
    return page


async def test_before_anything_was_counted_it_says_so(client: httpx.AsyncClient) -> None:
    page = await read(client)

    assert "Nothing was counted yet" in page.one("main").text
    assert "Never looked at yet" in page.one("main").text


async def test_it_tells_what_there_is_by_modality_and_month(box: Box, client: httpx.AsyncClient) -> None:
    await inventory.count(box)
    study = new_uid()
    await keep(box, StudyInstanceUID=study, Modality="CT", StudyDate="20260105")
    await keep(box, StudyInstanceUID=study, Modality="CT", StudyDate="20260105")
    await keep(box, Modality="MR", StudyDate="20260201")
    await inventory.count(box)

    found = (await client.get("/status.json")).json()["inventory"]
    page = await read(client)

    assert (found["studies"], found["series"], found["instances"]) == (2, 3, 3)
    held = {(one["modality"], one["month"]): one["instances"] for one in found["held"]}
    assert held == {("CT", "202601"): 2, ("MR", "202602"): 1}
    assert [number for _, number in found["arrived"]] == [0, 3]
    assert "3 instances in the last hour" in page.one("main").text
    assert [rect.text for rect in page.elements["rect"]][:2] == ["2026-01: 2", "2026-02: 1"]


async def test_it_does_not_count_again_where_nothing_changed(box: Box) -> None:
    await keep(box)
    await inventory.count(box)
    first = await inventory.latest(box)

    await inventory.count(box)

    again = await inventory.latest(box)
    assert (again.counted_at, again.instances) == (first.counted_at, 1)
    assert len(again.arrived) == len(first.arrived) + 1


async def test_it_tells_what_check_found(box: Box, client: httpx.AsyncClient) -> None:
    await keep(box)
    await check.check(box)

    assert "Nothing was found" in (await read(client)).one("main").text
    assert (await client.get("/status.json")).json()["checked"]["instances"] == 1


async def test_listeners_hear_that_something_changed_and_nothing_else(
    box: Box,
) -> None:
    listening = feed(box).listen()
    heard = [await anext(listening)]

    await keep(box, PatientName="Secret^Sam")
    async with asyncio.timeout(60):
        heard.append(await anext(listening))

    assert heard == [BEAT, CHANGED]
    await listening.aclose()
    assert feed(box).listeners == set()


async def test_what_changed_between_a_page_and_its_stream_is_heard(box: Box) -> None:
    made_at = (await status.numbers(box)).changes
    await keep(box)

    listening = feed(box).listen(made_at)
    assert [await anext(listening), await anext(listening)] == [BEAT, CHANGED]
    await listening.aclose()


async def test_listeners_are_let_go_when_the_server_drains(box: Box, client: httpx.AsyncClient) -> None:
    listening = feed(box).listen()
    await anext(listening)

    feed(box).release()

    async with asyncio.timeout(60):
        assert [event async for event in listening] == []
    assert (await client.get("/events")).status_code == 503
