"""What a C-STORE carries: data sets in the transfer syntax that was agreed on."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING
from dicomweb_box.archive import retrieve, transcoding
from dicomweb_box.archive.body import total_length
from dicomweb_box.archive.chunks import chunks
from dicomweb_box.archive.dataset_body import dataset_body, uncompressed
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.box import Box
from dicomweb_box.dicom.transcode import JPEG_LOSSLESS
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from tests.archive.test_corrections import correct, keep
from tests.builders import make_dataset, part10
from tests.dicom.test_explicit import dataset_offset

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


async def kept(box: Box, data: bytes) -> Instance:
    stored = await keep(box, data)
    return await retrieve.one(
        box, stored.study_uid, stored.series_uid, stored.instance_uid, scope=EVERYTHING, actor=ANONYMOUS
    )


async def again(box: Box, instance: Instance) -> Instance:
    return await retrieve.one(
        box, instance.study_uid, instance.series_uid, instance.instance_uid, scope=EVERYTHING, actor=ANONYMOUS
    )


async def given(box: Box, instance: Instance, syntax: str) -> bytes:
    body = await dataset_body(box, instance, syntax)
    data = b"".join([bytes(chunk) async for chunk in chunks(box, body)])
    assert total_length(body) in (None, len(data))
    return data


def read(data: bytes, syntax: str) -> pydicom.Dataset:
    """The data set as a receiver reads it, who knows the syntax of the presentation context."""
    uid = pydicom.uid.UID(syntax)
    found = pydicom.filereader.read_dataset(
        io.BytesIO(data), uid.is_implicit_VR, uid.is_little_endian, bytelength=len(data)
    )
    found.file_meta = pydicom.dataset.FileMetaDataset()
    found.file_meta.TransferSyntaxUID = uid
    return found


@pytest.mark.parametrize(
    "syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
async def test_the_stored_bytes_go_out_as_they_are_in_their_own_syntax(box: Box, syntax: str) -> None:
    data = part10(make_dataset(), transfer_syntax=syntax)
    instance = await kept(box, data)

    assert await given(box, instance, str(syntax)) == data[dataset_offset(data) :]


@pytest.mark.dicom("PS3.5 10.1")
@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
@pytest.mark.parametrize(
    "stored", [EXPLICIT_LITTLE, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
async def test_a_native_instance_is_given_without_compression_in_both_forms(
    box: Box, stored: str, syntax: str
) -> None:
    instance = await kept(box, part10(make_dataset(), transfer_syntax=stored))

    found = read(await given(box, instance, syntax), syntax)

    assert found.PatientName == "Doe^Jane"
    wanted = bytes(range(32))
    # The builder's cells are what it wrote, turned round where the file is big endian.
    assert found.PixelData in (wanted, np.frombuffer(wanted, "<u2").byteswap().tobytes())


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
@pytest.mark.parametrize("name", ["JPEG2000.dcm", "MR_small_RLE.dcm"])
async def test_a_compressed_instance_is_decoded_for_who_takes_nothing_else(
    box: Box, name: str, syntax: str
) -> None:
    path = SHIPPED / name
    instance = await kept(box, path.read_bytes())

    found = read(await given(box, instance, syntax), syntax)

    before = pydicom.dcmread(path)
    assert found.SOPInstanceUID == before.SOPInstanceUID
    wanted = decoded(before)
    assert np.frombuffer(found.PixelData, wanted.dtype)[: wanted.size].tolist() == wanted.ravel().tolist()


def decoded(ds: pydicom.Dataset) -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ds.pixel_array


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
async def test_corrected_values_are_in_every_form(box: Box, syntax: str) -> None:
    for stored in (EXPLICIT_LITTLE, IMPLICIT_LITTLE, DeflatedExplicitVRLittleEndian):
        instance = await kept(box, part10(make_dataset(), transfer_syntax=stored))
        await correct(box, instance.study_uid, PatientName="Ωmega^Rita")

        found = read(await given(box, await again(box, instance), syntax), syntax)

        assert found.PatientName == "Ωmega^Rita"
        assert found.OriginalAttributesSequence[0].ModifiedAttributesSequence[0].PatientName == "Doe^Jane"
        assert found.PixelData == bytes(range(32))


async def test_it_is_encoded_for_who_takes_only_another_compression(box: Box) -> None:
    instance = await kept(box, part10(make_dataset()))
    assert JPEG_LOSSLESS in await transcoding.targets(box, instance)

    found = read(await given(box, instance, JPEG_LOSSLESS), JPEG_LOSSLESS)

    assert found["PixelData"].is_undefined_length
    assert found.PatientName == "Doe^Jane"


def test_what_cannot_be_decoded_is_not_offered_without_compression() -> None:
    assert uncompressed("1.2.840.10008.1.2.4.102") == ()
    assert uncompressed("1.2.840.10008.1.2.4.80") == (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
