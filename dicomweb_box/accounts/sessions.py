"""Log-ins of people: each has a random secret, kept as a digest, and can be ended at any time."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.accounts.credentials import digest, proved
from dicomweb_box.accounts.granting import COMMAND_LINE, Giver, check_over
from dicomweb_box.accounts.known import changed, known
from dicomweb_box.box import Box
from dicomweb_box.database import Writer
from dicomweb_box.errors import NotFound

WAIT = timedelta(minutes=10)
"""In which the second factor has to come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A log-in as its owner sees it."""

    id: str
    made_at: str
    seen_at: str
    ends_at: str
    address: str
    agent: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A log-in whose password was right."""

    id: str
    account: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """A log-in that was just made."""

    id: str
    secret: str
    """For the cookie; told once."""
    complete: bool
    """Whether it is good for something already, or the second factor is still to come."""


async def log_in(
    box: Box, name: str, password: str, *, address: str, agent: str, device: str = ""
) -> Begun | None:
    """A new log-in; None where name and password do not fit. Raises TooMany where guessing is slowed down."""
    row = await proved(box, name, password, address=address, device=device)
    if row is None:
        return None
    complete = row["second_factor"] is None
    return await begin(box, str(row["account_id"]), address=address, agent=agent, complete=complete)


async def waiting(box: Box, secret: str) -> Waiting | None:
    """The log-in of a cookie, where its second factor is still to come."""
    row = await box.database.fetch_one(
        "select session.id, account.id as account, account.name from session"
        " join account on account.id = session.account_id where session.digest = :digest"
        " and session.complete = 0 and session.made_at > :since and account.disabled = 0",
        {"digest": digest(secret), "since": (box.clock() - WAIT).isoformat(timespec="seconds")},
    )
    return Waiting(id=row["id"], account=row["account"], name=row["name"]) if row is not None else None


async def begin(
    box: Box,
    account: str,
    *,
    address: str,
    agent: str,
    complete: bool = True,
    instead_of: str | None = None,
) -> Begun:
    """A new log-in of an account whose owner has proved to be it; the one it completes ends."""
    now, secret = box.clock(), secrets.token_urlsafe(32)
    row = {
        "id": secrets.token_urlsafe(9),
        "digest": digest(secret),
        "account": account,
        "complete": int(complete),
        "at": now.isoformat(timespec="seconds"),
        "ends": (now + timedelta(hours=box.settings.session_length)).isoformat(timespec="seconds"),
        "address": address,
        "agent": agent[:200],
    }

    async def work(w: Writer) -> None:
        if complete:
            await record_log_in(w, box, account, address)
        await w.execute(
            "delete from session where ends_at < :at or id = :before",
            {"at": row["at"], "before": instead_of or ""},
        )
        await w.execute(
            "insert into session"
            " (id, digest, account_id, complete, made_at, seen_at, ends_at, address, agent)"
            " values (:id, :digest, :account, :complete, :at, :at, :ends, :address, :agent)",
            row,
        )
        await w.execute(
            "update account set seen_at = :at, initial = 0 where id = :account",
            {"at": row["at"], "account": account},
        )

    await box.database.write(work)
    return Begun(id=str(row["id"]), secret=secret, complete=complete)


async def record_log_in(w: Writer, box: Box, account: str, address: str) -> None:
    """Record that the owner of an account has come in."""
    name = await w.fetch_value("select name from account where id = :id", {"id": account})
    actor = Actor(name=str(name), kind="user", address=address)
    await audit.record(w, box, audit.Entry(actor=actor, action=Action.LOG_IN))


async def of(box: Box, account: str) -> Sequence[Session]:
    """The log-ins of an account that still hold, the newest first."""
    rows = await box.database.fetch_all(
        "select id, made_at, seen_at, ends_at, address, agent from session"
        " where account_id = :account and complete = 1 and ends_at > :now order by made_at desc, id",
        {"account": account, "now": box.clock().isoformat(timespec="seconds")},
    )
    return [Session(**{name: row[name] for name in Session.__slots__}) for row in rows]


async def end(box: Box, session: str, *, account: str, actor: Actor, action: Action = Action.SESSION) -> None:
    """End one log-in of an account; raises NotFound."""

    async def work(w: Writer) -> bool:
        found = await w.fetch_value(
            "delete from session where id = :id and account_id = :account returning id",
            {"id": session, "account": account},
        )
        if found is not None:
            await audit.record(w, box, audit.Entry(actor=actor, action=action, about={"session": session}))
        await changed(w)
        return found is not None

    if not await box.database.write(work):
        raise NotFound("There is no such log-in.")
    known(box).forget()


async def end_all(
    box: Box, *, account: str, actor: Actor, but: str | None = None, giver: Giver = COMMAND_LINE
) -> None:
    """End every log-in of an account, but for one; raises Forbidden where `giver` may not change it."""

    async def work(w: Writer) -> None:
        await check_over(w, giver, account)
        await w.execute(
            "delete from session where account_id = :account and id <> :but",
            {"account": account, "but": but or ""},
        )
        name = await w.fetch_value("select name from account where id = :id", {"id": account})
        about = {"account": str(name), "what": "all"}
        await audit.record(w, box, audit.Entry(actor=actor, action=Action.SESSION, about=about))
        await changed(w)

    await box.database.write(work)
    known(box).forget()
