"""The answer of a search as JSON, XML or CSV (PS3.18 10.6.3.3, 8.7.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import xxhash

from dicomweb_box.dicom.csv_form import to_csv
from dicomweb_box.dicom.media_types import Offer
from dicomweb_box.dicom.multipart import closing, part_head
from dicomweb_box.dicom.xml_model import to_xml
from dicomweb_box.dicomweb.answers import JSON

XML = Offer(media_type="application/dicom+xml", multipart=True)
CSV = Offer(media_type="text/csv")
FORMS = (JSON, XML, CSV)


@dataclass(frozen=True, slots=True)
class Represented:
    """A body and what its headers say of it."""

    body: bytes
    content_type: str
    etag: str
    attachment: str = ""
    """What a browser names the file it saves this to, behind the level; empty: it shows it."""


def represented(rows: Sequence[bytes], offer: Offer) -> Represented:
    """The rows, each one DICOM JSON object, in the form of one of `FORMS`."""
    json = b"[" + b",".join(rows) + b"]"
    digest = xxhash.xxh3_128_hexdigest(json)
    if offer == CSV:
        table = to_csv([orjson.loads(row) for row in rows])
        return Represented(table, "text/csv; charset=utf-8; header=present", f'"{digest}-csv"', "csv")
    if offer == XML:
        return Represented(_parts(rows, digest), f"{XML}; boundary={digest}", f'"{digest}-xml"')
    # No parameters behind the media type: the Python client compares it as text.
    return Represented(json, JSON.media_type, f'"{digest}"')


def _parts(rows: Sequence[bytes], boundary: str) -> bytes:
    """A document for each row (PS3.18 8.6.1.2.1); of no rows, no part."""
    pieces = bytearray()
    for row in rows:
        pieces += part_head(boundary, XML.media_type, first=not pieces) + to_xml(orjson.loads(row))
    end = closing(boundary)
    return bytes(pieces + end) if pieces else end.lstrip()
