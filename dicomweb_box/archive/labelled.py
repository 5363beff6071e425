"""Search by label: the private attribute Labels (4D53,xx01) of DICOMWEB_BOX as a key and in answers.

A study matches by its own labels and those of its series, a series (and its instances) by its own and its
study's; the attribute's value says the same. Names are compared without regard to case.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dicomweb_box.accounts.access import Scope
from dicomweb_box.archive import label_name, labelling, visibility
from dicomweb_box.archive.conditions import Parameters
from dicomweb_box.database import Reader, Row, in_list
from dicomweb_box.dicom.attribute_path import LABELS
from dicomweb_box.dicom.attributes import Level
from dicomweb_box.dicom.matches import Empty, Exact, Match, Pattern, Test
from dicomweb_box.dicom.matching import Query

# Up to so many are listed and sorted; more are met often enough when studies are walked by date.
_MANY = 3000


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """What a key of Labels comes to."""

    ids: tuple[str, ...]
    """Of the labels that match."""
    few: bool
    """They were given a few thousand times at most."""
    empty: bool
    """What has no label matches, too."""

    def condition(self, level: Level, scope: Scope, bind: Parameters) -> str:
        """A condition on joined rows of the level; `series_condition` has bound the scope's parameters."""
        given = _given(level, scope)
        names = ", ".join(bind(one) for one in self.ids) or "null"
        parts = [f"exists ({given} and member.label_id in ({names}))"] if self.ids else []
        parts += [f"not exists ({given})"] if self.empty else []
        return f"({' or '.join(parts)})" if parts else "1 = 0"

    def hits(self, level: Level, bind: Parameters) -> str | None:
        """A select of the ids of all studies (below: series) that can match; None where they are many."""
        if not self.few or self.empty:
            return None
        names = ", ".join(bind(one) for one in self.ids) or "null"
        table, join = "labelled_study", ""
        if level != "study":
            table = "labelled_series"
            join = (
                " join series as labelled_series on labelled_series.study_id = labelled_study.id"
                " and member.series_uid in ('', labelled_series.series_uid)"
            )
        return (
            f"select distinct {table}.id from label_member as member"
            " join study as labelled_study on labelled_study.realm = member.realm"
            f" and labelled_study.study_uid = member.study_uid{join} where member.label_id in ({names})"
        )


def _given(level: Level, scope: Scope) -> str:
    """A select of what labels a row of the level counts as its own."""
    given = (
        "select 1 from label_member as member where member.realm = study.realm"
        " and member.study_uid = study.study_uid"
    )
    if level != "study":
        return f"{given} and member.series_uid in ('', series.series_uid)"
    visible, _ = visibility.series_condition(scope, series="labelled_in")
    return (
        f"{given} and (member.series_uid = '' or exists (select 1 from series as labelled_in"
        " where labelled_in.study_id = study.id and labelled_in.series_uid = member.series_uid"
        f" and {visible}))"
    )


def key_of(query: Query) -> Match | None:
    """The key of Labels in a query."""
    return next((key for key in query.keys if key.path == LABELS and key.tests), None)


async def find(reader: Reader, query: Query, scope: Scope) -> Labelled | None:
    """What the query's key of Labels comes to; None without one."""
    key = key_of(query)
    if key is None:
        return None
    rows = await reader.fetch_all("select id, folded from label where realm = :realm", {"realm": scope.realm})
    folded = Match(key.path, tuple(_folded(test) for test in key.tests), key.name)
    ids = tuple(row["id"] for row in rows if folded.accepts_values([row["folded"]]))
    names, params = in_list("label", ids)
    given = await reader.fetch_value(
        "select count(*) from"
        f" (select 1 from label_member where label_id in {names} limit {_MANY + 1}) as given",
        params,
    )
    empty = any(isinstance(test, Empty) for test in key.tests)
    return Labelled(ids=ids, few=given <= _MANY, empty=empty)


def _folded(test: Test) -> Test:
    match test:
        case Exact(value):
            return Exact(label_name.fold(str(value)))
        case Pattern(text):
            return Pattern(label_name.fold(text))
    return test


Place = tuple[str, str]
"""Study and Series Instance UID of a row; "" as the latter: of a study."""


def place(row: Row, level: Level) -> Place:
    """Which labels are those of a row."""
    return row["study_uid"], "" if level == "study" else row["series_uid"]


async def of_rows(reader: Reader, scope: Scope, level: Level, rows: Sequence[Row]) -> dict[Place, list[str]]:
    """The labels of the rows of a page, by name; nothing of rows without any."""
    studies, params = in_list("study", sorted({row["study_uid"] for row in rows}))
    given = await reader.fetch_all(
        "select distinct label.name, label.folded, member.study_uid, member.series_uid"
        " from label_member as member join label on label.id = member.label_id"
        f" where member.realm = :realm and member.study_uid in {studies} order by label.folded",
        {**params, "realm": scope.realm},
    )
    if not given:
        return {}
    targets = [(one["study_uid"], one["series_uid"]) for one in given]
    seen = await labelling.visible(reader, targets, scope)
    of_study: dict[str, list[tuple[str, str]]] = {}
    for one, target in zip(given, targets, strict=True):
        if target in seen:
            of_study.setdefault(target[0], []).append((target[1], one["name"]))
    places = {place(row, level) for row in rows}
    return {at: _names_at(of_study[at[0]], at[1], level) for at in places if at[0] in of_study}


def _names_at(held: list[tuple[str, str]], series_uid: str, level: Level) -> list[str]:
    own = [name for series, name in held if level == "study" or series in ("", series_uid)]
    return list(dict.fromkeys(own))


def element(names: Sequence[str]) -> dict[str, Any]:
    """The attribute with its private creator, as DICOM JSON (PS3.5 7.8.1)."""
    step = LABELS.steps[0]
    value: dict[str, Any] = {"vr": LABELS.vr} | ({"Value": list(names)} if names else {})
    return {
        f"{step.tag[:4]}0010": {"vr": "LO", "Value": [step.creator]},
        step.tag.replace("xx", "10"): value,
    }
