"""Comparing served metadata with pydicom's reading of the same bytes."""

import base64
import io
import math
import warnings
from typing import Any
from urllib.parse import urljoin

import httpx
import imagecodecs
import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRBigEndian
from pydicom.valuerep import PersonName

BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}
JPEG_LS = {"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"}
ITEM = b"\xfe\xff\x00\xe0"
GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def read(data: bytes) -> Dataset:
    """The dataset as pydicom reads it, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        dataset.decode()
    return dataset


def differences(item: dict[str, Any], data: bytes, url: str, http: httpx.Client) -> list[str]:
    """What in `item`, one object of the DICOM JSON Model served at `url`, is not as pydicom reads `data`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _dataset(item, read(data), "", url, http)


def _dataset(item: dict[str, Any], dataset: Dataset, path: str, url: str, http: httpx.Client) -> list[str]:
    found: list[str] = []
    elements = {f"{element.tag:08X}": element for element in dataset if element.tag.element != 0}
    found += [f"{path}{tag} is missing" for tag in sorted(elements.keys() - item.keys())]
    found += [
        f"{path}{tag} is not in the file"
        for tag in sorted(item.keys() - elements.keys())
        if not tag.endswith("0000")
        and tag != "00083002"  # of a video: how it is encoded, which no attribute of the file itself says
    ]
    for tag in sorted(elements.keys() & item.keys()):
        found += _element(item[tag], elements[tag], f"{path}{tag}", url, http)
    return found


def _element(
    served: dict[str, Any], element: DataElement, path: str, url: str, http: httpx.Client
) -> list[str]:
    if element.VR == "SQ":
        items = served.get("Value", [])
        if len(items) != len(element.value):
            return [f"{path} has {len(items)} items, not {len(element.value)}"]
        pairs = enumerate(zip(items, element.value, strict=True), start=1)
        return [line for n, (a, b) in pairs for line in _dataset(a, b, f"{path}/{n}/", url, http)]
    if path == "7FE00010" and element.value.startswith(ITEM):  # compressed: its frames are compared
        return []
    if served["vr"] == "UN" and element.tag.is_private:
        return []  # kept as it came: pydicom says what its dictionary thinks
    if served["vr"] != element.VR and not (element.VR == "UN" or " or " in element.VR):
        return [f"{path} is {served['vr']}, not {element.VR}"]
    if path == "00080005":  # served as UTF-8, so it says so (PS3.18 F.2.1.1.1)
        return []
    if "InlineBinary" in served or "BulkDataURI" in served:
        return [] if _binary(served, url, http) == _bytes(element) else [f"{path} has other bytes"]
    a, b = served.get("Value", []), _values(element)
    return [] if same(a, b) else [f"{path} ({element.VR}) has other values"]


def _binary(served: dict[str, Any], url: str, http: httpx.Client) -> bytes | None:
    """The bytes, or None for compressed Pixel Data, which frames are compared for."""
    if "InlineBinary" in served:
        return base64.b64decode(served["InlineBinary"])
    response = http.get(urljoin(url, served["BulkDataURI"]), headers={"Accept": "application/octet-stream"})
    return response.content if response.status_code == 200 else None


def _bytes(element: DataElement) -> bytes | None:
    if element.is_undefined_length:
        return None
    value = element.value
    if isinstance(value, bytes):
        return value
    if value is None:
        return b""
    # Numbers that JSON cannot say come as their bytes.
    kinds = {
        "FL": "<f4",
        "FD": "<f8",
        "OF": "<f4",
        "OD": "<f8",
        "US": "<u2",
        "SS": "<i2",
        "UL": "<u4",
        "SL": "<i4",
        "AT": "<u2",
    }
    return bytes(np.asarray(value, dtype=kinds.get(element.VR, "u1")).tobytes())


def native(dataset: Dataset) -> list[bytes]:
    """Each frame as native bytes in little endian: cut from the file, or decoded where it is compressed."""
    count = max(1, int(dataset.get("NumberOfFrames") or 1))
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return _cut(dataset, count)
    array = decoded(dataset)
    frames = array if count > 1 else array[np.newaxis]
    return [np.ascontiguousarray(frame, dtype=frame.dtype.newbyteorder("<")).tobytes() for frame in frames]


def decoded(dataset: Dataset) -> "np.ndarray[Any, Any]":
    """The pixels; pydicom's decoders have no JPEG-LS of their own, which is lent them."""
    if str(dataset.file_meta.TransferSyntaxUID) in JPEG_LS:
        count = max(1, int(dataset.get("NumberOfFrames") or 1))
        frames = generate_frames(dataset.PixelData, number_of_frames=count)
        made = [np.asarray(imagecodecs.jpegls_decode(frame)) for frame in frames]
        return np.stack(made) if count > 1 else made[0]
    array: np.ndarray[Any, Any] = pydicom.pixels.pixel_array(dataset)
    return array


def _cut(dataset: Dataset, count: int) -> list[bytes]:
    # Not pixel_array: it puts planes in another order, and masks bits.
    value, width = dataset.PixelData, dataset.BitsAllocated // 8
    if dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian and width > 1:
        value = np.frombuffer(value, f">u{width}").astype(f"<u{width}").tobytes()
    samples = 2 if dataset.PhotometricInterpretation == "YBR_FULL_422" else dataset.SamplesPerPixel
    size = dataset.Rows * dataset.Columns * samples * dataset.BitsAllocated // 8
    return [value[n * size : (n + 1) * size] for n in range(count)]


def _values(element: DataElement) -> list[Any]:
    value = element.value
    if value is None or value in ("", b""):
        return []
    values = list(value) if isinstance(value, MultiValue | list) else [value]
    return [_value(v, element.VR) for v in values]


def _value(value: Any, vr: str) -> Any:
    if isinstance(value, PersonName):
        groups = (value.alphabetic, value.ideographic, value.phonetic)
        return {name: group for name, group in zip(GROUPS, groups, strict=True) if group}
    if vr == "AT":
        return f"{int(value):08X}"
    if vr in {"DS", "IS"} and value not in (None, ""):
        return getattr(value, "original_string", None) or value
    return value


def same(served: list[Any], wanted: list[Any]) -> bool:
    """Equal but for how an empty value is said and how a number is written."""
    a, b = [_normal(v) for v in served], [_normal(v) for v in wanted]
    while a and a[-1] is None:
        a.pop()
    while b and b[-1] is None:
        b.pop()
    return len(a) == len(b) and all(map(_equal, a, b))


def _normal(value: Any) -> Any:
    if value is None or value in ("", {}, b""):
        return None
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value.strip(" \0") or None
    return value


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-6) or (math.isnan(a) and math.isnan(b))
    return bool(a == b)
