"""How tests ask the archive, and what a naive matcher answers to the same."""

from collections.abc import Callable
from typing import Any

import orjson

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, Scope
from dicomweb_box.archive.query import Page, search
from dicomweb_box.box import Box
from dicomweb_box.dicom.attributes import Level
from dicomweb_box.dicom.matching import from_parameters
from tests.archive.population import (
    Item,
    in_order,
    matches,
    numbered,
)

Pairs = list[tuple[str, str]]
UID_TAGS = {"study": "0020000D", "series": "0020000E", "instance": "00080018"}


async def ask(box: Box, level: Level, pairs: Pairs, *, scope: Scope = EVERYTHING, **path: str) -> Page:
    query, _ = from_parameters(level, pairs, path)
    return await search(box, query, scope=scope, actor=ANONYMOUS, base="/dicom-web")


def uids(page: Page, level: Level) -> list[str]:
    return [orjson.loads(row)[UID_TAGS[level]]["Value"][0] for row in page.rows]


async def found(box: Box, level: Level, pairs: Pairs, **more: Any) -> list[str]:
    return uids(await ask(box, level, pairs, **more), level)


def expected(
    level: Level, studies: list[Item], pairs: Pairs, visible: Callable[[Item], bool] = lambda series: True
) -> list[str]:
    """UIDs of the level's rows that match every key, in the default order."""
    rows = []
    for study in in_order(studies):
        series_seen = [series for series in study.children if visible(series)]
        held = {series.values["Modality"] for series in series_seen}
        of_study = {**study.values, "StudyInstanceUID": study.uid, "ModalitiesInStudy": sorted(held)}
        if level == "study":
            if series_seen and accepts(pairs, of_study):
                rows.append(study.uid)
            continue
        for series in numbered(series_seen, "SeriesNumber"):
            of_series = {**of_study, **series.values, "SeriesInstanceUID": series.uid}
            of_series["RequestAttributesSequence.ScheduledProcedureStepID"] = series.values["steps"]
            if level == "series":
                if accepts(pairs, of_series):
                    rows.append(series.uid)
                continue
            for instance in numbered(series.children, "InstanceNumber"):
                of_instance = {**of_series, **instance.values, "SOPInstanceUID": instance.uid}
                rows += [instance.uid] * accepts(pairs, of_instance)
    return rows


def accepts(pairs: Pairs, values: dict[str, Any]) -> bool:
    for keyword, asked in pairs:
        if keyword == "emptyvaluematching":
            continue
        value = values[keyword]
        listed = keyword.endswith("UID") or keyword in ("Modality", "ModalitiesInStudy")
        wanted = [one for one in asked.replace("\\", ",").split(",") if one] if listed else [asked]
        if not any(matches(keyword, one, value if isinstance(value, list) else [value]) for one in wanted):
            return False
    return True


def values(page: Page, tag: str) -> list[Any]:
    return [orjson.loads(row).get(tag, {}).get("Value") for row in page.rows]
