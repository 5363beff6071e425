"""What is kept while a data set is read, and what is decided for the elements that are not plain.

`header_reader` has the one loop that every element goes through; none of this is on the way of most of them.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from dicomweb_box.dicom import header_tables as tables
from dicomweb_box.dicom import header_values as values
from dicomweb_box.dicom.header_parts import (
    ITEM,
    SEQUENCE_END,
    Found,
    Located,
    Pixels,
    Unusual,
    may_be_cut_off,
    named,
)
from dicomweb_box.dicom.header_tables import BINARY, IMPLICIT_LITTLE, KINDS, LAST_PLAIN, TEXT, Encoding, Entry
from dicomweb_box.dicom.uids import clean_uid
from dicomweb_box.errors import FailureReason, UnreadableInstance

LARGE: Final = 1 << 20
"""Text and numbers above this become bulk data, and lengths above it are looked at twice."""
_MOST_JSON: Final = 256 << 20
_MOST_NEW: Final = 1_000_000  # attributes no table knows yet, and attributes out of order, in one instance


@dataclass(kw_only=True, slots=True)
class State:
    """A data set that is being read: reading fills `seen`, `pixels` and `warnings`."""

    data: Any  # bytes or mmap: slices are bytes
    size: int
    bulk_threshold: int
    bulk_root: str | None = ""
    """What BulkDataURIs begin with; None after reading: it was needed before it was known."""
    signed: bool = False  # Pixel Representation, where an element that needs it comes before it
    order: str = "<"  # byte order of `seen`
    wanted: str | None = None  # the path of the one value looked for: Found is raised there
    seen: dict[int, bytes] = field(default_factory=dict)  # raw values of REMEMBER at the top
    pixels: Pixels | None = None
    offset_tables: dict[int, tuple[int, int]] = field(default_factory=dict)
    unordered: bool = False
    guessed_signed: bool = False  # an element was read by `signed` before Pixel Representation was seen
    warnings: dict[str, None] = field(default_factory=dict)
    _stack: list[list[Any]] = field(default_factory=list)
    _chunks: list[bytes] = field(default_factory=list)
    _written: int = 0
    _new: int = 0

    def _new_entry(self, encoding: Encoding, key: bytes) -> Entry:
        self._count_new()
        return encoding.entry(key)

    def _out_of_order(self) -> None:
        self._count_new()
        self.unordered = True

    def _count_new(self) -> None:
        self._new += 1
        if self._new > _MOST_NEW:
            raise UnreadableInstance(
                "the data set holds more than a million attributes in no order",
                FailureReason.CANNOT_UNDERSTAND,
            )

    def _settle(
        self, entry: Entry, encoding: Encoding, start: int, stop: int, seen: dict[int, bytes], signed: bool
    ) -> Entry:
        """The plain Entry of an element whose kind hangs on more than its own tag and VR."""
        tag = entry.tag
        if entry.kind == tables.ODD:
            raise self._odd(start)
        if entry.kind == tables.FOREIGN:
            if entry.extra == "UN" or encoding.order != "<":
                return Entry(BINARY, *entry[1:6])
            # PS3.5 6.2.2: UN values of standard attributes are known again, in implicit little endian.
            entry = IMPLICIT_LITTLE.entry(struct.pack("<HH", tag >> 16, tag & 0xFFFF))
        if entry.kind == tables.CREATOR:
            seen[tag] = self.data[start : min(stop, start + 64)]
            return Entry(TEXT, *entry[1:])
        if entry.kind == tables.PRIVATE:
            return self._private(tag, encoding, seen)
        if entry.kind == tables.CHOICE:
            entry = encoding.plain(tag, self._choose(tag, entry.extra, seen, signed))
        elif entry.kind > LAST_PLAIN:
            entry = entry.extra
        if not self._stack and (tag in tables.PIXEL_DATA or tag in tables.OFFSET_TABLES):
            self._note_pixels(entry, start, stop)
        if tag in tables.REMEMBER and stop <= self.size:
            seen[tag] = self.data[start:stop]
        return entry

    def _private(self, tag: int, encoding: Encoding, seen: dict[int, bytes]) -> Entry:
        """The Entry of a private attribute without VR, by the creator of its block (PS3.5 7.8.1)."""
        creator = seen.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF, b"").decode("latin-1").strip(" \0")
        return encoding.plain(tag, tables.private_vr(tag, creator) if creator else "UN")

    def _odd(self, start: int) -> Exception:
        """Zeros up to the end, and whatever follows Pixel Data, somebody added; the rest is for pydicom."""
        if self.pixels is not None and not self._stack:
            return struct.error()  # nothing that counts comes after Pixel Data
        rest = self.data[start - 8 : start + LARGE]
        if not self._stack and len(rest) < LARGE and not rest.strip(b"\0"):
            return struct.error()
        return Unusual("something that is not an element")

    def _choose(self, tag: int, choice: str, seen: dict[int, bytes], signed: bool) -> str:
        """The VR of an attribute for which the dictionary has several (PS3.5 Annex A.1, PS3.3 C.11.1.1.1)."""
        if choice == "US or SS":
            if 0x00280103 not in self.seen:
                self.guessed_signed = True
            return "SS" if signed else "US"
        if tag == 0x00283006:
            return "US" if seen.get(0x00283002, b"")[:2] == b"\1\0" else "OW"
        return "OW"

    def _note_pixels(self, entry: Entry, start: int, stop: int) -> None:
        if entry.tag not in tables.PIXEL_DATA:
            self.offset_tables[entry.tag] = (start, stop - start)
            return
        if self.pixels is not None:
            raise Unusual("Pixel Data twice")
        if KINDS[entry.vr] != BINARY:
            raise Unusual(f"Pixel Data with VR {entry.vr}")
        self.pixels = Pixels(tag=entry.tag, vr=entry.vr, offset=start, length=stop - start)

    def _fragments(
        self,
        entry: Entry,
        start: int,
        end: int,
        opening: str,
        append: Callable[[str], None],
        encoding: Encoding,
    ) -> int:
        """Walks an encapsulated value (PS3.5 A.4); returns where the next element begins."""
        fragments: list[tuple[int, int]] = []
        at, closed = start, False
        while at + 8 <= end:
            group, element, length = encoding.item(self.data, at)
            at += 8
            if group != 0xFFFE or element not in {ITEM, SEQUENCE_END}:
                raise Unusual("something else where a fragment begins")
            if element == SEQUENCE_END:
                closed = True
                break
            if at + length > end:
                raise self._cut_off(at + length, entry.tag)
            fragments.append((at, length))
            at += length
        if not closed:
            raise self._cut_off(self.size + 1 if end == self.size else end, entry.tag)
        if entry.tag in tables.PIXEL_DATA and not self._stack and self.pixels is not None:
            self.pixels.fragments = fragments
            self.pixels.length = at - start
        self._bulk(entry.tag, entry.vr, start, at - start, opening, append, encapsulated=True)
        return at

    def _bulk(
        self,
        tag: int,
        vr: str,
        start: int,
        length: int,
        opening: str,
        append: Callable[[str], None],
        *,
        encapsulated: bool = False,
    ) -> None:
        path = "/".join([f"{frame[10]:08X}/{frame[9]}" for frame in self._stack] + [f"{tag:08X}"])
        if path == self.wanted:
            raise Found(Located(vr=vr, offset=start, length=length, encapsulated=encapsulated))
        if not self.bulk_root:
            # SOP Instance UID comes before nearly everything; where it does not, the caller reads again.
            uid = clean_uid(self.seen.get(0x00080018, b""))
            self.bulk_root = f"instances/{uid}/bulkdata/" if uid else None
        append(f'{opening},"BulkDataURI":"{self.bulk_root}{path}"}}')

    def _numbers(self, start: int, length: int, entry: Entry, encoding: Encoding) -> str:
        """An element of binary numbers; what JSON cannot hold as binary, what its VR cannot be as UN."""
        how, order, opening, vr = entry.extra, encoding.order, entry.opening, entry.vr
        if not isinstance(how, tables.Numbers):
            how = how.extra  # remembered
        written = values.numbers(self.data, start, length, how, order)
        if written is not None:
            return f"{entry.values}{written}]}}"
        if length % how.size:
            self.warnings["a value of binary numbers whose length does not fit its VR"] = None
            opening, vr = f',"{entry.tag:08X}":{{"vr":"UN"', "UN"
        if length <= max(self.bulk_threshold, how.size):
            return values.inline(self.data[start : start + length], opening, vr, order)
        parts: list[str] = []
        self._bulk(entry.tag, vr, start, length, opening, parts.append)
        return parts[0]

    def _decoded(self, value: bytes, decode: Callable[[bytes], str]) -> str:
        string = decode(value)
        if "\ufffd" in string:
            self.warnings["text that is not valid in its Specific Character Set"] = None
        return string

    def _join(self, parts: list[str]) -> None:
        """Turns the pieces so far into bytes; each dataset still open loses its first comma now."""
        for frame in self._stack:
            if len(parts) > frame[7] > 0:
                parts[frame[7]] = parts[frame[7]][1:]
            frame[7] = 0
        chunk = "".join(parts).encode()
        parts.clear()
        self._written += len(chunk)
        if self._written > _MOST_JSON:
            raise UnreadableInstance(
                "the attributes of the data set are larger than 256 MiB", FailureReason.CANNOT_UNDERSTAND
            )
        self._chunks.append(chunk)

    def _cut_off(self, stop: int, tag: int) -> Exception:
        if stop <= self.size:
            return Unusual("an element longer than what it lies in")
        if self._stack:
            tag = self._stack[0][10]
        if may_be_cut_off(tag, self.seen):
            return Unusual(f"{named(tag)} that goes on past the end")
        return UnreadableInstance(
            f"the data set is cut off: {named(tag)} goes on past its end", FailureReason.CANNOT_UNDERSTAND
        )
