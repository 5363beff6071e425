"""Data sets the one-pass reader does not know how to read, through pydicom."""

import io
import threading
import warnings
from typing import Final

from pydicom import DataElement, Dataset, config
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from dicomweb_box.dicom.header_parts import UNDEFINED, may_be_cut_off, named
from dicomweb_box.dicom.header_reader import Reader
from dicomweb_box.dicom.header_tables import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    KINDS,
    PIXEL_DATA,
    Encoding,
)
from dicomweb_box.dicom.part10 import Part10
from dicomweb_box.errors import UnreadableInstance

_LARGEST: Final = 4 << 20  # a larger header of hostile make would keep pydicom busy for minutes
# Filters of warnings are the process's, and pydicom's warnings quote values: one at a time, none gets out.
_quiet: Final = threading.Lock()


def read(part10: Part10, why: str) -> tuple[Reader, bytes]:
    """The data set as pydicom reads it, written plainly and read again; values inline: their place is lost.

    Raises UnreadableInstance where pydicom cannot read it either.
    """
    try:
        with _quiet, warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            reader, text = _read(part10)
    except UnreadableInstance:
        raise
    except Exception:  # noqa: BLE001 - pydicom raises anything at all; each means that it cannot read this
        raise UnreadableInstance(f"the data set cannot be read: it holds {why}") from None
    reader.warnings[f"read by pydicom: the data set holds {why}"] = None
    return reader, text


def _read(part10: Part10) -> tuple[Reader, bytes]:
    head = bytes(part10.data[part10.start : part10.start + _LARGEST])
    file = io.BytesIO(head)
    encoding = part10.encoding
    dataset = read_dataset(
        file,
        not encoding.explicit,
        encoding.order == "<",
        stop_when=lambda tag, vr, length: int(tag) in PIXEL_DATA,
    )
    if file.tell() >= len(head) and part10.size - part10.start > len(head):
        raise UnreadableInstance("the data set is damaged, and its attributes are larger than 4 MiB")
    _refuse_cut_off(dataset)
    implicit, little = dataset.original_encoding
    plain = _written(dataset, bool(implicit), bool(little))
    reader = Reader(data=plain, size=len(plain), bulk_threshold=_LARGEST, bulk_root="instances//bulkdata/")
    text = reader.read(0, EXPLICIT_LITTLE)
    if file.tell() >= len(head):
        return reader, text
    return _with_pixels(
        part10, reader, text, part10.start + file.tell(), encoding if little else EXPLICIT_BIG
    )


def _with_pixels(
    part10: Part10, before: Reader, text: bytes, start: int, encoding: Encoding
) -> tuple[Reader, bytes]:
    """Reads on from Pixel Data with our own reader: there lie the only values whose place is needed."""
    reader = Reader(data=part10.data, size=part10.size, bulk_threshold=_LARGEST, seen=before.seen)
    reader.warnings = before.warnings
    rest = reader.read(start, encoding)
    reader.order = before.order
    reader.unordered = before.unordered or reader.unordered
    if len(rest) > 2:
        text = text[:-1] + (b"," if len(text) > 2 else b"") + rest[1:]
    return reader, text


def _refuse_cut_off(dataset: Dataset) -> None:
    for element in dataset.elements():
        if isinstance(element, RawDataElement) and element.length != UNDEFINED:
            cut = len(element.value or b"") < element.length
            if cut and not may_be_cut_off(int(element.tag), [element.tag for element in dataset.elements()]):
                raise UnreadableInstance(
                    f"the data set is cut off: {named(int(element.tag))} goes on past its end"
                )


def _written(dataset: Dataset, implicit: bool, little: bool) -> bytes:
    """The data set in Explicit VR Little Endian, VRs that do not exist as UN."""
    for element in list(dataset.elements()):
        if isinstance(element, RawDataElement) and element.VR is not None and element.VR not in KINDS:
            dataset[element.tag] = DataElement(element.tag, "UN", element.value or b"")
    dataset.set_original_encoding(implicit, little)
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = False, True
    write_dataset(out, dataset)
    return out.getvalue()
