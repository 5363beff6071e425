"""The page of the audit: what is found, page by page, for whom."""

import csv
import io
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from dicomweb_box.accounts import audit, audit_search, users
from dicomweb_box.accounts.access import SYSTEM, Actor
from dicomweb_box.accounts.audit import Entry
from dicomweb_box.accounts.audit_search import Asked, moment_of
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.app import assemble
from dicomweb_box.box import Box
from dicomweb_box.errors import BadQuery
from tests.conftest import MakeBox
from tests.web.test_studies_page import read

JSON = {"Accept": "application/json"}
BOB = Actor(name="bob", kind="user", address="192.0.2.9")
CAROL = Actor(name="=cmd|' /C calc'!A0", kind="token", address="192.0.2.8")


async def fill(box: Box, count: int = 5) -> None:
    for number in range(count):
        await audit.recorded(
            box,
            Entry(actor=BOB, action=Action.STORE, study=f"1.2.{number}", count=number + 1),
            Entry(
                actor=CAROL, action=Action.ERASE, study="1.2.0", outcome="failed", about={"rejection": "x"}
            ),
        )


async def rows(client: httpx.AsyncClient, **asked: str) -> list[dict[str, object]]:
    answer = await client.get("/audit.json", params=asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, object]] = answer.json()["rows"]
    return found


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({}, 11), ({"actor": "bob"}, 5), ({"action": "erase"}, 5), ({"outcome": "failed"}, 5),
        ({"outcome": "success"}, 6), ({"study": "1.2.0"}, 6), ({"study": "1.2.0", "actor": "bob"}, 1),
        ({"address": "192.0.2.8"}, 5), ({"address": "192.0.2.8", "outcome": "success"}, 0),
        ({"actor": "nobody"}, 0), ({"since": "2000-01-01"}, 11), ({"until": "2000-01-01"}, 0),
        ({"actor": "bob", "action": "erase"}, 0),
        ({"actor": "bob", "outcome": "success", "study": "1.2.3"}, 1),
    ],
)  # fmt: skip
async def test_it_finds_what_fits(
    box: Box, client: httpx.AsyncClient, asked: dict[str, str], count: int
) -> None:
    await fill(box)

    assert len(await rows(client, **asked)) == count


async def test_the_latest_come_first_and_say_all_there_is(box: Box, client: httpx.AsyncClient) -> None:
    await fill(box, 1)

    erased, stored, began = await rows(client)

    assert [began["action"], stored["action"], erased["action"]] == ["start", "store", "erase"]
    assert erased["about"] == {"rejection": "x"}
    assert {stored[name] for name in ("actor", "kind", "address", "study_uid")} == {
        "bob", "user", "192.0.2.9", "1.2.0",
    }  # fmt: skip
    assert "id" not in stored
    assert "mac" not in stored


async def test_a_day_is_from_its_begin_to_its_end() -> None:
    assert moment_of("2026-11-27") == "2026-11-27T00:00:00.000+00:00"
    assert moment_of("2026-11-27", end=True) == "2026-11-28T00:00:00.000+00:00"
    assert moment_of("2026-11-27T14:30+01:00", end=True) == "2026-11-27T13:30:00.000+00:00"
    with pytest.raises(BadQuery):
        moment_of("yesterday")


async def test_pages_follow_one_another_without_a_gap_or_a_double(box: Box) -> None:
    await fill(box, 6)
    seen: list[int] = []
    before = ""
    while True:
        found = await audit_search.search(box, Asked(), before=before, limit=4)
        seen += [row.sequence for row in found.rows]
        if not (before := found.older):
            break

    assert seen == list(range(13, 0, -1))


async def test_people_search_by_a_form(box: Box, client: httpx.AsyncClient) -> None:
    await fill(box)

    page = await read(client, "/audit?actor=bob&until=2999-01-01")
    empty = await read(client, "/audit?actor=zoe")

    assert len(page.elements["tr"]) == 1 + 5
    assert any("/audit.csv?" in address for address in page.addresses())
    assert "/audit?study=1.2.3" in page.addresses()
    assert "Nothing fits that" in empty.one("main").text
    assert "Audit" in (await read(client, "/studies")).one("header").text


@pytest.mark.parametrize("wrong", ["since=soon", "action=dance", "outcome=maybe", "before=zzz", "before=a.1"])
async def test_what_cannot_be_asked_is_said(client: httpx.AsyncClient, wrong: str) -> None:
    page = await read(client, f"/audit?{wrong}", status=422)
    program = await client.get(f"/audit.json?{wrong}", headers=JSON)

    assert page.elements["form"]
    assert (program.status_code, list(program.json())) == (400, ["error"])


async def test_the_table_holds_all_of_it_and_no_formula(box: Box, client: httpx.AsyncClient) -> None:
    await fill(box, 3)

    answer = await client.get("/audit.csv?study=1.2.0")
    found = list(csv.DictReader(io.StringIO(answer.text, newline="")))

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert [row["actor"] for row in found] == [f"'{CAROL.name}"] * 3 + ["bob"]
    assert (await client.get("/audit.csv?since=soon")).status_code == 400


async def test_the_table_is_read_in_pieces(
    box: Box, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(box, 4)
    monkeypatch.setattr(audit_search, "_BATCH", 2)

    answer = await client.get("/audit.csv")

    assert len(answer.text.splitlines()) == 1 + 9


async def test_only_who_may_read_it_and_has_the_whole_archive_reads_it(make_box: MakeBox) -> None:
    async with make_box(no_auth=False) as box:
        given = {"password": "correct horse battery", "must_change": False, "actor": SYSTEM}
        await users.add(box, "whole", role="administrator", **given)
        await users.add(box, "part", role="administrator", scope={"studies": ["1.2"]}, **given)
        await users.add(box, "viewer", role="viewer", **given)
        transport = httpx.ASGITransport(assemble(box))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            statuses = {
                name: (await client.get("/audit.json", auth=(name, "correct horse battery"))).status_code
                for name in ("whole", "part", "viewer")
            }
            nobody = (await client.get("/audit.json")).status_code
            told = await client.get("/audit.json?action=read+audit", auth=("whole", "correct horse battery"))

    assert (statuses, nobody) == ({"whole": 200, "part": 403, "viewer": 403}, 401)
    assert told.status_code == 200


async def test_a_search_in_the_past_is_bounded_by_its_end(box: Box) -> None:
    await fill(box, 2)
    now = datetime.now(UTC)
    asked = Asked(since=(now - timedelta(hours=1)).isoformat(timespec="milliseconds"))

    assert len((await audit_search.search(box, asked)).rows) == 5
    later = Asked(since=(now + timedelta(hours=1)).isoformat(timespec="milliseconds"))
    assert (await audit_search.search(box, later)).rows == ()
