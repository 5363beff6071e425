"""Rules of a policy's own, which come before Table E.1-1: of what, when, and what becomes of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from dicomweb_box.deid.values import GRAMMAR
from dicomweb_box.dicom.charset import charset
from dicomweb_box.dicom.header_tables import standard_vr
from dicomweb_box.errors import BadSetting

RuleAction = Literal["keep", "remove", "empty", "replace", "uid", "date", "hash"]
ACTIONS: Final[tuple[RuleAction, ...]] = ("keep", "remove", "empty", "replace", "uid", "date", "hash")

_CHARACTER_SET: Final = 0x00080005
_FIXED: Final = frozenset(
    (_CHARACTER_SET, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00120062, 0x00120063, 0x00120064,
     0x0018A001, 0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280100,
     0x00280101, 0x00280102, 0x00280103, 0x00280303, 0x00080008, 0x00089007, 0x00280301, 0x00280302,
     0x00282110, 0x00282112, 0x00282114, 0x00480010)
)  # fmt: skip
"""What the instance is, how its pixels lie and what they show or have lost, and what is said of its
de-identification: for no rule."""
_NAMING: Final = frozenset(
    (0x00080050, 0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00101000, 0x00101001, 0x00101005,
     0x00101060, 0x00101090, 0x00200010, 0x00380010, 0x00100033, 0x00100034, 0x00101040, 0x00102154,
     0x00102155, 0x00102297)
)  # fmt: skip
_MASK: Final = re.compile(r"[0-9A-FX]{8}")
_LONGEST: Final = {
    "AE": 16,
    "CS": 16,
    "LO": 64,
    "PN": 64,
    "SH": 16,
    "LT": 1024,
    "ST": 1024,
    "UC": 1024,
    "UT": 1024,
}
_KEYED_VRS: Final = frozenset(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_DATE_VRS: Final = frozenset(("DA", "DT", "TM"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """An attribute at the top of the instance that has one of some values."""

    tag: int
    values: tuple[str, ...]

    def holds(self, raw: Mapping[int, bytes]) -> bool:
        """Whether one of the attribute's values is one of these."""
        read = charset(raw.get(_CHARACTER_SET, b""))
        found = (one.strip(" \0") for one in read.decode(raw.get(self.tag, b"")).split("\\"))
        return any(one in self.values for one in found)


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnRule:
    """What becomes of some attributes. Raises BadSetting where that cannot be meant."""

    mask: str
    """The tag in eight hexadecimal digits, X for any; of a private one the block is XX."""
    action: RuleAction
    creator: str = ""
    """The private creator, for private attributes alone."""
    value: str = ""
    """What replaces."""
    reason: str = ""
    """Why the rule may fall below the Basic Profile; needed where it does."""
    when: tuple[Condition, ...] = ()
    """All of these must hold."""

    def __post_init__(self) -> None:
        if not _MASK.fullmatch(self.mask):
            raise BadSetting("an attribute is a keyword, or a tag of eight hexadecimal digits, x for any")
        if self.action not in ACTIONS:
            raise BadSetting(f"the action {self.action!r} is none of {', '.join(ACTIONS)}")
        if (self.action == "replace") != bool(self.value):
            raise BadSetting("the action replace, and no other one, takes a value")
        if not self.reason.isprintable():
            raise BadSetting("a reason is one line of text")
        if self.is_private or self.creator:
            self._check_private()
        else:
            self._check_public()

    @property
    def is_private(self) -> bool:
        """Whether it is of private attributes."""
        return self.mask[3] in "13579BDF"

    @property
    def shown(self) -> str:
        """The attribute as people write it."""
        mask = self.mask.replace("X", "x")
        return f"({mask[:4]},{mask[4:]})" + (f" of {self.creator}" if self.creator else "")

    def is_of(self, tag: int, creator: str = "") -> bool:
        """Whether it is of this attribute: of a private one by its creator alone, whatever the mask."""
        if creator != self.creator or (not creator and tag >> 16 & 1):
            return False
        return all(one in ("X", digit) for one, digit in zip(self.mask, f"{tag:08X}", strict=True))

    def may_treat(self, vr: str) -> bool:
        """Whether the action can be meant for values of this VR."""
        if self.action == "uid":
            return vr == "UI"
        if self.action == "date":
            return vr in _DATE_VRS
        if self.action == "hash":
            return vr in _KEYED_VRS
        return self.action != "replace" or _is_value(self.value, vr)

    def _check_private(self) -> None:
        if not self.is_private:
            raise BadSetting("a private creator goes with an attribute of an odd group alone")
        if not self.creator or len(self.creator) > 64 or not _is_plain(self.creator):
            raise BadSetting('a private attribute is named by its creator, too: creator = "…"')
        if not re.fullmatch(r"[0-9A-F]{4}XX[0-9A-F]{2}", self.mask):
            raise BadSetting("a private attribute is written as its group, xx for the block, and two digits")
        if self.action == "replace":
            raise BadSetting("a private attribute is not replaced by a value")

    def _check_public(self) -> None:
        group = self.mask[:4]
        if group in {"0000", "0002", "0004", "0006"} or group[:3] == "FFF" or group == "7FE0":
            raise BadSetting(f"{self.shown} is of the file, a message or the pixels, and for no rule")
        # Of which attributes a mask is: those it names no digit of are too many to be meant.
        if self.mask[:2] not in {"50", "60"} and "X" in self.mask[:4]:
            raise BadSetting(f"{self.shown}: only the groups 50xx and 60xx have a mask")
        if any(self.is_of(tag) for tag in _FIXED):
            raise BadSetting(f"{self.shown} says what the instance is or shows, and is for no rule")
        if self.action == "keep" and any(self.is_of(tag) for tag in _NAMING):
            raise BadSetting(f"{self.shown} names the patient, and is kept by no rule")
        if "X" not in self.mask:
            vrs = standard_vr(int(self.mask, 16)).split(" or ")
            if not any(self.may_treat(vr) for vr in vrs):
                raise BadSetting(
                    f"{self.shown} has the VR {' or '.join(vrs)}, which {self.action} is not for"
                )


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and "\\" not in text


def _is_value(value: str, vr: str) -> bool:
    if not _is_plain(value):
        return False
    if vr in GRAMMAR:
        return bool(GRAMMAR[vr](value.encode("ascii"))) and len(value) <= 64
    return vr in _LONGEST and len(value) <= _LONGEST[vr]
