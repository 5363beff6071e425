"""Accounts of people whom a provider of single sign-on vouches for.

An account belongs to an issuer and a subject, never to a name or an address that somebody could choose; it is
made at the first log-in. Its role, and its part of the archive where a claim gives labels, are those of the
latest log-in.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.accounts.known import changed, known
from dicomweb_box.accounts.oidc import claim
from dicomweb_box.accounts.users import LONGEST_NAME
from dicomweb_box.box import Box
from dicomweb_box.database import Row, Writer
from dicomweb_box.errors import BadSetting, Forbidden

ANYBODY = "*"
"""In `oidc_roles`: whoever the provider lets in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Person:
    """Somebody, as their claims say."""

    issuer: str
    subject: str
    name: str
    full_name: str
    role: str
    scope: dict[str, Any]


async def account_of(box: Box, claims: Mapping[str, Any], *, address: str) -> str:
    """The key of the account of somebody whose claims were proved; made now where there is none.

    Raises Forbidden where no role is theirs, or the account is disabled.
    """
    person = _person(box, claims)

    async def work(w: Writer) -> str:
        if not await w.fetch_value("select count(*) from role where name = :role", {"role": person.role}):
            raise BadSetting(f"oidc_roles gives the role {person.role}, which is not there")
        row = await w.fetch_one(
            "select id, name, full_name, role, scope, disabled from account"
            " where issuer = :issuer and subject = :subject",
            {"issuer": person.issuer, "subject": person.subject},
        )
        if row is None:
            return await _made(w, box, person, address)
        if row["disabled"]:
            raise Forbidden("This account is disabled.")
        await _refreshed(w, box, row, person, address)
        return str(row["id"])

    account = await box.database.write(work)
    known(box).forget()
    return account


async def keep_id_token(box: Box, session: str, sealed: str) -> None:
    """Keep with a log-in what the provider will ask for at its end."""
    await box.database.write(
        lambda w: w.execute(
            "update session set id_token = :sealed where id = :id", {"sealed": sealed, "id": session}
        )
    )


def _person(box: Box, claims: Mapping[str, Any]) -> _Person:
    settings = box.settings
    role = _role(settings.oidc_roles, texts(claim(claims, settings.oidc_role_claim)))
    if role is None:
        raise Forbidden("Single sign-on knows you, but nobody has given you a role here.")
    scope: dict[str, Any] = {}
    if settings.oidc_label_claim is not None:
        # Without the claim: no label, and so nothing; never everything.
        scope = {"labels": sorted(set(texts(claim(claims, settings.oidc_label_claim))))}
    return _Person(
        issuer=settings.oidc_issuer or "",
        subject=str(claims["sub"]),
        name=_first_name(claims),
        full_name=_printable(claims.get("name")),
        role=role,
        scope=scope,
    )


def _role(roles: tuple[str, ...], held: list[str]) -> str | None:
    """The role of the first line that fits."""
    for line in roles:
        value, _, role = line.rpartition("=")
        if value == ANYBODY or value in held:
            return role
    return None


def texts(value: object) -> list[str]:
    """A claim's values: one, or a list of them."""
    found = value if isinstance(value, list) else [value]
    return [one for one in found if isinstance(one, str) and one]


def _first_name(claims: Mapping[str, Any]) -> str:
    """What the account is called, for people alone: it proves nothing."""
    for wanted in ("preferred_username", "email", "name", "sub"):
        if name := _printable(claims.get(wanted)):
            return name
    return "somebody"


def _printable(value: object) -> str:
    kept = "".join(letter for letter in value if letter.isprintable()) if isinstance(value, str) else ""
    return " ".join(kept.replace(":", " ").split())[: LONGEST_NAME - 6]


async def _made(w: Writer, box: Box, person: _Person, address: str) -> str:
    row = {
        "id": secrets.token_urlsafe(9),
        "name": await _free_name(w, person.name),
        "full_name": person.full_name,
        "role": person.role,
        "scope": json.dumps(person.scope),
        "issuer": person.issuer,
        "subject": person.subject,
        "at": box.clock().isoformat(timespec="seconds"),
    }
    row["folded"] = row["name"].casefold()
    await w.execute(
        "insert into account"
        " (id, name, folded, full_name, role, scope, issuer, subject, made_at, made_by) values"
        " (:id, :name, :folded, :full_name, :role, :scope, :issuer, :subject, :at, 'single sign-on')",
        row,
    )
    await _told(w, box, row["name"], person, address)
    return row["id"]


async def _refreshed(w: Writer, box: Box, row: Row, person: _Person, address: str) -> None:
    scope = json.dumps(person.scope) if box.settings.oidc_label_claim is not None else row["scope"]
    if (row["role"], row["scope"], row["full_name"]) == (person.role, scope, person.full_name):
        return
    await w.execute(
        "update account set role = :role, scope = :scope, full_name = :full_name where id = :id",
        {"role": person.role, "scope": scope, "full_name": person.full_name, "id": row["id"]},
    )
    await _told(w, box, row["name"], person, address)


async def _told(w: Writer, box: Box, name: str, person: _Person, address: str) -> None:
    actor = Actor(name="single sign-on", kind="system", address=address)
    about = {"account": name, "role": person.role, "scope": json.dumps(person.scope)}
    await audit.record(w, box, audit.Entry(actor=actor, action=Action.ACCOUNT, about=about))
    await changed(w)


async def _free_name(w: Writer, name: str) -> str:
    """The name, with a number where an account has it already: that one may be somebody else's."""
    number, wanted = 1, name
    while await w.fetch_value(
        "select count(*) from account where folded = :folded", {"folded": wanted.casefold()}
    ):
        number += 1
        wanted = f"{name} {number}"
    return wanted
