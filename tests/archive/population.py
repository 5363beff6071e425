"""A small archive of synthetic studies, and a naive reading of the standard's matching over them."""

import asyncio
import fnmatch
import random
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset

from dicomweb_box.accounts.access import ANONYMOUS
from dicomweb_box.archive import ingest
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.box import Box
from tests.builders import make_dataset, new_uid, part10, pieces

NAMES = [
    "Doe^Jane", "DOE^JOHN", "Doe^Jane^A^Dr", "Müller^Jörg", "Muller^Jorg", "Åkesson^Åsa", "O'Neil^Sean", "",
    "Yamada^Tarou=山田^太郎=やまだ^たろう", "Hong^Gildong=洪^吉洞=홍^길동", "Odd_Name^100%",
    "Li^Na", "Ｄｏｅ^Wide",
]  # fmt: skip
DAYS = ["", "20250101", "20250102", "20250103", "20251231", "20260105"]
TIMES = ["", "10", "1015", "101500", "101500.25", "235959", "000000"]
MODALITIES = ["CT", "MR", "SM", "US", ""]
DESCRIPTIONS = ["Chest", "chest", "Head and neck", "Knee_left", "", "50% dose", "Thorax, abdomen"]
PATIENTS = ["P1", "P2", "p2", "P10", "", "A*B", "X_1"]


@dataclass
class Item:
    """One study, series or instance, with the attributes of its own level by keyword."""

    uid: str
    values: dict[str, Any]
    children: list["Item"] = field(default_factory=list)
    source: str = ""


def make_studies(seed: int, number: int) -> list[Item]:
    """So many invented studies."""
    rng = random.Random(seed)
    return [_study(rng) for _ in range(number)]


def _study(rng: random.Random) -> Item:
    study = Item(
        new_uid(),
        {
            "PatientName": rng.choice(NAMES),
            "PatientID": rng.choice(PATIENTS),
            "StudyDate": rng.choice(DAYS),
            "StudyTime": rng.choice(TIMES),
            "AccessionNumber": rng.choice(["", "A1", "A2", "A10"]),
            "StudyDescription": rng.choice(DESCRIPTIONS),
            "ReferringPhysicianName": rng.choice(NAMES),
            "StudyID": rng.choice(["", "1", "2"]),
            "PatientBirthDate": rng.choice(["", "19700101", "19850630"]),
            "PatientSex": rng.choice(["", "F", "M", "O"]),
        },
    )
    study.children = [_series(rng) for _ in range(rng.randint(1, 3))]
    return study


def _series(rng: random.Random) -> Item:
    values = {
        "Modality": rng.choice(MODALITIES),
        "SeriesNumber": rng.choice([None, 1, 2, 10]),
        "SeriesDescription": rng.choice(DESCRIPTIONS),
        "PerformedProcedureStepStartDate": rng.choice(DAYS),
        "PerformedProcedureStepStartTime": rng.choice(TIMES),
        "steps": rng.choice([[], ["S1"], ["S1", "S2"]]),
    }
    series = Item(new_uid(), values, source=rng.choice(["a", "b"]))
    series.children = [
        Item(
            new_uid(),
            {
                "InstanceNumber": rng.choice([None, 1, 2, 3]),
                "SOPClassUID": rng.choice(["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"]),
                "ImageComments": rng.choice(["", "fine", "blurred"]),
                "EchoTime": rng.choice([None, "1.5", "2.0"]),
            },
        )
        for _ in range(rng.randint(1, 3))
    ]
    return series


async def store(box: Box, studies: list[Item]) -> None:
    """Store every instance, many at once."""
    made = [
        (dataset_of(study, series, instance), series.source)
        for study in studies
        for series in study.children
        for instance in series.children
    ]
    random.Random(1).shuffle(made)

    async def one(dataset: Dataset, source: str) -> None:
        received = await ingest.receive(box, pieces(part10(dataset)))
        assert isinstance(await ingest.store(box, received, source=source, actor=ANONYMOUS), Stored)

    for start in range(0, len(made), 32):
        await asyncio.gather(*(one(*pair) for pair in made[start : start + 32]))


def dataset_of(study: Item, series: Item, instance: Item) -> Dataset:
    """The data set of one instance."""
    values = {**study.values, **series.values, **instance.values, "SpecificCharacterSet": "ISO_IR 192"}
    steps = values.pop("steps")
    dataset = make_dataset(study=study.uid, series=series.uid, instance=instance.uid)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    items = []
    for step in steps:
        item = Dataset()
        item.ScheduledProcedureStepID = step
        item.RequestedProcedureID = "R" + step
        items.append(item)
    dataset.RequestAttributesSequence = items
    return dataset


def fold(name: str) -> str:
    """A name as it is compared, the plain way."""
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    return unicodedata.normalize("NFC", "".join(c for c in text if not unicodedata.combining(c)))


def glob(pattern: str, value: str) -> bool:
    """Wild card matching."""
    return re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), value) is not None


def moment(text: str, filler: str) -> str:
    """A time with every digit."""
    whole, _, fraction = text.partition(".")
    return whole + filler[len(whole) : 6] + "." + fraction + filler[6 + len(fraction) :]


def matches(keyword: str, asked: str, values: list[Any]) -> bool:
    """Whether any value of an attribute matches one asked value (no list)."""
    held = [value for value in values if value not in ("", None)]
    if set(asked) <= {"*"}:
        return True
    if asked == '""':
        return not held
    return any(_matches(keyword, asked, value) for value in held)


def _matches(keyword: str, asked: str, value: Any) -> bool:
    if keyword.endswith("Name"):
        return any(glob(fold(asked), group) for group in fold(value).split("=") if group)
    if keyword.endswith("Date"):
        return _between(asked, value, lambda text, _: text)
    if keyword.endswith("Time") and keyword != "EchoTime":
        return _between(asked, moment(value, "000000000000"), lambda text, low: moment(text, low))
    if keyword.endswith("Number") and isinstance(value, int):
        return int(asked) == value
    if keyword == "EchoTime":
        return float(asked) == float(value)
    if keyword.endswith("UID"):
        return bool(asked == value)
    return glob(asked, value)


def _between(asked: str, value: str, fill: Any) -> bool:
    low, hyphen, high = asked.partition("-")
    if not hyphen:
        high = low
    first = fill(low, "000000000000") if low else ""
    last = fill(high, "235959999999") if high else "~"
    return bool(first <= value <= last)


def in_order(studies: list[Item]) -> list[Item]:
    """The default order of studies."""
    ordered = sorted(studies, key=lambda study: study.uid)
    ordered.sort(key=lambda study: _padded(study.values["StudyTime"]), reverse=True)
    ordered.sort(key=lambda study: study.values["StudyDate"], reverse=True)
    return ordered


def _padded(time: str) -> str:
    return moment(time, "000000000000") if time else ""


def numbered(items: list[Item], keyword: str) -> list[Item]:
    """The default order of series and instances within their parent."""
    return sorted(
        items, key=lambda item: (-1 if (number := item.values[keyword]) is None else number, item.uid)
    )
