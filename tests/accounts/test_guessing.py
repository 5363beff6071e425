"""Guessing is slowed down; nobody else is, and nobody is locked out."""

import asyncio
import time

import argon2
import httpx
import pytest

from dicomweb_box.accounts import credentials, guessing, passwords, turns, users
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.box import Box
from dicomweb_box.errors import TooMany
from tests.accounts.test_logging_in import GOOD

HERE, THERE = "192.0.2.1", "198.51.100.9"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Passwords looked at, each by next to no work; what counts here is how many, and for whom."""
    looked: list[str] = []

    real = passwords._verify

    def verify(kept: str, password: str) -> bool:
        looked.append(password)
        return real(kept, password)

    monkeypatch.setattr(passwords, "_verify", verify)
    monkeypatch.setattr(
        passwords, "_HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    )
    return looked


@pytest.fixture
async def people(guarded: Box) -> Box:
    for name in ("vera", "bob"):
        await users.add(guarded, name, role="viewer", password=GOOD, must_change=False, actor=SYSTEM)
    return guarded


async def tried(box: Box, name: str, password: str, address: str, device: str = "") -> bool | None:
    """Whether it was right; None where it had to wait."""
    try:
        found = await credentials.proved(box, name, password, address=address, device=device)
    except TooMany:
        return None
    return found is not None


async def count(box: Box) -> int:
    return int(await box.database.fetch_value("select count(*) from login_failure"))


async def test_the_same_is_done_for_names_that_are_not_there(people: Box, cheap: list[str]) -> None:
    await passwords.matches(people, None, "warm")
    done = {}
    for name in ("vera", "nobody", ""):
        cheap.clear()
        assert await tried(people, name, "wrong password", HERE) is False
        done[name] = len(cheap)

    assert done == {"vera": 1, "nobody": 1, "": 1}


async def test_who_was_right_once_from_there_is_held_up_by_no_stranger(people: Box) -> None:
    assert await tried(people, "vera", GOOD, HERE) is True

    outcomes = [await tried(people, f"guess {n % 40}", "wrong password", HERE) for n in range(200)]
    outcomes += [await tried(people, "vera", "wrong password", THERE) for n in range(200)]

    assert set(outcomes) == {None, False}
    assert await tried(people, "vera", GOOD, HERE) is True
    assert await tried(people, "bob", GOOD, THERE) is True


async def test_a_browser_that_was_right_once_is_held_up_by_nobody_else_at_its_address(people: Box) -> None:
    assert await tried(people, "vera", GOOD, HERE, "vera's browser") is True
    for _ in range(30):
        await tried(people, "vera", "wrong password", HERE, "another browser")

    assert await tried(people, "vera", GOOD, HERE, "another browser") is None
    assert await tried(people, "vera", GOOD, HERE, "vera's browser") is True
    # It is known for that name alone, and its own failures count.
    assert await tried(people, "bob", "wrong password", HERE, "vera's browser") in (None, False)
    own = [await tried(people, "vera", "wrong password", HERE, "vera's browser") for _ in range(8)]
    assert own[-1] is None


async def test_made_up_browsers_open_no_door(people: Box) -> None:
    outcomes = [
        await tried(people, "vera", "wrong password", HERE, f"browser {number}") for number in range(12)
    ]

    assert outcomes[-1] is None
    at_once = (tried(people, "bob", "wrong password", HERE, f"browser {number}") for number in range(50))
    assert (await asyncio.gather(*at_once)).count(False) <= guessing.FREE["pair"] + turns.OF_A_PAIR


async def test_many_at_once_are_not_looked_at_before_the_first_failure_counts(
    people: Box, cheap: list[str]
) -> None:
    outcomes = await asyncio.gather(*(tried(people, "vera", f"guess {n}", HERE) for n in range(200)))

    most = guessing.FREE["pair"] + turns.OF_A_PAIR
    assert outcomes.count(False) <= most
    assert len([one for one in cheap if one.startswith("guess")]) <= most


async def test_a_flood_from_one_address_leaves_others_their_turn(people: Box) -> None:
    assert await tried(people, "vera", GOOD, HERE) is True
    flood = [asyncio.create_task(tried(people, f"name {n}", "wrong password", HERE)) for n in range(500)]
    await asyncio.sleep(0)

    began = time.monotonic()
    assert await tried(people, "vera", GOOD, HERE) is True  # known there
    assert await tried(people, "bob", GOOD, THERE) is True  # a stranger elsewhere
    assert time.monotonic() - began < 30
    outcomes = await asyncio.gather(*flood)

    assert outcomes.count(False) <= guessing.FREE["address"] + turns.OF_AN_ADDRESS
    assert len(turns.turns(people)) == 0
    assert not turns.turns(people)._under_way


async def test_a_flood_from_everywhere_is_bounded(people: Box) -> None:
    flood = asyncio.gather(
        *(tried(people, f"name {n}", "wrong password", f"10.0.{n // 250}.{n % 250}") for n in range(500))
    )
    highest = 0
    while not flood.done():
        highest = max(highest, len(turns.turns(people)))
        await asyncio.sleep(0)

    assert 1 < highest <= turns.OF_ALL
    assert await tried(people, "vera", GOOD, HERE) is True


async def test_addresses_of_one_network_of_ipv6_are_one(people: Box) -> None:
    outcomes = [await tried(people, f"name {n}", "wrong password", f"2001:db8::{n:x}") for n in range(45)]

    assert outcomes[-1] is None


async def test_what_waits_is_told_before_any_work_and_writes_nothing(people: Box, cheap: list[str]) -> None:
    while await tried(people, "vera", "wrong password", HERE) is not None:
        pass
    before, looked = await count(people), len(cheap)

    assert [await tried(people, "vera", "wrong password", HERE) for _ in range(20)] == [None] * 20
    assert (await count(people), len(cheap)) == (before, looked)


async def test_rows_of_failures_are_bounded_and_forgotten(
    people: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guessing, "MOST_FAILURES", 20)
    monkeypatch.setattr(guessing, "SWEEP_EVERY", 0.0)
    assert await tried(people, "vera", GOOD, HERE) is True
    await people.database.write(
        lambda w: w.execute_many(
            "insert into login_failure (bucket, failures, until, at) values (:bucket, 1, :at, :at)",
            [{"bucket": f"old {n}", "at": f"2026-01-01T00:00:{n % 60:02}+00:00"} for n in range(300)],
        )
    )

    await tried(people, "bob", "wrong password", THERE)

    assert await count(people) == 4  # Vera's place; Bob's three
    for number in range(60):
        await tried(people, f"name {number}", "wrong password", f"10.1.1.{number}")
    assert await count(people) < 20 + 200
    assert await tried(people, "vera", GOOD, HERE) is True


async def test_a_program_with_many_connections_proves_itself_once(people: Box, cheap: list[str]) -> None:
    await passwords.matches(people, None, "warm")
    cheap.clear()

    async def ask(password: str) -> object:
        return await credentials.by_password(people, "vera", password, address=HERE)

    assert None not in await asyncio.gather(*(ask(GOOD) for _ in range(100)))
    assert set(await asyncio.gather(*(ask("wrong password") for _ in range(100)))) == {None}
    assert cheap == [GOOD, "wrong password"]


async def test_the_form_gives_a_browser_what_it_is_known_by(people: Box, client: httpx.AsyncClient) -> None:
    wrong = await client.post("/login", data={"name": "vera", "password": "wrong password"})
    right = await client.post("/login", data={"name": "vera", "password": GOOD})

    assert "dicomweb_box_device" not in wrong.headers.get("set-cookie", "")
    given = next(one for one in right.headers.get_list("set-cookie") if "device" in one).lower()
    assert {"httponly", "samesite=strict", "path=/login"} <= set(given.split("; "))
    for _ in range(8):
        await client.post(
            "/login", data={"name": "vera", "password": "wrong password"}, headers={"Cookie": "a=b"}
        )
    again = await client.post("/login", data={"name": "vera", "password": GOOD})
    assert again.status_code == 303
