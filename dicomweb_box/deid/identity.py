"""What an instance tells of its patient, and whether a text repeats it (the echo pass)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from dicomweb_box.deid.pseudonyms import Patient
from dicomweb_box.dicom.charset import Charset, charset

CHARACTER_SET: Final = 0x00080005
ACCESSION_NUMBER, PATIENT_NAME, PATIENT_ID, STUDY_ID = 0x00080050, 0x00100010, 0x00100020, 0x00200010
_ISSUER, _STUDY_UID = 0x00100021, 0x0020000D
_NAMES: Final = (PATIENT_NAME, 0x00101001, 0x00101005, 0x00101060)
"""Patient's Name, Other Patient Names, Patient's Birth Name, Patient's Mother's Birth Name."""
_IDS: Final = (PATIENT_ID, 0x00101000, ACCESSION_NUMBER, 0x00101090, 0x00380010)
"""Patient ID, Other Patient IDs, Accession Number, Medical Record Locator, Admission ID."""
_BIRTH_DATE: Final = 0x00100030
IDENTIFYING: Final = frozenset((CHARACTER_SET, _ISSUER, _STUDY_UID, STUDY_ID, _BIRTH_DATE, *_NAMES, *_IDS))
_PARTS: Final = re.compile(r"[\s^=\\,;.()\[\]\"_/-]+")
_SHORT_SCRIPTS: Final = re.compile(r"[぀-ヿ㐀-鿿가-힯豈-﫿]")
_LEAST_ID, _LEAST_NUMBER = 3, 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Whose an instance is, and how its texts are read."""

    patient: Patient
    raw: Mapping[int, bytes]
    charset: Charset
    numbers: frozenset[str]
    """What numbers this patient, and is long enough not to be so by chance."""
    ascii_echo: re.Pattern[bytes] | None
    echo: re.Pattern[str] | None

    def text(self, tag: int) -> str:
        """One of the attributes that were read, without its padding."""
        return self.charset.decode(self.raw.get(tag, b"")).strip(" \0")

    def named_in(self, value: bytes, read: Charset) -> bool:
        """Whether a text repeats a name or number of this patient."""
        if self.echo is None:
            return False
        if self.ascii_echo is not None and self.ascii_echo.search(value):
            return True
        if value.isascii() and (read.ascii_is_plain or b"\x1b" not in value):
            return False
        return bool(self.echo.search(read.decode(value).casefold()))

    def repeated_in(self, value: bytes, read: Charset) -> bool:
        """Whether bytes of whatever kind repeat a name or number of this patient, in UTF-16 too."""
        return self.named_in(value, read) or self.named_in(value.replace(b"\0", b""), read)

    def numbered_in(self, value: bytes) -> bool:
        """Whether one of some numbers is a number of this patient."""
        if not self.numbers:
            return False
        numbers = (number.strip(b" \0").decode("latin-1") for number in value.split(b"\\"))
        return any(number in self.numbers for number in numbers)


def identity(raw: Mapping[int, bytes]) -> Identity:
    """Who is named by the raw values of IDENTIFYING."""
    read = charset(raw.get(CHARACTER_SET, b""))

    def text(tag: int) -> str:
        return read.decode(raw.get(tag, b"")).strip(" \0")

    tokens = frozenset(
        (*_name_tokens(text(tag) for tag in _NAMES), *_id_tokens(text(tag) for tag in _IDS),
         *_id_tokens([text(_BIRTH_DATE)]))
    )  # fmt: skip
    # Without a Patient ID nobody can tell whose other studies are: each is of a patient of its own.
    patient = (
        Patient(patient_id=text(PATIENT_ID), issuer=text(_ISSUER))
        if text(PATIENT_ID)
        else Patient(patient_id=f"study {text(_STUDY_UID)}", issuer=text(_ISSUER))
    )
    plain = [token.encode() for token in tokens if token.isascii()]
    return Identity(
        patient=patient,
        raw=raw,
        charset=read,
        numbers=frozenset(token for token in tokens if len(token) >= _LEAST_NUMBER),
        ascii_echo=re.compile(b"|".join(map(re.escape, sorted(plain))), re.IGNORECASE) if plain else None,
        echo=re.compile("|".join(map(re.escape, sorted(tokens)))) if tokens else None,
    )


def _name_tokens(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        for part in _PARTS.split(name.casefold()):
            if len(part) >= (2 if _SHORT_SCRIPTS.search(part) else 3):
                yield part


def _id_tokens(values: Iterable[str]) -> Iterable[str]:
    for value in values:
        for part in value.casefold().split("\\"):
            if len(part.strip()) >= _LEAST_ID:
                yield part.strip()
