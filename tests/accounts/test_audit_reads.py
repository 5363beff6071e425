"""What becomes of noted reads: minute by minute, when there are too many, when the database is away."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dicomweb_box.accounts import audit_reads
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit_check import verify
from dicomweb_box.accounts.audit_reads import Reads
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.box import Box

BOB = Actor(name="bob", kind="user", address="192.0.2.9")


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 27, 14, 30, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def noted(box: Box, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Reads:
    monkeypatch.setattr(audit_reads, "WRITE_EVERY", 3600)
    return Reads(replace(box, clock=clock))


async def told(box: Box) -> list[tuple[Any, ...]]:
    rows = await box.database.fetch_all(
        "select action, outcome, study_uid, count from audit where action <> 'start' order by id"
    )
    return [tuple(row) for row in rows]


async def test_a_minute_is_its_first_looks_and_one_row_for_the_rest(
    box: Box, noted: Reads, clock: Clock
) -> None:
    noted.note(BOB, Action.VIEW, "success", "1.2.3")
    await noted.write()
    for _ in range(100):
        noted.note(BOB, Action.VIEW, "success", "1.2.3")
    await noted.write()
    assert await told(box) == [("view", "success", "1.2.3", 1)]

    clock.now += timedelta(minutes=1)
    noted.note(BOB, Action.VIEW, "success", "1.2.3")
    await noted.write()

    assert await told(box) == [("view", "success", "1.2.3", count) for count in (1, 100, 1)]
    assert await verify(box) == []
    await noted.close()
    assert len(await told(box)) == 3


async def test_who_asks_for_many_studies_that_are_not_there_is_not_given_a_row_for_each(
    box: Box, noted: Reads
) -> None:
    for number in range(audit_reads.MOST_ELSEWHERE + 50):
        noted.note(BOB, Action.RETRIEVE, "not found", f"1.2.{number}")
    await noted.close()

    rows = await told(box)
    assert len(rows) == audit_reads.MOST_ELSEWHERE + 1
    assert ("retrieve", "not found", "", 50) in rows


async def test_reads_wait_for_a_database_that_is_away(
    box: Box, noted: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(work: object) -> None:
        raise OSError("away")

    noted.note(BOB, Action.VIEW, "success", "1.2.3")
    with monkeypatch.context() as broken:
        broken.setattr(box.database, "write", away)
        with pytest.raises(OSError, match="away"):
            await noted.write()
    noted.note(BOB, Action.VIEW, "success", "1.2.3")
    await noted.close()

    assert await told(box) == [("view", "success", "1.2.3", 2)]


async def test_more_than_can_wait_are_counted(
    box: Box, noted: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_reads, "MOST", 2)
    for number in range(5):
        noted.note(BOB, Action.VIEW, "success", f"1.2.{number}")
    await noted.close()

    assert [row[0] for row in await told(box)] == ["view", "view", "reads lost"]
    assert (await told(box))[-1] == ("reads lost", "failed", "", 3)
