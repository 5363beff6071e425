"""A17: what de-identification does, counted instead of timed."""

from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from dicomweb_box.deid.engine import deidentify
from dicomweb_box.deid.policy import BASIC, Policy
from dicomweb_box.deid.redacted import made_here
from dicomweb_box.deid.treatment import Treatment
from dicomweb_box.dicom.image import Image
from tests.deid.drawn import COLUMNS, ROWS, compressed, drawn
from tests.deid.planted import KEY, instance, written


class Counted(bytes):
    """Bytes that tell which of them were taken out as slices."""

    taken: list[tuple[int, int]]

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            self.taken.append(key.indices(len(self))[:2])
        return super().__getitem__(key)


def taken(source: bytes, policy: Policy) -> tuple[list[tuple[int, int]], bytes]:
    """The slices that are taken before anything is written, and what is written."""
    counted = Counted(source)
    counted.taken = []
    found = deidentify(counted, len(counted), policy, KEY)
    slices = list(counted.taken)
    return slices, b"".join(found.chunks())


@pytest.mark.parametrize("pixels", ["refuse", "redact"])
def test_a17_no_pixel_is_read_before_what_is_written_and_attributes_at_most_thrice(pixels: Any):
    pixel_data = bytes(range(256)) * 4096
    source = written(instance(Rows=1024, Columns=1024, PixelData=pixel_data))
    start = source.index(pixel_data)
    slices, out = taken(source, Policy(name="basic", pixels=pixels))
    assert max(stop for _, stop in slices) <= start
    assert sum(stop - begin for begin, stop in slices) <= 3 * start
    assert pixel_data in out


def enhanced(frames: int) -> bytes:
    ds = instance(SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1", NumberOfFrames=frames)
    ds.PixelData = bytes(4 * frames)
    ds.PerFrameFunctionalGroupsSequence = []
    for number in range(frames):
        frame, plane, kind, content = Dataset(), Dataset(), Dataset(), Dataset()
        plane.ImagePositionPatient = [0, 0, number]
        kind.FrameType = ["ORIGINAL", "PRIMARY"]
        content.FrameAcquisitionDateTime = f"202402290715{number % 60:02}"
        frame.PlanePositionSequence, frame.CTImageFrameTypeSequence = [plane], [kind]
        frame.FrameContentSequence = [content]
        ds.PerFrameFunctionalGroupsSequence.append(frame)
    return written(ds)


def test_a17_of_what_frames_repeat_each_value_is_judged_once(monkeypatch: pytest.MonkeyPatch):
    calls: list[int] = []
    treat = Treatment.value

    def counted(self: Treatment, action: int, tag: int, *rest: Any, **more: Any) -> bytes | None:
        calls.append(tag)
        return treat(self, action, tag, *rest, **more)

    monkeypatch.setattr(Treatment, "value", counted)
    judged = []
    for frames in (10, 110):
        calls.clear()
        source = enhanced(frames)
        deidentify(source, len(source), BASIC, KEY)
        judged.append(len(calls))
        assert calls.count(0x00089007) == 1
    # A frame more is a position more to judge, and a date more to replace.
    assert judged[1] - judged[0] == 2 * 100


def test_a17_a_frame_is_decoded_once_and_only_where_it_is_redacted(policy: Policy):
    jobs: list[str | None] = []

    def counted(image: Image, frame: bytes, target: str | None) -> bytes:
        jobs.append(target)
        return made_here(image, frame, target)

    cells = drawn()
    frames = [made_here(_native(), one.tobytes(), str(JPEGLSLossless)) for one in cells]
    for manufacturer, sop_class, wanted in (
        ("Acme", "1.2.840.10008.5.1.4.1.1.7", [None, JPEGLSLossless] * 3),
        ("Another", "1.2.840.10008.5.1.4.1.1.2", []),
    ):
        ds = compressed(cells, frames, Manufacturer=manufacturer, SOPClassUID=sop_class)
        source = written(ds, JPEGLSLossless)
        jobs.clear()
        b"".join(deidentify(source, len(source), policy, KEY, counted).chunks())
        assert jobs == wanted


def _native() -> Image:
    return Image(
        transfer_syntax_uid=ExplicitVRLittleEndian,
        rows=ROWS,
        columns=COLUMNS,
        samples=1,
        bits_allocated=8,
        bits_stored=8,
        signed=False,
        photometric="MONOCHROME2",
        planar=0,
        high_bit=7,
    )
