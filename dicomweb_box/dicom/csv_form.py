"""Data sets as a table of comma-separated values (RFC 4180), for those who go on in a spreadsheet."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from pydicom.datadict import keyword_for_tag

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NO_TEXT = frozenset(("SQ", "OB", "OD", "OF", "OL", "OV", "OW", "UN"))
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")

DataSet = Mapping[str, Mapping[str, Any]]


def to_csv(datasets: Sequence[DataSet]) -> bytes:
    """A header of keywords and a record for each data set, in UTF-8.

    The columns are the attributes that any of them has, in ascending order; private attributes, sequences and
    binary values are left out. Several values of one attribute are joined by backslashes, as in DICOM itself.
    """
    tags = sorted({tag for dataset in datasets for tag, element in dataset.items() if _fits(tag, element)})
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow([keyword_for_tag(int(tag, 16)) or tag for tag in tags])
    for dataset in datasets:
        writer.writerow([_cell(dataset.get(tag, {}).get("Value") or ()) for tag in tags])
    return table.getvalue().encode("utf-8")


def _fits(tag: str, element: Mapping[str, Any]) -> bool:
    return int(tag[3], 16) % 2 == 0 and element.get("vr") not in _NO_TEXT


def _cell(values: Sequence[Any]) -> str:
    text = "\\".join(map(_text, values))
    numbers = bool(values) and all(isinstance(value, int | float) for value in values)
    # A spreadsheet would take such a text for a formula and run it; a number is what it seems.
    return f"'{text}" if text.startswith(_FORMULA) and not numbers else text


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "=".join(str(value.get(group) or "") for group in _GROUPS).rstrip("=")
    return "" if value is None else str(value)
