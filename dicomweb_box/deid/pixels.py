"""Pixel Data by its place in the source: cut to its length, or fragment by fragment without comments."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dicomweb_box.deid import run_lengths
from dicomweb_box.deid.comments import Span, family, without_comments
from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.elements import ITEM, SEQUENCE_END, UNDEFINED
from dicomweb_box.dicom.pieces import Stretch

_ITEM: Final = struct.Struct("<HHI")
_MOST_FRAGMENTS: Final = 10_000_000
ROWS, COLUMNS, SAMPLES, BITS, FRAMES = 0x00280010, 0x00280011, 0x00280002, 0x00280100, 0x00280008
PHOTOMETRIC: Final = 0x00280004
_RLE, _UNCOMPRESSED = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1.98"
_OFFSET_TABLE, _LENGTH_TABLE = 0x7FE00001, 0x7FE00002
_START, _EOI = b"\xff\xd8", b"\xff\xd9"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fragments:
    """Encapsulated Pixel Data as it is to be written."""

    pieces: list[Span]
    """Items and delimiter, the offset table's among them."""
    moved: dict[int, int]
    """Where fragments begin now, by where they began, counted from the first fragment's item."""
    lengths: dict[int, int]
    """Their lengths, by where they began."""
    changed: bool
    spans: list[tuple[int, int]]
    """Where they begin and end in the source."""


def native_length(raw: Mapping[int, bytes], order: str, length: int) -> int:
    """How much of native Pixel Data belongs to its frames, padding included; all where nobody can say."""
    try:
        rows, columns, samples, bits = (
            struct.unpack_from(order + "H", raw[tag])[0] for tag in (ROWS, COLUMNS, SAMPLES, BITS)
        )
        frames = max(1, int(raw.get(FRAMES, b"1").strip(b" \0") or b"1"))
    except (KeyError, ValueError, struct.error):
        return length
    if raw.get(PHOTOMETRIC, b"").strip(b" \0") == b"YBR_FULL_422":
        samples = 2  # PS3.3 C.7.6.3.1.2: one sample of each colour for two pixels
    size = -(-rows * columns * samples * bits * frames // 8)
    return min(length, size + size % 2) if size else length


def fragments(data: Any, pos: int, end: int, transfer_syntax_uid: str) -> Fragments:
    """The fragments that begin at a place (PS3.5 A.4). Raises Doubt where they cannot be followed."""
    kind = family(transfer_syntax_uid)
    table, pos = _table(data, pos, end)
    pieces: list[Span] = []
    moved: dict[int, int] = {}
    lengths: dict[int, int] = {}
    spans: list[tuple[int, int]] = []
    first, written, changed, ended = pos, 0, False, False
    for start, stop in _items(data, pos, end):
        kept: list[Span] = (
            without_comments(data, start, stop, kind) if kind else [Stretch(start, stop - start)]
        )
        if ended and data[start : start + 2] != _START:
            raise Doubt("something that is no frame follows a compressed frame")
        ended = kind in {"jpeg", "jpeg-ls"} and _end(data, kept) == _EOI
        size = sum(span.length if isinstance(span, Stretch) else len(span) for span in kept)
        moved[start - 8 - first], lengths[start - 8 - first] = written, size
        spans.append((start, stop))
        changed = changed or size != stop - start
        padding = b"\0" * (size % 2)
        pieces += [_ITEM.pack(0xFFFE, ITEM, size + len(padding)), *kept, padding]
        written += 8 + size + len(padding)
    pieces.append(_ITEM.pack(0xFFFE, SEQUENCE_END, 0))
    pieces.insert(0, _written_table(table, moved))
    return Fragments(pieces=pieces, moved=moved, lengths=lengths, changed=changed, spans=spans)


def fragment_spans(data: Any, pos: int, end: int) -> list[tuple[int, int]]:
    """Offset and length of the items that begin at a place, the offset table's first."""
    table, first = _table(data, pos, end)
    found = [(start, stop - start) for start, stop in _items(data, first, end)]
    return [(pos + 8, len(table)), *found]


def _end(data: Any, kept: list[Span]) -> bytes:
    """The last two bytes that are not padding."""
    span = next(span for span in reversed(kept) if span not in (b"", b"\0"))
    return bytes(
        span[-2:]
        if isinstance(span, bytes)
        else data[span.offset + span.length - 2 : span.offset + span.length]
    )


def check_amount(data: Any, found: Fragments, transfer_syntax_uid: str, raw: Mapping[int, bytes]) -> None:
    """Raises Doubt where fragments hold more than frames: one each (PS3.5 A.4.2, A.4.11)."""
    if transfer_syntax_uid not in {_RLE, _UNCOMPRESSED}:
        return
    count = raw.get(FRAMES, b"").strip(b" \0") or b"1"
    if not count.isdigit() or len(found.lengths) != max(1, int(count)):
        raise Doubt("there are more or fewer fragments than frames")
    one = {tag: value for tag, value in raw.items() if tag != FRAMES}
    if transfer_syntax_uid == _UNCOMPRESSED and any(
        native_length(one, "<", length) < length for length in found.lengths.values()
    ):
        raise Doubt("a fragment is longer than its frame")
    if transfer_syntax_uid == _RLE:
        rows, columns, samples, bits = _described(raw)
        # PS3.5 8.1.1: eight pixels of one bit are a byte.
        size = rows * columns if bits > 1 else -(-rows * columns // 8)
        for start, stop in found.spans:
            run_lengths.check(data, start, stop, segments=samples * -(-bits // 8), size=size)


def _described(raw: Mapping[int, bytes]) -> tuple[int, ...]:
    try:
        return tuple(struct.unpack("<H", raw[tag])[0] for tag in (ROWS, COLUMNS, SAMPLES, BITS))
    except (KeyError, struct.error):
        raise Doubt("its description does not tell how large a frame is") from None


def _table(data: Any, pos: int, end: int) -> tuple[bytes, int]:
    if pos + 8 > end:
        raise Doubt("Pixel Data ends before its offset table")
    group, number, length = _ITEM.unpack_from(data, pos)
    stop = pos + 8 + length
    if (group, number) != (0xFFFE, ITEM) or length == UNDEFINED or stop > end:
        raise Doubt("Pixel Data has no offset table")
    if length % 4:
        raise Doubt("an offset table is not of whole offsets")
    return bytes(data[pos + 8 : stop]), stop


def _items(data: Any, pos: int, end: int) -> "list[tuple[int, int]]":
    found: list[tuple[int, int]] = []
    while pos + 8 <= end and len(found) < _MOST_FRAGMENTS:
        group, number, length = _ITEM.unpack_from(data, pos)
        pos += 8
        if (group, number) == (0xFFFE, SEQUENCE_END):
            return found
        if (group, number) != (0xFFFE, ITEM) or pos + length > end:
            break
        found.append((pos, pos + length))
        pos += length
    raise Doubt("the fragments of Pixel Data are not ended")


def _written_table(table: bytes, moved: Mapping[int, int]) -> bytes:
    offsets = struct.unpack(f"<{len(table) // 4}I", table)
    if any(offset not in moved for offset in offsets):
        offsets = ()  # no table is better than one that says something else
    return _ITEM.pack(0xFFFE, ITEM, 4 * len(offsets)) + struct.pack(
        f"<{len(offsets)}I", *(moved[offset] for offset in offsets)
    )


def moved_offsets(
    tables: Mapping[int, tuple[int, bytes, bytes]], found: Fragments
) -> Iterator[tuple[int, bytes]]:
    """Extended offset tables that tell of the fragments as they are now (PS3.3 C.7.6.3.1.8).

    `tables` has by tag a place, the element's head and its value; what comes is place and element.
    """
    table, sizes = tables.get(_OFFSET_TABLE), tables.get(_LENGTH_TABLE)
    if table is None:
        return
    count = len(table[2]) // 8
    offsets = struct.unpack_from(f"<{count}Q", table[2])
    if sizes is None or any(len(one[2]) != 8 * count or len(one[1]) != 12 for one in (table, sizes)):
        raise Doubt("the extended offset tables are not of the same whole offsets")
    if any(offset not in found.moved for offset in offsets):
        raise Doubt("an extended offset table names no fragment")
    for (place, head, _), new in ((table, found.moved), (sizes, found.lengths)):
        yield place, head + struct.pack(f"<{count}Q", *(new[offset] for offset in offsets))
