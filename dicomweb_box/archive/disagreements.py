"""Where the instances of one study or series do not say the same about it, and what was decided then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import visibility
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row, Writer, in_list
from dicomweb_box.dicom.json_model import Element
from dicomweb_box.errors import Conflict, NotFound

NOTHING: tuple[str, ...] = ()
PAGE = 25
MOST_VALUES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Disagreements:
    """Tags whose values differ between instances, for a study and for each of its series that has any."""

    study: tuple[str, ...] = NOTHING
    series: dict[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Voted:
    """One value that instances carry, and how many do."""

    element: Element
    instances: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Disputed:
    """A study whose instances disagree, about it or about series of it."""

    study_uid: str
    study: Mapping[str, Sequence[Voted]]
    """Values by tag; the first of a tag is the one served."""
    series: Mapping[str, Mapping[str, Sequence[Voted]]]
    """The same by Series Instance UID."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page of them, in the order of their UIDs."""

    found: Sequence[Disputed]
    next: str | None
    """What to ask for the next page with."""


async def of_study(box: Box, study_uid: str, *, scope: Scope, actor: Actor) -> Disagreements:
    """The disagreements below one study, as far as this scope sees it; none where there is no such study.

    What the study's instances disagree on is told to those who see all of them.
    """
    del actor
    condition, params = _wholly_visible(scope)
    visible, _ = visibility.series_condition(scope)
    found = params | {"realm": scope.realm, "study_uid": study_uid}
    study = await box.database.fetch_value(
        f"select disagreement from study where realm = :realm and study_uid = :study_uid and {condition}",
        found,
    )
    series = await box.database.fetch_all(
        "select series.series_uid, series.disagreement from series join study on study.id = series.study_id"
        " where study.realm = :realm and study.study_uid = :study_uid and series.disagreement <> ''"
        f" and {visible}",
        found,
    )
    return Disagreements(
        study=_tags(study), series={row["series_uid"]: _tags(row["disagreement"]) for row in series}
    )


async def undecided(box: Box, *, after: str = "", scope: Scope, actor: Actor, limit: int = PAGE) -> Page:
    """Studies in dispute that nobody has decided about since they are, behind the UID given."""
    del actor
    condition, params = _wholly_visible(scope)
    sql = (
        f"select study.id, study.study_uid from study where study.id in ({_OPEN}) and"
        f" study.study_uid > :after and {condition} order by study.study_uid limit :limit"
    )
    asked = params | {"realm": scope.realm, "after": after, "limit": limit + 1}

    async def work(reader: Reader) -> tuple[list[Disputed], bool]:
        rows = await reader.fetch_all(sql, asked)
        return await _disputed(reader, rows[:limit]), len(rows) > limit

    found, more = await box.database.read(work)
    return Page(found=found, next=found[-1].study_uid if more else None)


async def accept(box: Box, study_uid: str, *, scope: Scope, actor: Actor) -> None:
    """Leave what is served as it is: the study is not listed again until other attributes are in dispute.

    Raises NotFound for what this actor may not see, Conflict where nothing is in dispute.
    """
    condition, params = _wholly_visible(scope)
    at = box.clock().isoformat(timespec="microseconds")

    async def work(w: Writer) -> None:
        study = await w.fetch_one(
            "select id, disagreement from study where realm = :realm and study_uid = :study_uid"
            f" and {condition}",
            params | {"realm": scope.realm, "study_uid": study_uid},
        )
        if study is None:
            raise NotFound("there is no such study")
        series = await w.fetch_all(
            "select series_uid, disagreement from series where study_id = :study and disagreement <> ''",
            {"study": study["id"]},
        )
        decided = {row["series_uid"]: row["disagreement"] for row in series}
        if study["disagreement"]:
            decided[""] = study["disagreement"]
        if not decided:
            raise Conflict("the instances of this study agree")
        common = {"realm": scope.realm, "study": study_uid, "actor": actor.name, "at": at}
        await w.execute_many(
            "insert into disagreement_decision (realm, study_uid, series_uid, tags, actor, at)"
            " values (:realm, :study, :series, :tags, :actor, :at)"
            " on conflict (realm, study_uid, series_uid) do update"
            " set tags = excluded.tags, actor = excluded.actor, at = excluded.at",
            [common | {"series": uid, "tags": tags} for uid, tags in sorted(decided.items())],
        )
        await audit.record(w, box, audit.Entry(actor=actor, action=Action.DECIDE, study=study_uid))

    await box.database.write(work)


_OPEN = """
    select owner.id from study as owner where owner.realm = :realm and owner.disagreement <> ''
    and not exists (select 1 from disagreement_decision as decided where decided.realm = owner.realm
        and decided.study_uid = owner.study_uid and decided.series_uid = ''
        and decided.tags = owner.disagreement)
    union
    select series.study_id from series join study as owner on owner.id = series.study_id
    where series.realm = :realm and series.disagreement <> ''
    and not exists (select 1 from disagreement_decision as decided where decided.realm = owner.realm
        and decided.study_uid = owner.study_uid and decided.series_uid = series.series_uid
        and decided.tags = series.disagreement)
"""


def _wholly_visible(scope: Scope) -> tuple[str, dict[str, Any]]:
    """Votes tell of every instance of a study: who sees a part of it may not see them."""
    if scope.whole:
        return "1 = 1", {}
    condition, params = visibility.series_condition(scope, series="part")
    hidden = f"select 1 from series as part where part.study_id = study.id and not ({condition})"
    return f"not exists ({hidden})", params


async def _disputed(reader: Reader, rows: Sequence[Row]) -> list[Disputed]:
    if not rows:
        return []
    names, params = in_list("study", [row["id"] for row in rows])
    of_studies = await reader.fetch_all(
        "select study_vote.study_id, tag, value, study_vote.instance_count from study_vote"
        f" where study_id in {names} order by tag, instance_count desc, first_instance_uid",
        params,
    )
    of_series = await reader.fetch_all(
        "select series.study_id, series.series_uid, tag, value, series_vote.instance_count from series_vote"
        f" join series on series.id = series_vote.series_id where series.study_id in {names}"
        " order by series.series_number is null, series.series_number, series.series_uid, tag,"
        " series_vote.instance_count desc, first_instance_uid",
        params,
    )
    return [
        Disputed(
            study_uid=row["study_uid"],
            study=_values([vote for vote in of_studies if vote["study_id"] == row["id"]]),
            series={
                uid: _values([vote for vote in of_series if vote["series_uid"] == uid])
                for uid in dict.fromkeys(
                    vote["series_uid"] for vote in of_series if vote["study_id"] == row["id"]
                )
            },
        )
        for row in rows
    ]


def _values(votes: Sequence[Row]) -> dict[str, list[Voted]]:
    found: dict[str, list[Voted]] = {}
    for vote in votes:
        of_tag = found.setdefault(vote["tag"], [])
        if len(of_tag) < MOST_VALUES:
            of_tag.append(Voted(element=orjson.loads(vote["value"]), instances=vote["instance_count"]))
    return found


def _tags(joined: str | None) -> tuple[str, ...]:
    return tuple(joined.split(",")) if joined else NOTHING
