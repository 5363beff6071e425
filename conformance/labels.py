"""Whether a body is what its Content-Type says."""

import io
import json
import re
from collections.abc import Callable, Mapping
from xml.etree import ElementTree

import httpx
import pydicom

from conformance.multiparts import parts

_SOF = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf\xf7]")


def mislabelled(response: httpx.Response) -> str | None:
    """What is wrong; None where the bytes are of the type and the transfer syntax that the label says."""
    label = response.headers["Content-Type"]
    if not label.startswith("multipart/"):
        return _wrong(label, response.content)
    said = re.search(r'type="([^"]+)"', label)
    if said is None:
        return f"{label} names no type"
    found = parts(response)
    kinds = {part.content_type.partition(";")[0] for part in found}
    if kinds != {said[1]}:
        return f"the parts are {kinds}, the whole {said[1]}"
    return next(filter(None, (_wrong(part.content_type, part.content) for part in found)), None)


def _wrong(label: str, content: bytes) -> str | None:
    name, _, rest = label.partition(";")
    check = _CHECKS.get(name.strip().lower())
    if check is None:
        return f"{name} is not known to this test"
    syntax = re.search(r"transfer-syntax=([0-9.]+)", rest)
    if not check(content, syntax[1] if syntax else ""):
        return f"{label} begins with {content[:24]!r}"
    return None


def _dicom(content: bytes, syntax: str) -> bool:
    if content[128:132] != b"DICM":
        return False
    dataset = pydicom.dcmread(io.BytesIO(content))
    return not syntax or str(dataset.file_meta.TransferSyntaxUID) == syntax


def _json(content: bytes, syntax: str) -> bool:
    return isinstance(json.loads(content), list)


def _xml(content: bytes, syntax: str) -> bool:
    ElementTree.fromstring(content)
    return True


def _jpeg(content: bytes, syntax: str) -> bool:
    """Baseline, but where a transfer syntax says otherwise."""
    frame = _SOF.search(content)
    kinds = {"1.2.840.10008.1.2.4.51": b"\xff\xc1", "1.2.840.10008.1.2.4.57": b"\xff\xc3",
             "1.2.840.10008.1.2.4.70": b"\xff\xc3"}  # fmt: skip
    return content[:3] == b"\xff\xd8\xff" and frame is not None and frame[0] == kinds.get(syntax, b"\xff\xc0")


def _jls(content: bytes, syntax: str) -> bool:
    frame = _SOF.search(content)
    return content[:2] == b"\xff\xd8" and frame is not None and frame[0] == b"\xff\xf7"


def _codestream(content: bytes, syntax: str) -> bool:
    return content[:4] == b"\xff\x4f\xff\x51" or content[4:8] == b"jP  "


def _rle(content: bytes, syntax: str) -> bool:
    return 1 <= int.from_bytes(content[:4], "little") <= 15 and content[4:8] == b"\x40\0\0\0"


def _octets(content: bytes, syntax: str) -> bool:
    """Native where no transfer syntax, or Explicit VR Little Endian, is said; else of its own signature."""
    kinds: Mapping[str, Callable[[bytes, str], bool]] = {
        "1.2.840.10008.1.2.5": _rle,
        "1.2.840.10008.1.2.4.50": _jpeg,
        "1.2.840.10008.1.2.4.102": _mp4,
    }
    return bool(content) and kinds.get(syntax, lambda *_: True)(content, syntax)


def _mp4(content: bytes, syntax: str) -> bool:
    return content[4:8] == b"ftyp"


def _begins(*signatures: bytes) -> Callable[[bytes, str], bool]:
    return lambda content, _: content.startswith(signatures)


def _text(content: bytes, syntax: str) -> bool:
    return bool(content.decode("utf-8")) and not content.startswith(b"<")


_CHECKS: Mapping[str, Callable[[bytes, str], bool]] = {
    "application/dicom": _dicom,
    "application/dicom+json": _json,
    "application/dicom+xml": _xml,
    "application/octet-stream": _octets,
    "application/pdf": _begins(b"%PDF-"),
    "application/zip": _begins(b"PK\x03\x04"),
    "image/jpeg": _jpeg,
    "image/png": _begins(b"\x89PNG\r\n\x1a\n"),
    "image/gif": _begins(b"GIF89a", b"GIF87a"),
    "image/webp": lambda content, _: content[:4] == b"RIFF" and content[8:12] == b"WEBP",
    "image/jls": _jls,
    "image/jp2": _codestream,
    "image/jpx": _codestream,
    "image/jphc": _codestream,
    "image/dicom-rle": _rle,
    "video/mp4": _mp4,
    "text/html": _begins(b"<!DOCTYPE html>"),
    "text/plain": _text,
    "text/xml": _xml,
    "text/csv": _text,
}
