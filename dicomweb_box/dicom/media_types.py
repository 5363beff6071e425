"""Media types and their negotiation (RFC 9110 12.5.1; PS3.18 8.3.3.1, 8.7), read in one way by every door."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from dicomweb_box.dicom.uids import EXPLICIT_LITTLE
from dicomweb_box.errors import BadRequest, NotAcceptable

# What a media type means when no transfer syntax is named (PS3.18 Tables 8.7.3-2 to 8.7.3-5).
DEFAULT_TRANSFER_SYNTAX: Mapping[str, str] = {
    "application/dicom": EXPLICIT_LITTLE,
    "application/octet-stream": EXPLICIT_LITTLE,
    "image/jpeg": "1.2.840.10008.1.2.4.70",
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/jp2": "1.2.840.10008.1.2.4.90",
    "image/jpx": "1.2.840.10008.1.2.4.92",
    "image/jphc": "1.2.840.10008.1.2.4.201",
    "image/jxl": "1.2.840.10008.1.2.4.110",
}

# Names of earlier editions and drafts that clients still send.
LEGACY_NAMES: Mapping[str, str] = {
    "application/json": "application/dicom+json",
    "image/x-jls": "image/jls",
    "image/jpeg-ls": "image/jls",
    "image/x-dicom-rle": "image/dicom-rle",
    "image/jhc": "image/jphc",
    "image/jph": "image/jphc",
    "image/jpg": "image/jpeg",
    "image/dicom+jpeg": "image/jpeg",
    "image/dicom+jpeg-ls": "image/jls",
    "image/dicom+jp2": "image/jp2",
    "image/dicom+jpx": "image/jpx",
    "image/dicom+rle": "image/dicom-rle",
}

_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+/[\w!#$%&'*+.^`|~-]+")
_PARAMETER = re.compile(r'\s*([^\s=;,"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;]*))\s*')
_QUOTED_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"?|,')
_LOST_PLUS = re.compile(r"(?<=[a-z]) (?=(?:json|xml)\b)")
_MOST_CACHED = 1024


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type with its parameters; names are in lower case, values as written."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """One media range that a client takes."""

    media_type: str
    """Such as "application/dicom", "image/*" or "*/*"; for a multipart range, of its parts."""
    multipart: bool | None
    """Whether as multipart/related; None: either way."""
    transfer_syntax: str | None = None
    """A UID; "*": any; None: the media type's default."""
    quality: float = 1.0

    @property
    def specificity(self) -> tuple[int, int, bool]:
        """How narrow the range is (RFC 9110 12.5.1); higher is narrower."""
        kind = 0 if self.media_type == "*/*" else 1 if self.media_type.endswith("/*") else 2
        syntax = 0 if self.transfer_syntax == "*" else 1 if self.transfer_syntax is None else 2
        return kind, syntax, self.multipart is not None


ANYTHING = Accepted(media_type="*/*", multipart=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """One representation that the server can give."""

    media_type: str
    multipart: bool = False
    transfer_syntax: str | None = None
    """UID of the transfer syntax; None where the media type has none, as JSON."""

    @property
    def content_type(self) -> str:
        """Content-Type of the single part, or of each part of a multipart answer (PS3.18 8.7.3: unquoted)."""
        if self.transfer_syntax is None:
            return self.media_type
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax}"

    def __str__(self) -> str:
        """The offer as an Accept header asks for it."""
        if not self.multipart:
            return self.content_type
        syntax = "" if self.transfer_syntax is None else f"; transfer-syntax={self.transfer_syntax}"
        return f'multipart/related; type="{self.media_type}"{syntax}'


def parse_media_type(value: str) -> MediaType:
    """A Content-Type header's media type; raises BadRequest where it is none."""
    return _media_type(value) if len(value) > _MOST_CACHED else _media_type_cached(value)


def _media_type(value: str) -> MediaType:
    name = _NAME.match(value.strip())
    if not name:
        raise BadRequest("The Content-Type header is no media type.")
    return MediaType(name[0].lower(), MappingProxyType(_parameters(value.strip()[name.end() :])))


_media_type_cached = lru_cache(maxsize=512)(_media_type)


def parse_accept(headers: Sequence[str], accept_parameter: str | None = None) -> tuple[Accepted, ...]:
    """The ranges a client takes, as sent; the `accept` query parameter beats the headers (PS3.18 8.3.3.1).

    Nothing sent means anything. What is no media range is passed over.
    """
    # "+" in a query is a space unless it was escaped.
    text = _LOST_PLUS.sub("+", accept_parameter) if accept_parameter else ",".join(headers)
    return _parse(text) if len(text) > _MOST_CACHED else _parse_cached(text)


def choose(accepted: Sequence[Accepted], offered: Sequence[Offer]) -> Offer:
    """The offer that fits best: by quality, then by how exactly it was asked for, then by the server's order.

    Raises NotAcceptable with what is offered where nothing fits (PS3.18 8.7.8).
    """
    best: tuple[float, tuple[int, int, bool], bool] | None = None
    chosen: Offer | None = None
    for offer in offered:
        ranges = [one for one in accepted if _fits(one, offer)]
        if not ranges:
            continue
        # The narrowest range that fits decides the quality; of equally narrow ones the best.
        narrowest = max(ranges, key=lambda one: (one.specificity, one.quality))
        rank = (narrowest.quality, narrowest.specificity, _is_default(narrowest, offer))
        if narrowest.quality > 0 and (best is None or rank > best):
            best, chosen = rank, offer
    if chosen is None:
        raise NotAcceptable("None of the asked media types can be given.", tuple(map(str, offered)))
    return chosen


def asks_for_more(accepted: Sequence[Accepted], offered: Sequence[Offer], possible: Sequence[Offer]) -> bool:
    """Whether some range that is taken fits none of what is offered, but some of what would be possible."""
    return any(
        one.quality > 0
        and not any(_fits(one, offer) for offer in offered)
        and any(_fits(one, offer) for offer in possible)
        for one in accepted
    )


def choose_stored(accepted: Sequence[Accepted], stored: Sequence[Offer], made: Sequence[Offer]) -> Offer:
    """As `choose`, but one that has to be `made` only where it is liked better than each that is there.

    Raises NotAcceptable with all that is offered where nothing fits (PS3.18 8.7.8).
    """
    try:
        best = choose(accepted, stored)
    except NotAcceptable:
        return choose(accepted, (*made, *stored))
    least = _quality_of(accepted, best)
    better = [offer for offer in made if _quality_of(accepted, offer) > least]
    return choose(accepted, better) if better else best


def _quality_of(accepted: Sequence[Accepted], offer: Offer) -> float:
    ranges = [one for one in accepted if _fits(one, offer)]
    return max(ranges, key=lambda one: (one.specificity, one.quality)).quality if ranges else 0.0


def _fits(accepted: Accepted, offer: Offer) -> bool:
    if accepted.multipart is not None and accepted.multipart != offer.multipart:
        return False
    offered = LEGACY_NAMES.get(offer.media_type, offer.media_type)
    if accepted.media_type not in (offered, "*/*", offered.partition("/")[0] + "/*"):
        return False
    if accepted.transfer_syntax is None:
        return _is_implied(offer)
    return accepted.transfer_syntax == "*" or offer.transfer_syntax in (None, accepted.transfer_syntax)


def _is_implied(offer: Offer) -> bool:
    # A client that asks for image/jpeg and names no transfer syntax means "a JPEG", whichever is there; one
    # that asks for application/dicom or octet-stream need not read more than the default (PS3.18 8.7.3.5.2).
    default = DEFAULT_TRANSFER_SYNTAX.get(offer.media_type)
    return offer.transfer_syntax in (None, default) or default != EXPLICIT_LITTLE


def _is_default(accepted: Accepted, offer: Offer) -> bool:
    named = accepted.transfer_syntax is None and not accepted.media_type.endswith("*")
    return named and offer.transfer_syntax in (None, DEFAULT_TRANSFER_SYNTAX.get(offer.media_type))


def _parse(text: str) -> tuple[Accepted, ...]:
    elements = [element.strip() for element in _split(text)]
    if not any(elements):
        return (ANYTHING,)
    ranges = dict.fromkeys(_range(element) for element in elements if element)
    return tuple(one for one in ranges if one is not None)


_parse_cached = lru_cache(maxsize=512)(_parse)


def _split(text: str) -> Iterator[str]:
    begin = 0
    for match in _QUOTED_OR_COMMA.finditer(text):
        if match[0] == ",":
            yield text[begin : match.start()]
            begin = match.end()
    yield text[begin:]


def _range(element: str) -> Accepted | None:
    name = "*/*" if element.split(";")[0].strip() == "*" else ""  # Java's URLConnection sends "*; q=.2"
    if not name:
        match = _NAME.match(element)
        if not match:
            return None
        name = match[0].lower()
    parameters = _parameters(element.partition(";")[2])
    multipart: bool | None = None if name == "*/*" else False
    if name.startswith("multipart/"):
        if name not in ("multipart/related", "multipart/*"):
            return None
        name, _, inner = parameters.get("type", "*/*").lower().partition(";")
        # type="application/octet-stream; transfer-syntax=*": all of it within the quotes
        parameters = {**_parameters(inner), **parameters}
        multipart, name = True, name.strip()
        name = "*/*" if name in ("*", "") else name
    return Accepted(
        media_type=LEGACY_NAMES.get(name, name),
        multipart=multipart,
        transfer_syntax=parameters.get("transfer-syntax") or None,
        quality=_quality(parameters.get("q", "1")),
    )


def _parameters(text: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match:
            value = re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3].strip()
            parameters.setdefault(match[1].lower(), value)
            position = match.end()
        following = text.find(";", position)
        position = len(text) if following < 0 else following + 1
    return parameters


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 1.0
    return min(1.0, max(0.0, quality)) if quality == quality else 1.0
