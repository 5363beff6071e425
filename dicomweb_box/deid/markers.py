"""What a de-identified instance says of that (PS3.15 E.1.1 and E.3, PS3.3 C.7.6.9, C.12.1.1.7)."""

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from dicomweb_box import __version__
from dicomweb_box.deid import deviations
from dicomweb_box.deid.identity import Identity
from dicomweb_box.deid.plans import CONTRIBUTING_EQUIPMENT, METHOD_CODES
from dicomweb_box.deid.policy import Policy
from dicomweb_box.deid.redacted import Redacting
from dicomweb_box.deid.stand_ins import code
from dicomweb_box.deid.values import Writer, is_readable, padded
from dicomweb_box.dicom import losses

REMOVED, METHOD, TEMPORAL = 0x00120062, 0x00120063, 0x00280303
PHOTOMETRIC, PLANAR, BURNED_IN = 0x00280004, 0x00280006, 0x00280301
LOSSY, LOSSY_METHOD = 0x00282110, 0x00282114
_LONGEST: Final = 64
# PS3.3 C.7.6.1.1.5.1.
_LOSSY_METHODS: Final = frozenset(
    (b"ISO_10918_1", b"ISO_14495_1", b"ISO_15444_1", b"ISO_15444_15", b"ISO_18181_1", b"ISO_13818_2",
     b"ISO_14496_10", b"ISO_23008_2")
)  # fmt: skip


def elements(policy: Policy, identity: Identity, writer: Writer) -> dict[int, bytes]:
    """Whole elements to write, by tag, in the place of what is there."""
    return {
        REMOVED: writer.element(REMOVED, "CS", b"YES "),
        METHOD: writer.element(METHOD, "LO", _methods(policy, identity)),
        TEMPORAL: writer.element(TEMPORAL, "CS", deviations.temporal(policy)),
    }


def redacted(raw: Mapping[int, bytes], how: Redacting, writer: Writer, lost: bytes = b"") -> dict[int, bytes]:
    """What redacted pixels are described by, by tag (PS3.15 E.3.1, PS3.3 C.7.6.1.1.5, C.7.6.3).

    Lossy compression is told once and for all, though what is written is compressed without loss. `lost`:
    the method by which frames have lost, where more is known than what their transfer syntax tells.
    """
    lossy, methods = raw.get(LOSSY, b"").strip(b" \0"), _known_methods(raw.get(LOSSY_METHOD, b""))
    lost = lost or losses.method(how.image.transfer_syntax_uid, b"")
    if lost and lossy != b"01":
        lossy, methods = b"01", methods or lost
    said = {PHOTOMETRIC: how.target.photometric.encode("ascii"), BURNED_IN: b"NO"}
    if lossy in {b"00", b"01"}:
        said[LOSSY] = lossy
    if methods:
        said[LOSSY_METHOD] = methods
    found = {tag: writer.element(tag, "CS", padded(value, "CS")) for tag, value in said.items()}
    if how.target.samples > 1:
        found[PLANAR] = writer.element(PLANAR, "US", struct.pack(how.order + "H", how.target.planar))
    return found


def _known_methods(value: bytes) -> bytes:
    methods = [one for one in value.strip(b" \0").split(b"\\") if one.strip() in _LOSSY_METHODS]
    return b"\\".join(methods)


def items(policy: Policy, present: Mapping[int, bytes], writer: Writer) -> dict[int, bytes]:
    """Items to add to sequences, by tag; none for what is said there already.

    `present` has the raw values of these sequences.
    """
    added = _added(policy, writer)
    return {
        tag: b"".join(item for mark, item in added[tag] if mark not in present.get(tag, b"")) for tag in added
    }


@lru_cache(maxsize=64)
def _added(policy: Policy, writer: Writer) -> dict[int, list[tuple[bytes, bytes]]]:
    """Items by sequence, each with the element that tells whether it is there already."""
    return {
        METHOD_CODES: [
            (
                writer.element(0x00080100, "SH", value.encode()),
                writer.whole_item(code(writer, value, "DCM", meaning)),
            )
            for value, meaning in deviations.codes(policy)
        ],
        CONTRIBUTING_EQUIPMENT: [
            (writer.element(0x00081090, "LO", _MODEL), writer.whole_item(_equipment(writer)))
        ],
    }


_MODEL: Final = b"dicomweb_box"


def _methods(policy: Policy, identity: Identity) -> bytes:
    """What was there, and ours, each once; what names the patient is left out."""
    raw = identity.raw.get(METHOD, b"")
    kept = [
        value
        for value in (one.strip(b" \0") for one in raw.split(b"\\"))
        if value
        and value.isascii()
        and len(value) <= _LONGEST
        and is_readable(value)
        and not identity.named_in(value, identity.charset)
    ]
    ours = [one[:_LONGEST].rstrip().encode("ascii") for one in deviations.methods(policy)]
    said = b"\\".join(dict.fromkeys((*kept, *ours)))
    return said + b" " * (len(said) % 2)


def _equipment(writer: Writer) -> bytes:
    """An item of Contributing Equipment Sequence, without institution, person or time."""
    version = __version__.encode("ascii")
    return b"".join(
        (
            writer.element(0x00080070, "LO", _MODEL),
            writer.element(0x00081090, "LO", _MODEL),
            writer.element(0x00181020, "LO", version + b" " * (len(version) % 2)),
            writer.sequence(0x0040A170, code(writer, "109104", "DCM", "De-identifying Equipment")),
        )
    )
