"""The items of an association PDU (PS3.8 9.3.2), bounded before pynetdicom takes the trouble to read them."""

import struct
from collections.abc import Iterator, Sequence

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_items import PDU_ITEM_TYPES

from dicomweb_box.upper_layer.framing import Violation

_HEAD = struct.Struct(">BxI")
_ITEM = struct.Struct(">BxH")
_APPLICATION_CONTEXT, _USER_INFORMATION = 0x10, 0x50
_PRESENTATION_CONTEXTS = {0x20, 0x21}
MOST_CONTEXTS, MOST_SYNTAXES, MOST_USER_ITEMS = 128, 128 * 64, 1024
"""What can be proposed (IDs are odd bytes), with its syntaxes in all, and what is told beside. Each takes
some microseconds to read, and nobody else is served meanwhile."""
_FIXED = 68
"""Bytes of A-ASSOCIATE-RQ and -AC before their items."""


def decode(pdu: A_ASSOCIATE_RQ | A_ASSOCIATE_AC, kind: int, body: bytes) -> None:
    """Fill a PDU of a kind from its body; raises Violation."""
    if len(body) < _FIXED:
        raise Violation("an association PDU that is cut short")
    items = _known(body[_FIXED:])
    _bound(items)
    known = body[:_FIXED] + b"".join(_ITEM.pack(kind, len(content)) + content for kind, content in items)
    try:
        pdu.decode(_HEAD.pack(kind, len(known)) + known)
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AssertionError,
        struct.error,
        AttributeError,
    ) as error:
        raise Violation("an association PDU that cannot be understood") from error


def _known(items: bytes) -> list[tuple[int, bytes]]:
    """The items without those of a type that we do not know, which are to be passed over (PS3.8 9.3.1)."""
    kept = []
    for kind, content in _items(items):
        if kind == _USER_INFORMATION:
            known = _known(content)
            if len(known) > MOST_USER_ITEMS:
                raise Violation(f"more than {MOST_USER_ITEMS} items of user information")
            content = b"".join(_ITEM.pack(inner, len(told)) + told for inner, told in known)
        if kind in PDU_ITEM_TYPES:
            kept.append((kind, content))
    return kept


def _items(items: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(items):
        if len(items) - position < _ITEM.size:
            raise Violation("an item of an association PDU that is cut short")
        kind, length = _ITEM.unpack_from(items, position)
        content = items[position + _ITEM.size : position + _ITEM.size + length]
        if len(content) < length:
            raise Violation("an item of an association PDU that is longer than the PDU")
        position += _ITEM.size + length
        yield kind, content


def _bound(items: Sequence[tuple[int, bytes]]) -> None:
    """Raises Violation for more than an association can be about."""
    contexts = [content for kind, content in items if kind in _PRESENTATION_CONTEXTS]
    if len(contexts) > MOST_CONTEXTS:
        raise Violation(f"more than {MOST_CONTEXTS} presentation contexts")
    syntaxes = 0
    for content in contexts:
        syntaxes += sum(1 for _ in _items(content[4:]))
        if syntaxes > MOST_SYNTAXES:
            raise Violation(f"presentation contexts with more than {MOST_SYNTAXES} syntaxes")
    kinds = [kind for kind, _ in items]
    if kinds.count(_APPLICATION_CONTEXT) > 1 or kinds.count(_USER_INFORMATION) > 1:
        raise Violation("an association PDU with two application contexts or user informations")
