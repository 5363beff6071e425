"""Real instances: the referee agrees, pixels stay, no object becomes worse, every repertoire is read."""

import warnings
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.engine import deidentify
from dicomweb_box.deid.policy import BUILT_IN
from dicomweb_box.deid.table import table
from tests.deid import referee
from tests.deid.planted import KEY, Planted, deid, instance, plant, read, vr_of, written
from tests.deid.test_engine import SYNTAXES

BUNDLED = Path(pydicom.__path__[0]) / "data"
ALLOWED = {name: replace(policy, pixels="allow", reason="test data") for name, policy in BUILT_IN.items()}


def files(folder: Path) -> list[Path]:
    found = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.suffix not in {".md", ".csv", ".py"}
    )
    # Of long series of one scanner, each tenth is enough.
    return [path for number, path in enumerate(found) if "dcm_qa" not in str(path) or number % 10 == 0]


@cache
def deidentified(path: Path, name: str) -> bytes | None:
    source = path.read_bytes()
    try:
        return b"".join(deidentify(source, len(source), ALLOWED[name], KEY).chunks())
    except Doubt:
        return None


def disagreements(folder: Path, name: str) -> tuple[int, list[str]]:
    wrong, count = [], 0
    for path in files(folder):
        out = deidentified(path, name)
        if out is None:
            continue
        count += 1
        wanted = referee.deidentified(path.read_bytes(), ALLOWED[name], KEY)
        found = referee.plain(referee.opened(out))
        if not referee.same(found, wanted):
            wrong.append(path.name)
    return count, wrong


@pytest.mark.parametrize("name", ["basic", "research"])
def test_the_referee_over_pydicom_agrees_on_bundled_files(name: str):
    count, wrong = disagreements(BUNDLED, name)
    assert count > 80
    assert not wrong


@pytest.mark.parametrize("name", ["basic", "research"])
def test_the_referee_over_pydicom_agrees_on_shared_files(name: str, shared_data: Path):
    count, wrong = disagreements(shared_data, name)
    assert count > 120
    assert not wrong


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_the_referee_over_pydicom_agrees_on_generated_data_sets(data: st.DataObject):
    rows = [
        row
        for row in table().rows
        if (vr := vr_of(row)) and vr != "UN" and 8 <= int(row.mask, 16) >> 16 < 0x7FE0
    ]
    ds = instance()
    for holder in (ds, Dataset(), Dataset()):
        for row in data.draw(st.lists(st.sampled_from(rows), max_size=10)):
            if int(row.mask, 16) not in {0x00420011, 0x0040A730, 0x00080018, 0x0020000D}:
                plant(holder, int(row.mask, 16), vr_of(row) or "", Planted(holder), "")
        for tag, vr in data.draw(st.lists(st.sampled_from(UNLISTED), max_size=10)):
            plant(holder, tag, vr, Planted(holder), "")
        if holder is not ds:
            ds.add_new(data.draw(st.sampled_from((0x00081115, 0x52009229))), "SQ", [holder])
    source = written(ds, data.draw(st.sampled_from(SYNTAXES)))
    policy = BUILT_IN[data.draw(st.sampled_from(("basic", "research")))]
    assert referee.same(
        referee.plain(referee.opened(deid(source, policy))), referee.deidentified(source, policy, KEY)
    )


UNLISTED = [
    (0x00080070, "LO"), (0x00180050, "DS"), (0x00180015, "CS"), (0x00189074, "DT"), (0x00081150, "UI"),
    (0x00281052, "DS"), (0x00200013, "IS"), (0x00620005, "LO"), (0x00400440, "SQ"), (0x00181411, "DS"),
]  # fmt: skip


@pytest.mark.dicom("PS3.5 A.4")
def test_a7_pixels_are_what_they_were_in_every_transfer_syntax(shared_data: Path):
    syntaxes, wrong, shortened = Counter(), [], 0
    for path in [*files(BUNDLED), *files(shared_data)]:
        out = deidentified(path, "basic")
        if out is None:
            continue
        before, after = referee.opened(path.read_bytes()), referee.opened(out)
        syntax = after.file_meta.TransferSyntaxUID
        if "PixelData" not in before or "embedded-sequence-delimiter" in path.name:  # its bytes are no image
            continue
        syntaxes[syntax] += 1
        if before.PixelData == after.PixelData:
            continue
        shortened += len(after.PixelData) < len(before.PixelData)
        if not _same_pixels(before, after):
            wrong.append(path.name)
    assert not wrong
    assert shortened > 5
    assert len(syntaxes) >= 12


def _decoded(ds: Dataset) -> list[np.ndarray]:
    name = ds.file_meta.TransferSyntaxUID.name
    decode = (
        imagecodecs.jpegls_decode
        if "JPEG-LS" in name
        else imagecodecs.ljpeg_decode
        if "Lossless" in name
        else imagecodecs.jpeg_decode
    )
    return [decode(frame) for frame in generate_frames(ds.PixelData, number_of_frames=1)]


def _same_pixels(before: Dataset, after: Dataset) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pixels = before.pixel_array
        except RuntimeError:  # pydicom has no decoder for it here
            return all(map(np.array_equal, _decoded(before), _decoded(after)))
        return np.array_equal(pixels, after.pixel_array)


def charset_files() -> list[Path]:
    return sorted(path for path in (BUNDLED / "charset_files").glob("chr*.dcm") if "SQ" not in path.stem)


@pytest.mark.parametrize("path", charset_files(), ids=lambda path: path.stem)
def test_a19_names_of_every_repertoire_are_replaced_and_found_elsewhere(path: Path):
    ds = referee.opened(path.read_bytes())
    ds.ManufacturerModelName = str(ds.PatientName).replace("=", " ")[:60]
    ds.SOPClassUID, ds.SOPInstanceUID = instance().SOPClassUID, "1.2.3"
    del ds.file_meta
    source = written(ds)
    raw = referee.opened(source).get_item("PatientName").value.rstrip()
    assert raw in source
    out = deid(source, ALLOWED["basic"])
    assert raw not in out
    assert read(out).ManufacturerModelName == "REMOVED"
    assert read(out).get("SpecificCharacterSet") == ds.get("SpecificCharacterSet")
