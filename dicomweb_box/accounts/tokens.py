"""Tokens for programs and peers: told once, kept as digests, with rights, a scope and an end."""

import json
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.accounts.credentials import TOKEN_PREFIX, digest
from dicomweb_box.accounts.granting import COMMAND_LINE, Giver, check
from dicomweb_box.accounts.known import changed, known
from dicomweb_box.accounts.rights import Right, rights_of
from dicomweb_box.box import Box
from dicomweb_box.database import Row, Writer
from dicomweb_box.errors import BadRequest, NotFound

LONGEST_NAME = 64
LONGEST_LIFE = 3650
"""Days."""
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1), "y": timedelta(days=365)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A token as its owner and administrators see it: never its secret."""

    id: str
    name: str
    rights: list[str]
    scope: dict[str, Any]
    owner: str | None
    """Name of the account whose rights bound it; None: made at the command line."""
    peer: str | None
    made_at: str
    made_by: str
    ends_at: str | None
    revoked_at: str | None
    used_at: str | None


def life(text: str) -> timedelta:
    """How long `90d`, `12h`, `4w` or `1y` is; raises BadRequest."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([hdwy])", text.strip().lower())
    given = int(found[1]) * _UNITS[found[2]] if found else timedelta()
    if not timedelta() < given <= timedelta(days=LONGEST_LIFE):
        raise BadRequest(
            "A time is a number of hours, days, weeks or years, as 12h, 90d, 4w, 1y; at most 10 years."
        )
    return given


async def create(
    box: Box,
    name: str,
    *,
    rights: Iterable[str],
    actor: Actor,
    expires: timedelta | None,
    account: str | None = None,
    scope: dict[str, Any] | None = None,
    peer: str | None = None,
    giver: Giver = COMMAND_LINE,
) -> tuple[str, str]:
    """Make a token: its key and its secret, which is told nowhere else.

    Raises BadRequest for an unknown right, a name or a scope that cannot be, Forbidden for more than `giver`
    may give.
    """
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise BadRequest(f"A token's name has 1 to {LONGEST_NAME} printable characters.")
    given = rights_of(rights)
    if not given:
        raise BadRequest("A token needs at least one right.")
    check(giver, given, scope or {})
    secret, now = TOKEN_PREFIX + secrets.token_urlsafe(32), box.clock()
    row = {
        "id": secrets.token_urlsafe(9),
        "name": name,
        "digest": digest(secret),
        "account": account,
        "rights": json.dumps([right for right in Right if right in given]),
        "scope": json.dumps(scope or {}),
        "peer": peer,
        "made_at": now.isoformat(timespec="seconds"),
        "made_by": actor.name,
        "ends_at": (now + expires).isoformat(timespec="seconds") if expires else None,
    }

    async def work(w: Writer) -> None:
        await w.execute(
            "insert into token (id, name, digest, account_id, rights, scope, peer, made_at, made_by, ends_at)"
            " values (:id, :name, :digest, :account, :rights, :scope, :peer, :made_at, :made_by, :ends_at)",
            row,
        )
        await changed(w)
        await audit.record(w, box, _told(actor, str(row["id"]), "made"))

    await box.database.write(work)
    return str(row["id"]), secret


async def every(box: Box, *, account: str | None = None) -> Sequence[Token]:
    """All tokens, or one account's, the newest first."""
    only = " where token.account_id = :account" if account is not None else ""
    rows = await box.database.fetch_all(
        "select token.id, token.name, token.rights, token.scope, account.name as owner, token.peer,"
        " token.made_at, token.made_by, token.ends_at, token.revoked_at, token.used_at from token"
        f" left join account on account.id = token.account_id{only} order by token.made_at desc, token.id",
        {"account": account} if account is not None else {},
    )
    return [_token(row) for row in rows]


async def revoke(box: Box, key: str, *, actor: Actor, account: str | None = None) -> None:
    """Let a token be valid no more; only one of `account` where that is given. Raises NotFound."""
    only = " and account_id = :account" if account is not None else ""
    params = {"id": key, "now": box.clock().isoformat(timespec="seconds")}

    async def work(w: Writer) -> bool:
        found = await w.fetch_value(
            f"update token set revoked_at = coalesce(revoked_at, :now) where id = :id{only} returning id",
            params | ({"account": account} if account is not None else {}),
        )
        await changed(w)
        if found is not None:
            await audit.record(w, box, _told(actor, key, "revoked"))
        return found is not None

    if not await box.database.write(work):
        raise NotFound("There is no such token.")
    known(box).forget()


def _told(actor: Actor, key: str, what: str) -> audit.Entry:
    return audit.Entry(actor=actor, action=Action.TOKEN, about={"token": key, "what": what})


def _token(row: Row) -> Token:
    return Token(
        id=row["id"],
        name=row["name"],
        rights=json.loads(row["rights"]),
        scope=json.loads(row["scope"]),
        owner=row["owner"],
        peer=row["peer"],
        made_at=row["made_at"],
        made_by=row["made_by"],
        ends_at=row["ends_at"],
        revoked_at=row["revoked_at"],
        used_at=row["used_at"],
    )
