"""Share links: an address that shows a part of the archive to whoever has it, until it ends or is revoked.

What is in the address is kept as a digest. It is exchanged for a cookie, so that it is in no other address. A
link never shows more than its owner may see, and stops when they may share no more.
"""

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dicomweb_box.accounts import audit, guessing, passwords
from dicomweb_box.accounts.access import Actor, Identity, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.accounts.credentials import REMEMBERED, digest
from dicomweb_box.accounts.granting import Giver, check_rights
from dicomweb_box.accounts.known import changed, known
from dicomweb_box.accounts.rights import Right, rights_of
from dicomweb_box.box import Box
from dicomweb_box.database import Row, Writer
from dicomweb_box.errors import BadRequest, NotFound

LONGEST_NAME = 64
LONGEST_LIFE = timedelta(days=365)
SHORTEST_PASSWORD = 8
_ROW = (
    "select share.id, share.name, share.rights, share.scope, share.opens, share.password, share.made_at,"
    " share.made_by, share.ends_at, share.revoked_at, share.uses, share.used_at, share.account_id as owner,"
    " account.name as owner_name, account.scope as account_scope, account.disabled as disabled,"
    " role.rights as role_rights from share left join account on account.id = share.account_id"
    " left join role on role.name = account.role"
)
_HOLDS = " share.revoked_at is null and share.ends_at > :now"


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A link as its owner and administrators see it: never its secret."""

    id: str
    name: str
    scope: dict[str, Any]
    rights: list[str]
    owner: str | None
    password: bool
    """Whether it asks for one."""
    made_at: str
    made_by: str
    ends_at: str
    revoked_at: str | None
    uses: int
    used_at: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A link that was just opened in a browser."""

    secret: str
    """For the cookie."""
    opens: str


async def make(
    box: Box,
    name: str,
    *,
    scope: dict[str, Any],
    rights: Iterable[Right],
    opens: str,
    expires: timedelta,
    password: str = "",
    account: str | None,
    actor: Actor,
    giver: Giver,
) -> tuple[str, str]:
    """Make a link: its key and the secret of its address, which is told nowhere else.

    Raises BadRequest for a name, end or password that cannot be, Forbidden for rights that `giver` lacks.
    """
    name, given = " ".join(name.split()), frozenset(rights)
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise BadRequest(f"What a link is for has 1 to {LONGEST_NAME} printable characters.")
    if expires > LONGEST_LIFE:
        raise BadRequest(f"A link ends after {LONGEST_LIFE.days} days or earlier.")
    if password and not SHORTEST_PASSWORD <= len(password) <= passwords.LONGEST:
        raise BadRequest(f"A link's password has at least {SHORTEST_PASSWORD} characters.")
    check_rights(giver, given)
    secret, now = secrets.token_urlsafe(18), box.clock()
    row = {
        "id": secrets.token_urlsafe(9),
        "digest": digest(secret),
        "name": name,
        "account": account,
        "rights": json.dumps([right for right in Right if right in given]),
        "scope": json.dumps(scope),
        "opens": opens,
        "password": await passwords.hashed(box, password) if password else None,
        "made_at": now.isoformat(timespec="seconds"),
        "made_by": actor.name,
        "ends_at": (now + expires).isoformat(timespec="seconds"),
    }

    async def work(w: Writer) -> None:
        await w.execute(
            "insert into share (id, digest, name, account_id, rights, scope, opens, password,"
            " made_at, made_by, ends_at) values (:id, :digest, :name, :account, :rights, :scope, :opens,"
            " :password, :made_at, :made_by, :ends_at)",
            row,
        )
        about = {"link": str(row["id"]), "made": "yes", "ends": str(row["ends_at"]), **scope}
        await audit.record(w, box, audit.Entry(actor=actor, action=Action.LINK, about=about))

    await box.database.write(work)
    return str(row["id"]), secret


async def every(box: Box, *, account: str | None = None) -> Sequence[Share]:
    """All links, or one account's, the newest first."""
    only = " where share.account_id = :account" if account is not None else ""
    rows = await box.database.fetch_all(
        f"{_ROW}{only} order by share.made_at desc, share.id",
        {"account": account} if account is not None else {},
    )
    return [_share(row) for row in rows]


async def revoke(box: Box, key: str, *, actor: Actor, account: str | None = None) -> None:
    """Let a link show nothing more, wherever it is open; one of `account` where given. Raises NotFound."""
    only = " and account_id = :account" if account is not None else ""
    params = {"id": key, "now": box.clock().isoformat(timespec="seconds")}

    async def work(w: Writer) -> bool:
        found = await w.fetch_value(
            f"update share set revoked_at = coalesce(revoked_at, :now) where id = :id{only} returning id",
            params | ({"account": account} if account is not None else {}),
        )
        if found is None:
            return False
        await w.execute("delete from share_session where share_id = :id", {"id": key})
        about = {"link": key, "revoked": "yes"}
        await audit.record(w, box, audit.Entry(actor=actor, action=Action.LINK, about=about))
        await changed(w)
        return True

    if not await box.database.write(work):
        raise NotFound("There is no such link.")
    known(box).forget()


async def look(box: Box, secret: str) -> Share:
    """The link of an address, where it still leads somewhere; raises NotFound."""
    return _share(await _found(box, secret))


async def open_link(box: Box, secret: str, password: str, *, address: str) -> Opened | None:
    """Open a link in a browser; None where the password is wrong.

    Raises NotFound where there is no such link (any more), TooMany where guessing is slowed down.
    """
    row = await _found(box, secret)
    if row["password"] is not None:
        async with guessing.attempt(box, f"link {row['id']}", address) as attempt:
            attempt.right = await passwords.matches(box, row["password"], password)
        if not attempt.right:
            return None
    now, cookie = box.clock(), secrets.token_urlsafe(32)
    ends = (now + timedelta(hours=box.settings.session_length)).isoformat(timespec="seconds")
    at = now.isoformat(timespec="seconds")
    given = {"digest": digest(cookie), "id": row["id"], "ends": min(ends, row["ends_at"])}

    async def work(w: Writer) -> None:
        await w.execute("delete from share_session where ends_at < :at", {"at": at})
        await w.execute(
            "insert into share_session (digest, share_id, ends_at) values (:digest, :id, :ends)", given
        )
        await w.execute(
            "update share set uses = uses + 1, used_at = :at where id = :id", {"at": at, "id": row["id"]}
        )
        actor = Actor(name=_actor(row), kind="link", address=address)
        await audit.record(w, box, audit.Entry(actor=actor, action=Action.LOG_IN))

    await box.database.write(work)
    return Opened(secret=cookie, opens=row["opens"])


async def by_cookie(box: Box, secret: str) -> Identity | None:
    """What a link that was opened in a browser lets it see; None where that has ended."""
    key = b"l" + digest(secret).encode()
    memory = known(box)
    if found := await memory.get(key):
        return found
    since = memory.age
    now = box.clock().isoformat(timespec="seconds")
    row = await box.database.fetch_one(
        _ROW.replace(" from share ", ", share_session.ends_at as until from share ", 1)
        + " join share_session on share_session.share_id = share.id"
        + f" where share_session.digest = :digest and share_session.ends_at > :now and {_HOLDS}",
        {"digest": digest(secret), "now": now},
    )
    if row is None or not _may_share(row):
        return None
    identity = _identity(row)
    memory.keep(key, identity, since=since, seconds=min(_left(box, row["until"]), REMEMBERED))
    return identity


async def of_link(box: Box, link: str) -> Identity | None:
    """What a link lets see, by its key; None where it has ended."""
    key = b"L" + link.encode()
    memory = known(box)
    if found := await memory.get(key):
        return found
    since = memory.age
    now = box.clock().isoformat(timespec="seconds")
    row = await box.database.fetch_one(f"{_ROW} where share.id = :id and {_HOLDS}", {"id": link, "now": now})
    if row is None or not _may_share(row):
        return None
    identity = _identity(row)
    memory.keep(key, identity, since=since, seconds=min(_left(box, row["ends_at"]), REMEMBERED))
    return identity


async def close(box: Box, secret: str) -> None:
    """Let a browser see by its link no more."""

    async def work(w: Writer) -> None:
        await w.execute("delete from share_session where digest = :digest", {"digest": digest(secret)})
        await changed(w)

    await box.database.write(work)
    known(box).forget()


async def _found(box: Box, secret: str) -> Row:
    row = await box.database.fetch_one(
        f"{_ROW} where share.digest = :digest and {_HOLDS}",
        {"digest": digest(secret), "now": box.clock().isoformat(timespec="seconds")},
    )
    if row is None or not _may_share(row):
        raise NotFound("This link leads nowhere: it has ended, or was revoked.")
    return row


def _may_share(row: Row) -> bool:
    """Whether its owner still may; a link made without accounts holds by itself."""
    if row["owner"] is None:
        return True
    return not row["disabled"] and Right.SHARE in rights_of(json.loads(row["role_rights"]))


def _identity(row: Row) -> Identity:
    rights = rights_of(json.loads(row["rights"]))
    scope = Scope.from_json(json.loads(row["scope"]))
    if row["owner"] is not None:
        rights &= rights_of(json.loads(row["role_rights"]))
        scope = scope.within(Scope.from_json(json.loads(row["account_scope"])))
    if Right.IDENTITIES not in rights:
        scope = scope.within(Scope(identities=False))
    return Identity(
        actor=Actor(name=_actor(row), kind="link"), scope=scope, rights=rights, link=str(row["id"])
    )


def _actor(row: Row) -> str:
    return f"link {row['id']} of {row['made_by']}"


def _left(box: Box, until: str) -> float:
    return (datetime.fromisoformat(until) - box.clock()).total_seconds()


def _share(row: Row) -> Share:
    return Share(
        id=row["id"],
        name=row["name"],
        scope=json.loads(row["scope"]),
        rights=json.loads(row["rights"]),
        owner=row["owner_name"],
        password=row["password"] is not None,
        made_at=row["made_at"],
        made_by=row["made_by"],
        ends_at=row["ends_at"],
        revoked_at=row["revoked_at"],
        uses=row["uses"],
        used_at=row["used_at"],
    )
