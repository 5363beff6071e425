"""What pydicom reads of an instance, put into the words of the DICOM JSON Model as this project writes it.

Where the two differ on purpose the difference is taken out here, with its reason.
"""

import base64
import math
import struct
import warnings
import zlib
from io import BytesIO
from typing import Any

from pydicom import DataElement, Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue

from dicomweb_box.dicom.header import locate, read_header
from dicomweb_box.dicom.header_values import swapped

BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW", "US or OW", "US or SS or OW"}


def read(data: bytes) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(BytesIO(data), force=True)


def differences(data: bytes, dataset: Dataset, ours: dict[str, Any], *, inline: bool = False) -> list[str]:
    """Each attribute that is not what pydicom reads; `inline`: the place of bulk values is not known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inflated = data
        if dataset.file_meta.get("TransferSyntaxUID") == "1.2.840.10008.1.2.1.99":
            inflated = zlib.decompress(data[read_header(data).dataset_offset :], -15)
        return list(_differences((data, inflated), dataset, ours, "", inline, dataset.original_encoding[1]))


def _differences(sources, dataset, ours, path, inline, little):
    expected = {}
    for tag in [element.tag for element in dataset.elements()]:
        if tag.element == 0 or tag.group in {0, 2}:
            continue  # PS3.18 F.2: neither group lengths nor file meta
        expected[f"{int(tag):08X}"] = tag
    for missing in expected.keys() ^ ours.keys():
        yield f"{path}{missing}: only {'pydicom' if missing in expected else 'we'} have it"
    if list(ours) != sorted(ours):
        yield f"{path}: not in order"
    for name in expected.keys() & ours.keys():
        try:
            element = dataset[expected[name]]
        except BytesLengthException:
            # pydicom gives up; we keep a value that cannot be of its VR as UN.
            raw = dataset.get_item(expected[name])
            element = DataElement(expected[name], "UN", raw.value)
        element_ours = ours[name]
        if element.VR == "SQ":
            items = element_ours.get("Value", [])
            if element_ours["vr"] == "UN" and (expected[name].is_private):
                continue  # kept as it came: a dictionary's guess does not replace a private UN
            if element_ours["vr"] != "SQ" or len(items) != len(element.value):
                yield f"{path}{name}: {len(element.value)} items, ours {element_ours['vr']} {len(items)}"
                continue
            for number, (item, item_ours) in enumerate(zip(element.value, items, strict=True), 1):
                yield from _differences(sources, item, item_ours, f"{path}{name}/{number}/", inline, little)
            continue
        if element_ours["vr"] == "UN" and element.VR != "UN" and expected[name].is_private:
            continue  # the same
        want, got = _expected(element, little), dict(element_ours)
        if name == "00080005" and got.get("Value") == ["ISO_IR 192"]:
            continue  # what the JSON is in, and says it is in (PS3.18 8.8)
        if want["vr"] in {"DS", "IS"} and not repr(want.get("Value")).isascii():
            # No number at all: pydicom reads its bytes in the data set's character set, we byte for byte, for
            # PS3.5 6.1.2.3 puts DS and IS under no character set.
            want["Value"] = got["Value"]
        if "BulkDataURI" in got:
            if inline:
                continue
            uri = got.pop("BulkDataURI").partition("/bulkdata/")[2]
            if uri != path + name:
                yield f"{path}{name}: bulk data at {uri}"
                continue
            place = locate(sources[0], uri)
            bulk = sources[1][place.offset : place.offset + place.length]
            value = _bytes(element, little)
            if place.encapsulated:
                bulk = bulk[: len(value)]
            if place.vr != got["vr"] or bulk != value:
                yield f"{path}{name}: other bulk data"
            continue
        if want != got:
            yield f"{path}{name}: {want} is pydicom's, ours is {got}"


def _bytes(element: DataElement, little: bool) -> bytes:
    value = element.value
    if isinstance(value, bytes):
        return value
    return str(value).encode()


def _expected(element: DataElement, little: bool) -> dict[str, Any]:
    vr = element.VR
    if vr in BINARY:
        value = element.value
        if value is None or not len(value):
            return {"vr": vr}
        value = value if little else swapped(value, vr)  # PS3.18 F.2.7: little endian
        return {"vr": vr, "InlineBinary": base64.b64encode(value).decode()}
    values = element.value if isinstance(element.value, MultiValue | list) else [element.value]
    if vr in {"FL", "FD"} and not all(math.isfinite(v) for v in values if v not in (None, "")):
        packed = b"".join(struct.pack("<f" if vr == "FL" else "<d", v) for v in values)
        return {"vr": vr, "InlineBinary": base64.b64encode(packed).decode()}
    written = [_value(vr, value) for value in values]
    if written == [None]:
        return {"vr": vr}
    return {"vr": vr, "Value": written}


def _value(vr: str, value: Any) -> Any:
    if value is None or value == "":
        return None
    if vr == "PN":
        groups = zip(("Alphabetic", "Ideographic", "Phonetic"), value.components, strict=False)
        # A group that is not there is left out, not written as an empty string.
        return {name: group.strip(" \0") for name, group in groups if group.strip(" \0")} or None
    if vr == "AT":
        return f"{int(value):08X}"
    if vr in {"DS", "IS"}:
        try:
            return float(value) if vr == "DS" else int(value)
        except ValueError:
            return (
                str(value).strip(" \0") or None
            )  # not a number: PS3.18 F.2.3.1 would have none; kept as it is
    if isinstance(value, str):
        # pydicom strips the whole of a CS or DA only at its end; the values between keep their padding there.
        value = value.strip(" \0") if vr in {"AE", "CS"} else value.rstrip(" \0")
        return value or None
    return value


def frames(data: bytes, count: int) -> list[bytes]:
    """The bytes of each frame as pydicom cuts them; bit-packed frames as the bytes they lie in."""
    dataset = read(data)
    value = next(
        dataset[name].value
        for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
        if name in dataset
    )
    element = dataset.get_item(0x7FE00010)
    if element is not None and getattr(element, "is_undefined_length", False):
        tables = None
        if "ExtendedOffsetTable" in dataset:
            tables = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
        order = "<" if dataset.original_encoding[1] else ">"
        return list(generate_frames(value, number_of_frames=count, extended_offsets=tables, endianness=order))
    bits = (
        dataset.Rows * dataset.Columns * dataset.get("SamplesPerPixel", 1) * dataset.get("BitsAllocated", 0)
    )
    if "FloatPixelData" in dataset:
        bits = dataset.Rows * dataset.Columns * 32
    if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits // 3 * 2
    if bits > 8 * len(value):
        return [value]
    return [value[number * bits // 8 : -(-(number + 1) * bits // 8)] for number in range(count)]
