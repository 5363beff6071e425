"""The queue: asked for in one's own transaction, taken by lease, settled once, lost never."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, Actor, Scope
from dicomweb_box.archive import reindex
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.box import Box
from dicomweb_box.errors import Conflict, NotFound
from dicomweb_box.outbound import enqueueing, leases, peers, steering, transfers
from dicomweb_box.outbound.enqueueing import Wanted, enqueue_studies
from dicomweb_box.outbound.particulars import Particulars
from dicomweb_box.outbound.retrying import LONGEST, MOST_ATTEMPTS, wait
from tests.builders import make_instance, new_uid, pieces
from tests.outbound.queueing import (
    CAROL,
    MOST,
    Clock,
    assert_counted,
    claim,
    enqueue,
    get,
    let_go,
    settle,
    states,
)

BOB = Actor(name="bob", kind="user")
ALICE = Actor(name="alice", kind="user", administers=True)


async def _store(box: Box, study: str, count: int, source: str = "test") -> None:
    series = new_uid()
    for number in range(1, count + 1):
        content = make_instance(study=study, series=series, InstanceNumber=number)
        received = await receive(box, pieces(content))
        await store(box, received, source=source, actor=ANONYMOUS)


async def test_what_is_asked_for_waits_until_it_is_taken_and_is_delivered_when_the_peer_says_so(
    box: Box,
) -> None:
    key = await enqueue(box, 3)
    assert (await get(box, key)).state == "queued"

    batch = await claim(box)
    assert [item.number for item in batch.items] == [1, 2, 3]
    assert (await get(box, key)).state == "sending"

    assert await settle(box, batch, "delivered", "delivered", "refused", reason="no room for it") == 3
    await let_go(box, batch)

    assert await states(box, key) == ["delivered", "delivered", "refused"]
    assert (await transfers.items(box, key, state="refused"))[0].reason == "no room for it"
    assert (await get(box, key)).state == "refused"
    await assert_counted(box, key)
    assert await leases.claim(box, MOST) is None


async def test_nothing_is_asked_for_where_the_callers_transaction_fails(box: Box) -> None:
    wanted = Wanted(kind="send", peer="north", actor=CAROL, scope=EVERYTHING)

    async def work(w: object) -> None:
        await enqueueing.enqueue(w, box, wanted, [transfers.Item(number=1, what="study", study_uid="1.2")])  # type: ignore[arg-type]
        raise Conflict("no")

    with pytest.raises(Conflict):
        await box.database.write(work)

    assert await transfers.listed(box, scope=EVERYTHING, actor=ANONYMOUS) == []


async def test_a_transfer_of_nothing_is_refused(box: Box) -> None:
    with pytest.raises(Conflict):
        await enqueue(box, 0)


async def test_studies_are_asked_for_by_instance_as_far_as_who_asks_sees_them(box: Box) -> None:
    ours, theirs = new_uid(), new_uid()
    await _store(box, ours, 3, source="ours")
    await _store(box, theirs, 2, source="theirs")
    scope = Scope(sources=frozenset({"ours"}))
    wanted = Wanted(kind="send", peer="north", actor=CAROL, scope=scope)

    key = await box.database.write(lambda w: enqueue_studies(w, box, wanted, [ours, theirs, ours]))

    found = await transfers.items(box, key)
    assert [(item.study_uid, item.number) for item in found] == [(ours, 1), (ours, 2), (ours, 3)]
    assert (await get(box, key)).seen == scope
    with pytest.raises(NotFound):
        await box.database.write(lambda w: enqueue_studies(w, box, wanted, [theirs]))


async def test_a_series_and_its_study_are_asked_for_once(box: Box) -> None:
    study = new_uid()
    await _store(box, study, 2)
    series = await box.database.fetch_value("select series_uid from series")
    wanted = Wanted(kind="send", peer="north", actor=CAROL, scope=EVERYTHING)

    key = await box.database.write(lambda w: enqueue_studies(w, box, wanted, [study], [(study, series)]))

    assert (await get(box, key)).items == 2


async def test_the_lease_of_the_dead_runs_out_and_its_items_are_taken_again(timed: Box, clock: Clock) -> None:
    key = await enqueue(timed, 3)
    dead = await claim(timed)
    await settle(timed, dead, "delivered")
    clock.forward(seconds=leases.LEASE.total_seconds() - 1)
    assert await leases.claim(timed, MOST) is None

    clock.forward(seconds=2)
    batch = await claim(timed)

    assert [(item.number, item.attempts) for item in batch.items] == [(2, 2), (3, 2)]
    assert await settle(timed, dead, "delivered", "delivered", "delivered") == 0
    assert await states(timed, key) == ["delivered", "sending", "sending"]
    await assert_counted(timed, key)


async def test_who_says_again_that_they_are_at_it_keeps_what_they_took(timed: Box, clock: Clock) -> None:
    await enqueue(timed, 1)
    batch = await claim(timed)
    for _ in range(5):
        clock.forward(seconds=40)
        assert await timed.database.write(lambda w: leases.renew(w, timed, batch))
        assert await leases.claim(timed, MOST) is None

    assert await settle(timed, batch, "delivered") == 1


async def test_what_is_tried_again_waits_longer_each_time_and_fails_after_the_last(
    timed: Box, clock: Clock
) -> None:
    key = await enqueue(timed, 1)
    waited = []
    for _ in range(MOST_ATTEMPTS - 1):
        batch = await claim(timed)
        await settle(timed, batch, "again", reason="out of resources")
        await let_go(timed, batch)
        assert await leases.claim(timed, MOST) is None
        before = clock()
        (item,) = await transfers.items(timed, key)
        clock.forward(seconds=5000)
        waited.append(item.due_at > before.isoformat(timespec="microseconds"))
    batch = await claim(timed)
    await settle(timed, batch, "again", reason="out of resources")

    assert all(waited)
    (item,) = await transfers.items(timed, key)
    assert (item.state, item.reason, item.attempts) == ("failed", "out of resources", MOST_ATTEMPTS)
    await assert_counted(timed, key)


def test_waits_double_up_to_an_hour_and_are_spread() -> None:
    assert 3 < wait(1).total_seconds() < 7
    assert 30 < wait(4).total_seconds() < 50
    assert wait(20) <= LONGEST * 1.25
    assert len({wait(20) for _ in range(10)}) > 1


async def test_a_peer_that_does_not_answer_is_left_alone_for_a_while_and_nothing_counts_as_tried(
    timed: Box, clock: Clock
) -> None:
    key = await enqueue(timed, 9)
    batch = await claim(timed)

    await let_go(timed, batch, "nobody answers there")

    assert await leases.claim(timed, MOST) is None
    found = await get(timed, key)
    assert (found.state, found.reason, found.attempts) == ("queued", "nobody answers there", 1)
    assert {item.attempts for item in await transfers.items(timed, key)} == {0}
    clock.forward(seconds=10)
    batch = await claim(timed)
    await settle(timed, batch, *["delivered"] * 4)
    found = await get(timed, key)
    assert (found.attempts, found.reason) == (0, "")


async def test_a_peer_that_never_answers_is_given_up(timed: Box, clock: Clock) -> None:
    key = await enqueue(timed, 6)
    for _ in range(MOST_ATTEMPTS):
        await let_go(timed, await claim(timed), "nobody answers there")
        clock.forward(hours=2)

    assert set(await states(timed, key)) == {"failed"}
    await assert_counted(timed, key)


async def test_one_peer_has_so_many_batches_at_a_time_and_another_its_own(box: Box) -> None:
    await enqueue(box, 40, peer="north")
    await enqueue(box, 40, peer="south")

    taken = [await leases.claim(box, MOST) for _ in range(6)]

    peers = Counter(batch.transfer.peer for batch in taken if batch is not None)
    assert peers == {"north": leases.PARALLEL, "south": leases.PARALLEL}
    numbers = [
        item.number for batch in taken if batch and batch.transfer.peer == "north" for item in batch.items
    ]
    assert len(numbers) == len(set(numbers)) == 8


async def test_what_has_priority_comes_first_and_equals_take_turns(timed: Box, clock: Clock) -> None:
    one = await enqueue(timed, 40)
    clock.forward(seconds=1)
    two = await enqueue(timed, 40)
    clock.forward(seconds=1)
    urgent = await enqueue(timed, 1, priority=1)
    order = []
    for _ in range(4):
        clock.forward(seconds=1)
        batch = await claim(timed)
        order.append(batch.transfer.id)
        await settle(timed, batch, *["delivered"] * len(batch.items))
        await let_go(timed, batch)

    assert order == [urgent, one, two, one]


async def test_many_workers_never_take_the_same_item(box: Box) -> None:
    key = await enqueue(box, 60)
    taken: list[int] = []

    async def work() -> None:
        while batch := await leases.claim(box, MOST, parallel={"north": 100}):
            taken.extend(item.number for item in batch.items)
            await settle(box, batch, *["delivered"] * len(batch.items))
            await let_go(box, batch)

    await asyncio.gather(*(work() for _ in range(6)))

    assert sorted(taken) == list(range(1, 61))
    assert (await get(box, key)).state == "delivered"


async def test_cancelling_withdraws_what_waits_and_what_is_on_its_way_as_soon_as_it_stops(box: Box) -> None:
    key = await enqueue(box, 6)
    batch = await claim(box)
    await steering.cancel(box, key, scope=EVERYTHING, actor=CAROL)

    assert await states(box, key) == ["sending"] * 4 + ["withdrawn"] * 2
    assert not await box.database.write(lambda w: leases.renew(w, box, batch))
    await settle(box, batch, "delivered", "again")
    await let_go(box, batch)

    assert await states(box, key) == ["delivered"] + ["withdrawn"] * 5
    await assert_counted(box, key)


async def test_what_a_dead_worker_of_a_cancelled_transfer_had_is_withdrawn(timed: Box, clock: Clock) -> None:
    key = await enqueue(timed, 1)
    await claim(timed)
    await steering.cancel(timed, key, scope=EVERYTHING, actor=CAROL)
    clock.forward(minutes=5)

    assert await leases.claim(timed, MOST) is None

    assert await states(timed, key) == ["withdrawn"]


async def test_what_was_not_delivered_is_tried_again_when_somebody_says_so(box: Box) -> None:
    key = await enqueue(box, 4)
    batch = await claim(box)
    await settle(box, batch, "delivered", "refused", "failed", "failed")
    await let_go(box, batch)

    assert await steering.retry(box, key, scope=EVERYTHING, actor=CAROL) == 3

    batch = await claim(box)
    assert [(item.number, item.attempts) for item in batch.items] == [(2, 1), (3, 1), (4, 1)]
    await assert_counted(box, key)


async def test_what_is_held_is_not_taken_until_it_is_let_go_on(box: Box) -> None:
    key = await enqueue(box, 6)
    batch = await claim(box)
    await steering.pause(box, key, paused=True, scope=EVERYTHING, actor=CAROL)

    assert not await box.database.write(lambda w: leases.renew(w, box, batch))
    await let_go(box, batch)
    assert await leases.claim(box, MOST) is None
    await steering.pause(box, key, paused=False, scope=EVERYTHING, actor=CAROL)

    assert len((await claim(box)).items) == 4


async def test_others_transfers_are_only_there_for_who_administers(box: Box) -> None:
    key = await enqueue(box)
    for act in (steering.cancel, steering.retry, transfers.transfer):
        with pytest.raises(NotFound):
            await act(box, key, scope=EVERYTHING, actor=BOB)  # type: ignore[operator]
    assert await transfers.listed(box, scope=EVERYTHING, actor=BOB) == []

    assert (await get(box, key, actor=ALICE)).id == key
    with pytest.raises(NotFound):
        await get(box, key, actor=ALICE, scope=Scope(sources=frozenset({"x"})))


async def test_the_list_is_read_by_places(timed: Box, clock: Clock) -> None:
    keys = []
    for _ in range(5):
        keys.append(await enqueue(timed))
        clock.forward(seconds=1)

    first = await transfers.listed(timed, scope=EVERYTHING, actor=CAROL, most=3)
    last = first[-1]
    rest = await transfers.listed(
        timed, scope=EVERYTHING, actor=CAROL, before=(last.created_at, last.id), most=3
    )

    assert [one.id for one in [*first, *rest]] == keys[::-1]


async def test_what_ended_long_ago_is_forgotten_and_what_is_open_never(timed: Box, clock: Clock) -> None:
    ended, waiting = await enqueue(timed, 1), await enqueue(timed, 1)
    batch = await claim(timed)
    await settle(timed, batch, "delivered")
    await let_go(timed, batch)
    clock.forward(days=80)
    assert await steering.forget_old(timed) == 0
    clock.forward(days=20)

    assert await steering.forget_old(timed) == 1

    left = await transfers.listed(timed, scope=EVERYTHING, actor=CAROL)
    assert [one.id for one in left] == [({ended, waiting} - {batch.transfer.id}).pop()]


async def test_a_transfer_follows_its_peers_new_name(box: Box) -> None:
    told = Particulars(name="north", ae_title="NORTH", host="127.0.0.1", port=11112)
    await peers.add(box, told, actor=ALICE)
    key = await enqueue(box, 2, peer="north")

    await peers.change(box, "north", replace(told, name="far north"), actor=ALICE)

    assert (await get(box, key)).peer == "far north"


async def test_a_rebuilt_index_leaves_the_queue_alone(box: Box) -> None:
    key = await enqueue(box, 2)

    await reindex.reindex(box)

    assert await states(box, key) == ["queued", "queued"]


async def test_the_audit_hears_who_asked_and_what_has_gone(box: Box) -> None:
    await enqueue(box, 3)
    batch = await claim(box)
    await settle(box, batch, "delivered", "delivered", "refused")

    rows = await box.database.fetch_all(
        "select actor, action, study_uid, count from audit where actor = 'carol' order by sequence"
    )

    told = [(row["actor"], row["action"], row["study_uid"], row["count"]) for row in rows]
    assert told == [("carol", "ask for a transfer", "1.2", 3), ("carol", "send", "1.2", 2)]
