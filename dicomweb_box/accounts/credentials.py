"""What a request proves: a session's cookie, a token, or a name and a password."""

import asyncio
import hashlib
import hmac
import json
import secrets
from datetime import datetime, timedelta

from dicomweb_box.accounts import guessing, passwords
from dicomweb_box.accounts.access import Actor, Identity, Scope
from dicomweb_box.accounts.known import known
from dicomweb_box.accounts.rights import Right, rights_of
from dicomweb_box.accounts.users import FIRST
from dicomweb_box.box import Box
from dicomweb_box.database import Row
from dicomweb_box.errors import Unauthenticated

TOKEN_PREFIX = "dwb_"  # noqa: S105  (what secrets begin with, so that scanners of repositories know one)
REMEMBERED = 300.0
"""Seconds for which a proved password, token or session is not looked up again, unless something changed."""
_PROCESS_KEY = secrets.token_bytes(32)

_ACCOUNT = (
    "account.id as account_id, account.name as account_name, account.scope as account_scope,"
    " role.rights as role_rights, account.must_change as must_change, account.disabled as disabled,"
    " account.second_factor as second_factor, account.issuer as issuer"
)


def digest(secret: str) -> str:
    """A secret of ours as it is kept: random ones need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def by_session(box: Box, secret: str) -> Identity | None:
    """Whose log-in a cookie is; None where there is none (any more)."""
    key = b"s" + hashlib.sha256(secret.encode()).digest()
    return await _session(box, key, "session.digest", digest(secret))


async def of_session(box: Box, session: str) -> Identity | None:
    """Whose log-in this is, by its key; None where it has ended."""
    return await _session(box, b"S" + session.encode(), "session.id", session)


async def _session(box: Box, key: bytes, column: str, value: str) -> Identity | None:
    memory = known(box)
    if found := await memory.get(key):
        return found
    since = memory.age
    now = box.clock()
    idle = timedelta(minutes=box.settings.session_idle)
    row = await box.database.fetch_one(
        f"select session.id, session.ends_at, session.seen_at, {_ACCOUNT} from session"
        " join account on account.id = session.account_id join role on role.name = account.role"
        f" where {column} = :value and session.complete = 1 and account.disabled = 0"
        " and session.ends_at > :now and session.seen_at > :idle",
        {"value": value, "now": _text(now), "idle": _text(now - idle)},
    )
    if row is None:
        return None
    identity = _of_account(box, row, session=row["id"])
    left = (datetime.fromisoformat(row["ends_at"]) - now).total_seconds()
    memory.keep(key, identity, since=since, seconds=min(left, REMEMBERED), idle=idle.total_seconds())
    return identity


async def by_token(box: Box, secret: str) -> Identity | None:
    """Whom a token acts for; None where it is not valid (any more)."""
    key = b"t" + hashlib.sha256(secret.encode()).digest()
    return await _token(box, key, "token.digest", digest(secret))


async def of_token(box: Box, token: str) -> Identity | None:
    """Whom a token acts for, by its key; None where it is not valid (any more)."""
    return await _token(box, b"T" + token.encode(), "token.id", token)


async def _token(box: Box, key: bytes, column: str, value: str) -> Identity | None:
    memory = known(box)
    if found := await memory.get(key):
        return found
    since = memory.age
    now = box.clock()
    row = await box.database.fetch_one(
        "select token.id, token.name, token.rights, token.scope, token.peer, token.ends_at, "
        f"token.account_id as owner, {_ACCOUNT} from token left join account on account.id = token.account_id"
        f" left join role on role.name = account.role where {column} = :value"
        " and token.revoked_at is null and (token.ends_at is null or token.ends_at > :now)",
        {"value": value, "now": _text(now)},
    )
    if row is None or (row["owner"] is not None and row["disabled"]):
        return None
    identity = _of_token(box, row)
    ends = row["ends_at"]
    left = (datetime.fromisoformat(ends) - now).total_seconds() if ends else REMEMBERED
    memory.keep(key, identity, since=since, seconds=min(left, REMEMBERED))
    return identity


async def of_account(box: Box, account: str) -> Identity | None:
    """Who an account is, by its key; None where it is disabled."""
    key = b"A" + account.encode()
    memory = known(box)
    if found := await memory.get(key):
        return found
    since = memory.age
    row = await box.database.fetch_one(
        f"select {_ACCOUNT} from account join role on role.name = account.role"
        " where account.id = :id and account.disabled = 0",
        {"id": account},
    )
    if row is None:
        return None
    identity = _of_account(box, row)
    memory.keep(key, identity, since=since, seconds=REMEMBERED)
    return identity


async def by_password(box: Box, name: str, password: str, *, address: str) -> Identity | None:
    """Whose name and password these are, for a program; None where they are nobody's.

    A token may be given in place of the password. Raises Unauthenticated for an account whose password
    alone is not enough, and TooMany where guessing is slowed down.
    """
    if password.startswith(TOKEN_PREFIX):
        return await by_token(box, password)
    key = b"b" + hmac.digest(_PROCESS_KEY, f"{name}:{password}".encode(), "sha256")
    memory = known(box)
    if found := await memory.get(key):
        return found
    # What asks with many connections at once proves itself once, and is wrong once.
    proving = memory.proving
    task = proving.get(key)
    if task is None:
        task = asyncio.create_task(_by_password(box, name, password, key, address))
        proving[key] = task
        task.add_done_callback(lambda done: _proved(proving, key, done))
    return await asyncio.shield(task)


def _proved(
    proving: dict[bytes, asyncio.Task[Identity | None]], key: bytes, done: asyncio.Task[Identity | None]
) -> None:
    proving.pop(key, None)
    if not done.cancelled():
        done.exception()  # whoever waited was told; nobody has to


async def _by_password(box: Box, name: str, password: str, key: bytes, address: str) -> Identity | None:
    memory = known(box)
    since = memory.age
    row = await proved(box, name, password, address=address, log_in=True)
    if row is None:
        return None
    if row["second_factor"] is not None or row["must_change"] or must_enrol(box, row):
        raise Unauthenticated("This account logs in at /login; programs use a token of it.")
    identity = _of_account(box, row)
    memory.keep(key, identity, since=since, seconds=REMEMBERED)
    return identity


async def proved(
    box: Box, name: str, password: str, *, address: str, log_in: bool = False, device: str = ""
) -> Row | None:
    """The account of a name and its password; None where they do not fit, after the same work.

    It is recorded as a log-in where it is one by itself. Raises TooMany where guessing is slowed down.
    """
    name = name.strip()
    async with guessing.attempt(box, name, address, device=device) as attempt:
        row = await box.database.fetch_one(
            f"select account.password, {_ACCOUNT} from account"
            " join role on role.name = account.role where account.folded = :folded",
            {"folded": name.casefold()},
        )
        kept = row["password"] if row is not None and not row["disabled"] else None
        if box.settings.oidc_only and name.casefold() != FIRST:
            kept = None  # the same work for the same answer
        attempt.name, attempt.told = str(row["account_name"]) if row is not None else "", log_in
        attempt.right = await passwords.matches(box, kept, password)
    return row if attempt.right else None


def must_enrol(box: Box, row: Row) -> bool:
    """Whether an account lacks a second factor that it has to have; single sign-on brings its own."""
    wanted = box.settings.second_factor
    if wanted == "optional" or row["second_factor"] is not None or row["issuer"] is not None:
        return False
    return wanted == "everybody" or Right.ADMINISTER in rights_of(json.loads(row["role_rights"]))


def _of_account(box: Box, row: Row, *, session: str | None = None) -> Identity:
    rights, enrol = _here(box, rights_of(json.loads(row["role_rights"]))), must_enrol(box, row)
    return Identity(
        actor=Actor(name=row["account_name"], kind="user"),
        scope=_seeing(Scope.from_json(json.loads(row["account_scope"])), rights),
        rights=frozenset() if row["must_change"] or enrol else rights,
        account=row["account_id"],
        session=session,
        must_change=bool(row["must_change"]),
        must_enrol=enrol,
    )


def _of_token(box: Box, row: Row) -> Identity:
    rights = rights_of(json.loads(row["rights"]))
    scope = Scope.from_json(json.loads(row["scope"]))
    if row["owner"] is not None:
        rights &= rights_of(json.loads(row["role_rights"]))
        scope = scope.within(Scope.from_json(json.loads(row["account_scope"])))
    rights = _here(box, rights)
    return Identity(
        actor=Actor(name=row["peer"] or row["name"], kind="peer" if row["peer"] else "token"),
        scope=_seeing(scope, rights),
        rights=rights,
        account=row["owner"],
        token=row["id"],
    )


def _here(box: Box, rights: frozenset[Right]) -> frozenset[Right]:
    """The rights; where nobody can be identified, who may see may see everything."""
    return rights | {Right.IDENTITIES} if box.settings.deidentified and Right.SEE in rights else rights


def _seeing(scope: Scope, rights: frozenset[Right]) -> Scope:
    if Right.IDENTITIES in rights:
        return scope
    return scope.within(Scope(identities=False))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
