"""The worker: takes what is due, writes what came of it, stops between two instances, survives its death."""

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from dicomweb_box.accounts.access import EVERYTHING
from dicomweb_box.box import Box
from dicomweb_box.errors import PeerUnreachable
from dicomweb_box.outbound import leases, steering, transfers, worker
from dicomweb_box.outbound.leases import Outcome
from dicomweb_box.outbound.worker import Desk, Handler, Handlers
from tests.outbound.queueing import CAROL, Clock, assert_counted, claim, enqueue, get, let_go, settle, states
from tests.outbound.told import made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "BEAT", 0.05)


async def _deliver(box: Box, desk: Desk) -> None:
    for item in desk.batch.items:
        await desk.settle(item.number, "delivered")


async def _run(box: Box, handlers: Handlers, until: str, *keys: str) -> None:
    """Run a worker until each of the transfers is in a state."""
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(box, stop, handlers, rest=0.05))
    async with asyncio.timeout(60):
        while {(await get(box, key)).state for key in keys} != {until}:
            await asyncio.sleep(0.05)
    stop.set()
    await running


async def test_it_does_what_is_due(box: Box) -> None:
    keys = [await enqueue(box, 30), await enqueue(box, 150, peer="south")]

    await _run(box, {"send": Handler(most=8, run=_deliver)}, "delivered", *keys)

    for key in keys:
        await assert_counted(box, key)


async def test_a_kind_that_nobody_does_stays_queued(box: Box) -> None:
    other, ours = await enqueue(box, 1, kind="commitment"), await enqueue(box, 1)

    await _run(box, {"send": Handler(most=8, run=_deliver)}, "delivered", ours)

    assert await states(box, other) == ["queued"]


async def test_a_peer_that_does_not_answer_costs_no_attempt_of_an_item(box: Box) -> None:
    key, tried, stop = await enqueue(box, 5), [], asyncio.Event()

    async def fail(box: Box, desk: Desk) -> None:
        await desk.settle(1, "delivered")
        tried.append(1)
        asyncio.get_running_loop().call_later(0.3, stop.set)
        raise PeerUnreachable("nobody answers there")

    await worker.run(box, stop, {"send": Handler(most=5, run=fail)}, rest=0.05)

    assert await states(box, key) == ["delivered"] + ["queued"] * 4
    found = await get(box, key)
    assert (len(tried), found.reason, found.attempts) == (1, "nobody answers there", 1)


async def test_what_breaks_is_tried_later_and_its_words_are_not_kept(box: Box) -> None:
    key, stop = await enqueue(box, 2), asyncio.Event()

    async def fail(box: Box, desk: Desk) -> None:
        asyncio.get_running_loop().call_later(0.3, stop.set)
        raise ValueError("Doe^Jane")

    await worker.run(box, stop, {"send": Handler(most=5, run=fail)}, rest=0.05)

    assert (await get(box, key)).reason == "ValueError here"
    assert await states(box, key) == ["queued", "queued"]


async def test_a_batch_that_is_told_to_stop_ends_between_two_items_and_the_rest_was_not_tried(
    box: Box,
) -> None:
    key, begun = await enqueue(box, 50), asyncio.Event()

    async def slow(box: Box, desk: Desk) -> None:
        for item in desk.batch.items:
            if desk.stopped.is_set():
                return
            begun.set()
            await asyncio.sleep(0.05)
            await desk.settle(item.number, "delivered")

    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(box, stop, {"send": Handler(most=50, run=slow)}))
    await begun.wait()
    stop.set()
    await asyncio.wait_for(running, 30)

    counted = Counter(await states(box, key))
    assert 1 <= counted["delivered"] < 50
    assert counted["queued"] == 50 - counted["delivered"]
    assert {item.attempts for item in await transfers.items(box, key, state="queued")} == {0}
    await assert_counted(box, key)


async def test_who_does_not_stop_is_cut_short_and_its_item_waits_again(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LAST", 0.2)
    key, begun = await enqueue(box, 1), asyncio.Event()

    async def stuck(box: Box, desk: Desk) -> None:
        begun.set()
        await asyncio.sleep(60)

    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(box, stop, {"send": Handler(most=1, run=stuck)}))
    await begun.wait()
    stop.set()
    await asyncio.wait_for(running, 30)

    assert await states(box, key) == ["queued"]


async def test_a_running_batch_hears_that_its_transfer_is_cancelled(box: Box) -> None:
    key, begun = await enqueue(box, 2), asyncio.Event()

    async def wait(box: Box, desk: Desk) -> None:
        begun.set()
        await desk.stopped.wait()

    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(box, stop, {"send": Handler(most=2, run=wait)}))
    await begun.wait()
    await steering.cancel(box, key, scope=EVERYTHING, actor=CAROL)
    async with asyncio.timeout(30):
        while (await get(box, key)).open:
            await asyncio.sleep(0.05)
    stop.set()
    await running

    assert await states(box, key) == ["withdrawn", "withdrawn"]


async def test_how_far_an_item_is_can_be_seen_while_it_is_on_its_way(box: Box) -> None:
    key, seen = await enqueue(box, 1, kind="retrieve"), asyncio.Event()

    async def fetch(box: Box, desk: Desk) -> None:
        desk.progress(1, done=7, expected=9)
        await seen.wait()
        await desk.settle(1, "delivered", done=9)

    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(box, stop, {"retrieve": Handler(most=1, run=fetch)}))
    async with asyncio.timeout(30):
        while [(item.done, item.expected) for item in await transfers.items(box, key)] != [(7, 9)]:
            await asyncio.sleep(0.05)
    seen.set()
    await asyncio.sleep(0.2)
    stop.set()
    await running

    assert [(item.done, item.state) for item in await transfers.items(box, key)] == [(9, "delivered")]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_nothing_is_lost_doubled_or_taken_back(
    timed: Box, clock: Clock, seed: int
) -> None:
    """Random workers that settle, die, come back late, are cancelled, held and told to try again."""
    chance = random.Random(seed)
    key = await enqueue(timed, 12)
    taken: list[leases.Batch] = []
    said: set[int] = set()
    outcomes: tuple[Outcome, ...] = ("delivered", "delivered", "refused", "failed", "again", "unbegun")
    for _ in range(60):
        act = chance.choice(
            ("claim", "claim", "settle", "settle", "late", "let go", "wait", "cancel", "retry", "hold")
        )
        if act == "claim" and (batch := await leases.claim(timed, {"send": 3})) is not None:
            taken.append(batch)
        elif act in ("settle", "late") and taken:
            batch = chance.choice(taken)
            if act == "late":
                clock.forward(minutes=2)
                await leases.claim(timed, {})
            given = [chance.choice(outcomes) for _ in batch.items]
            before = await states(timed, key)
            await settle(timed, batch, *given)
            after = await states(timed, key)
            for item, outcome in zip(batch.items, given, strict=True):
                if before[item.number - 1] != "delivered" and after[item.number - 1] == "delivered":
                    assert outcome == "delivered"
                    said.add(item.number)
        elif act == "let go" and taken:
            await let_go(
                timed, taken.pop(chance.randrange(len(taken))), chance.choice(("", "nobody answers"))
            )
        elif act == "wait":
            clock.forward(seconds=chance.choice((1, 30, 7200)))
        elif act == "cancel":
            await steering.cancel(timed, key, scope=EVERYTHING, actor=CAROL)
        elif act == "retry":
            await steering.retry(timed, key, scope=EVERYTHING, actor=CAROL)
        elif act == "hold":
            await steering.pause(timed, key, paused=chance.random() < 0.5, scope=EVERYTHING, actor=CAROL)
        await assert_counted(timed, key)
        delivered = {
            number for number, state in enumerate(await states(timed, key), 1) if state == "delivered"
        }
        assert delivered == said
    assert len(await states(timed, key)) == 12
    # Whatever it was: told to try again, a sound worker brings all of it to its end.
    await steering.retry(timed, key, scope=EVERYTHING, actor=CAROL)
    clock.forward(hours=3)
    while (await get(timed, key)).open:
        batch = await claim(timed)
        await settle(timed, batch, *["delivered"] * len(batch.items))
        await let_go(timed, batch)
    assert set(await states(timed, key)) == {"delivered"}


async def test_workers_that_are_killed_again_and_again_deliver_each_item_and_say_so_truly(
    box: Box, tmp_path: Path
) -> None:
    key, receiver = await enqueue(box, 200), tmp_path / "taken"
    script = Path(__file__).parent / "dying_worker.py"
    chance = random.Random(6)

    async def start() -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            str(box.settings.data),
            box.settings.database_address,
            str(receiver),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        await process.stdout.readline()
        return process

    for _ in range(3):
        process = await start()
        await asyncio.sleep(chance.uniform(0.05, 0.4))
        process.kill()
        await process.wait()
        said = {item.instance_uid for item in await transfers.items(box, key, state="delivered", most=1000)}
        assert said <= set(receiver.read_text().split()), "delivered, though the receiver never had it"
    process = await start()
    async with asyncio.timeout(60):
        while (await get(box, key)).open:
            await asyncio.sleep(0.1)
    process.kill()
    await process.wait()

    assert Counter(await states(box, key)) == {"delivered": 200}
    assert len(set(receiver.read_text().split())) == 200
    await assert_counted(box, key)


@pytest.mark.parametrize("most", [1, 3])
async def test_a_peer_gets_as_many_batches_at_once_as_it_says(box: Box, most: int) -> None:
    await made(box, transfers=most)
    key = await enqueue(box, 2 * most)
    at_once: list[int] = []
    running, full = 0, asyncio.Event()

    async def deliver(box: Box, desk: Desk) -> None:
        nonlocal running
        running += 1
        at_once.append(running)
        if running == most:
            full.set()
        await asyncio.wait_for(full.wait(), 20)
        await _deliver(box, desk)
        running -= 1

    await _run(box, {"send": Handler(most=1, run=deliver)}, "delivered", key)

    assert max(at_once) == most
