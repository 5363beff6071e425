"""Rejection (IHE IOCM): instances that a person does not want given out, kept until their retention ends.

A rejected instance keeps its blob and its row, in state `rejected`; nothing else of it is in the index. What
was rejected is named by realm and UIDs, so that it is found again after the index was rebuilt.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import orjson

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive.aggregates import Touched
from dicomweb_box.archive.missing import missing
from dicomweb_box.archive.remove import MOST_AT_ONCE, current_below, note_changes
from dicomweb_box.box import Box
from dicomweb_box.database import Row, Writer, chunks, in_list
from dicomweb_box.errors import BadRequest

REASONS = {
    "113001": "Rejected for Quality Reasons",
    "113037": "Rejected for Patient Safety Reasons",
    "113038": "Incorrect Modality Worklist Entry",
    "113039": "Data Retention Policy Expired",
}
"""Code values and meanings of PS3.16 CID 7011, Rejection Reasons; the coding scheme is DCM."""
MOST_NOTE = 1000

# What a person knows a study and a series by, once their rows are gone.
_ABOUT = ("00080020", "00080030", "00080050", "00081030", "00100010", "00100020")
_ABOUT_SERIES = ("00080060", "0008103E", "00200011")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A study, a series or an instance by its UIDs."""

    study_uid: str
    series_uid: str | None = None
    instance_uid: str | None = None

    @property
    def uids(self) -> tuple[str, str | None, str | None]:
        return self.study_uid, self.series_uid, self.instance_uid


@dataclass(frozen=True, kw_only=True, slots=True)
class Why:
    """Why something is rejected: a code of `REASONS`, and what the person says of it."""

    reason: str
    note: str = ""

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise BadRequest(f"The reason is not one of {', '.join(REASONS)} (PS3.16 CID 7011).")
        if len(self.note) > MOST_NOTE:
            raise BadRequest(f"The note is longer than {MOST_NOTE} characters.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """What one act of rejecting took out."""

    id: str
    instances: int


async def reject(box: Box, target: Target, why: Why, *, scope: Scope, actor: Actor) -> Rejected:
    """Take the current instances there out of everything that is given out, until `restore`.

    Raises NotFound where this actor sees none, Gone where all of them are rejected already.
    """
    now, days = box.clock(), box.settings.reject_retention
    at = now.isoformat(timespec="microseconds")
    until = (now + timedelta(days=days)).isoformat(timespec="microseconds") if days else ""
    rejection_id = secrets.token_urlsafe(9)
    act = {
        "id": rejection_id,
        "realm": scope.realm,
        "actor": actor.name,
        "at": at,
        "until": until,
        "reason": why.reason,
        "note": why.note,
        "study_uid": target.study_uid,
        "series_uid": target.series_uid,
        "instance_uid": target.instance_uid,
    }

    async def work(w: Writer) -> int:
        rows = await current_below(w, scope, *target.uids)
        if not rows:
            return 0
        await w.execute(_ACT, {**act, "about": await _about(w, scope.realm, target)})
        touched = await Touched.load(w, scope.realm, [])
        for chunk in chunks(rows, MOST_AT_ONCE):
            await touched.take_out(w, [row["id"] for row in chunk])
            await _hide(w, scope.realm, rejection_id, chunk)
        await touched.settle(w, at=at)
        await note_changes(w, "rejected", rows, scope.realm, actor, at)
        about = {"rejection": rejection_id, "reason": why.reason}
        await audit.record(w, box, *audit.of_studies(actor, Action.REJECT, rows, about))
        return len(rows)

    count: int = await box.database.write(work)
    if not count:
        raise await missing(box, "there is nothing here to reject", *target.uids, scope=scope)
    return Rejected(id=rejection_id, instances=count)


async def _hide(w: Writer, realm: str, rejection_id: str, rows: Sequence[Row]) -> None:
    uids, params = in_list("uid", [row["instance_uid"] for row in rows])
    # One that was rejected before and came back by a person's decision: of two the later one can be restored.
    await w.execute(
        "update instance set state = 'earlier' where realm = :realm and state = 'rejected'"
        f" and instance_uid in {uids}",
        {**params, "realm": realm},
    )
    ids, params = in_list("id", [row["id"] for row in rows])
    await w.execute(f"delete from attribute_value where instance_id in {ids}", params)
    await w.execute(
        "update instance set state = 'rejected', study_id = null, series_id = null,"
        f" metadata = :none, metadata_dictionary = 0 where id in {ids}",
        {**params, "none": b""},
    )
    names = ("instance_uid", "study_uid", "series_uid", "source", "size")
    await w.execute_many(
        _INSTANCE,
        [{"realm": realm, "rejection": rejection_id, **{name: row[name] for name in names}} for row in rows],
    )


async def _about(w: Writer, realm: str, target: Target) -> str:
    """What a person knows it by, as DICOM JSON."""
    params = {"realm": realm, "study": target.study_uid, "series": target.series_uid}
    row = await w.fetch_one(
        "select attributes, modalities from study where realm = :realm and study_uid = :study", params
    )
    found = _some(row["attributes"], _ABOUT) if row is not None else {}
    if row is not None and row["modalities"]:
        found["00080061"] = {"vr": "CS", "Value": row["modalities"].split("\\")}
    if target.series_uid is not None:
        series = await w.fetch_value(
            "select series.attributes from series join study on study.id = series.study_id"
            " where study.realm = :realm and study.study_uid = :study and series.series_uid = :series",
            params,
        )
        found |= _some(series or "{}", _ABOUT_SERIES)
    return orjson.dumps(found).decode()


def _some(attributes: str, tags: Sequence[str]) -> dict[str, object]:
    elements = orjson.loads(attributes)
    return {tag: elements[tag] for tag in tags if tag in elements}


_ACT = (
    "insert into rejection"
    " (id, realm, study_uid, series_uid, instance_uid, reason, note, about, actor, at, until) values"
    " (:id, :realm, :study_uid, :series_uid, :instance_uid, :reason, :note, :about, :actor, :at, :until)"
)
_INSTANCE = (
    "insert into rejected_instance (realm, instance_uid, study_uid, series_uid, source, size, rejection_id)"
    " values (:realm, :instance_uid, :study_uid, :series_uid, :source, :size, :rejection)"
    " on conflict (realm, instance_uid) do update set study_uid = excluded.study_uid,"
    " series_uid = excluded.series_uid, source = excluded.source, size = excluded.size,"
    " rejection_id = excluded.rejection_id"
)
