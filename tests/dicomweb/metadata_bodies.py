"""Bodies of metadata and bulk data, as a client puts them together."""

import base64
import io
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import pydicom

from dicomweb_box.dicom.multipart import closing, part_head

JSON_RELATED = 'multipart/related; type="application/dicom+json"; boundary=frontier'
XML_RELATED = 'multipart/related; type="application/dicom+xml"; boundary=frontier'

Part = tuple[str, dict[str, str], bytes]
"""Content-Type, further headers (`content_location="x"`), data."""


def joined(parts: Iterable[Part]) -> bytes:
    """The parts as a body with the boundary `frontier`."""
    heads = [
        part_head("frontier", kind, first=number == 0, **headers) + data
        for number, (kind, headers, data) in enumerate(parts)
    ]
    return b"".join(heads) + closing("frontier")


def json_part(*datasets: Any) -> Part:
    """One part of metadata."""
    return "application/dicom+json", {}, orjson.dumps(list(datasets))


def bulk(location: str, data: bytes, kind: str = "application/octet-stream") -> Part:
    """One part of bulk data."""
    return kind, {"content_location": location}, data


def taken_apart(data: bytes, prefix: str = "bulk") -> tuple[dict[str, Any], list[Part]]:
    """An instance of native pixel data as metadata and bulk parts, by pydicom."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    parts: list[Part] = []

    def apart(element: pydicom.DataElement) -> str:
        location = f"{prefix}/{dataset.SOPInstanceUID}/{len(parts)}"
        parts.append(bulk(location, element.value))
        return location

    metadata = dataset.to_json_dict(bulk_data_threshold=16, bulk_data_element_handler=apart)
    return metadata, parts


def inline(value: bytes) -> str:
    """The value as InlineBinary."""
    return base64.b64encode(value).decode()


def body(datasets: Sequence[Any], parts: Iterable[Part]) -> bytes:
    """Metadata first, then the bulk data."""
    return joined([json_part(*datasets), *parts])
