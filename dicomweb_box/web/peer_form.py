"""A peer as its form shows it, and what a form or a program tells of one."""

import re
from collections.abc import Mapping
from dataclasses import fields as fields_of
from typing import Any

from dicomweb_box.errors import BadRequest, Conflict
from dicomweb_box.outbound.particulars import ANYWHERE, BadParticular, Particulars
from dicomweb_box.outbound.services import Service, services_of
from dicomweb_box.web import parts
from dicomweb_box.web.forms import Fields

_TEXTS = ("name", "ae_title", "host", "certificate", "syntaxes", "charset")
_NUMBERS = (
    "port",
    "pdu_size",
    "connect_timeout",
    "response_timeout",
    "idle_timeout",
    "associations",
    "transfers",
)
_FLAGS = ("tls", "proxy")
_EMPTY = Particulars(name="", ae_title="", may=frozenset({Service.ECHO, Service.STORE}))
CHARSETS = {
    "": "As the question, else UTF-8",
    "ISO_IR 192": "UTF-8",
    "ISO_IR 100": "Latin 1, Western Europe",
    "ISO_IR 101": "Latin 2, Central Europe",
    "ISO_IR 109": "Latin 3, Southern Europe",
    "ISO_IR 110": "Latin 4, Northern Europe",
    "ISO_IR 148": "Latin 5, Turkish",
    "ISO_IR 144": "Cyrillic",
    "ISO_IR 127": "Arabic",
    "ISO_IR 126": "Greek",
    "ISO_IR 138": "Hebrew",
    "ISO_IR 166": "Thai",
    "ISO_IR 13": "Japanese, half width",
    "\\ISO 2022 IR 87": "Japanese",
    "\\ISO 2022 IR 149": "Korean",
    "GB18030": "Chinese (GB18030)",
    "GBK": "Chinese (GBK)",
}
"""Character sets that are offered; a program may give others."""


def told(fields: Fields, before: Particulars | None = None) -> Particulars:
    """What fields tell; what they leave out is as before. Raises BadParticular for what is none."""
    given: dict[str, Any] = {one.name: getattr(before or _EMPTY, one.name) for one in fields_of(Particulars)}
    if before is None:
        given["may"] = frozenset()
    for name in _TEXTS:
        if name in fields.values:
            given[name] = _charset(fields) if name == "charset" else fields.one(name) or None
    for name in _NUMBERS:
        if name in fields.values:
            given[name] = _number(name, fields.one(name))
    given |= {name: given[name] or "" for name in ("name", "ae_title", "syntaxes")}
    for name in _FLAGS:
        if name in fields.values:
            # A hidden 0 goes before the box.
            given[name] = Fields({name: fields.values[name][-1:]}).flag(name)
    if "addresses" in fields.values:
        given["addresses"] = tuple(_lines(fields))
    if "may" in fields.values:
        given["may"] = _may(fields)
    part = _part(fields)
    return Particulars(**given | ({} if part is None else {"scope": part}))


def shown(peer: Particulars) -> dict[str, Any]:
    """What the form shows of a peer."""
    values: dict[str, Any] = {name: getattr(peer, name) or "" for name in _TEXTS}
    values |= {name: _digits(getattr(peer, name)) for name in _NUMBERS}
    any_address = set(ANYWHERE) <= set(peer.addresses)
    addresses = [one for one in peer.addresses if not (any_address and one in ANYWHERE)]
    return values | {
        "tls": peer.tls,
        "proxy": peer.proxy,
        "addresses": ["any"] * any_address + [_plain(one) for one in addresses],
        "may": sorted(peer.may),
        "part": parts.kept(peer.scope),
    }


def blank(query: Mapping[str, str]) -> dict[str, Any]:
    """The form of a new one, for a caller that was refused where the query names it."""
    title = query.get("ae_title", "")[:16]
    name = re.sub(r"[^\w .-]+", "-", title).strip(" .-_")
    address = query.get("address", "")[:45]
    return shown(_EMPTY) | {"name": name, "ae_title": title, "addresses": [address] if address else []}


def typed(fields: Fields) -> dict[str, Any]:
    """The form as it was filled."""
    values: dict[str, Any] = shown(_EMPTY) | {
        name: fields.values[name][-1] for name in (*_TEXTS, *_NUMBERS) if fields.values.get(name)
    }
    return values | {
        **{name: fields.values.get(name, ("",))[-1:] == ["1"] for name in _FLAGS},
        "addresses": _lines(fields),
        "may": fields.all("may"),
        "part": parts.typed(fields),
    }


def messages(error: Exception) -> dict[str, str]:
    """What is wrong, by the field that it is about."""
    if isinstance(error, BadParticular):
        return {error.field: str(error)}
    if isinstance(error, Conflict):
        return {"ae_title" if "AE title" in str(error) else "name": str(error)}
    return {"may": str(error)}


def _charset(fields: Fields) -> str | None:
    """Not without the spaces and backslashes around it, which count."""
    return fields.values["charset"][-1] or None


def _number(name: str, text: str) -> int | None:
    if not text:
        return None if name == "port" else getattr(_EMPTY, name)
    if not re.fullmatch(r"[0-9]{1,10}", text):
        raise BadParticular(name, "This is a whole number.")
    return int(text)


def _lines(fields: Fields) -> list[str]:
    return [line for text in fields.all("addresses") for line in re.split(r"[\s,]+", text) if line]


def _may(fields: Fields) -> frozenset[Service]:
    try:
        return services_of(fields.all("may"))
    except BadRequest as error:
        raise BadParticular("may", str(error)) from None


def _part(fields: Fields) -> dict[str, list[str]] | None:
    try:
        return parts.part_of(fields)
    except BadRequest as error:
        raise BadParticular("scope", str(error)) from None


def _digits(number: int | None) -> str:
    return "" if number is None else str(number)


def _plain(network: str) -> str:
    """An address rather than a network of one."""
    return network.removesuffix("/128") if ":" in network else network.removesuffix("/32")
