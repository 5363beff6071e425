"""What somebody may give to others: no right that they lack, and no part of the archive beyond their own.

Who administers the whole archive may give every right, but for `vault`: only who has that one gives it, or
the command line. Whatever hands an account to somebody counts as giving: its role, its part, its password.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dicomweb_box.accounts.access import EVERYTHING, Identity, Scope
from dicomweb_box.accounts.rights import EVERY_RIGHT, Right, rights_of
from dicomweb_box.database import Reader
from dicomweb_box.errors import Forbidden, NotFound


@dataclass(frozen=True, kw_only=True, slots=True)
class Giver:
    """The most that somebody may give."""

    rights: frozenset[Right]
    scope: Scope


COMMAND_LINE = Giver(rights=EVERY_RIGHT, scope=EVERYTHING)
"""Whoever has the box's files has everything."""


def as_administrator(identity: Identity) -> Giver:
    """What somebody may give to accounts."""
    all_but_vault = identity.may(Right.ADMINISTER) and identity.scope.whole
    rights = identity.rights | ((EVERY_RIGHT - {Right.VAULT}) if all_but_vault else frozenset())
    return Giver(rights=rights, scope=identity.scope)


def as_owner(identity: Identity) -> Giver:
    """What somebody may give to a token or a link of their own."""
    return Giver(rights=identity.rights, scope=identity.scope)


def check(giver: Giver, rights: frozenset[Right], scope: Mapping[str, Any]) -> None:
    """Raises Forbidden where it is more than may be given."""
    check_rights(giver, rights)
    if not _covers(giver.scope, Scope.from_json(scope)):
        raise Forbidden("This is more of the archive than is yours to give.")


def check_rights(giver: Giver, rights: frozenset[Right]) -> None:
    """Raises Forbidden where one of them may not be given."""
    missing = [f"“{right}”" for right in Right if right in rights - giver.rights]
    if missing:
        raise Forbidden(f"Only who has the right {' and '.join(missing)} may give it.")


async def check_account(r: Reader, giver: Giver, key: str) -> None:
    """Raises Forbidden where an account, as it is now, has more than may be given; NotFound without it."""
    row = await r.fetch_one(
        "select account.scope, role.rights from account join role on role.name = account.role"
        " where account.id = :id",
        {"id": key},
    )
    if row is None:
        raise NotFound("There is no such account.")
    check(giver, rights_of(json.loads(row["rights"])), json.loads(row["scope"]))


async def check_over(r: Reader, giver: Giver, key: str) -> None:
    """Raises Forbidden where an account, as it is now, is not one to be changed by who has only a part."""
    if not giver.scope.whole:
        await check_account(r, giver, key)


def _covers(wide: Scope, narrow: Scope) -> bool:
    """Whether all that `narrow` lets see is seen by `wide` too, as far as what they name tells."""
    return (
        _all_in(wide.studies, narrow.studies)
        and _all_in(wide.series, narrow.series)
        and _all_in(wide.sources, narrow.sources)
        and all(any(some <= one for some in narrow.labels) for one in wide.labels)
    )


def _all_in(wide: frozenset[str] | None, narrow: frozenset[str] | None) -> bool:
    return wide is None or (narrow is not None and narrow <= wide)
