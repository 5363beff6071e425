"""Photos, films and reports that join a study, on the real archive."""

import io
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.pixels import pixel_array

from dicomweb_box.archive import apart, media_process
from dicomweb_box.box import Box
from dicomweb_box.dicom.media import medium
from tests.builders import make_instance, new_uid
from tests.dicomweb.doors import body_of, post
from tests.dicomweb.media import PDF, animation, jpeg, mp4, picture, saved, turned_jpeg
from tests.dicomweb.metadata_bodies import JSON_RELATED, body, bulk, joined
from tests.dicomweb.test_stow import held, reasons, values
from tests.dicomweb.test_stow_metadata import back

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
NATIVE = "1.2.840.10008.1.2.1"
EMPTY_PNG = saved(picture(), "PNG")[:16] + bytes(8) + saved(picture(), "PNG")[24:]


@pytest.fixture
async def study(box: Box) -> str:
    """A study of one CT instance."""
    uid = new_uid()
    data = make_instance(
        study=uid, PatientName="Grün^Änne", SpecificCharacterSet="ISO_IR 192", SeriesNumber=4
    )
    assert (await post(box, body_of([data]))).status_code == 200
    return uid


async def joins(box: Box, study: str, kind: str, data: bytes) -> pydicom.Dataset:
    """The instance that a medium becomes, posted alone to its study."""
    answer = await post(box, data, content_type=kind, study=study)
    assert answer.status_code == 200, answer.text
    assert values(values(answer.json(), "00081199")[0], "00081196") == [0xB000]
    return await back(box, answer)


@pytest.mark.row(103, 108)
@pytest.mark.dicom("PS3.18 10.5.2")
async def test_a_photo_joins_the_study_it_is_posted_to_bit_for_bit(box: Box, study: str) -> None:
    photo = jpeg()

    made = await joins(box, study, "image/jpeg", photo)

    assert made.StudyInstanceUID == study
    assert (made.PatientName, made.PatientID, made.AccessionNumber) == ("Grün^Änne", "P1", "A1")
    assert (made.StudyDate, made.SeriesNumber, made.InstanceNumber) == ("20260105", 5, 1)
    assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert made.file_meta.TransferSyntaxUID == JPEG_BASELINE
    (frame,) = generate_frames(made.PixelData)
    assert frame.rstrip(b"\0") == photo
    assert (made.Rows, made.Columns, made.SamplesPerPixel, made.PhotometricInterpretation) == (
        30,
        40,
        3,
        "YBR_FULL_422",
    )
    assert (made.LossyImageCompression, made.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert np.allclose(pixel_array(made), np.asarray(Image.open(io.BytesIO(photo))), atol=2)


@pytest.mark.row(103)
@pytest.mark.parametrize(
    ("options", "syntax", "photometric"),
    [
        ({"mode": "L"}, JPEG_BASELINE, "MONOCHROME2"),
        ({"subsampling": 0}, JPEG_BASELINE, "YBR_FULL"),
        ({"keep_rgb": True}, JPEG_BASELINE, "RGB"),
        ({"progressive": True}, NATIVE, "RGB"),
        ({"mode": "CMYK"}, NATIVE, "RGB"),
    ],
)
async def test_each_kind_of_jpeg_is_kept_where_a_transfer_syntax_holds_it(
    box: Box, study: str, options: dict[str, Any], syntax: str, photometric: str
) -> None:
    photo = jpeg(**options)

    made = await joins(box, study, "image/jpeg", photo)

    assert (made.file_meta.TransferSyntaxUID, made.PhotometricInterpretation) == (syntax, photometric)
    assert made.LossyImageCompression == "01"
    seen = Image.open(io.BytesIO(photo))
    wanted = np.asarray(seen if seen.mode == "L" else seen.convert("RGB"))
    assert np.allclose(pixel_array(made), wanted, atol=2)


@pytest.mark.row(103)
async def test_a_photo_that_exif_turns_is_stored_upright(box: Box, study: str) -> None:
    made = await joins(box, study, "image/jpeg", turned_jpeg(6))

    assert (made.Rows, made.Columns) == (40, 30)
    assert "Exif Orientation 6" in made.DerivationDescription
    assert np.allclose(pixel_array(made), np.asarray(picture().rotate(-90, expand=True)), atol=4)


def deep(samples: int) -> np.ndarray:
    return (np.arange(30 * 40 * samples, dtype=np.uint16) * 13).reshape(30, 40, samples).squeeze()


@pytest.mark.row(103)
@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (saved(picture(), "PNG"), np.asarray(picture())),
        (saved(picture(mode="L"), "PNG"), np.asarray(picture(mode="L"))),
        (saved(picture(mode="RGBA"), "PNG"), np.asarray(picture())),
        (saved(picture(mode="LA"), "PNG"), np.asarray(picture(mode="L"))),
        (saved(picture(mode="P"), "PNG"), np.asarray(picture(mode="P").convert("RGB"))),
        (saved(picture(mode="1"), "PNG"), np.asarray(picture(mode="1").convert("L"))),
        (imagecodecs.png_encode(deep(1)), deep(1)),
        (imagecodecs.png_encode(deep(3)), deep(3)),
    ],
    ids=["rgb", "grey", "alpha", "grey-alpha", "palette", "bits", "deep", "deep-rgb"],
)
async def test_a_png_becomes_native_pixels_without_loss(
    box: Box, study: str, data: bytes, wanted: np.ndarray
) -> None:
    made = await joins(box, study, "image/png", data)

    assert made.file_meta.TransferSyntaxUID == NATIVE
    assert "LossyImageCompression" not in made
    assert np.array_equal(pixel_array(made), wanted)


@pytest.mark.row(103)
async def test_an_animation_becomes_frames_in_time(box: Box, study: str) -> None:
    data = animation()

    made = await joins(box, study, "image/gif", data)

    assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7.4"
    assert (made.NumberOfFrames, made.FrameTime, made.FrameIncrementPointer) == (3, 50, 0x00181063)
    image = Image.open(io.BytesIO(data))
    for number, frame in enumerate(pixel_array(made)):
        image.seek(number)
        assert np.array_equal(frame, np.asarray(image.convert("RGB")))


@pytest.mark.row(103)
@pytest.mark.parametrize(
    ("options", "syntax", "photometric"),
    [
        ({"reversible": True}, "1.2.840.10008.1.2.4.90", "YBR_RCT"),
        ({"level": 40}, "1.2.840.10008.1.2.4.91", "YBR_ICT"),
        ({"reversible": True, "mct": False}, "1.2.840.10008.1.2.4.90", "RGB"),
    ],
)
async def test_a_jpeg_2000_file_is_kept_as_its_codestream(
    box: Box, study: str, options: dict[str, Any], syntax: str, photometric: str
) -> None:
    data = imagecodecs.jpeg2k_encode(np.asarray(picture()), codecformat="jp2", **options)

    made = await joins(box, study, "image/jp2", data)

    assert (made.file_meta.TransferSyntaxUID, made.PhotometricInterpretation) == (syntax, photometric)
    (frame,) = generate_frames(made.PixelData)
    assert frame.rstrip(b"\0") in data
    assert frame[:4] == b"\xff\x4f\xff\x51"
    assert made.get("LossyImageCompression", "00") == ("01" if syntax.endswith("91") else "00")


@pytest.mark.row(103)
@pytest.mark.parametrize(
    ("options", "syntax", "bits"),
    [
        ({"level": 41}, "1.2.840.10008.1.2.4.102", 8),
        ({"level": 42}, "1.2.840.10008.1.2.4.104", 8),
        ({"codec": b"hvc1", "profile": 1, "level": 153}, "1.2.840.10008.1.2.4.107", 8),
        ({"codec": b"hvc1", "profile": 2, "level": 120}, "1.2.840.10008.1.2.4.108", 10),
    ],
)
async def test_a_film_is_kept_in_the_transfer_syntax_of_its_level(
    box: Box, study: str, options: dict[str, Any], syntax: str, bits: int
) -> None:
    film = mp4(**options)

    made = await joins(box, study, "video/mp4", film)

    assert made.file_meta.TransferSyntaxUID == syntax
    assert (made.Rows, made.Columns, made.NumberOfFrames, made.FrameTime) == (480, 640, 50, 40)
    assert (made.PhotometricInterpretation, made.BitsStored, made.Modality) == ("YBR_PARTIAL_420", bits, "XC")
    assert b"".join(generate_frames(made.PixelData, number_of_frames=1)).rstrip(b"\0") == film.rstrip(b"\0")


@pytest.mark.row(103)
async def test_a_film_by_pyav_is_described_as_pyav_sees_it(box: Box, study: str) -> None:
    av = pytest.importorskip("av")
    buffer = io.BytesIO()
    with av.open(buffer, "w", "mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in range(10):
            array = np.full((48, 64, 3), shade * 20, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, "rgb24")))
        container.mux(stream.encode(None))

    made = await joins(box, study, "video/mp4", buffer.getvalue())

    assert (made.Rows, made.Columns, made.NumberOfFrames, made.FrameTime) == (48, 64, 10, 40)
    assert made.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.102"


@pytest.mark.row(103)
async def test_an_mpeg_2_film_is_described_by_its_sequence_header(box: Box, study: str) -> None:
    header = b"\0\0\1\xb3" + (720 << 20 | 576 << 8 | 2 << 4 | 3).to_bytes(4, "big")
    film = header + b"\0\0\1\0picture" * 7 + b"."

    made = await joins(box, study, "video/mpeg", film)

    assert made.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.100"
    assert (made.Rows, made.Columns, made.NumberOfFrames, made.FrameTime) == (576, 720, 7, 40)


@pytest.mark.row(103)
async def test_a_report_becomes_an_encapsulated_pdf(box: Box, study: str) -> None:
    made = await joins(box, study, "application/pdf", PDF)

    assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.104.1"
    assert made.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert made.EncapsulatedDocument[: made.EncapsulatedDocumentLength] == PDF
    assert made.PatientName == "Grün^Änne"


@pytest.mark.row(103)
async def test_several_photos_of_one_request_share_a_series(box: Box, study: str) -> None:
    content = joined([("image/jpeg", {}, jpeg()), ("image/png", {}, saved(picture(), "PNG"))])
    kind = 'multipart/related; type="image/jpeg"; boundary=frontier'

    answer = await post(box, content, content_type=kind, study=study)

    made = [await back(box, answer, number) for number in range(2)]
    assert len({one.SeriesInstanceUID for one in made}) == 1
    assert [one.InstanceNumber for one in made] == [1, 2]


@pytest.mark.row(103, 108)
async def test_what_the_metadata_say_is_kept_and_only_the_rest_supplied(box: Box, study: str) -> None:
    said = {
        "00080060": {"vr": "CS", "Value": ["XC"]},
        "00081030": {"vr": "LO", "Value": ["Skin"]},
        "00100010": {"vr": "PN"},
        "00200011": {"vr": "IS", "Value": [77]},
        "7FE00010": {"vr": "OB", "BulkDataURI": "photo"},
    }

    answer = await post(
        box, body([said], [bulk("photo", jpeg(), "image/jpg")]), content_type=JSON_RELATED, study=study
    )

    assert answer.status_code == 200, answer.text
    made = await back(box, answer)
    assert (made.Modality, made.StudyDescription, made.SeriesNumber) == ("XC", "Skin", 77)
    assert made.PatientName == "Grün^Änne"
    remarks = values(values(answer.json(), "00081199")[0], "00091003")[0]
    assert "supplied: " in remarks
    assert "SeriesInstanceUID (0020,000E)" in remarks
    assert "SeriesNumber" not in remarks
    assert "Grün" not in answer.text


@pytest.mark.row(103)
async def test_metadata_need_not_name_the_only_medium(box: Box) -> None:
    said = {"00100020": {"vr": "LO", "Value": ["P9"]}}

    answer = await post(box, body([said], [("application/pdf", {}, PDF)]), content_type=JSON_RELATED)

    made = await back(box, answer)
    assert (made.PatientID, made.PatientName, made.Modality) == ("P9", "", "DOC")
    assert made.StudyInstanceUID.startswith("2.25.")


@pytest.mark.row(103)
async def test_a_photo_of_another_patient_does_not_join_the_study(box: Box, study: str) -> None:
    said = {"00100020": {"vr": "LO", "Value": ["P2"]}}

    answer = await post(
        box, body([said], [("image/jpeg", {}, jpeg())]), content_type=JSON_RELATED, study=study
    )

    assert (answer.status_code, reasons(answer)) == (409, [0xA900])
    assert "PatientID (0010,0020) is not that of the study" in answer.text
    assert await held(box) == 1


def identified(**more: Any) -> dict[str, Any]:
    """Metadata of a program that gives its instance a name of its own."""
    return {
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
        "00080018": {"vr": "UI", "Value": [new_uid()]},
        "0020000D": {"vr": "UI", "Value": [new_uid()]},
        "0020000E": {"vr": "UI", "Value": [new_uid()]},
        "7FE00010": {"vr": "OB", "BulkDataURI": "photo"},
        **more,
    }


@pytest.mark.row(103)
@pytest.mark.dicom("PS3.18 10.5.1")
async def test_the_image_pixel_macro_is_derived_and_nothing_else_added_for_a_program(box: Box) -> None:
    answer = await post(
        box, body([identified()], [bulk("photo", jpeg(), "image/jpeg")]), content_type=JSON_RELATED
    )

    assert answer.status_code == 200, answer.text
    assert "00081196" not in values(answer.json(), "00081199")[0]
    made = await back(box, answer)
    assert (made.Rows, made.BitsStored, made.HighBit, made.PlanarConfiguration) == (30, 8, 7, 0)
    assert "PatientName" not in made
    assert "OriginalAttributesSequence" not in made


@pytest.mark.row(108)
@pytest.mark.dicom("PS3.3 C.12.1.1.9")
async def test_what_was_replaced_is_kept_in_the_original_attributes(box: Box) -> None:
    said = identified(
        **{
            "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller"}]},
            "00280010": {"vr": "US", "Value": [31]},
            "00282110": {"vr": "CS", "Value": ["00"]},
        }
    )

    answer = await post(box, body([said], [bulk("photo", jpeg(), "image/jpeg")]), content_type=JSON_RELATED)

    item = values(answer.json(), "00081199")[0]
    assert values(item, "00081196") == [0xB000]
    assert "Rows (0028,0010) was replaced" in values(item, "00091003")[0]
    made = await back(box, answer)
    assert (made.Rows, made.LossyImageCompression, made.SpecificCharacterSet) == (30, "01", "ISO_IR 192")
    assert made.PatientName == "Müller"
    first, second = made.OriginalAttributesSequence
    originals = first.ModifiedAttributesSequence[0]
    assert (originals.Rows, originals.LossyImageCompression) == (31, "00")
    assert second.ModifiedAttributesSequence[0].SpecificCharacterSet == "ISO_IR 100"
    assert first.ReasonForTheAttributeModification == "COERCE"
    assert first.ModifyingSystem == "DICOMWEB_BOX"
    assert first.SourceOfPreviousValues.startswith("stow:")
    assert first.AttributeModificationDateTime.endswith("+0000")


@pytest.mark.row(103)
async def test_photos_may_be_the_frames_of_one_instance(box: Box) -> None:
    photos = [jpeg(quality=quality) for quality in (70, 80, 90)]

    answer = await post(
        box,
        body([identified()], [bulk("photo", one, "image/jpeg") for one in photos]),
        content_type=JSON_RELATED,
    )

    made = await back(box, answer)
    assert made.NumberOfFrames == 3
    assert [frame.rstrip(b"\0") for frame in generate_frames(made.PixelData)] == photos


@pytest.mark.row(103)
@pytest.mark.parametrize(
    ("kind", "data", "sentence"),
    [
        ("image/jpeg", b"no photo", "is no JPEG"),
        ("image/jpeg", jpeg()[:300], "cut off"),
        ("image/jpeg", jpeg()[:-2], "cut off"),
        ("image/jpeg", b"\xff\xd8\xff\xd9", "without an image"),
        ("image/png", b"\x89PNG\r\n\x1a\n" + bytes(40), "no PNG"),
        ("image/png", saved(picture(), "PNG")[:-20], "cut off"),
        ("image/png", saved(picture(), "PNG").replace(b"IDATx", b"IDATy"), "cannot be decoded"),
        ("image/png", EMPTY_PNG, "no size"),
        ("image/gif", b"GIF89a" + bytes(20), ""),
        ("image/jp2", b"\xff\x4f\xff\x51\0", "JPEG 2000"),
        ("video/mp4", b"\0\0\0\x18ftypisom", "no MP4"),
        ("video/mp4", mp4(level=51), "level 51"),
        ("video/mp4", mp4(codec=b"vp09"), "neither H.264 nor H.265"),
        ("video/mp4", mp4(frames=0), "without frames"),
        ("video/mpeg", b"x" * 100, "no MPEG-2"),
        ("application/pdf", b"<html>", "no PDF"),
    ],
)
async def test_a_medium_that_is_none_is_refused_with_a_sentence(
    box: Box, study: str, kind: str, data: bytes, sentence: str
) -> None:
    answer = await post(box, data, content_type=kind, study=study)

    assert answer.status_code == 409, answer.text
    assert sentence in answer.text
    assert await held(box) == 1


@pytest.mark.row(103)
async def test_an_image_too_large_is_refused_before_it_is_decoded(
    box: Box, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(medium, "MOST_PIXELS", 1000)

    for kind, data in (
        ("image/png", saved(picture(), "PNG")),
        ("image/gif", saved(picture(), "GIF")),
        ("image/jpeg", jpeg(progressive=True)),
    ):
        answer = await post(box, data, content_type=kind, study=study)
        assert answer.status_code == 409, kind
        assert "megapixels" in answer.text


@pytest.mark.row(103)
@pytest.mark.parametrize(
    ("module", "sentence"),
    [("dying_decoder", "breaks its decoder"), ("hanging_decoder", "is not decoded in")],
)
async def test_a_codec_that_dies_or_hangs_refuses_its_medium_alone(
    box: Box, study: str, monkeypatch: pytest.MonkeyPatch, module: str, sentence: str
) -> None:
    monkeypatch.setattr(media_process, "_MODULE", f"tests.dicomweb.{module}")
    monkeypatch.setattr(apart, "_START_SECONDS", -29.0)
    content = joined([("image/png", {}, saved(picture(), "PNG")), ("image/jpeg", {}, jpeg())])

    answer = await post(
        box, content, content_type='multipart/related; type="image/png"; boundary=frontier', study=study
    )

    assert (answer.status_code, reasons(answer)) == (202, [0xC000])
    assert sentence in answer.text


@pytest.mark.row(103)
async def test_a_medium_without_a_study_to_join_is_refused(box: Box) -> None:
    nowhere = await post(box, jpeg(), content_type="image/jpeg")
    unknown = await post(box, jpeg(), content_type="image/jpeg", study="1.2.3")

    assert (nowhere.status_code, unknown.status_code) == (400, 404)
    assert await held(box) == 0


@pytest.mark.row(103)
async def test_bulk_data_that_nothing_names_is_told(box: Box) -> None:
    parts = [bulk("photo", jpeg(), "image/jpeg"), bulk("other", b"x")]

    answer = await post(box, body([identified()], parts), content_type=JSON_RELATED)

    assert answer.status_code == 200
    assert "1 parts of bulk data were named by no metadata" in answer.headers["warning"]


@pytest.fixture
def dciodvfy() -> str:
    """The validator of dicom3tools; skips where it is not installed."""
    found = shutil.which("dciodvfy")
    if found is None:
        pytest.skip("dciodvfy of dicom3tools is not installed")
    return found


def media() -> Iterator[tuple[str, bytes]]:
    yield "image/jpeg", jpeg()
    yield "image/jpeg", jpeg(mode="L")
    yield "image/jpeg", turned_jpeg(3)
    yield "image/png", saved(picture(), "PNG")
    yield "image/png", imagecodecs.png_encode(deep(1))
    yield "image/gif", animation()
    yield "image/jp2", imagecodecs.jpeg2k_encode(np.asarray(picture()), codecformat="jp2", reversible=True)
    yield "video/mp4", mp4()
    yield "application/pdf", PDF


@pytest.mark.row(103)
@pytest.mark.parametrize("known", [True, False])
async def test_what_is_made_conforms_to_its_iod(
    box: Box, study: str, dciodvfy: str, tmp_path: Path, known: bool
) -> None:
    for kind, data in media():
        if known:
            answer = await post(box, data, content_type=kind, study=study)
        else:
            answer = await post(box, body([{}], [(kind, {}, data)]), content_type=JSON_RELATED)
        made = await back(box, answer)
        made.save_as(tmp_path / "made.dcm")
        told = subprocess.run([dciodvfy, tmp_path / "made.dcm"], capture_output=True, text=True, check=False)
        errors = [line for line in told.stderr.splitlines() if line.startswith("Error")]
        assert errors == [], kind
