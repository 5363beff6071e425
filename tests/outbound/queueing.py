"""Transfers made for tests, and a clock that tests move."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from dicomweb_box.accounts.access import EVERYTHING, Actor, Scope
from dicomweb_box.box import Box
from dicomweb_box.outbound import enqueueing, leases, transfers
from dicomweb_box.outbound.leases import Batch, Outcome, Settled
from dicomweb_box.outbound.transfers import Item, Kind, Transfer

CAROL = Actor(name="carol", kind="user")
MOST: dict[Kind, int] = {"send": 4, "retrieve": 1, "commitment": 1}


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 5, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, **time: float) -> None:
        self.moment += timedelta(**time)


async def enqueue(
    box: Box,
    count: int = 3,
    *,
    kind: Kind = "send",
    peer: str = "north",
    priority: int = 0,
    actor: Actor = CAROL,
) -> str:
    wanted = enqueueing.Wanted(kind=kind, peer=peer, actor=actor, scope=EVERYTHING, priority=priority)
    items = [
        Item(
            number=number,
            what="instance",
            study_uid="1.2",
            series_uid="1.2.3",
            instance_uid=f"1.2.3.{number}",
        )
        for number in range(1, count + 1)
    ]
    return await box.database.write(lambda w: enqueueing.enqueue(w, box, wanted, items))


async def claim(box: Box, **more: object) -> Batch:
    batch = await leases.claim(box, MOST, **more)  # type: ignore[arg-type]
    assert batch is not None
    return batch


async def settle(box: Box, batch: Batch, *outcomes: Outcome, reason: str = "") -> int:
    settled = [
        Settled(number=item.number, outcome=outcome, reason=reason)
        for item, outcome in zip(batch.items, outcomes, strict=False)
    ]
    return await box.database.write(lambda w: leases.settle(w, box, batch, settled))


async def let_go(box: Box, batch: Batch, because: str = "") -> None:
    await box.database.write(lambda w: leases.let_go(w, box, batch, because=because))


async def get(box: Box, key: str, *, actor: Actor = CAROL, scope: Scope = EVERYTHING) -> Transfer:
    return await transfers.transfer(box, key, scope=scope, actor=actor)


async def states(box: Box, key: str) -> list[str]:
    return [item.state for item in await transfers.items(box, key, most=10_000)]


async def assert_counted(box: Box, key: str) -> None:
    """The counts in the transfer's row are those of its items, and its state is what follows from them."""
    found, counted = await get(box, key), Counter(await states(box, key))
    assert {state: getattr(found, state) for state in transfers.STATES} == {
        state: counted[state] for state in transfers.STATES
    }
    expected = next(
        (state for state in ("sending", "queued", "failed", "refused", "withdrawn") if counted[state]),
        "delivered",
    )
    assert found.state == expected
