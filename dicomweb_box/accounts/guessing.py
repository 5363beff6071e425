"""What slows down guessing of passwords, without locking anybody out.

Wrong passwords make the next attempt wait: long for the same account from the same address, a little for the
same address, and for the same account from anywhere. Who once logged in from an address is held up there by
nothing but their own failures: no stranger locks anybody out. Waiting costs nothing: it is told before any
password is looked at.
"""

import contextlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit_reads import reads
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.box import Box
from dicomweb_box.database import Writer
from dicomweb_box.errors import TooMany

FREE = {"pair": 5, "address": 30, "account": 50}
"""Failures that cost nothing, by what they are counted for."""
LONGEST = {"pair": 900, "address": 5, "account": 30}
"""Seconds of waiting, by the same."""
FORGOTTEN = timedelta(hours=24)
_PURPOSE = b"dicomweb_box login"


@dataclass(slots=True)
class Attempt:
    """One try; `right` says at its end whether the password was."""

    right: bool = False
    name: str = ""
    """Of the account, where there is one: what else was typed may be a password, and is kept nowhere."""
    told: bool = True
    """Whether it is recorded as a log-in where the password was right."""


@contextlib.asynccontextmanager
async def attempt(box: Box, name: str, address: str) -> AsyncIterator[Attempt]:
    """One try to log in; raises TooMany where it has to wait. Its outcome is counted and recorded."""
    buckets = _buckets(name.casefold(), address)
    now = box.clock()
    rows = await box.database.fetch_all(
        "select bucket, until, failures from login_failure"
        " where bucket in (:pair, :address, :account, :owner)",
        {**buckets, "owner": _owner(buckets["pair"])},
    )
    found = {row["bucket"]: row for row in rows}
    owner = _owner(buckets["pair"]) in found
    for kind, bucket in buckets.items():
        if bucket in found and (kind == "pair" or not owner):
            try:
                _wait(found[bucket]["until"], now)
            except TooMany:
                reads(box).note(Actor(name="", kind="anonymous", address=address), Action.LOG_IN, "refused")
                raise
    made = Attempt()
    yield made

    async def work(w: Writer) -> None:
        await (_forget if made.right else _count)(w, buckets, now)
        if made.told or not made.right:
            await audit.record(w, box, _entry(made, address))

    await box.database.write(work)


def _entry(made: Attempt, address: str) -> audit.Entry:
    actor = Actor(name=made.name, kind="user" if made.name else "anonymous", address=address)
    return audit.Entry(actor=actor, action=Action.LOG_IN, outcome="success" if made.right else "refused")


def _wait(until: str, now: datetime) -> None:
    left = (datetime.fromisoformat(until) - now).total_seconds()
    if left > 0:
        raise TooMany("Too many wrong passwords; wait before the next try.", seconds=int(left) + 1)


def _buckets(folded: str, address: str) -> dict[str, str]:
    """Keys that tell nobody who reads the table which names were tried: some type their password there."""
    texts = {"pair": f"{folded}\0{address}", "address": f"\0{address}", "account": folded}
    return {
        kind: hmac.digest(_PURPOSE, f"{kind}\0{text}".encode(), "sha256").hex()
        for kind, text in texts.items()
    }


def _owner(pair: str) -> str:
    """The key under which it is kept that a pair once was right."""
    return f"owner {pair}"


async def _count(w: Writer, buckets: dict[str, str], now: datetime) -> None:
    for kind, bucket in buckets.items():
        failures = await w.fetch_value(
            "insert into login_failure (bucket, failures, until, at) values (:bucket, 1, :now, :now)"
            " on conflict (bucket) do update set failures = login_failure.failures + 1, at = :now"
            " returning failures",
            {"bucket": bucket, "now": _text(now)},
        )
        over = int(failures) - FREE[kind]
        if over > 0:
            until = now + timedelta(seconds=min(LONGEST[kind], 2 ** min(over, 20)))
            await w.execute(
                "update login_failure set until = :until where bucket = :bucket",
                {"bucket": bucket, "until": _text(until)},
            )
    await w.execute(
        "delete from login_failure where at < :old and bucket not like 'owner %'",
        {"old": _text(now - FORGOTTEN)},
    )


async def _forget(w: Writer, buckets: dict[str, str], now: datetime) -> None:
    await w.execute("delete from login_failure where bucket = :pair", {"pair": buckets["pair"]})
    await w.execute(
        "insert into login_failure (bucket, failures, until, at) values (:bucket, 0, :now, :now)"
        " on conflict (bucket) do update set at = :now",
        {"bucket": _owner(buckets["pair"]), "now": _text(now)},
    )


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
