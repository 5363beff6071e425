"""Identifiers of C-GET and C-MOVE that are made to take long: they are refused, and soon."""

import struct
import time

import pytest

from dicomweb_box.dicom.retrieve_identifier import read
from dicomweb_box.errors import BadRequest

IMPLICIT = "1.2.840.10008.1.2"


def element(group: int, number: int, value: bytes, length: int | None = None) -> bytes:
    """An element of Implicit VR Little Endian; its length may be another one."""
    return struct.pack("<HHI", group, number, len(value) if length is None else length) + value


NAMED = element(0x08, 0x52, b"STUDY ") + element(0x20, 0x0D, b"1.2\0")
ENDLESS = 0xFFFFFFFF
HUGE = {
    "elements": b"".join(element(0x21, number & 0xFFFF, b"") for number in range(400_000)),
    "items": element(0x40, 0x275, element(0xFFFE, 0xE000, b"") * 400_000, ENDLESS),
    "depth": (element(0x40, 0x275, b"", ENDLESS) + element(0xFFFE, 0xE000, b"", ENDLESS)) * 100_000,
    "an element that is cut": element(0x10, 0x10, b"Doe", 4_000_000),
}


@pytest.mark.parametrize("kind", HUGE)
def test_megabytes_of_nothing_are_refused_at_once(kind: str) -> None:
    began = time.thread_time()

    with pytest.raises(BadRequest) as refused:
        read(NAMED + HUGE[kind], IMPLICIT, "study")

    assert time.thread_time() - began < 2
    assert "Doe" not in str(refused.value)


def test_sixty_thousand_uids_are_read() -> None:
    uids = [f"1.2.840.{number}" for number in range(60_000)]

    found = read(
        element(0x08, 0x52, b"STUDY ") + element(0x20, 0x0D, "\\".join(uids).encode()), IMPLICIT, "study"
    )

    assert found.uids["study"] == tuple(uids)
