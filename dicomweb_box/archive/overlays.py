"""Which corrections are in force for a study, and laying them over its instances' metadata.

A study's row carries what is in force for it (`study.overlay`), so that who reads the row needs no other
question; the rows of `corrected_value` are where it comes from.
"""

from collections.abc import Iterable

import orjson

from dicomweb_box.database import Reader, in_list
from dicomweb_box.dicom import overlay
from dicomweb_box.dicom.overlay import Act


async def in_force(reader: Reader, realm: str, study_uids: Iterable[str]) -> dict[str, str]:
    """The overlay of each of these studies that has one."""
    names, params = in_list("study", study_uids)
    rows = await reader.fetch_all(
        "select value.study_uid, correction.number, correction.at, correction.kind, value.tag, value.value"
        " from corrected_value value join correction on correction.id = value.correction_id"
        f" where value.realm = :realm and value.study_uid in {names} and correction.undone_at is null"
        " order by value.study_uid, correction.number, value.tag",
        {**params, "realm": realm},
    )
    acts: dict[str, dict[int, Act]] = {}
    for study, number, at, kind, tag, value in rows:
        act = acts.setdefault(study, {}).setdefault(number, Act(at=at, kind=kind, elements={}))
        acts[study][number] = Act(at=at, kind=kind, elements={**act.elements, tag: orjson.loads(value)})
    return {study: overlay.write(list(found.values())) for study, found in acts.items()}


def laid_over(json: bytes, text: str | None, source: str, *, system: str) -> bytes:
    """An instance's metadata as it is given out; `text` and `source` as its study's and its own row say."""
    if not text:
        return json
    return overlay.laid_over(json, overlay.read(text), system=system, source=source)
