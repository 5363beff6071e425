"""How many patients look alike by what they keep: k-anonymity, as a gate and never a guarantee."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from dicomweb_box.deid.changes import Compared

QUASI_IDENTIFIERS: Final = (
    0x00080020, 0x00080021, 0x00080022, 0x00080023, 0x0008002A, 0x00080080, 0x00080081, 0x00081010,
    0x00081040, 0x00100030, 0x00100040, 0x00101010, 0x00101020, 0x00101030, 0x00102150, 0x00102152,
    0x00102160, 0x00102180, 0x001021A0, 0x001021C0, 0x001021F0, 0x00102203, 0x00181000, 0x00181002,
)  # fmt: skip
"""Dates, institution, station, birth date, sex, age, size, weight, country, region, ethnic group, occupation,
smoking, pregnancy, religion, sex neutered, serial number and UID of the device, at the top of an instance."""
_PATIENT_ID, _ISSUER, _STUDY_UID = 0x00100020, 0x00100021, 0x0020000D
Likeness = frozenset[tuple[int, frozenset[bytes]]]


@dataclass(kw_only=True)
class Patients:
    """What the patients of a run keep that others may know of them."""

    known: dict[bytes, dict[int, set[bytes]]] = field(default_factory=dict)
    """By patient and attribute the values that stayed."""

    def add(self, instance: Compared) -> None:
        """Heed one instance."""
        said = [instance.before.get((tag,), b"").strip(b" \0") for tag in (_ISSUER, _PATIENT_ID)]
        if not said[1]:  # without a Patient ID each study is of a patient of its own
            said.append(instance.before.get((_STUDY_UID,), b"").strip(b" \0"))
        kept = self.known.setdefault(b"\\".join(said), defaultdict(set))
        for tag in QUASI_IDENTIFIERS:
            value = instance.retained(tag)
            if value:
                kept[tag].add(value)

    def classes(self) -> list[tuple[int, tuple[int, ...]]]:
        """Classes of patients that look alike, smallest first: how many, and by which attributes."""
        sizes: dict[Likeness, int] = defaultdict(int)
        for kept in self.known.values():
            sizes[frozenset((tag, frozenset(values)) for tag, values in kept.items())] += 1
        return sorted((size, tuple(sorted(tag for tag, _ in likeness))) for likeness, size in sizes.items())
