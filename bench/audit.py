"""`python -m bench.audit`: a million audit rows, searched by time, actor, action, outcome, study and address.

On SQLite, and on a PostgreSQL that is started for it. Each search is asked several times; its figure is the
median and the longest. Also what writing a row and noting a read cost, and how long `check` takes for all.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from dicomweb_box.accounts import audit, audit_search
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit import Entry
from dicomweb_box.accounts.audit_chain import INSERT, first_mac, mac_of
from dicomweb_box.accounts.audit_check import verify
from dicomweb_box.accounts.audit_key import audit_keys
from dicomweb_box.accounts.audit_reads import Reads
from dicomweb_box.accounts.audit_search import Asked
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.box import Box, open_box
from dicomweb_box.database import Writer
from dicomweb_box.setting_sources import load
from tests.databases import NotInstalled, ScratchServer

ROWS = 1_000_000
_BATCH = 20_000
_CHAIN = "bench"
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_ROUNDS = 20


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.audit", description=__doc__)
    options.add_argument("--rows", type=int, default=ROWS)
    options.add_argument("--only", choices=("sqlite", "postgresql"))
    asked = options.parse_args()
    rows = asked.rows
    print("| database | search | median ms | longest ms |\n|---|---|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        if asked.only != "postgresql":
            asyncio.run(_measured("SQLite", Path(folder) / "sqlite", None, rows))
        if asked.only == "sqlite":
            return
        try:
            server = ScratchServer()
        except NotInstalled as error:
            print(error, file=sys.stderr)
            return
        try:
            url = server.url(server.create())
            asyncio.run(_measured("PostgreSQL", Path(folder) / "pg", url, rows))
        finally:
            server.stop()


async def _measured(name: str, data: Path, url: str | None, rows: int) -> None:
    flags: dict[str, Any] = {"data": str(data), "no_auth": True} | ({"database_url": url} if url else {})
    async with open_box(load(flags, {})) as box:
        began = time.perf_counter()
        await _fill(box, rows)
        await _settle(url)
        filled = time.perf_counter() - began
        for what, asked, before in await _searches(box):
            took = []
            for _ in range(_ROUNDS):
                start = time.perf_counter()
                await audit_search.search(box, asked, before=before)
                took.append((time.perf_counter() - start) * 1000)
            print(f"| {name} | {what} | {statistics.median(took):.1f} | {max(took):.1f} |", flush=True)
        began = time.perf_counter()
        found = await verify(box)
        checked = time.perf_counter() - began
        print(
            f"{name}: filled in {filled:.0f} s, checked in {checked:.0f} s ({len(found)} found),"
            f" {await _of_a_row(box):.0f} µs a row, {_of_a_read(box):.1f} µs a read noted",
            file=sys.stderr,
        )


async def _fill(box: Box, rows: int) -> None:
    """Rows as the program writes them, but many in one statement."""
    key = audit_keys(box.settings)[0]
    mac, sequence, made = first_mac(key, _CHAIN), 0, _made(rows)
    while batch := [row for _, row in zip(range(_BATCH), made, strict=False)]:
        for row in batch:
            sequence += 1
            row |= {"chain": _CHAIN, "sequence": sequence}
            mac = row["mac"] = mac_of(key, mac, row)
        await box.database.write(lambda w, batch=batch: w.execute_many(INSERT, batch))  # type: ignore[misc]


async def _settle(url: str | None) -> None:
    """What PostgreSQL's autovacuum does after so many rows; the scratch server has none."""
    if url is not None:
        connection = await asyncpg.connect(url)
        await connection.execute("vacuum analyze audit")
        await connection.close()


def _made(rows: int) -> Iterator[dict[str, Any]]:
    """300 people and programs, of whom few do most, over a year; 50,000 studies."""
    dice = random.Random(7)
    reads = [Action.VIEW, Action.RETRIEVE, Action.SEARCH, Action.STORE]
    rare = [Action.REJECT, Action.ERASE, Action.CORRECT, Action.LABEL, Action.LOG_IN]
    for number in range(rows):
        who = min(int(dice.expovariate(1 / 30)), 299)
        action = dice.choice(reads) if dice.random() < 0.97 else dice.choice(rare)
        moment = _BEGIN + timedelta(seconds=number * 31.5)
        outcome = "success" if dice.random() < 0.98 else dice.choice(["refused", "not found", "failed"])
        # Who stores is a device, and does nothing else: two frequent filters that never meet.
        name, kind = (f"ct-{who % 5}", "token") if action is Action.STORE else (f"user-{who}", "user")
        yield {
            "moment": moment.isoformat(timespec="milliseconds"), "actor": name, "kind": kind,
            "address": f"192.0.2.{who % 250}", "action": action.value, "outcome": outcome,
            "study_uid": "" if action is Action.SEARCH else f"1.2.826.0.1.{dice.randrange(50_000)}",
            "about": json.dumps({}), "count": dice.randrange(1, 300),
        }  # fmt: skip


async def _searches(box: Box) -> list[tuple[str, Asked, str]]:
    first = await audit_search.search(box, Asked())
    day = {"since": "2026-06-01T00:00:00.000+00:00", "until": "2026-06-02T00:00:00.000+00:00"}
    deep = await audit_search.search(box, Asked(until="2026-02-01T00:00:00.000+00:00"))
    return [
        ("the latest", Asked(), ""),
        ("the next page", Asked(), first.older),
        ("a page ten months back", Asked(), deep.older),
        ("a day", Asked(**day), ""),
        ("a busy actor", Asked(actor="user-3"), ""),
        ("a rare actor", Asked(actor="user-290"), ""),
        ("an actor that there is not", Asked(actor="nobody"), ""),
        ("a frequent action", Asked(action="view"), ""),
        ("a rare action", Asked(action="erase"), ""),
        ("refused", Asked(outcome="refused"), ""),
        ("success", Asked(outcome="success"), ""),
        ("a study", Asked(study="1.2.826.0.1.4711"), ""),
        ("an address", Asked(address="192.0.2.7"), ""),
        ("an actor, an action, a day", Asked(actor="user-3", action="erase", **day), ""),
        ("an actor and a rare action", Asked(actor="user-3", action="correct"), ""),
        (
            "an actor, refused, at an address",
            Asked(actor="user-3", outcome="refused", address="192.0.2.3"),
            "",
        ),
        ("two frequent ones that never meet", Asked(actor="ct-1", action="view"), ""),
    ]


async def _of_a_row(box: Box) -> float:
    """Microseconds of a row within a transaction."""
    entry = Entry(actor=Actor(name="user-3", kind="user"), action=Action.REJECT, study="1.2.3")

    async def work(w: Writer) -> float:
        start = time.perf_counter()
        for _ in range(1000):
            await audit.record(w, box, entry)
        return (time.perf_counter() - start) * 1000

    return await box.database.write(work)


def _of_a_read(box: Box) -> float:
    """Microseconds of noting a read."""
    noted = Reads(box)
    actor = Actor(name="user-3", kind="user", address="192.0.2.7")
    noted.note(actor, Action.VIEW, "success", "1.2.3")
    start = time.perf_counter()
    for _ in range(100_000):
        noted.note(actor, Action.VIEW, "success", "1.2.3")
    return (time.perf_counter() - start) * 10


if __name__ == "__main__":
    main()
