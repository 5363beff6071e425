"""What a form posts, a program posts too: as a form or as a JSON object, to the same address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request

from dicomweb_box.errors import BadRequest, RequestTooLarge

MOST_BYTES = 1 << 20
"""Of a body without files."""
MOST_FIELDS = 20_000
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Fields:
    """What was posted: each name's values as texts, in their order."""

    values: Mapping[str, Sequence[str]]

    def one(self, name: str, default: str = "") -> str:
        """The value of a field, white space around it left out; raises BadRequest where there are several."""
        found = self.values.get(name, ())
        if len(found) > 1:
            raise BadRequest(f"{name} is given more than once.")
        return found[0].strip() if found else default

    def all(self, name: str) -> list[str]:
        """Every value of a field that is not empty."""
        return [value.strip() for value in self.values.get(name, ()) if value.strip()]

    def flag(self, name: str) -> bool:
        """Whether a box was ticked; raises BadRequest for what is neither yes nor no."""
        value = self.one(name).lower()
        if value not in ("", "0", "1", "false", "true", "on", "off", "no", "yes"):
            raise BadRequest(f"{name} is neither true nor false.")
        return value in ("1", "true", "on", "yes")


async def posted(request: Request) -> Fields:
    """The fields of the body; raises BadRequest where it is neither a form nor a JSON object of plain values.

    Raises RequestTooLarge for more than a form of ours can hold. An empty body is an empty form.
    """
    body = await _body(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _JSON:
        return Fields(_without_nul(_from_json(body)))
    if body and kind != _FORM:
        raise BadRequest(f"The body is neither {_FORM} nor {_JSON}.")
    return Fields(_without_nul(_from_form(body)))


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise RequestTooLarge(f"The form is larger than {MOST_BYTES} bytes.")
        parts.append(part)
    return b"".join(parts)


def _without_nul(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """The same; raises BadRequest for what no text of ours holds, and PostgreSQL does not take."""
    if any("\0" in text for values in found.values() for text in values):
        raise BadRequest("A field holds a NUL character.")
    return found


def _from_form(body: bytes) -> dict[str, list[str]]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise BadRequest("The form is not UTF-8, or has too many fields.") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _from_json(body: bytes) -> dict[str, list[str]]:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(given, dict):
        raise BadRequest("The body is not a JSON object.")
    return {name: [_text(name, one) for one in _several(value)] for name, value in given.items()}


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise BadRequest(f"{name[:64]} is neither a text, a number, true or false, nor a list of them.")
