"""What the archive needs to know of an instance, in one pass over everything but its pixels."""

import mmap
from dataclasses import dataclass, field
from typing import Any

from dicomweb_box.dicom import frame_layout, header_fallback, json_model, uids
from dicomweb_box.dicom import part10 as part10_module
from dicomweb_box.dicom.frames import FrameTable
from dicomweb_box.dicom.header_parts import Found, Located, Unusual
from dicomweb_box.dicom.header_reader import Reader
from dicomweb_box.dicom.json_model import Dataset, Element
from dicomweb_box.dicom.part10 import Part10
from dicomweb_box.errors import FailureReason, NotFound, UnreadableInstance

Source = bytes | memoryview | mmap.mmap

_NEEDED = {
    0x0020000D: "Study Instance UID (0020,000D)",
    0x0020000E: "Series Instance UID (0020,000E)",
    0x00080018: "SOP Instance UID (0008,0018)",
    0x00080016: "SOP Class UID (0008,0016)",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """An instance without its pixels."""

    transfer_syntax_uid: str
    has_part10: bool
    part10_prefix: (
        bytes  # what to put before the source's bytes so that it is a Part 10 file; b"" where it is one
    )
    dataset_offset: int  # of the data set's first byte in the source
    study_uid: str
    series_uid: str
    instance_uid: str
    sop_class_uid: str
    json: bytes  # DICOM JSON Model object, UTF-8; larger values as "instances/{instance_uid}/bulkdata/{path}"
    frames: FrameTable | None  # offsets count from the first byte of the prefix
    rows: int | None
    columns: int | None
    bits_allocated: int | None
    number_of_frames: int | None
    warnings: tuple[str, ...]
    _dataset: list[Dataset] = field(default_factory=list, repr=False, compare=False)

    def element(self, tag: str) -> Element | None:
        """The top-level attribute as its DICOM JSON object; None where it is absent."""
        return self.dataset().get(tag)

    def values(self, *path: str) -> list[Any]:
        """The values at a tag, or at a path of sequences over all their items; [] where it is absent."""
        return json_model.values(self.dataset(), path)

    def dataset(self) -> Dataset:
        """All attributes as parsed JSON; not to be changed."""
        if not self._dataset:
            self._dataset.append(json_model.top_level(self.json))
        return self._dataset[0]


def read_header(source: Source, *, bulk_threshold: int = 1024) -> Header:
    """The Header of the instance in `source`; Pixel Data is located, never read.

    Raises UnreadableInstance, whose message names what is missing or broken.
    """
    data = sliceable(source)
    part10 = part10_module.open_part10(data, len(data))
    try:
        reader, text = _read(part10, bulk_threshold)
    except Unusual as unusual:
        reader, text = header_fallback.read(part10, str(unusual))
    if part10.size > len(part10.data) and reader.pixels is None:
        raise UnreadableInstance(
            "the attributes of the deflated data set are larger than 64 MiB", FailureReason.CANNOT_UNDERSTAND
        )
    if reader.unordered:
        text = json_model.in_order(text)
    return _header(part10, reader, text)


def locate(source: Source, path: str) -> Located:
    """Where the binary (or very large) value at a path such as `00081140/1/00091001` lies.

    Offsets of a deflated instance count in its inflated data set. Raises NotFound where no such value is, and
    UnreadableInstance.
    """
    data = sliceable(source)
    part10 = part10_module.open_part10(data, len(data))
    reader = Reader(data=part10.data, size=part10.size, bulk_threshold=0, wanted=path)
    try:
        reader.read(part10.start, part10.encoding)
    except Found as found:
        where = found.located
        return Located(
            vr=where.vr,
            offset=where.offset,
            length=where.length,
            transfer_syntax_uid=part10.transfer_syntax_uid,
            encapsulated=where.encapsulated,
        )
    except Unusual:
        if reader.pixels is not None and path == f"{reader.pixels.tag:08X}":
            pixels = reader.pixels
            return Located(
                vr=pixels.vr,
                offset=pixels.offset,
                length=pixels.length,
                transfer_syntax_uid=part10.transfer_syntax_uid,
                encapsulated=pixels.fragments is not None,
            )
    raise NotFound(f"no bulk data at {path}")


def sliceable(source: Source) -> Any:
    """Something whose slices are bytes."""
    if not isinstance(source, memoryview):
        return source
    whole = source.obj
    if isinstance(whole, bytes | mmap.mmap) and source.nbytes == len(whole):
        return whole
    return bytes(source)


def _read(part10: Part10, bulk_threshold: int) -> tuple[Reader, bytes]:
    """Reads once; a second time only where something that had to be known first came later."""
    reader = Reader(data=part10.data, size=part10.size, bulk_threshold=bulk_threshold)
    text = reader.read(part10.start, part10.encoding)
    signed = reader.seen.get(0x00280103, b"\0\0") != b"\0\0"
    if reader.bulk_root is None or (reader.guessed_signed and signed):
        root = bulk_root(reader.seen)
        reader = Reader(
            data=part10.data, size=part10.size, bulk_threshold=bulk_threshold, bulk_root=root, signed=signed
        )
        text = reader.read(part10.start, part10.encoding)
    return reader, text


def bulk_root(seen: dict[int, bytes]) -> str:
    """What BulkDataURIs of the instance begin with, relative to its series."""
    return f"instances/{uids.clean_uid(seen.get(0x00080018, b'')) or ''}/bulkdata/"


def _header(part10: Part10, reader: Reader, text: bytes) -> Header:
    seen = reader.seen
    found = {tag: _uid(seen, tag, part10) for tag in _NEEDED}
    _refuse_missing(found)
    prefix = part10_module.prefix(part10, sop_class_uid=found[0x00080016], instance_uid=found[0x00080018])
    number = _integer(seen.get(0x00280008, b""))
    frames = _frames(part10, reader, max(1, number or 1))
    deflated = part10.transfer_syntax_uid in uids.DEFLATED
    return Header(
        transfer_syntax_uid=part10.transfer_syntax_uid,
        has_part10=part10.has_preamble,
        part10_prefix=prefix,
        dataset_offset=part10.dataset_offset,
        study_uid=found[0x0020000D],
        series_uid=found[0x0020000E],
        instance_uid=found[0x00080018],
        sop_class_uid=found[0x00080016],
        json=text,
        frames=frames.moved(len(prefix)) if frames and not deflated else frames,
        rows=_short(reader, 0x00280010),
        columns=_short(reader, 0x00280011),
        bits_allocated=_short(reader, 0x00280100),
        number_of_frames=number,
        warnings=tuple(reader.warnings),
    )


def _uid(seen: dict[int, bytes], tag: int, part10: Part10) -> str:
    raw = bytes(seen.get(tag, b""))
    if not raw.strip(b" \0"):
        # A missing SOP Class UID is told by the File Meta Information; the UIDs that address the instance are
        # not taken from there, since it speaks of one of the three only.
        return (part10.sop_class_uid or "") if tag == 0x00080016 else ""
    cleaned = uids.clean_uid(raw)
    if cleaned is None:
        raise UnreadableInstance(
            f"{_NEEDED[tag]} is not a UID: it holds something other than digits and dots, or over 64 of them"
        )
    return cleaned


def _refuse_missing(found: dict[int, str]) -> None:
    missing = [_NEEDED[tag] for tag, value in found.items() if not value]
    if missing:
        # PS3.18 Table I.2-2: A900, the data set lacks what its SOP class demands.
        raise UnreadableInstance(
            f"the data set has no {', no '.join(missing)}", FailureReason.DATA_SET_DOES_NOT_MATCH
        )


def _frames(part10: Part10, reader: Reader, count: int) -> FrameTable | None:
    pixels, seen = reader.pixels, reader.seen
    if pixels is None:
        return None
    if pixels.fragments is not None:
        if part10.guessed:
            raise UnreadableInstance("Pixel Data is compressed, but nothing tells the transfer syntax")
        return frame_layout.encapsulated(
            part10.data,
            pixels,
            count=count,
            syntax=part10.transfer_syntax_uid,
            offset_tables=reader.offset_tables,
        )
    if not pixels.length:
        return None
    return frame_layout.native(
        pixels,
        rows=_short(reader, 0x00280010) or 0,
        columns=_short(reader, 0x00280011) or 0,
        samples=_short(reader, 0x00280002) or 1,
        bits=_short(reader, 0x00280100) or 0,
        count=count,
        photometric=bytes(seen.get(0x00280004, b"")).strip(b" \0").decode("latin-1"),
        deflated=part10.transfer_syntax_uid in uids.DEFLATED,
    )


def _short(reader: Reader, tag: int) -> int | None:
    """The value of an attribute of VR US; None where it is absent or of another size."""
    raw = reader.seen.get(tag, b"")
    if len(raw) != 2:
        return None
    return int.from_bytes(raw, "big" if reader.order == ">" else "little")


def _integer(raw: bytes) -> int | None:
    """The value of an attribute of VR IS; None where it is no whole number from 1 to 2^31."""
    try:
        number = int(bytes(raw[:64]).strip(b" \0"))
    except ValueError:
        return None
    return number if 0 < number < 1 << 31 else None
