"""Corrections: attributes of patient and study given other values, with a reason, until somebody undoes it.

The bytes stay. What is in force for a study lies over all that is given out of it (`archive.overlays`), also
over instances that arrive later.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import declared, visibility
from dicomweb_box.archive.aggregates import Touched
from dicomweb_box.archive.missing import missing
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row, Writer, in_list
from dicomweb_box.dicom.correctable import BY_TAG
from dicomweb_box.dicom.json_model import Element
from dicomweb_box.dicom.overlay import Kind
from dicomweb_box.errors import BadRequest, Conflict, NotFound

PAGE = 50
MOST_STUDIES = 1000
MOST_REASON = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A study as it is to be corrected: what it says now, and the studies of the same patient."""

    study_uid: str
    attributes: Mapping[str, Element]
    of_patient: tuple[str, ...]
    """Their UIDs, its own among them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """One value of one study that was corrected."""

    study_uid: str
    tag: str
    former: Element
    value: Element


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """One act of correcting."""

    id: str
    kind: str
    reason: str
    actor: str
    at: str
    undone_at: str | None
    undone_by: str | None
    values: tuple[Changed, ...]


async def subject(box: Box, study_uid: str, *, scope: Scope, actor: Actor) -> Subject:
    """The study; NotFound where this actor does not see all of it, Gone where it is rejected."""
    del actor

    async def work(reader: Reader) -> tuple[Row | None, Sequence[Row]]:
        found = await _studies(reader, scope, "study.study_uid = :study_uid", {"study_uid": study_uid})
        if not found:
            return None, ()
        row = found[0]
        if not row["patient_id"]:
            return row, found
        same = {"patient_id": row["patient_id"], "issuer": row["issuer_of_patient_id"]}
        where = "study.patient_id = :patient_id and study.issuer_of_patient_id = :issuer"
        return row, await _studies(reader, scope, where, same)

    row, others = await box.database.read(work)
    if row is None:
        raise await missing(box, "there is no such study", study_uid, scope=scope)
    uids = tuple(other["study_uid"] for other in others)
    return Subject(study_uid=study_uid, attributes=orjson.loads(row["attributes"]), of_patient=uids)


async def correct(
    box: Box,
    study_uids: Sequence[str],
    values: Mapping[str, Element],
    *,
    reason: str,
    kind: Kind = "CORRECT",
    scope: Scope,
    actor: Actor,
) -> str:
    """Give these attributes of these studies other values; the id of the correction.

    Raises BadRequest without a reason, for an attribute that may not be corrected, and where nothing is
    changed; NotFound where this actor does not see all of a study; Conflict for too many studies.
    """
    _check(study_uids, values, reason)
    at = box.clock().isoformat(timespec="microseconds")
    correction_id = secrets.token_urlsafe(9)
    act = {"id": correction_id, "realm": scope.realm, "kind": kind, "reason": reason, "at": at}

    async def work(w: Writer) -> bool:
        rows = await _named(w, scope, study_uids)
        if len(rows) < len(set(study_uids)):
            return False
        changed = [one for row in rows for one in _changed(row, values)]
        if not changed:
            raise BadRequest("Nothing is changed: these are the present values.")
        await w.execute(_ACT, {**act, "actor": actor.name})
        await w.execute_many(_VALUE, [{**one, "id": correction_id, "realm": scope.realm} for one in changed])
        studies = sorted({one["study_uid"] for one in changed})
        await _settle(w, scope.realm, studies, set(values), "corrected", actor, at)
        await audit.record(w, box, *_told(actor, studies, set(values), correction=correction_id))
        return True

    if not await box.database.write(work):
        raise await missing(box, "there is no such study", study_uids[0], scope=scope)
    return correction_id


async def undo(box: Box, correction_id: str, *, scope: Scope, actor: Actor) -> Correction:
    """Take a correction back: what was served without it is served again. It stays in the history.

    Raises NotFound where this actor does not see all that it corrected, Conflict where it is undone already.
    """
    at = box.clock().isoformat(timespec="microseconds")
    found = await one(box, correction_id, scope=scope, actor=actor)

    async def work(w: Writer) -> None:
        undone = await w.fetch_value(
            "update correction set undone_at = :at, undone_by = :actor where id = :id and realm = :realm"
            " and undone_at is null returning id",
            {"at": at, "actor": actor.name, "id": correction_id, "realm": scope.realm},
        )
        if undone is None:
            raise Conflict("This correction is undone already.")
        studies = sorted({value.study_uid for value in found.values})
        tags = {value.tag for value in found.values}
        await _settle(w, scope.realm, studies, tags, "uncorrected", actor, at)
        await audit.record(w, box, *_told(actor, studies, tags, undone=correction_id))

    await box.database.write(work)
    return await one(box, correction_id, scope=scope, actor=actor)


def _told(actor: Actor, studies: Sequence[str], tags: set[str], **key: str) -> list[audit.Entry]:
    """For the audit: which attributes of which studies, never their values."""
    about = {**key, "attributes": sorted(tags)}
    return [audit.Entry(actor=actor, action=Action.CORRECT, study=study, about=about) for study in studies]


async def one(box: Box, correction_id: str, *, scope: Scope, actor: Actor) -> Correction:
    """One correction; NotFound where this actor does not see all that it corrected."""
    del actor
    found = await _read(box, scope, " and correction.id = :id", {"id": correction_id}, 1)
    if not found:
        raise NotFound("there is no such correction")
    return found[0]


async def of_study(box: Box, study_uid: str, *, scope: Scope, actor: Actor) -> Sequence[Correction]:
    """The corrections of a study, undone ones too, the latest first; those of other studies left out."""
    del actor
    if not scope.identities:
        return ()  # what was corrected is what tells who the patient is
    more = (
        " and exists (select 1 from corrected_value own where own.correction_id = correction.id"
        " and own.study_uid = :study_uid)"
    )
    return await _read(box, scope, more, {"study_uid": study_uid}, PAGE)


async def listed(
    box: Box, *, before: str = "", scope: Scope, actor: Actor
) -> tuple[Sequence[Correction], str]:
    """The corrections that are visible, the latest first, behind one; the last one's id if more follow."""
    del actor
    more = " and correction.number < (select number from correction where id = :before)" if before else ""
    found = await _read(box, scope, more, {"before": before} if before else {}, PAGE + 1)
    return found[:PAGE], found[PAGE - 1].id if len(found) > PAGE else ""


def _check(study_uids: Sequence[str], values: Mapping[str, Element], reason: str) -> None:
    if not reason.strip() or len(reason) > MOST_REASON:
        raise BadRequest(f"A correction needs a reason of at most {MOST_REASON} characters.")
    if not study_uids or len(set(study_uids)) > MOST_STUDIES:
        raise Conflict(f"At most {MOST_STUDIES} studies are corrected at once.")
    for tag in values:
        if tag not in BY_TAG:
            raise BadRequest(f"({tag[:4]},{tag[4:]}) is not one of the attributes that may be corrected.")


async def _settle(
    w: Writer, realm: str, studies: list[str], tags: set[str], kind: str, actor: Actor, at: str
) -> None:
    touched = await Touched.load(w, realm, [])
    await touched.correct(w, studies)
    await touched.settle(w, at=at)
    there = [touched.studies[uid] for uid in studies if not touched.studies[uid].is_stillborn]
    await declared.refresh(w, [study.id for study in there], tags)
    await w.execute_many(
        "insert into change (at, kind, realm, study_uid, source, actor)"
        " values (:at, :kind, :realm, :study_uid, '', :actor)",
        [{"at": at, "kind": kind, "realm": realm, "study_uid": uid, "actor": actor.name} for uid in studies],
    )


def _changed(row: Row, values: Mapping[str, Element]) -> list[dict[str, str]]:
    present = orjson.loads(row["attributes"])
    found = []
    for tag, element in sorted(values.items()):
        former = present.get(tag) or {"vr": element["vr"]}
        if former != element:
            texts = {"former": orjson.dumps(former).decode(), "value": orjson.dumps(element).decode()}
            found.append({"study_uid": row["study_uid"], "tag": tag, **texts})
    return found


async def _named(reader: Reader, scope: Scope, study_uids: Sequence[str]) -> Sequence[Row]:
    names, params = in_list("study", sorted(set(study_uids)))
    return await _studies(reader, scope, f"study.study_uid in {names}", params)


async def _studies(reader: Reader, scope: Scope, where: str, params: dict[str, Any]) -> Sequence[Row]:
    """The studies there, those left out of which the scope does not see every series."""
    visible, more = visibility.series_condition(scope)
    return await reader.fetch_all(
        "select study.id, study.study_uid, study.patient_id, study.issuer_of_patient_id, study.attributes"
        f" from study where study.realm = :realm and {where} and not exists"
        f" (select 1 from series where series.study_id = study.id and not ({visible}))"
        " order by study.study_date desc, study.study_uid",
        {**params, **more, "realm": scope.realm},
    )


async def _read(box: Box, scope: Scope, more: str, params: dict[str, Any], most: int) -> Sequence[Correction]:
    visible, found = visibility.series_condition(scope)
    foreign = (
        "not exists (select 1 from corrected_value value join study on study.realm = value.realm"
        " and study.study_uid = value.study_uid join series on series.study_id = study.id"
        f" where value.correction_id = correction.id and not ({visible}))"
    )
    # Of one whose studies are all rejected nobody can say who may see it: those who see everything.
    there = (
        "exists (select 1 from corrected_value value join study on study.realm = value.realm"
        " and study.study_uid = value.study_uid where value.correction_id = correction.id)"
    )
    where = foreign if scope.whole else f"{foreign} and {there}"

    async def work(reader: Reader) -> Sequence[Correction]:
        acts = await reader.fetch_all(
            f"select correction.* from correction where correction.realm = :realm and {where}{more}"
            " order by correction.number desc limit :most",
            {**params, **found, "realm": scope.realm, "most": most},
        )
        names, ids = in_list("id", [act["id"] for act in acts])
        values: dict[str, list[Changed]] = {}
        for row in await reader.fetch_all(
            "select correction_id, study_uid, tag, former, value from corrected_value"
            f" where correction_id in {names} order by correction_id, study_uid, tag",
            ids,
        ):
            changed = Changed(
                study_uid=row["study_uid"],
                tag=row["tag"],
                former=orjson.loads(row["former"]),
                value=orjson.loads(row["value"]),
            )
            values.setdefault(row["correction_id"], []).append(changed)
        return [_correction(act, values.get(act["id"], [])) for act in acts]

    return await box.database.read(work)


def _correction(act: Row, values: list[Changed]) -> Correction:
    names = ("id", "kind", "reason", "actor", "at", "undone_at", "undone_by")
    return Correction(**{name: act[name] for name in names}, values=tuple(values))


_ACT = (
    "insert into correction (id, realm, kind, reason, actor, at)"
    " values (:id, :realm, :kind, :reason, :actor, :at)"
)
_VALUE = (
    "insert into corrected_value (correction_id, realm, study_uid, tag, value, former)"
    " values (:id, :realm, :study_uid, :tag, :value, :former)"
)
