"""Single values out of the DICOM JSON Model, whatever a sender wrote there; nothing here raises."""

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any

from dicomweb_box.dicom.json_model import Dataset

Bulk = Callable[[str], bytes]
"""Gives the little endian bytes of a bulk value by its path, such as `00283010/1/00283006`."""


def numbers(dataset: Dataset, tag: str) -> list[float]:
    """The finite numbers of an attribute: numbers, or texts that say one; [] where there is none."""
    found = [_number(value) for value in _values(dataset, tag)]
    return [value for value in found if value is not None]


def number(dataset: Dataset, tag: str) -> float | None:
    """The first number of an attribute, or None."""
    return next(iter(numbers(dataset, tag)), None)


def whole(dataset: Dataset, tag: str) -> int | None:
    """The first number of an attribute as a whole one, or None."""
    found = number(dataset, tag)
    return None if found is None else int(found)


def texts(dataset: Dataset, tag: str) -> list[str]:
    """The texts of an attribute, of person names their first group there is; "" where a value is empty."""
    return [_text(value) for value in _values(dataset, tag)]


def text(dataset: Dataset, tag: str) -> str:
    """The first text of an attribute, or ""."""
    return next(iter(texts(dataset, tag)), "")


def items(dataset: Dataset, tag: str) -> list[Dataset]:
    """The items of a sequence, empty ones too; [] where it is absent."""
    return [item for item in _values(dataset, tag) if isinstance(item, dict)]


def binary(dataset: Dataset, tag: str, path: str, bulk: Bulk) -> bytes:
    """The bytes of an attribute, little endian, given inline or as bulk data at `path`; b"" where absent.

    Numbers are taken as those of VR US.
    """
    element = dataset.get(tag, {})
    if "InlineBinary" in element:
        try:
            return base64.b64decode(element["InlineBinary"])
        except (binascii.Error, TypeError, ValueError):
            return b""
    if "BulkDataURI" in element:
        return bulk(path)
    return b"".join((int(value) & 0xFFFF).to_bytes(2, "little") for value in numbers(dataset, tag))


def _values(dataset: Dataset, tag: str) -> list[Any]:
    found = dataset.get(tag, {}).get("Value", [])
    return found if isinstance(found, list) else []


def _number(value: Any) -> float | None:
    try:
        found = float(str(value).replace(",", ".")) if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return next((str(group) for group in value.values() if group), "")
    return "" if value is None else str(value).strip()
