"""The whole folder of shared test files: each stored, found, and given back as pydicom reads it."""

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import UID

from conformance.multiparts import parts
from conformance.reading import differences, native, read
from conformance.server import started
from conformance.stow import failures, post, stored

pytestmark = [pytest.mark.xdist_group("shared data"), pytest.mark.filterwarnings("ignore::UserWarning")]

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
STUDY_KEYS = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientName",
    "PatientID",
    "StudyID",
)
SERIES_KEYS = (
    "Modality",
    "SeriesNumber",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
)
INSTANCE_KEYS = ("SOPClassUID", "InstanceNumber")
ANYTHING = re.compile(".*", re.DOTALL)
KEYS = {
    "Time": re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?"),
    "Date": re.compile(r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"),
}
LOSSY = {
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91",
}


@dataclass(frozen=True, kw_only=True)
class File:
    """One file, as pydicom reads it, and what the server said to it."""

    name: str
    data: bytes
    dataset: Dataset
    response: httpx.Response

    @property
    def path(self) -> str:
        d = self.dataset
        return f"/studies/{d.StudyInstanceUID}/series/{d.SeriesInstanceUID}/instances/{d.SOPInstanceUID}"


@dataclass(kw_only=True)
class Archive:
    """The server, and the files by what should have become of them."""

    http: httpx.Client
    first: list[File] = field(default_factory=list)
    again: list[File] = field(default_factory=list)
    without_uids: list[File] = field(default_factory=list)
    bad: list[File] = field(default_factory=list)


@pytest.fixture(scope="module")
def archive(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """A server of its own that keeps the first of objects with one UID; each file is sent by itself."""
    folder = tmp_path_factory.mktemp("shared") / "data"
    with (
        started(folder, settings={"DICOMWEB_BOX_DUPLICATES": "keep-first"}) as server,
        httpx.Client(base_url=server.dicomweb, timeout=60) as http,
    ):
        archive = Archive(http=http)
        known: set[str] = set()
        with (test_data / "manifest.csv").open(newline="") as manifest:
            names = [row["file"] for row in csv.DictReader(manifest)]
        for name in names:
            _send(archive, known, name, (test_data / name).read_bytes())
        yield archive


def _send(archive: Archive, known: set[str], name: str, data: bytes) -> None:
    response = post(archive.http, data, content_type="application/dicom")
    try:
        dataset = read(data)
    except Exception:  # noqa: BLE001 - pydicom may raise anything on files of bad/
        dataset = Dataset()
    file = File(name=name, data=data, dataset=dataset, response=response)
    if name.startswith("bad/"):
        archive.bad.append(file)
        known.update(stored(response.json()) if response.status_code == 200 else [])
    elif any(not dataset.get(keyword) for keyword in UIDS):
        archive.without_uids.append(file)
    elif dataset.SOPInstanceUID in known:
        archive.again.append(file)
    else:
        known.add(dataset.SOPInstanceUID)
        archive.first.append(file)


@pytest.mark.row(99, 100, 113)
def test_each_file_with_its_uids_is_stored(archive: Archive):
    refused = [(f.name, f.response.text) for f in archive.first if f.response.status_code != 200]
    assert refused == []
    assert len(archive.first) > 200


@pytest.mark.row(109)
def test_each_other_object_under_a_known_uid_is_reported(archive: Archive):
    # Equal data sets are a success; others are kept and reported as duplicates (0111).
    answers = Counter(
        (f.response.status_code, *(f"{reason:04X}" for reason in failures(f.response.json())))
        for f in archive.again
    )
    assert set(answers) <= {(200,), (409, "0111")}
    assert answers[(409, "0111")] > 10


@pytest.mark.row(106, 107)
def test_each_file_without_its_uids_is_refused_with_what_it_lacks(archive: Archive):
    for f in archive.without_uids:
        assert f.response.status_code == 409, f.name
        assert failures(f.response.json()), f.name
        assert any(word in f.response.text for word in ("UID", "DICOM")), (f.name, f.response.text)


@pytest.mark.row(106, 107)
def test_each_bad_file_is_refused_with_its_reason_or_kept_as_it_is(archive: Archive):
    for f in archive.bad:
        if f.response.status_code == 200:
            assert as_stored(archive, f) == f.data, f.name
            continue
        assert f.response.status_code in {400, 409}, f.name
        assert f.response.status_code == 400 or failures(f.response.json()), f.name


@pytest.mark.row(46, 49, 113)
def test_each_file_comes_back_bit_for_bit(archive: Archive):
    changed = []
    for f in archive.first:
        back = as_stored(archive, f)
        whole = f.data[128:132] == b"DICM"
        equal = (
            hashlib.sha256(back).digest() == hashlib.sha256(f.data).digest()
            if whole
            else ends_with(back, f.data)
        )
        changed += [] if equal else [f.name]
    assert changed == []


@pytest.mark.row(57, 61, 62, 65, 93)
def test_the_metadata_of_each_file_equals_what_pydicom_reads(archive: Archive):
    found = {}
    for f in archive.first:
        response = archive.http.get(f.path + "/metadata", headers={"Accept": "application/dicom+json"})
        lines = differences(response.json()[0], f.data, str(response.url), archive.http)
        if lines:
            found[f.name] = lines[:3]
    assert found == {}


@pytest.mark.row(69, 71, 73)
def test_each_frame_of_each_file_equals_what_pydicom_reads_as_stored(archive: Archive):
    wrong = []
    for f in archive.first:
        if not _compressed(f.dataset):
            continue
        frames = list(generate_frames(f.dataset.PixelData, number_of_frames=_count(f.dataset)))
        got = frames_of(archive, f, "; transfer-syntax=*", len(frames))
        wrong += [] if got == frames else [f.name]
    assert wrong == []


@pytest.mark.row(48, 52, 69)
def test_each_frame_of_each_file_equals_what_pydicom_decodes(archive: Archive):
    wrong, compared = [], 0
    for f in archive.first:
        frames = _native(f)
        if frames is None:
            continue
        compared += 1
        got = frames_of(archive, f, "", len(frames))
        lossy = str(f.dataset.file_meta.get("TransferSyntaxUID", "")) in LOSSY
        wrong += [] if _alike(got, frames, lossy) else [f.name]
    assert wrong == []
    assert compared > 200


@pytest.mark.row(11)
def test_each_study_is_found_by_each_of_its_values(archive: Archive):
    lost = []
    for study_uid, files in _grouped(archive.first, "StudyInstanceUID").items():
        lost += _lost(archive, "/studies", STUDY_KEYS, files, "0020000D", study_uid)
        # A study's modalities are those of its series, and one series may hold instances that disagree.
        series = _grouped(files, "SeriesInstanceUID").values()
        for modality in filter(None, {_served(members, "Modality") for members in series}):
            lost += _unfound(archive, "/studies", "ModalitiesInStudy", modality, "0020000D", study_uid)
    assert lost == []


@pytest.mark.row(12)
def test_each_series_is_found_by_each_of_its_values(archive: Archive):
    lost = []
    for series_uid, files in _grouped(archive.first, "SeriesInstanceUID").items():
        lost += _lost(archive, "/series", SERIES_KEYS, files, "0020000E", series_uid)
    assert lost == []


@pytest.mark.row(13)
def test_each_instance_is_found_by_each_of_its_values(archive: Archive):
    lost = []
    for f in archive.first:
        found = _search(archive, "/instances", "SOPInstanceUID", f.dataset.SOPInstanceUID, "00080018")
        lost += [] if found == [f.dataset.SOPInstanceUID] else [f.name]
        path = f"/studies/{f.dataset.StudyInstanceUID}/instances"
        lost += _lost(archive, path, INSTANCE_KEYS, [f], "00080018", f.dataset.SOPInstanceUID)
    assert lost == []


def as_stored(archive: Archive, f: File) -> bytes:
    return archive.http.get(f.path, headers={"Accept": "application/dicom; transfer-syntax=*"}).content


def ends_with(back: bytes, data: bytes) -> bool:
    """A file that came without preamble has got a whole header, and its data set is as it was."""
    return back[128:132] == b"DICM" and back.endswith(data[_dataset_start(data) :])


def _dataset_start(data: bytes) -> int:
    """Where the data set begins in a file that has no preamble but may have group 0002."""
    first = pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=[], stop_before_pixels=True)
    if not first.file_meta:
        return 0
    # Group 0002 is explicit little endian; its length element says where it ends.
    at = 0
    while data[at : at + 2] == b"\x02\x00":
        long = data[at + 4 : at + 6] in {b"OB", b"UN"}
        size = int.from_bytes(data[at + 8 : at + 12] if long else data[at + 6 : at + 8], "little")
        at += (12 if long else 8) + size
    return at


def frames_of(archive: Archive, f: File, syntax: str, count: int) -> list[bytes]:
    accept = 'multipart/related; type="application/octet-stream"' + syntax
    numbers = ",".join(map(str, range(1, count + 1)))
    response = archive.http.get(f"{f.path}/frames/{numbers}", headers={"Accept": accept})
    if response.status_code != 200:
        return [f"{response.status_code} {response.text}".encode()]
    return [part.content for part in parts(response)]


def _compressed(dataset: Dataset) -> bool:
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    video = str(syntax or "").startswith("1.2.840.10008.1.2.4.10")
    known = bool(syntax) and UID(syntax).is_transfer_syntax
    return "PixelData" in dataset and known and not video and syntax.is_encapsulated


def _count(dataset: Dataset) -> int:
    return max(1, int(dataset.get("NumberOfFrames") or 1))


def _native(f: File) -> list[bytes] | None:
    """Each frame as native little endian, or None where it has none or pydicom cannot decode it."""
    d = f.dataset
    if "PixelData" not in d or d.get("BitsAllocated") == 1:
        return None
    try:
        return native(d)
    except Exception:  # noqa: BLE001 - whatever pydicom cannot decode is no frame of this test
        return None


def _alike(got: list[bytes], frames: list[bytes], lossy: bool) -> bool:
    """Equal frames; of lossy codecs only the sizes can be equal for every decoder."""
    if len(got) != len(frames):
        return False
    if lossy:
        return [len(frame) for frame in got] == [len(frame) for frame in frames]
    return got == frames


def _grouped(files: list[File], keyword: str) -> dict[str, list[File]]:
    groups: dict[str, list[File]] = {}
    for f in files:
        groups.setdefault(str(f.dataset[keyword].value), []).append(f)
    return groups


def _lost(
    archive: Archive, path: str, keys: tuple[str, ...], files: list[File], tag: str, uid: str
) -> list[str]:
    """The keys by whose value the level of `files` is not found."""
    lost = []
    for keyword in keys:
        value = _served(files, keyword)
        # What some write for a date or a time is none, and is no key: the server says so with 400.
        if value and KEYS.get(keyword[-4:], ANYTHING).fullmatch(value):
            lost += _unfound(archive, path, keyword, value, tag, uid)
    return lost


def _unfound(archive: Archive, path: str, keyword: str, value: str, tag: str, uid: str) -> list[str]:
    return [] if uid in _search(archive, path, keyword, value, tag) else [f"{keyword}={value!r} of {uid}"]


def _search(archive: Archive, path: str, keyword: str, value: str, tag: str) -> list[str]:
    response = archive.http.get(path, params={keyword: value}, headers={"Accept": "application/dicom+json"})
    assert response.status_code == 200, (keyword, value, response.text)
    return [item[tag]["Value"][0] for item in response.json()]


def _served(files: list[File], keyword: str) -> str:
    """The value of a level: its instances' most frequent, ties going to the lowest SOP Instance UID."""
    said: dict[str, list[str]] = {}
    for f in files:
        value: Any = f.dataset.get(keyword)
        said.setdefault("" if value is None else str(value).strip(), []).append(str(f.dataset.SOPInstanceUID))
    return min(said, key=lambda value: (-len(said[value]), min(said[value])))
