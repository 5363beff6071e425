"""The stream of transfers that went on: who hears of which."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from dicomweb_box.accounts.access import EVERYTHING, SYSTEM, Actor, Scope
from dicomweb_box.box import Box
from dicomweb_box.outbound import worker
from dicomweb_box.web import transfer_events
from dicomweb_box.web.events import BEAT
from dicomweb_box.web.transfer_events import progress
from tests.outbound.queueing import CAROL, claim, enqueue, settle

BOB = Actor(name="bob", kind="user")
ALICE = Actor(name="alice", kind="user", administers=True)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_events, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(transfer_events, "BEAT_EVERY", 0.1)


def told(*keys: str) -> bytes:
    names = [*(f"transfer-{key}" for key in keys), "transfers"]
    return b"".join(f"event: {name}\ndata: transfer\n\n".encode() for name in names)


async def heard(listening: AsyncIterator[bytes]) -> bytes:
    """What is said next, but that it is still there."""
    async with asyncio.timeout(30):
        while (said := await anext(listening)) == BEAT:
            pass
    return said


@pytest.mark.parametrize("who", [CAROL, ALICE, SYSTEM])
async def test_who_asked_for_a_transfer_and_who_administers_hear_that_it_went_on(
    box: Box, who: Actor
) -> None:
    key = await enqueue(box, 2)
    listening = progress(box).listen(EVERYTHING, who)
    assert await heard(listening) == told(key)

    await settle(box, await claim(box), "delivered")
    assert await heard(listening) == told(key)
    await listening.aclose()  # type: ignore[attr-defined]
    assert progress(box).listeners == set()


async def test_how_far_an_item_is_makes_its_transfer_heard(box: Box) -> None:
    key = await enqueue(box, 2)
    desk = worker.Desk(box, await claim(box))
    listening = progress(box).listen(EVERYTHING, CAROL)
    await heard(listening)

    desk.progress(1, done=3, expected=9)
    await desk.write()
    assert await heard(listening) == told(key)
    await listening.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("who", "scope"),
    [
        (BOB, EVERYTHING),
        (ALICE, Scope(studies=frozenset({"1.2"}))),
        (Actor(name="carol", kind="token"), EVERYTHING),
        (CAROL, Scope(realm="elsewhere")),
    ],
)
async def test_nobody_else_hears_of_it(box: Box, who: Actor, scope: Scope) -> None:
    listening = progress(box).listen(scope, who)
    assert await anext(listening) == BEAT
    others = progress(box).listen(EVERYTHING, CAROL)
    key = await enqueue(box, 1)

    assert await heard(others) == told(key)
    assert [await anext(listening) for _ in range(3)] == [BEAT] * 3
    for one in (listening, others):
        await one.aclose()  # type: ignore[attr-defined]


async def test_listeners_are_let_go_when_the_server_drains_and_nobody_else_is_taken(
    box: Box, client: httpx.AsyncClient
) -> None:
    listening = progress(box).listen(EVERYTHING, CAROL)
    await anext(listening)

    progress(box).release()

    async with asyncio.timeout(30):
        assert [event async for event in listening] == []
    assert (await client.get("/transfers/events")).status_code == 503


async def test_a_stream_ends_by_and_by(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_events, "LONGEST", 0.2)
    async with asyncio.timeout(30):
        said = [event async for event in progress(box).listen(EVERYTHING, CAROL)]

    assert set(said) == {BEAT}
