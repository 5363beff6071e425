"""What slows down guessing of passwords, without locking anybody out.

Wrong passwords make the next attempt wait: long for the same account from the same address, a little for the
same address, and for the same account from anywhere. Who once logged in from an address is held up there by
nothing but failures with their own name; who once logged in with a browser, by nothing but that browser's own
failures, whoever else guesses at the same address. Waiting costs nothing: it is told before any password is
looked at. What is kept of failures is bounded, and each of them has cost whoever made it an argon2id.
"""

import contextlib
import hmac
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.addresses import client_key
from dicomweb_box.accounts.audit_reads import reads
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.accounts.turns import turns
from dicomweb_box.box import Box
from dicomweb_box.database import Writer
from dicomweb_box.errors import TooMany

FREE = {"pair": 5, "address": 30, "account": 50}
"""Failures that cost nothing, by what they are counted for."""
LONGEST = {"pair": 900, "address": 5, "account": 30}
"""Seconds of waiting, by the same."""
LONGEST_CODE = LONGEST | {"account": 900}
"""The same for second factors: only who knows the password can hold up others there."""
FORGOTTEN = timedelta(hours=24)
OWNERS_FORGOTTEN = timedelta(days=400)
MOST_FAILURES = 100_000
"""Rows that are kept of failures, the newest."""
SWEEP_EVERY = 60.0
"""Seconds between two removals of old rows by one process."""
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
async def attempt(
    box: Box, name: str, address: str, *, device: str = "", longest: Mapping[str, int] = LONGEST
) -> AsyncIterator[Attempt]:
    """One try to log in; raises TooMany where it has to wait. Its outcome is counted and recorded.

    `device` is a secret of the browser: one with which this name logged in before stands for the address.
    """
    place, now = client_key(address), box.clock()
    buckets, own = _buckets(name.casefold(), place), _digest("device", f"{name.casefold()}\0{device}")
    with contextlib.ExitStack() as stack:
        try:
            # Before anything is looked up: what another attempt is about to count is then counted.
            stack.enter_context(turns(box).of_a_pair(own if device else buckets["pair"]))
            found = await _found(box, {*buckets.values(), own})
            if device and _owner(own) in found:
                buckets = {"pair": own}
            elif device:
                stack.enter_context(turns(box).of_a_pair(buckets["pair"]))
            known = _owner(buckets["pair"]) in found
            stack.enter_context(turns(box).of_a_place(place, known=known))
            for bucket in [buckets["pair"]] if known else buckets.values():
                _wait(found.get(bucket), now)
        except TooMany:
            reads(box).note(Actor(name="", kind="anonymous", address=address), Action.LOG_IN, "refused")
            raise
        made = Attempt()
        async with turns(box).looking(known=known):
            yield made

        async def work(w: Writer) -> None:
            if made.right:
                await _forget(w, {buckets["pair"], *([own] if device else [])}, now)
            else:
                await _count(w, buckets, now, longest)
                await _sweep(w, box, now)
            if made.told or not made.right:
                await audit.record(w, box, _entry(made, address))

        await box.database.write(work)


def _entry(made: Attempt, address: str) -> audit.Entry:
    actor = Actor(name=made.name, kind="user" if made.name else "anonymous", address=address)
    return audit.Entry(actor=actor, action=Action.LOG_IN, outcome="success" if made.right else "refused")


async def _found(box: Box, buckets: set[str]) -> dict[str, str]:
    """Until when each bucket waits, and each that was right before."""
    named = {f"b{place}": one for place, one in enumerate(sorted(buckets | set(map(_owner, buckets))))}
    rows = await box.database.fetch_all(
        f"select bucket, until from login_failure where bucket in ({', '.join(f':{key}' for key in named)})",
        named,
    )
    return {row["bucket"]: row["until"] for row in rows}


def _wait(until: str | None, now: datetime) -> None:
    left = (datetime.fromisoformat(until) - now).total_seconds() if until else 0
    if left > 0:
        raise TooMany("Too many wrong tries; wait before the next try.", seconds=int(left) + 1)


def _buckets(folded: str, place: str) -> dict[str, str]:
    """Keys that tell nobody who reads the table which names were tried: some type their password there."""
    texts = {"pair": f"{folded}\0{place}", "address": f"\0{place}", "account": folded}
    return {kind: _digest(kind, text) for kind, text in texts.items()}


def _digest(kind: str, text: str) -> str:
    return hmac.digest(_PURPOSE, f"{kind}\0{text}".encode(), "sha256").hex()


def _owner(pair: str) -> str:
    """The key under which it is kept that a pair once was right."""
    return f"owner {pair}"


async def _count(w: Writer, buckets: dict[str, str], now: datetime, longest: Mapping[str, int]) -> None:
    for kind, bucket in buckets.items():
        failures = await w.fetch_value(
            "insert into login_failure (bucket, failures, until, at) values (:bucket, 1, :now, :now)"
            " on conflict (bucket) do update set failures = login_failure.failures + 1, at = :now"
            " returning failures",
            {"bucket": bucket, "now": _text(now)},
        )
        over = int(failures) - FREE[kind]
        if over > 0:
            until = now + timedelta(seconds=min(longest[kind], 2 ** min(over, 20)))
            await w.execute(
                "update login_failure set until = :until where bucket = :bucket",
                {"bucket": bucket, "until": _text(until)},
            )


async def _forget(w: Writer, proved: set[str], now: datetime) -> None:
    for bucket in sorted(proved):
        await w.execute("delete from login_failure where bucket = :bucket", {"bucket": bucket})
        await w.execute(
            "insert into login_failure (bucket, failures, until, at) values (:bucket, 0, :now, :now)"
            " on conflict (bucket) do update set at = :now",
            {"bucket": _owner(bucket), "now": _text(now)},
        )


class _Sweeping:
    """When this process removes old rows again."""

    def __init__(self, box: Box) -> None:
        del box
        self.due = float("-inf")

    async def close(self) -> None:
        """Nothing to let go of."""


async def _sweep(w: Writer, box: Box, now: datetime) -> None:
    sweeping = box.resource(_Sweeping, _Sweeping)
    if time.monotonic() < sweeping.due:
        return
    sweeping.due = time.monotonic() + SWEEP_EVERY
    newest = await w.fetch_value(
        "select at from login_failure where bucket not like 'owner %' order by at desc limit 1 offset :most",
        {"most": MOST_FAILURES},
    )
    old = max(_text(now - FORGOTTEN), newest or "")
    await w.execute("delete from login_failure where at <= :old and bucket not like 'owner %'", {"old": old})
    await w.execute("delete from login_failure where at < :old", {"old": _text(now - OWNERS_FORGOTTEN)})


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
