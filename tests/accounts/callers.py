"""Everybody who may ask a box: each role, right and kind of scope, and who proves nothing (any more)."""

import base64
import json
import secrets
from dataclasses import dataclass
from typing import Any

from dicomweb_box.accounts import sessions, tokens, users
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.accounts.rights import EVERY_RIGHT, NO_RIGHT, Right, rights_of
from dicomweb_box.box import Box

PASSWORD = "correct horse battery"
EVERYTHING = [str(right) for right in Right]
EARLIER = "2026-01-01T00:00:00+00:00"


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Somebody who asks."""

    name: str
    headers: dict[str, str]
    rights: frozenset[Right] = NO_RIGHT
    known: bool = True
    """Whether it proves who it is."""
    wrong: bool = False
    """Whether what it brings as a proof is refused, even where nothing has to be proved."""

    def expected(self, needed: frozenset[Right] | None) -> int | None:
        """401 or 403; None: it is let through."""
        if self.wrong:
            return 401
        if needed is None:
            return None
        if not self.known:
            return 401
        return None if needed <= self.rights else 403


def basic(name: str, password: str) -> dict[str, str]:
    """The header of RFC 7617."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def bearer(secret: str) -> dict[str, str]:
    """The header of RFC 6750."""
    return {"Authorization": f"Bearer {secret}"}


def cookie(secret: str) -> dict[str, str]:
    """What a browser sends that has logged in."""
    return {"Cookie": f"dicomweb_box={secret}", "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}


async def account(box: Box, name: str, role: str) -> str:
    """A new account without a password, whose hash would take its time; the cookie of its log-in."""
    await box.database.write(
        lambda w: w.execute(
            "insert into account (id, name, folded, role, made_at, made_by)"
            " values (:id, :name, :folded, :role, :at, 'tests')",
            {"id": name, "name": name, "folded": name.casefold(), "role": role, "at": EARLIER},
        )
    )
    return await log_in(box, name)


async def log_in(box: Box, name: str) -> str:
    """The cookie of a new log-in."""
    begun = await sessions.begin(box, await _key(box, name), address="127.0.0.1", agent="tests")
    return begun.secret


async def with_password(box: Box, name: str, role: str, *, must_change: bool = False) -> str:
    """A new account with a password; the cookie of its log-in."""
    await users.add(box, name, role=role, password=PASSWORD, must_change=must_change, actor=SYSTEM)
    return await log_in(box, name)


async def role(box: Box, name: str, rights: list[str]) -> None:
    """A new role."""
    await box.database.write(
        lambda w: w.execute(
            "insert into role (name, rights, made_at, made_by) values (:name, :rights, :at, 'tests')",
            {"name": name, "rights": json.dumps(rights), "at": EARLIER},
        )
    )


async def token(box: Box, name: str, *, scope: dict[str, Any] | None = None, **more: Any) -> str:
    """The secret of a new token that may do everything."""
    _, secret = await tokens.create(
        box, name, rights=EVERYTHING, actor=SYSTEM, expires=None, scope=scope, **more
    )
    return secret


async def roles(box: Box) -> list[Caller]:
    """A person of each role that a new box has, one by password, and one who has to choose a password."""
    rows = await box.database.fetch_all("select name, rights from role order by name")
    found = []
    for row in rows:
        make = with_password if row["name"] == "viewer" else account
        secret, rights = await make(box, f"{row['name']} Roe", row["name"]), json.loads(row["rights"])
        found.append(Caller(name=f"role {row['name']}", headers=cookie(secret), rights=rights_of(rights)))
    viewer = next(one for one in found if one.name == "role viewer")
    found.append(Caller(name="viewer by Basic", headers=basic("viewer Roe", PASSWORD), rights=viewer.rights))
    new = await with_password(box, "Nora New", "administrator", must_change=True)
    return [
        *found,
        Caller(name="must choose a password", headers=cookie(new)),
        Caller(name="must choose, by Basic", headers=basic("Nora New", PASSWORD), wrong=True),
    ]


async def single_rights(box: Box) -> list[Caller]:
    """A person for each right, who has that one alone."""
    found = []
    for right in Right:
        await role(box, f"only {right}", [right])
        secret = await account(box, f"Only {right}", f"only {right}")
        found.append(Caller(name=f"only {right}", headers=cookie(secret), rights=frozenset({right})))
    return found


async def scoped(box: Box, scopes: dict[str, dict[str, Any]]) -> list[Caller]:
    """A token for each of these scopes, with every right."""
    return [
        Caller(name=f"scope {name}", headers=bearer(await token(box, name, scope=scope)), rights=EVERY_RIGHT)
        for name, scope in scopes.items()
    ]


async def refused(box: Box) -> list[Caller]:
    """Who proves nothing, or nothing any more."""
    done = await account(box, "Dora Done", "administrator")
    idle = await account(box, "Ida Idle", "administrator")
    out = await account(box, "Olga Out", "administrator")
    unfinished = await account(box, "Una Unfinished", "administrator")
    await with_password(box, "Dan Disabled", "administrator")
    disabled = await token(box, "of disabled", account=await _key(box, "Dan Disabled"))
    expired, revoked = await token(box, "expired"), await token(box, "revoked")

    async def later(w: Any) -> None:
        of = "where account_id = (select id from account where name = :name)"
        await w.execute(f"update session set ends_at = :at {of}", {"at": EARLIER, "name": "Dora Done"})
        await w.execute(f"update session set seen_at = :at {of}", {"at": EARLIER, "name": "Ida Idle"})
        await w.execute(f"update session set complete = 0 {of}", {"name": "Una Unfinished"})
        await w.execute("update token set ends_at = :at where name = 'expired'", {"at": EARLIER})

    await box.database.write(later)
    key = await box.database.fetch_value("select id from token where name = 'revoked'")
    await tokens.revoke(box, key, actor=SYSTEM)
    await users.set_disabled(box, "Dan Disabled", disabled=True, actor=SYSTEM)
    session = await box.database.fetch_value(
        "select id from session where account_id = :key", {"key": await _key(box, "Olga Out")}
    )
    await sessions.end(box, session, account=await _key(box, "Olga Out"), actor=SYSTEM)
    await account(box, "Greg Guessed", "viewer")
    nobody = {
        "anonymous": {},
        "an invented cookie": cookie(secrets.token_urlsafe(32)),
        "an empty cookie": cookie(""),
        "an expired log-in": cookie(done),
        "a log-in unused for long": cookie(idle),
        "a log-in that was ended": cookie(out),
        "a log-in without its second factor": cookie(unfinished),
    }
    wrong = {
        "an expired token": bearer(expired),
        "a revoked token": bearer(revoked),
        "a revoked token by Basic": basic("anybody", revoked),
        "a disabled account's token": bearer(disabled),
        "a disabled account": basic("Dan Disabled", PASSWORD),
        # Of nobody who is let in here: guesses of one's own name from one's own address hold one up.
        "a wrong password": basic("Greg Guessed", "wrong horse battery"),
        "an unknown name": basic("nobody", PASSWORD),
        "an invented token": bearer("dwb_" + secrets.token_urlsafe(32)),
        "a digest of a token": bearer(
            await box.database.fetch_value("select digest from token where name = 'expired'")
        ),
        "an empty token": bearer(""),
        "broken Basic": {"Authorization": "Basic !"},
        "Basic with a NUL": basic("viewer Roe\0", PASSWORD),
        "another scheme": {"Authorization": "Negotiate YII="},
        "a wrong token beside a good log-in": bearer("dwb_x") | cookie(await account(box, "Gail", "viewer")),
    }
    return [
        *(Caller(name=name, headers=headers, known=False) for name, headers in nobody.items()),
        *(Caller(name=name, headers=headers, known=False, wrong=True) for name, headers in wrong.items()),
    ]


async def _key(box: Box, name: str) -> str:
    return str(await box.database.fetch_value("select id from account where name = :name", {"name": name}))
