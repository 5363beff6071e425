"""The pages of transfers, and what programs ask of them."""

from dataclasses import replace

import httpx

from dicomweb_box.box import Box
from dicomweb_box.dicom.commitment import Reference, Told
from dicomweb_box.outbound import confirmations
from tests.outbound.queueing import CAROL, claim, enqueue, get, let_go, settle, states
from tests.web.pages import Page, assert_well_made

PROGRAM = {"Accept": "application/json"}


async def test_nothing_was_asked_for_at_first(client: httpx.AsyncClient) -> None:
    answer = await client.get("/transfers")

    assert "Nothing was asked" in answer.text
    assert_well_made(Page(answer.text))


async def test_a_list_shows_each_transfer_with_how_far_it_is(box: Box, client: httpx.AsyncClient) -> None:
    key = await enqueue(box, 3)
    batch = await claim(box)
    await settle(box, batch, "delivered")

    answer = await client.get("/transfers")
    twin = (await client.get("/transfers.json")).json()

    page = Page(answer.text)
    assert_well_made(page)
    assert f"/transfers/{key}" in page.addresses()
    assert "1 of 3" in answer.text
    assert "transfers from:body, every 5s" in answer.text
    (one,) = twin["transfers"]
    assert (one["id"], one["state"], one["delivered"], one["asked_by"]) == (key, "sending", 1, CAROL.name)
    assert twin["older"] is None


async def test_a_list_is_read_on_by_its_own_address(box: Box, client: httpx.AsyncClient) -> None:
    keys = [await enqueue(box, 1) for _ in range(60)]

    first = (await client.get("/transfers.json")).json()
    rest = (await client.get(first["older"])).json()

    assert len(first["transfers"]) == 50
    assert {one["id"] for one in [*first["transfers"], *rest["transfers"]]} == set(keys)


async def test_a_transfer_shows_its_items_and_why_they_failed(box: Box, client: httpx.AsyncClient) -> None:
    key = await enqueue(box, 3)
    batch = await claim(box)
    await settle(box, batch, "delivered", "refused", "delivered", reason="no <room>")
    await let_go(box, batch)

    answer = await client.get(f"/transfers/{key}")
    refused = await client.get(f"/transfers/{key}?state=refused")
    twin = (await client.get(f"/transfers/{key}.json?state=refused")).json()

    assert_well_made(Page(answer.text))
    assert_well_made(Page(refused.text))
    assert "no &lt;room&gt;" in answer.text
    assert "every 5s" not in answer.text
    assert [item["number"] for item in twin["item_list"]] == [2]
    assert twin["item_list"][0]["instance_uid"] == "1.2.3.2"


async def test_a_transfer_is_cancelled_held_and_tried_again(box: Box, client: httpx.AsyncClient) -> None:
    key = await enqueue(box, 2)

    held = await client.post(f"/transfers/{key}/hold", json={"paused": True}, headers=PROGRAM)
    cancelled = await client.post(f"/transfers/{key}/cancel")
    assert await states(box, key) == ["withdrawn", "withdrawn"]
    again = await client.post(f"/transfers/{key}/retry", headers=PROGRAM)

    assert held.json()["paused"] is True
    assert (cancelled.status_code, cancelled.headers["location"]) == (303, f"/transfers/{key}")
    assert again.json()["state"] == "queued"
    assert (await get(box, key)).queued == 2


async def test_what_is_not_there_is_404_and_what_cannot_be_meant_400(
    box: Box, client: httpx.AsyncClient
) -> None:
    key = await enqueue(box, 1)

    assert (await client.get("/transfers/nothing")).status_code == 404
    assert (await client.post("/transfers/nothing/cancel")).status_code == 404
    for query in ("state=gone", "after=x"):
        assert (await client.get(f"/transfers/{key}?{query}")).status_code == 400
    assert (await client.get("/transfers?before=x")).status_code == 400


async def test_what_the_peer_says_of_what_it_was_sent_is_shown_with_how_it_is_asked(
    box: Box, client: httpx.AsyncClient
) -> None:
    key = await enqueue(box, 2)
    batch = await claim(box)
    await settle(box, batch, "delivered", "delivered")
    await let_go(box, batch)
    await box.database.write(lambda w: confirmations.expect(w, box, batch))
    asking = (await client.get(f"/transfers/{key}.json")).json()["confirmation"]["asking_id"]
    await box.database.write(lambda w: confirmations.asked(w, box, asking, 1, "2.25.1"))
    before = await client.get(f"/transfers/{key}")
    kept = Reference(sop_class_uid="1.2.840.10008.5.1.4.1.1.2", instance_uid="1.2.3.1")
    told = Told(
        transaction_uid="2.25.1", kept=[kept], failed=[(replace(kept, instance_uid="1.2.3.2"), 0x0112)]
    )
    assert await box.database.write(lambda w: confirmations.told(w, box, told, "north"))

    answer, twin = await client.get(f"/transfers/{key}"), (await client.get(f"/transfers/{key}.json")).json()

    assert "every 5s" in before.text
    page = Page(answer.text)
    assert_well_made(page)
    assert f"/transfers/{asking}" in page.addresses()
    assert "every 5s" not in answer.text
    assert "1 of 1" in answer.text
    assert "kept there" in answer.text
    assert "the peer does not have it (reason 0112)" in answer.text
    assert (twin["state"], twin["verified"], twin["confirmation"]["state"]) == ("failed", 1, "delivered")
    assert [bool(item["verified_at"]) for item in twin["item_list"]] == [True, False]
    assert "Ask whether it is kept" in (await client.get(f"/transfers/{asking}")).text
    assert "Ask whether it is kept" in (await client.get("/transfers")).text
