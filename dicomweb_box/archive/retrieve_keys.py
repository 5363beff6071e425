"""The instances below unique keys of any level, page by page (PS3.4 C.2.3, C.4.2.1.4.1)."""

from array import array
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import visibility
from dicomweb_box.archive.retrieve import COLUMNS, ORDER, Instance
from dicomweb_box.box import Box
from dicomweb_box.database import Row, chunks, in_list
from dicomweb_box.dicom.overlay import given_syntax
from dicomweb_box.errors import BadRequest

Level = Literal["patient", "study", "series", "instance"]

PAGE = 500
"""So many instances are known at a time; of the others, a number each."""
MOST_NAMED = 500
"""So many UIDs are named in one statement, and may be named above the level that is asked for."""
_STUDIES = 50

_FROM = (
    " from study join series on series.study_id = study.id join instance on instance.series_id = series.id"
)
_ORDER = " order by study.study_date, study.study_time, study.study_uid," + ORDER.removeprefix(" order by")


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """Which entities are meant, by unique keys at a level and above it; who names none there, means all."""

    level: Level
    patient_id: str = ""
    study_uids: tuple[str, ...] = ()
    series_uids: tuple[str, ...] = ()
    instance_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """What presentation contexts are proposed for: a SOP class, and a syntax its instances are given in."""

    sop_class_uid: str
    transfer_syntax_uid: str


class Found:
    """The instances that there were when they were looked for."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._ids = array("q")
        self.kinds: set[Kind] = set()
        self.studies: Counter[str] = Counter()
        """How many there were of each study."""

    @property
    def total(self) -> int:
        """How many there were."""
        return len(self._ids)

    def add(self, kinds: Iterable[Row], ids: Iterable[Row]) -> None:
        """Some more: of each study and kind how many, and their ids in order."""
        for study, sop_class, syntax, corrected, count in kinds:
            self.kinds.add(Kind(sop_class, given_syntax(syntax, "corrected" if corrected else None)))
            self.studies[study] += count
        self._ids.extend(row[0] for row in ids)

    async def instances(self) -> AsyncIterator[Instance]:
        """Those of them that are still there, each study and series in its order."""
        for at in range(0, len(self._ids), PAGE):
            ids = self._ids[at : at + PAGE]
            names, params = in_list("id", ids)
            rows = await self._box.database.fetch_all(
                f"select {COLUMNS}{_FROM} where instance.id in {names} and instance.state = 'current'", params
            )
            known = {row[0]: row for row in rows}
            for one in ids:
                if one in known:
                    yield Instance(*known[one])


async def find(box: Box, keys: Keys, *, scope: Scope, actor: Actor) -> Found:
    """The current instances that the keys mean and this actor may see; none is no error.

    Raises BadRequest where the keys do not name what their level asks for.
    """
    del actor  # a search of one's own; who is given what is recorded by whoever gives it
    found = Found(box)
    visible, params = visibility.series_condition(scope)
    base = f"study.realm = :realm and instance.state = 'current' and {visible}"
    params = params | {"realm": scope.realm}
    if keys.level == "patient":
        keys = Keys(level="study", patient_id=keys.patient_id, study_uids=await _studies(box, keys, scope))
    for where, more in _parts(keys):
        clause, named = f"{_FROM} where {base} and {where}", params | more
        rows = await box.database.fetch_all(
            "select study.study_uid, instance.sop_class_uid, instance.transfer_syntax_uid,"
            f" case when study.overlay is null then 0 else 1 end, count(*){clause} group by 1, 2, 3, 4",
            named,
        )
        if rows:
            found.add(rows, await box.database.fetch_all(f"select instance.id{clause}{_ORDER}", named))
    return found


async def _studies(box: Box, keys: Keys, scope: Scope) -> tuple[str, ...]:
    """The UIDs of a patient's studies, the oldest first."""
    if not keys.patient_id:
        raise BadRequest("Patient ID (0010,0020) is needed to retrieve at the level of patients.")
    rows = await box.database.fetch_all(
        "select study_uid from study where realm = :realm and patient_id = :patient"
        " order by study_date, study_time, study_uid",
        {"realm": scope.realm, "patient": keys.patient_id},
    )
    return tuple(row[0] for row in rows)


_COLUMN = {"study": "study.study_uid", "series": "series.series_uid", "instance": "instance.instance_uid"}
_NAME = {
    "study": "Study Instance UID (0020,000D)",
    "series": "Series Instance UID (0020,000E)",
    "instance": "SOP Instance UID (0008,0018)",
}


def _parts(keys: Keys) -> Iterator[tuple[str, dict[str, Any]]]:
    """Conditions that together say what the keys mean, each of a bounded length."""
    named = {"study": keys.study_uids, "series": keys.series_uids, "instance": keys.instance_uids}
    asked = named.pop(keys.level)
    where, params = "", dict[str, Any]()
    if keys.patient_id:
        where, params = " and study.patient_id = :patient", {"patient": keys.patient_id}
    for level, uids in named.items():
        if len(uids) > MOST_NAMED:
            raise BadRequest(f"{_NAME[level]} has more than {MOST_NAMED} values above the level asked for.")
        if uids:
            names, more = in_list(f"{level}_uid", uids)
            where, params = f"{where} and {_COLUMN[level]} in {names}", params | more
    for some in chunks(dict.fromkeys(asked), _STUDIES if keys.level == "study" else MOST_NAMED):
        names, more = in_list("asked", some)
        realm = " and instance.realm = :realm" if keys.level == "instance" else ""
        yield f"{_COLUMN[keys.level]} in {names}{realm}{where}", params | more
