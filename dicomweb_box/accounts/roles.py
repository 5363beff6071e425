"""Roles: named sets of rights, that accounts have by their name."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.accounts.granting import COMMAND_LINE, Giver, check_rights
from dicomweb_box.accounts.known import changed, known
from dicomweb_box.accounts.rights import Right, rights_of
from dicomweb_box.accounts.users import some_administrator
from dicomweb_box.box import Box
from dicomweb_box.database import Row, UniqueViolation, Writer
from dicomweb_box.errors import BadRequest, Conflict, Forbidden, NotFound

_NAME = re.compile(r"[^\W_](?:[\w -]{0,30}[^\W_])?")
_SELECT = (
    "select role.name, role.rights, role.made_at, role.made_by,"
    " (select count(*) from account where account.role = role.name) as accounts from role"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """A set of rights, and how many accounts have it."""

    name: str
    rights: list[str]
    accounts: int
    made_at: str
    made_by: str


async def every(box: Box) -> Sequence[Role]:
    """All roles by name."""
    return [_role(row) for row in await box.database.fetch_all(f"{_SELECT} order by role.name")]


async def role(box: Box, name: str) -> Role:
    """The role of a name; raises NotFound."""
    row = await box.database.fetch_one(f"{_SELECT} where role.name = :name", {"name": name})
    if row is None:
        raise NotFound("There is no role of this name.")
    return _role(row)


async def make(
    box: Box, name: str, *, rights: Iterable[str], actor: Actor, giver: Giver = COMMAND_LINE
) -> str:
    """Make a role; its name as it is kept.

    Raises BadRequest for a name or right that cannot be, Forbidden for one that `giver` may not give,
    Conflict where there is such a role.
    """
    name, given = _name(name), _given(rights)
    _check(giver, given)
    row = {
        "name": name,
        "rights": _text(given),
        "at": box.clock().isoformat(timespec="seconds"),
        "by": actor.name,
    }

    async def work(w: Writer) -> None:
        await w.execute(
            "insert into role (name, rights, made_at, made_by) values (:name, :rights, :at, :by)", row
        )
        await changed(w)
        await audit.record(w, box, _told(actor, name, "made", given))

    try:
        await box.database.write(work)
    except UniqueViolation:
        raise Conflict("There is a role of this name already.") from None
    return name


async def change(
    box: Box, name: str, *, rights: Iterable[str], actor: Actor, giver: Giver = COMMAND_LINE
) -> None:
    """Let a role have these rights; they hold at once for all who have it.

    Raises NotFound, BadRequest for an unknown right, Forbidden for a new one that `giver` may not give,
    Conflict where nobody could administer any more.
    """
    given = _given(rights)

    async def work(w: Writer) -> None:
        await changed(w)  # first: who changes accounts at the same time waits, and then sees what is left
        before = await w.fetch_value("select rights from role where name = :name", {"name": name})
        if before is None:
            raise NotFound("There is no role of this name.")
        _check(giver, given - rights_of(json.loads(before)))
        row = {"name": name, "rights": _text(given)}
        await w.execute("update role set rights = :rights where name = :name", row)
        if Right.ADMINISTER not in given:
            await some_administrator(w)
        await audit.record(w, box, _told(actor, name, "changed", given))

    await box.database.write(work)
    known(box).forget()


async def delete(box: Box, name: str, *, actor: Actor, giver: Giver = COMMAND_LINE) -> None:
    """Delete a role; raises NotFound, Conflict while an account has it."""
    _check(giver, frozenset())

    async def work(w: Writer) -> None:
        used = await w.fetch_value("select count(*) from account where role = :name", {"name": name})
        if used:
            accounts = "account has" if used == 1 else "accounts have"
            raise Conflict(f"{used} {accounts} this role; give them another one first.")
        gone = await w.fetch_value("delete from role where name = :name returning name", {"name": name})
        if gone is None:
            raise NotFound("There is no role of this name.")
        await audit.record(w, box, _told(actor, name, "deleted", frozenset()))

    await box.database.write(work)


def _told(actor: Actor, name: str, what: str, rights: frozenset[Right]) -> audit.Entry:
    about: dict[str, audit.Value] = {"role": name, "what": what}
    if rights:
        about["rights"] = sorted(rights)
    return audit.Entry(actor=actor, action=Action.ROLE, about=about)


def _check(giver: Giver, rights: frozenset[Right]) -> None:
    if not giver.scope.whole:
        raise Forbidden("Only who has the whole archive may change roles: they hold everywhere.")
    check_rights(giver, rights)


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not _NAME.fullmatch(name) or name == "new":  # the address of the form
        raise BadRequest(
            "A role's name has 1 to 32 letters, digits, spaces and hyphens, a letter or digit at its ends,"
            " and is not “new”."
        )
    return name


def _given(rights: Iterable[str]) -> frozenset[Right]:
    given = rights_of(rights)
    if not given:
        raise BadRequest("A role has at least one right.")
    return given


def _text(rights: frozenset[Right]) -> str:
    return json.dumps([right for right in Right if right in rights])


def _role(row: Row) -> Role:
    return Role(
        name=row["name"],
        rights=json.loads(row["rights"]),
        accounts=row["accounts"],
        made_at=row["made_at"],
        made_by=row["made_by"],
    )
