"""The part of the archive that an account, a token or a link is for, as a form says it."""

from typing import Any

from dicomweb_box.errors import BadRequest
from dicomweb_box.web.forms import Fields

KINDS = {"labels": "Labels", "sources": "Sources", "studies": "Study Instance UIDs"}


def part_of(fields: Fields) -> dict[str, list[str]] | None:
    """The scope that fields give: names a line each, or each a field; None where they say nothing of it.

    `part` is `whole` or `some`; without it, what is named is meant. Raises BadRequest for `some` of nothing,
    for that would be all of it, or nothing at all.
    """
    named = {kind: _lines(fields, kind) for kind in KINDS}
    given = {kind: names for kind, names in named.items() if names}
    match fields.one("part") or ("some" if given else ""):
        case "whole":
            return {}
        case "some" if given:
            return given
        case "some":
            raise BadRequest(
                "Name the labels, sources or studies that are meant, or choose the whole archive."
            )
        case "":
            return None
    raise BadRequest("part is neither whole nor some.")


def typed(fields: Fields) -> dict[str, Any]:
    """The same for a form that comes back as it was filled."""
    return {kind: _lines(fields, kind) for kind in KINDS} | {"part": fields.one("part") or "whole"}


def kept(scope: dict[str, Any]) -> dict[str, Any]:
    """What a form shows of a scope."""
    return {kind: scope.get(kind, []) for kind in KINDS} | {"part": "some" if scope else "whole"}


def _lines(fields: Fields, kind: str) -> list[str]:
    lines = (line.strip() for text in fields.all(kind) for line in text.splitlines())
    return list(dict.fromkeys(line for line in lines if line))
