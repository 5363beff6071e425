"""pydicom is the referee: attribute by attribute on every object at hand, and on thousands made at random."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import orjson
import pydicom
import pytest

from dicomweb_box.dicom.header import Header, read_header
from dicomweb_box.errors import UnreadableInstance
from tests.dicom import generated, referee

SHIPPED = Path(pydicom.__file__).parent / "data"
SEEDS, SHARES = 2000, 4


def objects(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix not in {".py", ".md", ".csv", ".json", ".txt", ".pyc", ".ipynb"}:
            yield path


def compare(path: Path) -> tuple[Header | None, list[str]]:
    data = path.read_bytes()
    try:
        header = read_header(data)
    except UnreadableInstance:
        return None, []
    inline = any(warning.startswith("read by pydicom") for warning in header.warnings)
    found = referee.differences(data, referee.read(data), orjson.loads(header.json), inline=inline)
    return header, found


def needs_uids(data: bytes) -> bool:
    dataset = referee.read(data)
    return all(dataset.get(name) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))


@pytest.mark.dicom("PS3.18 F.2")
def test_every_object_that_pydicom_ships_reads_as_pydicom_reads_it():
    found = {path.name: differences for path in objects(SHIPPED) if (differences := compare(path)[1])}

    assert found == {}


@pytest.mark.dicom("PS3.18 F.2")
def test_every_real_object_reads_as_pydicom_reads_it(shared_data):
    found = {path.name: differences for path in objects(shared_data) if (differences := compare(path)[1])}

    assert found == {}


@pytest.mark.row(113)
def test_every_real_object_with_its_uids_is_accepted_and_every_bad_one_refused(shared_data):
    for path in objects(shared_data):
        header, _ = compare(path)
        if path.parent.name == "bad":
            assert header is None, path
        elif needs_uids(path.read_bytes()):
            assert header is not None, path


@pytest.mark.dicom("PS3.18 F.2")
@pytest.mark.parametrize("share", range(SHARES))
def test_generated_data_sets_read_as_pydicom_reads_them(share):
    for seed in range(share, SEEDS, SHARES):
        data = generated.instance(seed)
        header = read_header(data)

        found = referee.differences(data, referee.read(data), orjson.loads(header.json))

        assert found == [], f"seed {seed}"


@pytest.mark.row(74)
def test_frames_of_every_real_object_are_the_bytes_pydicom_takes(shared_data):
    told = 0
    for path in [*objects(shared_data), *objects(SHIPPED)]:
        data = path.read_bytes()
        try:
            header = read_header(data)
        except UnreadableInstance:
            continue
        if header.frames is None or header.frames.kind == "video":
            continue
        stored = header.part10_prefix + data
        if header.frames.kind == "deflated":
            stored = zlib.decompress(data[header.dataset_offset :], -15)
        told += 1
        assert frames_of(header, stored) == referee.frames(data, header.frames.count), path
    assert told > 300


def frames_of(header: Header, stored: bytes) -> list[bytes]:
    table = header.frames
    assert table is not None
    return [
        b"".join(stored[offset : offset + length] for offset, length in table.fragments(number))
        for number in range(1, table.count + 1)
    ]
