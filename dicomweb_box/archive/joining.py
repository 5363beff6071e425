"""What a medium that joins a study takes from it: patient, study, and a place in a series of its own."""

import uuid
from dataclasses import dataclass, field

import orjson

from dicomweb_box.accounts.access import Scope
from dicomweb_box.archive import visibility
from dicomweb_box.box import Box
from dicomweb_box.dicom.json_model import Dataset
from dicomweb_box.dicom.media.made_instance import Place

# Time zone and character set belong to what was written with them (PS3.3 C.12.1).
_NOT_TAKEN = frozenset(("00080005", "00080201"))


@dataclass(frozen=True, slots=True)
class Joined:
    """A study that media join: what it says of its patient and itself, and the next free series number."""

    attributes: Dataset = field(default_factory=dict)
    next_series: int = 1
    exists: bool = False


async def study_to_join(box: Box, study_uid: str, *, scope: Scope) -> Joined:
    """The study as far as this scope sees it; an empty one where there is none."""
    where, params = visibility.series_condition(scope)
    row = await box.database.fetch_one(
        "select coalesce(study.uncorrected, study.attributes), max(series.series_number) from study"
        " join series on series.study_id = study.id where study.realm = :realm"
        f" and study.study_uid = :study_uid and series.instance_count > 0 and {where}"
        " group by study.id, study.attributes, study.uncorrected",
        params | {"realm": scope.realm, "study_uid": study_uid},
    )
    if row is None:
        return Joined()
    found: Dataset = orjson.loads(row[0])
    attributes = {tag: element for tag, element in found.items() if tag not in _NOT_TAKEN}
    return Joined(attributes, min(row[1] or 0, 99_999_999) + 1, exists=True)


class Places:
    """Places for the media of one request: those of one study and modality share a new series."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self._series: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def next(self, study_uid: str | None, modality: str, series_uid: str | None, joined: Joined) -> Place:
        """The place of the next medium; a study or series that was named is kept."""
        study_uid = study_uid or new_uid()
        if series_uid is None:
            series_uid = self._series.setdefault((study_uid, modality), new_uid())
        made = list(self._series.values())
        number = joined.next_series + (made.index(series_uid) if series_uid in made else 0)
        count = self._counts[series_uid] = self._counts.get(series_uid, 0) + 1
        return Place(
            study_uid=study_uid,
            series_uid=series_uid,
            series_number=number,
            instance_uid=new_uid(),
            instance_number=count,
            at=self.box.clock().astimezone(),
        )


def new_uid() -> str:
    """A UID made of a random UUID (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"
