"""Image files beside one another: each under a SOP Instance UID of its own, its pixels untouched."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset

from conformance.objects import encode, multipart, uid
from conformance.rendering_cells import Array, has_frames
from conformance.stow import RELATED, stored

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DEFLATED = "1.2.840.10008.1.2.1.99"
AT_ONCE = 24
BUNDLED = Path(pydicom.__file__).parent / "data" / "test_files"
NO_DICOM = {".csv", ".md", ".txt", ".json", ".dump", ".icc", ".gz"}
# Cut short, or with a delimiter in the head of a codestream, on purpose.
BROKEN = {"MR_truncated.dcm", "rtplan_truncated.dcm", "JPEG2000-embedded-sequence-delimiter.dcm"}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image as sent, and as pydicom reads it."""

    name: str
    data: bytes
    dataset: Dataset

    @property
    def path(self) -> str:
        d = self.dataset
        return f"/studies/{d.StudyInstanceUID}/series/{d.SeriesInstanceUID}/instances/{d.SOPInstanceUID}"

    def frame(self, number: int) -> str:
        return f"{self.path}/frames/{number}"


def pictures(folders: list[Path]) -> list[Picture]:
    """Every image file in `folders` that pydicom reads, of equal ones the first."""
    found: dict[bytes, Picture] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.*")):
            name = str(path.relative_to(folder))
            if path.is_file() and not (
                path.suffix in NO_DICOM or path.name in BROKEN or name.startswith("bad/")
            ):
                data = path.read_bytes()
                if sha256(data).digest() not in found:
                    found.update((sha256(data).digest(), one) for one in picture(name, data))
    return list(found.values())


def picture(name: str, data: bytes) -> Iterator[Picture]:
    """The file as a picture; none where it holds no frames."""
    try:
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    except Exception:  # noqa: BLE001 - pydicom may raise anything on what is no DICOM
        return
    if not has_frames(dataset) or "Rows" not in dataset:
        return
    if any(not dataset.get(keyword) for keyword in UIDS):
        data = _completed(name, dataset)
    elif len(dataset.SOPInstanceUID) > 8 and dataset.file_meta.TransferSyntaxUID != DEFLATED:
        old, own = str(dataset.SOPInstanceUID), _uid(name, len(dataset.SOPInstanceUID))
        data = data.replace(old.encode(), own.encode())
        for keyword in UIDS[:3]:
            setattr(dataset, keyword, own if dataset[keyword].value == old else dataset[keyword].value)
    yield Picture(name=name, data=data, dataset=dataset)


def _completed(name: str, dataset: Dataset) -> bytes:
    for keyword in UIDS[:3]:
        if not dataset.get(keyword):
            setattr(dataset, keyword, uid(f"pixels/{name}"))
    dataset.SOPClassUID = dataset.get("SOPClassUID") or SECONDARY_CAPTURE
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return encode(dataset)


def _uid(name: str, length: int) -> str:
    """A UID of just this length."""
    digits = uid(f"pixels/{name}").removeprefix("2.25.")
    return f"2.25.1{digits.rjust(length, '7')[-(length - 6) :]}"


def store(http: httpx.Client, made: list[Picture]) -> list[str]:
    """Stores them, some in each request; the names of what was not stored."""
    kept: set[str] = set()
    for start in range(0, len(made), AT_ONCE):
        body = multipart([one.data for one in made[start : start + AT_ONCE]])
        headers = {"Content-Type": RELATED, "Accept": "application/dicom+json"}
        kept.update(stored(http.post("/studies", content=body, headers=headers).json()))
    return [one.name for one in made if one.dataset.SOPInstanceUID not in kept]


def rendered(http: httpx.Client, path: str, **query: str) -> Array:
    """A frame as PNG: (rows, columns), or (rows, columns, 3) of colour."""
    answer = http.get(f"{path}/rendered", params=query, headers={"Accept": "image/png"})
    assert answer.status_code == 200, f"{answer.status_code} {answer.text[:200]}"
    assert answer.headers["Content-Type"].startswith("image/png")
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.mode in {"L", "RGB"}, image.mode
        return np.asarray(image)


def native(http: httpx.Client, path: str) -> bytes:
    """A frame in Explicit VR Little Endian."""
    answer = http.get(path, headers={"Accept": "application/octet-stream"})
    assert answer.status_code == 200, f"{answer.status_code} {answer.text[:200]}"
    return answer.content


def each(made: list[Any], check: Any) -> list[str]:
    """What `check` says of each, some at a time; what it raises is said too."""

    def said(one: Any) -> str:
        try:
            found: str = check(one)
        except Exception as error:  # noqa: BLE001 - one failure must not hide the others
            found = f"{type(error).__name__}: {str(error)[:300]}"
        return found and f"{getattr(one, 'name', one)}: {found}"

    with ThreadPoolExecutor(3) as pool:
        return [line for line in pool.map(said, made) if line]
