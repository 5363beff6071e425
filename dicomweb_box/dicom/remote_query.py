"""Questions to another archive and its answers: identifiers of C-FIND as SCU (PS3.4 C.4.1)."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
from pydicom.datadict import dictionary_VR, tag_for_keyword

from dicomweb_box.dicom.charset_writer import Repertoire, repertoire
from dicomweb_box.dicom.header_reader import Reader
from dicomweb_box.dicom.header_tables import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomweb_box.dicom.repertoires import UTF8
from dicomweb_box.dicom.uids import IMPLICIT_LITTLE as IMPLICIT_UID
from dicomweb_box.errors import BadQuery

Level = Literal["study", "series", "instance"]
LEVELS: Final[Mapping[str, Level]] = {"study": "study", "series": "series", "instance": "instance"}
_WORDS: Final[Mapping[Level, str]] = {"study": "STUDY", "series": "SERIES", "instance": "IMAGE"}
RETURNED: Final[Mapping[Level, tuple[str, ...]]] = {
    "study": (
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ModalitiesInStudy",
        "StudyDescription",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    ),
    "series": (
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "Modality",
        "SeriesNumber",
        "SeriesDescription",
        "BodyPartExamined",
        "NumberOfSeriesRelatedInstances",
    ),
    "instance": ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "InstanceNumber"),
}
"""What is asked to be returned, beside what is matched."""
LONGEST: Final = 1024
"""Characters of a value to match."""
_CHARACTER_SET, _LEVEL = 0x00080005, 0x00080052
_TEXTS: Final = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
"""What Specific Character Set speaks of (PS3.5 6.1.2.2)."""
_LONG: Final = frozenset(("SQ", "UC", "UT", "UN", "OB", "OW"))
MATCHED: Final = _TEXTS | frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI"))
"""VRs of what can be matched: texts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteQuery:
    """What is asked of another archive: values to match, as texts by tag."""

    level: Level
    keys: Mapping[int, str]


def remote_query(level: Level, given: Mapping[str, str]) -> RemoteQuery:
    """The question for values by keyword, or by tag as eight hexadecimal digits.

    An empty value only asks for its attribute to be returned.

    Raises BadQuery for an attribute that is not known or is no text, or a value that cannot be.
    """
    keys: dict[int, str] = {}
    for name, value in given.items():
        tag = _tag(name)
        if dictionary_VR(tag) not in MATCHED and value:
            raise BadQuery(f"{name} holds no text that could be matched.")
        if len(value) > LONGEST or any(ord(character) < 32 for character in value):
            raise BadQuery(f"The value of {name} is too long, or holds control characters.")
        keys[tag] = value
    return RemoteQuery(level=level, keys=keys)


def tag_of(keyword: str) -> str:
    """The tag of a keyword as eight hexadecimal digits."""
    return f"{_tag(keyword):08X}"


def _tag(name: str) -> int:
    tag = tag_for_keyword(name)
    if tag is None and len(name) == 8:
        try:
            tag = int(name, 16)
            dictionary_VR(tag)
        except (ValueError, KeyError):
            tag = None
    if tag is None or tag >> 16 < 8 or tag in (_LEVEL, _CHARACTER_SET):
        raise BadQuery(f"{name[:40]!r} is no attribute that can be asked for.")
    return tag


def identifier(asked: RemoteQuery, *, transfer_syntax: str, charset: str | None) -> bytes:
    """The data set of the question, written in `charset`, or where nothing is said or fits, in what does."""
    keys = {_tag(keyword): "" for keyword in RETURNED[asked.level]} | dict(asked.keys)
    said = _repertoire(keys, charset)
    keys[_LEVEL] = _WORDS[asked.level]
    if said.value:
        keys[_CHARACTER_SET] = said.value
    implicit = transfer_syntax == IMPLICIT_UID
    return b"".join(_element(tag, text, said, implicit=implicit) for tag, text in sorted(keys.items()))


def unique_keys(level: Level, uids: Mapping[str, str], *, transfer_syntax: str) -> bytes:
    """The identifier of C-MOVE and C-GET (PS3.4 C.4.2.1.4): the level and unique keys by keyword."""
    keys = {_tag(keyword): text for keyword, text in uids.items()} | {_LEVEL: _WORDS[level]}
    plain, implicit = _known(""), transfer_syntax == IMPLICIT_UID
    return b"".join(_element(tag, text, plain, implicit=implicit) for tag, text in sorted(keys.items()))


def answer(data: bytes, transfer_syntax: str) -> dict[str, Any]:
    """The data set of one answer as a DICOM JSON object; raises UnreadableInstance where it is none."""
    encoding = IMPLICIT_LITTLE if transfer_syntax == IMPLICIT_UID else EXPLICIT_LITTLE
    reader = Reader(data=data, size=len(data), bulk_threshold=len(data) + 1, bulk_root="")
    found: dict[str, Any] = orjson.loads(reader.read(0, encoding))
    return found


def _repertoire(keys: Mapping[int, str], charset: str | None) -> Repertoire:
    texts = [text for tag, text in keys.items() if dictionary_VR(tag) in _TEXTS]
    # PS3.3 C.12.1.1.2: without Specific Character Set, the default repertoire.
    for name in (charset, "", UTF8):
        found = repertoire(name) if name is not None else None
        if found is not None and _can_write(found, texts):
            return found
    return _known(UTF8)


def _known(charset: str) -> Repertoire:
    found = repertoire(charset)
    assert found is not None  # noqa: S101  (both that are asked for are there)
    return found


def _can_write(target: Repertoire, texts: Sequence[str]) -> bool:
    try:
        target.encode("\\".join(texts))
    except UnicodeEncodeError:
        return False
    return True


def _element(tag: int, text: str, said: Repertoire, *, implicit: bool) -> bytes:
    vr = dictionary_VR(tag)
    value = said.encode(text) if vr in _TEXTS else text.encode("ascii", "replace")
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return head + struct.pack("<I", len(value)) + value
    kind = vr[:2].encode("ascii")
    if vr in _LONG:
        return head + kind + struct.pack("<HI", 0, len(value)) + value
    return head + kind + struct.pack("<H", len(value)) + value
