"""Accounts of people: made, changed, disabled; each has a role and a part of the archive."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dicomweb_box.accounts import audit, passwords
from dicomweb_box.accounts.access import SYSTEM, Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.accounts.granting import COMMAND_LINE, Giver, check_account, check_over
from dicomweb_box.accounts.known import changed, known
from dicomweb_box.accounts.rights import rights_of
from dicomweb_box.box import Box
from dicomweb_box.database import Row, UniqueViolation, Writer
from dicomweb_box.errors import BadRequest, Conflict, NotFound

FIRST = "admin"
"""Name of the account that the first start makes."""
LONGEST_NAME = 64

_ADMINISTRATORS = (
    "select count(*) from account join role on role.name = account.role"
    " where account.initial = 0 and role.rights like '%\"administer\"%'"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """A person's account as administrators see it."""

    id: str
    """Random; what addresses name it by."""
    name: str
    full_name: str
    role: str
    scope: dict[str, Any]
    """Lists of studies, sources and labels; a missing one: all."""
    disabled: bool
    must_change: bool
    second_factor: bool
    single_sign_on: str | None
    made_at: str
    made_by: str
    seen_at: str | None


_COLUMNS = (
    "id, name, full_name, role, scope, disabled, must_change, second_factor, issuer, made_at, made_by,"
    " seen_at"
)


async def every(box: Box) -> Sequence[Account]:
    """All accounts by name."""
    rows = await box.database.fetch_all(f"select {_COLUMNS} from account order by folded")
    return [_account(row) for row in rows]


async def account(box: Box, name: str) -> Account:
    """The account of a name; raises NotFound."""
    row = await box.database.fetch_one(
        f"select {_COLUMNS} from account where folded = :folded",
        {"folded": name.casefold()},
    )
    if row is None:
        raise NotFound("There is no account of this name.")
    return _account(row)


async def by_key(box: Box, key: str) -> Account:
    """The account of a key; raises NotFound."""
    row = await box.database.fetch_one(f"select {_COLUMNS} from account where id = :id", {"id": key})
    if row is None:
        raise NotFound("There is no such account.")
    return _account(row)


async def add(
    box: Box,
    name: str,
    *,
    role: str,
    actor: Actor,
    password: str | None = None,
    full_name: str = "",
    scope: dict[str, Any] | None = None,
    must_change: bool = True,
    giver: Giver = COMMAND_LINE,
) -> str:
    """Make an account; its password, which is a generated one where none is given.

    Raises BadRequest for a name, password, role or scope that cannot be, Conflict where the name is taken,
    Forbidden where it is more than `giver` may give.
    """
    name = _name(name)
    given = passwords.acceptable(password, name=name) if password is not None else passwords.generated()
    Scope.from_json(scope or {})
    row = {
        "id": secrets.token_urlsafe(9),
        "name": name,
        "folded": name.casefold(),
        "full_name": full_name.strip()[:LONGEST_NAME],
        "role": role,
        "scope": json.dumps(scope or {}),
        "password": await passwords.hashed(box, given),
        "must_change": int(must_change),
        "made_at": box.clock().isoformat(timespec="seconds"),
        "made_by": actor.name,
    }

    async def work(w: Writer) -> None:
        await _known_role(w, role)
        await w.execute(
            "insert into account"
            " (id, name, folded, full_name, role, scope, password, must_change, made_at, made_by) values"
            " (:id, :name, :folded, :full_name, :role, :scope, :password, :must_change, :made_at, :made_by)",
            row,
        )
        await check_account(w, giver, str(row["id"]))
        await changed(w)
        await audit.record(w, box, _told(actor, name, "made", role=role))

    try:
        await box.database.write(work)
    except UniqueViolation:
        raise Conflict("There is an account of this name already.") from None
    known(box).forget()
    return given


async def change(
    box: Box,
    name: str,
    *,
    actor: Actor,
    role: str | None = None,
    full_name: str | None = None,
    scope: dict[str, Any] | None = None,
    giver: Giver = COMMAND_LINE,
) -> None:
    """Change what is given of an account.

    Raises NotFound, BadRequest, Forbidden where it is more than `giver` may give, or Conflict for the last
    administrator.
    """
    given = {"role": role, "full name": full_name, "scope": scope}
    what = [of for of, value in given.items() if value is not None]
    Scope.from_json(scope or {})

    async def work(w: Writer) -> None:
        await changed(w)  # first: who changes accounts at the same time waits, and then sees what is left
        key = await _key(w, name)
        await check_over(w, giver, key)
        if role is not None:
            await _known_role(w, role)
            await w.execute("update account set role = :role where id = :id", {"role": role, "id": key})
        if full_name is not None:
            wanted = {"full_name": full_name.strip()[:LONGEST_NAME], "id": key}
            await w.execute("update account set full_name = :full_name where id = :id", wanted)
        if scope is not None:
            wanted = {"scope": json.dumps(scope), "id": key}
            await w.execute("update account set scope = :scope where id = :id", wanted)
        if role is not None or scope is not None:
            await check_account(w, giver, key)
            await some_administrator(w)
        await audit.record(w, box, _told(actor, name, f"changed {', '.join(what)}", role=role))

    await box.database.write(work)
    known(box).forget()


async def set_disabled(
    box: Box, name: str, *, disabled: bool, actor: Actor, giver: Giver = COMMAND_LINE
) -> None:
    """Let an account log in no more, its log-ins end and its tokens stop; or let it again.

    Raises NotFound, Conflict for the last administrator, or Forbidden where what it has or gets back is more
    than `giver` may give.
    """

    async def work(w: Writer) -> None:
        await changed(w)
        key = await _key(w, name)
        await check_over(w, giver, key)
        await w.execute(
            "update account set disabled = :disabled where id = :id", {"disabled": int(disabled), "id": key}
        )
        if disabled:
            await w.execute("delete from session where account_id = :id", {"id": key})
            await some_administrator(w)
        else:
            await check_account(w, giver, key)
        await audit.record(w, box, _told(actor, name, "disabled" if disabled else "enabled"))

    await box.database.write(work)
    known(box).forget()


async def set_password(
    box: Box,
    name: str,
    password: str | None,
    *,
    actor: Actor,
    must_change: bool,
    keep_session: str | None = None,
    giver: Giver = COMMAND_LINE,
) -> str:
    """Give an account a password, a generated one where none is given; the password.

    Its other log-ins end. Raises NotFound, BadRequest, or Forbidden where it has more than `giver` may give.
    """
    found = await account(box, name)
    given = passwords.acceptable(password, name=found.name) if password is not None else passwords.generated()
    kept = await passwords.hashed(box, given)

    async def work(w: Writer) -> None:
        key = await _key(w, name)
        await check_account(w, giver, key)
        await w.execute(
            "update account set password = :password, must_change = :must_change, initial = 0 where id = :id",
            {"password": kept, "must_change": int(must_change), "id": key},
        )
        await w.execute(
            "delete from session where account_id = :id and id <> :kept",
            {"id": key, "kept": keep_session or ""},
        )
        await changed(w)
        await audit.record(w, box, _told(actor, found.name, "password", action=Action.PASSWORD))

    await box.database.write(work)
    known(box).forget()
    return given


async def first_administrator(box: Box) -> str | None:
    """The one-time password of `admin`, made at each start until somebody has used it; else None."""
    if await administered(box):
        return None
    password = passwords.generated()
    kept = await passwords.hashed(box, password)
    row = {
        "id": secrets.token_urlsafe(9),
        "name": FIRST,
        "password": kept,
        "at": box.clock().isoformat(timespec="seconds"),
    }

    async def work(w: Writer) -> bool:
        if await w.fetch_value(_ADMINISTRATORS):
            return False
        await w.execute(
            "insert into account (id, name, folded, role, password, must_change, initial, made_at, made_by)"
            " values (:id, :name, :name, 'administrator', :password, 1, 1, :at, 'dicomweb_box')"
            " on conflict (folded) do update set password = :password",
            row,
        )
        await changed(w)
        await audit.record(w, box, _told(SYSTEM, FIRST, "one-time password", action=Action.PASSWORD))
        return True

    return password if await box.database.write(work) else None


async def administered(box: Box) -> bool:
    """Whether there is an administrator whom somebody made, or who has logged in."""
    return bool(await box.database.fetch_value(_ADMINISTRATORS))


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or ":" in name or not name.isprintable():
        raise BadRequest(f"A name has 1 to {LONGEST_NAME} printable characters and no colon.")
    return name


def _told(
    actor: Actor, name: str, what: str, *, role: str | None = None, action: Action = Action.ACCOUNT
) -> audit.Entry:
    about = {"account": name, "what": what} | ({"role": role} if role is not None else {})
    return audit.Entry(actor=actor, action=action, about=about)


async def _known_role(w: Writer, role: str) -> None:
    if not await w.fetch_value("select count(*) from role where name = :name", {"name": role}):
        names = [row["name"] for row in await w.fetch_all("select name from role order by name")]
        raise BadRequest(f"There is no such role; there are {', '.join(names)}.")


async def _key(w: Writer, name: str) -> str:
    key = await w.fetch_value("select id from account where folded = :folded", {"folded": name.casefold()})
    if key is None:
        raise NotFound("There is no account of this name.")
    return str(key)


async def some_administrator(w: Writer) -> None:
    """Raises Conflict where nobody is left who may administer everything."""
    rows = await w.fetch_all(
        "select role.rights from account join role on role.name = account.role"
        " where account.disabled = 0 and account.scope = '{}'"
    )
    if not any("administer" in rights_of(json.loads(row["rights"])) for row in rows):
        raise Conflict("Somebody must stay who may administer the box.")


def _account(row: Row) -> Account:
    return Account(
        id=row["id"],
        name=row["name"],
        full_name=row["full_name"],
        role=row["role"],
        scope=json.loads(row["scope"]),
        disabled=bool(row["disabled"]),
        must_change=bool(row["must_change"]),
        second_factor=row["second_factor"] is not None,
        single_sign_on=row["issuer"],
        made_at=row["made_at"],
        made_by=row["made_by"],
        seen_at=row["seen_at"],
    )
