"""What is de-identified is as valid as it was: code strings, dates, and what dciodvfy says of real ones."""

import re
import shutil
import subprocess
import warnings
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.filereader import read_sequence
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from dicomweb_box.deid.policy import BUILT_IN, Policy
from dicomweb_box.deid.values import Writer
from dicomweb_box.deid.walker import writer_of
from dicomweb_box.dicom.header_tables import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from tests.deid import referee
from tests.deid.planted import KEY, deid, instance, read, written
from tests.deid.test_real_files import BUNDLED, deidentified, files

FULL_DATES = Policy(name="dates", options=frozenset(("retain-full-dates",)))


@pytest.mark.dicom("PS3.3 C.7.6.1.1.2")
@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("DERIVED\\PRIMARY\\JANE\\RCBF", ["DERIVED", "PRIMARY", "", "RCBF"]),
        ("DERIVED\\PRIMARY\\Axial\\RCBF", ["DERIVED", "PRIMARY", "", "RCBF"]),
        ("DERIVED\\PRIMARY\\SCAN_OF_DOE", ["DERIVED", "PRIMARY", ""]),
        ("DOE\\JANE", ""),
    ],
)
def test_of_several_code_strings_only_the_one_that_may_not_stay_is_emptied(given: str, wanted: object):
    source = written(instance(ImageType="\\".join(len(one) * "X" for one in given.split("\\"))))
    source = re.sub(rb"X+(\\X+)*", lambda _: given.encode(), source, count=1)
    found = read(deid(source)).ImageType
    assert (found if isinstance(found, str) else list(found)) == wanted


def test_terms_of_the_standard_stay_though_the_patients_name_is_in_them():
    ds = instance(
        PatientName="Mary^Gina^Pre",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL", "MARY"],
        BodyPartExamined="HAND",
        ContentQualification="RESEARCH",
    )
    out = read(deid(written(ds)))
    assert list(out.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL", ""]
    assert (out.BodyPartExamined, out.ContentQualification) == ("HAND", "RESEARCH")


def test_a_label_that_names_the_patient_is_another_one():
    out = read(deid(written(instance(ContentLabel="JANE S PLAN"))))
    assert out.ContentLabel == "REMOVED"


@pytest.mark.parametrize("policy", [BUILT_IN["research"], FULL_DATES], ids=["moved", "full"])
def test_a5_a_date_that_is_none_becomes_what_the_basic_profile_says(policy: Policy):
    ds = instance(StudyDate="20240101", InstanceCreationDate="20240102", AcquisitionDateTime="20240103")
    ds.StudyTime = "101112"
    source = written(ds)
    for good in (b"20240101", b"20240102", b"20240103", b"101112"):
        source = source.replace(good, b"Doe"[: len(good)].ljust(len(good), b"x"))
    out = read(deid(source, policy))
    assert (out.StudyDate, out.StudyTime) == ("", "")  # of type 2: Z
    assert out.InstanceCreationDate == "19000101"  # X/D
    assert out.AcquisitionDateTime == "19000101000000"


@pytest.mark.dicom("PS3.5 6.2.2")
@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_sequences_of_vr_un_are_read_by_others(syntax: str, undefined: bool):
    outer = writer_of(EXPLICIT_BIG if syntax == ExplicitVRBigEndian else EXPLICIT_LITTLE)
    inner = writer_of(IMPLICIT_LITTLE)
    source = with_un(outer, inner, syntax, undefined=undefined)
    ds = referee.opened(deid(source))
    raw = ds.get_item(0x00081115)
    assert (raw.VR == "UN") is (syntax == ExplicitVRBigEndian)
    item = (implicit(raw.value) if raw.VR == "UN" else ds[0x00081115].value)[0]
    assert item.FrameOfReferenceUID == KEY.uid("1.2.3.4.5.6")
    assert item[0x00081199].value[0].ReferencedSOPInstanceUID == KEY.uid("1.2.3.4")
    assert (ds.Rows, len(ds.PixelData)) == (2, 4)


def implicit(items: bytes) -> Sequence:
    """Items of a sequence in VR UN; in big endian pydicom would read them in the order of the rest."""
    return read_sequence(BytesIO(items), True, True, len(items), "ascii")


def with_un(outer: Writer, inner: Writer, syntax: str, *, undefined: bool) -> bytes:
    """An instance with a sequence in VR UN, and another one within it."""
    nested = inner.sequence(0x00081199, inner.element(0x00081155, "UI", b"1.2.3.4\0"))
    item = inner.whole_item(nested + inner.element(0x00200052, "UI", b"1.2.3.4.5.6\0"))
    whole = (
        outer.open_sequence(0x00081115, "UN") + item + inner.sequence_end
        if undefined
        else outer.head(0x00081115, "UN", len(item)) + item
    )
    source = written(instance(), syntax)
    place = source.index(outer.head(0x00100010, "PN", 8))
    return source[:place] + whole + source[place:]


def chosen(folder: Path) -> list[Path]:
    """The smallest file of each SOP class, and those that were worse once."""
    smallest: dict[str, Path] = {}
    once_worse = []
    for path in files(folder):
        if path.name in ONCE_WORSE:
            once_worse.append(path)
        kind = kind_of(path)
        if kind not in smallest or path.stat().st_size < smallest[kind].stat().st_size:
            smallest[kind] = path
    return sorted({*smallest.values(), *once_worse})


def kind_of(path: Path) -> str:
    """The SOP class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return str(dcmread(path, force=True, specific_tags=["SOPClassUID"]).get("SOPClassUID"))


ONCE_WORSE = {
    "eCT_Supplemental.dcm", "rtplan.dcm", "rwvm.dcm", "seg.dcm", "explicit_VR-UN.dcm",
    "JPEGLossless_1s_1f_i_16_16_bad.dcm", "JPEGLosslessP14SV1_3s_2f_u_08_08.dcm",
}  # fmt: skip


@pytest.fixture
def dciodvfy() -> None:
    """Skips where dciodvfy (Debian's dicom3tools) is not installed."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy of dicom3tools is not installed")


@pytest.mark.usefixtures("dciodvfy")
def test_a8_no_bundled_object_has_an_error_it_had_not(tmp_path: Path):
    assert not worse(BUNDLED, tmp_path, least=15)


@pytest.mark.usefixtures("dciodvfy")
def test_a8_no_real_object_has_an_error_it_had_not(shared_data: Path, tmp_path: Path):
    assert not worse(shared_data, tmp_path, least=30)


def worse(folder: Path, tmp_path: Path, *, least: int) -> dict[tuple[str, str], list[str]]:
    """What dciodvfy says of the outputs and not of their inputs."""
    found, target, judged = {}, tmp_path / "out.dcm", 0
    for path in chosen(folder):
        before = None
        for name in BUILT_IN:
            out = deidentified(path, name)
            if out is None:
                continue
            judged += 1
            target.write_bytes(out)
            before = errors(path) if before is None else before
            new = errors(target) - before
            if new:
                found[path.name, name] = sorted(new)
    assert judged >= least
    return found


def errors(path: Path) -> Counter[str]:
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, check=False, timeout=300)
    said = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    # Which UID is where it does not belong is another one afterwards.
    return Counter(re.sub(r"<[0-9.]+>", "<>", line) for line in said if line.startswith("Error"))
