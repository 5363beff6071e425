"""PS3.15 Table E.1-1 as data: what the Basic Profile and its options do with each attribute.

The file beside this module carries tags and action codes alone; it is checked against its digest when it is
first read, so that no other table is ever followed by mistake.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Literal

from dicomweb_box.errors import BadSetting

EDITION: Final = "2026d"
ACKNOWLEDGMENT: Final = "Tags and action codes from DICOM PS3.15, (c) NEMA"
_DIGESTS: Final = {"2026d": "8821813388d923190e7a8ddcbed61505b38b3644ef14fb54a0feebc6447c4e92"}
_ACTIONS: Final = frozenset(("X", "D", "U", "Z", "X/D", "X/Z", "X/Z/D", "Z/D", "X/Z/U*"))

Option = Literal[
    "retain-safe-private", "retain-uids", "retain-device-identity", "retain-institution-identity",
    "retain-patient-characteristics", "retain-full-dates", "modify-dates", "clean-descriptors",
    "clean-structured-content", "clean-graphics",
]  # fmt: skip
OPTIONS: Final[tuple[Option, ...]] = (
    "retain-safe-private", "retain-uids", "retain-device-identity", "retain-institution-identity",
    "retain-patient-characteristics", "retain-full-dates", "modify-dates", "clean-descriptors",
    "clean-structured-content", "clean-graphics",
)  # fmt: skip
"""In the order of the table's columns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One attribute of the table."""

    mask: str
    """Its tag in eight hexadecimal digits, `x` for any digit; or `private`."""
    basic: str
    """The action code of the Basic Profile, such as X/Z/D."""
    options: dict[Option, str]
    """K or C, by the options that say something of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The whole table of one edition."""

    edition: str
    digest: str
    rows: tuple[Row, ...]
    by_tag: dict[int, Row]

    def find(self, tag: int) -> Row | None:
        """The row of an attribute, by its number or by a mask; None where the table does not list it."""
        row = self.by_tag.get(tag)
        if row is not None:
            return row
        group = tag >> 16
        if group & 1:
            return self.by_tag[_PRIVATE]
        if group & 0xFF00 == 0x5000:
            return self.by_tag[_CURVES]
        if group & 0xFF00 == 0x6000:
            # A plane without its data says nothing: all of it goes, comments included.
            return self.by_tag[_OVERLAYS]
        return None


_PRIVATE, _CURVES, _OVERLAYS = 0x00010000, 0x50000000, 0x60003000
_MASKED: Final = {"private": _PRIVATE, "50xxxxxx": _CURVES, "60xx3000": _OVERLAYS, "60xx4000": 0x60004000}


@cache
def table(edition: str = EDITION) -> Table:
    """The table. Raises BadSetting where it is of another edition, or not what this version came with."""
    content = files("dicomweb_box.deid").joinpath("table_e1_1.tsv").read_bytes()
    return parsed(content, edition)


def parsed(content: bytes, edition: str) -> Table:
    """The table in a file's bytes; see `table`."""
    if edition not in _DIGESTS:
        raise BadSetting(f"there is no table E.1-1 of edition {edition}: it is of edition {EDITION}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != _DIGESTS[edition]:
        raise BadSetting(f"the table E.1-1 of edition {edition} is not what was published with this version")
    rows = tuple(_row(line) for line in content.decode("ascii").splitlines() if not line.startswith("#"))
    by_tag = {_MASKED[row.mask] if row.mask in _MASKED else int(row.mask, 16): row for row in rows}
    return Table(edition=edition, digest=digest, rows=rows, by_tag=by_tag)


def _row(line: str) -> Row:
    mask, basic, letters = line.split("\t")
    if basic not in _ACTIONS or len(letters) != len(OPTIONS) or set(letters) - set("KC."):
        raise BadSetting("the table E.1-1 has a row that cannot be read")
    given = {option: letter for option, letter in zip(OPTIONS, letters, strict=True) if letter != "."}
    return Row(mask=mask, basic=basic, options=given)
