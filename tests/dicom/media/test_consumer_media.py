"""Consumer media read by their headers, whatever their bytes are."""

import random
from contextlib import suppress

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomweb_box.dicom.media import consumer_media
from dicomweb_box.dicom.media.jpeg_stream import read_jpeg
from dicomweb_box.errors import UnreadableInstance
from tests.dicomweb.media import PDF, animation, jpeg, mp4, picture, saved, turned_jpeg

WHOLE = {
    "image/jpeg": turned_jpeg(8),
    "image/jp2": imagecodecs.jpeg2k_encode(np.asarray(picture()), codecformat="jp2"),
    "image/png": saved(picture(), "PNG"),
    "image/gif": animation(),
    "video/mp4": mp4(size=10),
    "video/mpeg": b"\0\0\1\xb3" + (720 << 20 | 576 << 8 | 2 << 4 | 3).to_bytes(4, "big") + b"\0\0\1\0",
    "application/pdf": PDF,
}


@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_mutated_media_are_described_or_refused(kind: str) -> None:
    rng = random.Random(kind)
    whole = WHOLE[kind]
    for _ in range(1500):
        data = bytearray(whole[: rng.choice([len(whole), rng.randrange(len(whole) + 1)])])
        for _ in range(rng.randrange(6)):
            if data:
                data[rng.randrange(min(len(data), 700))] = rng.choice([0, 1, 0x7F, 0xFF, rng.randrange(256)])
        with suppress(UnreadableInstance):
            consumer_media.kept(kind, memoryview(bytes(data)))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.binary(max_size=200))
def test_any_bytes_are_described_or_refused(kind: str, data: bytes) -> None:
    with suppress(UnreadableInstance):
        assert consumer_media.kept(kind, memoryview(WHOLE[kind][:8] + data)) is not False


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_read(orientation: int) -> None:
    assert read_jpeg(memoryview(turned_jpeg(orientation))).orientation == orientation


def test_what_a_phone_puts_behind_a_photo_is_kept_with_it() -> None:
    data = jpeg() + mp4()

    found = consumer_media.kept("image/jpeg", memoryview(data))

    assert found is not None
    assert found.kept == (0, len(data))
