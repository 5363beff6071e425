"""Versions of an instance that are kept but not served, held or earlier ones; and the decision about each.

A version is named by its SOP Instance UID and the SHA-256 of its bytes. It is visible to whoever sees the
version that is served; where none is, to those who see everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import index, visibility
from dicomweb_box.archive.arrival import Blob, Origin, arrival_of, recompressed
from dicomweb_box.archive.series_dictionary import Dictionaries
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Row, Writer
from dicomweb_box.dicom.header import read_header, sliceable
from dicomweb_box.errors import BoxError, Conflict, Damaged, NotFound

Kept = Literal["held", "earlier"]
PAGE = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One version that is kept, beside the one that is served."""

    instance_uid: str
    sha256: str
    state: str
    sop_class_uid: str
    transfer_syntax_uid: str
    source: str
    stored_at: str
    size: int
    blob_key: str
    dataset_digest: bytes
    study_uid: str | None
    """Of the served version, as what follows; None where none is served."""
    series_uid: str | None
    served_source: str | None
    served_at: str | None
    served_size: int | None
    rejected: bool
    """A person rejected what else there is of this instance: it cannot be served before that is undone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Versions:
    """A page of them, the newest first."""

    found: Sequence[Version]
    older: str | None
    """What to ask for the next page with."""


async def waiting(
    box: Box, state: Kept, *, before: str | None = None, scope: Scope, actor: Actor, limit: int = PAGE
) -> Versions:
    """The versions in this state behind the place given, the newest first."""
    del actor
    condition, params = _visible(scope)
    at, _, uid = (before or "").partition("~")
    older = " and (version.stored_at, version.instance_uid) < (:before, :before_uid)" if before else ""
    rows = await box.database.fetch_all(
        f"{_SELECT} where version.realm = :realm and version.state = :state{older} and {condition}"
        " order by version.stored_at desc, version.instance_uid desc limit :limit",
        params
        | {"realm": scope.realm, "state": state, "limit": limit + 1}
        | ({"before": at, "before_uid": uid} if before else {}),
    )
    found = [_version(row) for row in rows[:limit]]
    last = f"{found[-1].stored_at}~{found[-1].instance_uid}" if len(rows) > limit else None
    return Versions(found=found, older=last)


async def one(box: Box, instance_uid: str, sha256: str, *, scope: Scope, actor: Actor) -> Version:
    """One kept version; raises NotFound."""
    del actor
    condition, params = _visible(scope)
    row = await box.database.fetch_one(
        f"{_SELECT} where version.realm = :realm and version.instance_uid = :instance_uid"
        f" and version.state in ('held', 'earlier') and version.sha256 = :sha256 and {condition}",
        params | {"realm": scope.realm, "instance_uid": instance_uid, "sha256": _digest(sha256)},
    )
    if row is None:
        raise NotFound("there is no such version")
    return _version(row)


async def serve(box: Box, version: Version, *, scope: Scope, actor: Actor) -> None:
    """Serve this version from now on; the one served so far is kept as an earlier one.

    Raises Conflict where somebody decided about it meanwhile, Damaged where its bytes cannot be read.
    """
    dictionaries = box.resource(Dictionaries, Dictionaries)
    arrival = await in_thread(box, _arrival, box, dictionaries, version, scope.realm, actor.name)
    key = (arrival.realm, arrival.study_uid, arrival.series_uid)
    while True:
        try:
            told = _told(version, actor, "served")
            await box.database.write(partial(_serve, box=box, version=version, arrival=arrival, told=told))
        except _Stale as stale:
            learnt = dictionaries.learn(key, stale.dictionary)
            arrival = await in_thread(box, recompressed, learnt, arrival)
        else:
            return


async def discard(box: Box, version: Version, *, scope: Scope, actor: Actor) -> None:
    """Delete this version for good; raises Conflict where somebody decided about it meanwhile."""
    at = box.clock().isoformat(timespec="microseconds")

    async def work(w: Writer) -> None:
        await _take(w, version)
        await w.execute(
            "insert into blob_removal (blob_key, at) values (:key, :at) on conflict (blob_key) do nothing",
            {"key": version.blob_key, "at": at},
        )
        await w.execute(
            "insert into change (at, kind, realm, study_uid, series_uid, instance_uid, source, actor)"
            " values (:at, 'discarded', :realm, :study_uid, :series_uid, :instance_uid, :source, :actor)",
            {
                "at": at,
                "realm": scope.realm,
                "study_uid": version.study_uid or "",
                "series_uid": version.series_uid,
                "instance_uid": version.instance_uid,
                "source": version.source,
                "actor": actor.name,
            },
        )
        await audit.record(w, box, _told(version, actor, "deleted"))

    await box.database.write(work)


class _Stale(Exception):
    """The series was made anew meanwhile: its metadata are compressed with another dictionary."""

    def __init__(self, dictionary: bytes | None) -> None:
        super().__init__()
        self.dictionary = dictionary


def _told(version: Version, actor: Actor, decision: str) -> audit.Entry:
    about = {"instance": version.instance_uid, "version": version.sha256, "decision": decision}
    return audit.Entry(actor=actor, action=Action.DECIDE, study=version.study_uid or "", about=about)


async def _serve(w: Writer, *, box: Box, version: Version, arrival: index.Arrival, told: audit.Entry) -> None:
    await _take(w, version)
    [result] = await index.apply(w, [arrival])
    if isinstance(result, index.StaleDictionary):
        raise _Stale(result.dictionary)  # with the transaction undone
    if isinstance(result, index.Held):
        raise Conflict(
            "the instance was rejected: restore or erase that first, then decide about this version"
        )
    if not isinstance(result, index.Indexed):
        raise Conflict("this version is served already")
    await audit.record(w, box, told)


async def _take(w: Writer, version: Version) -> None:
    """Delete the version's row; its blob stays."""
    taken = await w.fetch_one(
        "delete from instance where blob_key = :key and state in ('held', 'earlier') returning id",
        {"key": version.blob_key},
    )
    if taken is None:
        raise Conflict("somebody decided about this version meanwhile")


def _arrival(box: Box, dictionaries: Dictionaries, version: Version, realm: str, actor: str) -> index.Arrival:
    try:
        with box.blobs.open(version.blob_key) as stored:
            header = read_header(sliceable(stored.buffer()), bulk_threshold=box.settings.bulk_threshold)
    except (BoxError, OSError):
        raise Damaged("the bytes of this version cannot be read; `dicomweb-box check` says more") from None
    blob = Blob(
        key=version.blob_key,
        size=version.size,
        sha256=bytes.fromhex(version.sha256),
        dataset_digest=version.dataset_digest,
    )
    arrival = arrival_of(
        header,
        blob,
        dictionaries,
        Origin(realm=realm, source=version.source, actor=actor),
        at=box.clock(),
        policy="replace",
    )
    return replace(arrival, different=True)  # another version is served: that was seen when it was held


_SELECT = (
    "select version.instance_uid, version.sha256, version.state, version.sop_class_uid,"
    " version.transfer_syntax_uid, version.source, version.stored_at, version.size, version.blob_key,"
    " version.dataset_digest,"
    " study.study_uid, series.series_uid, served.source as served_source, served.stored_at as served_at,"
    " served.size as served_size,"
    " exists (select 1 from instance as refused where refused.realm = version.realm"
    " and refused.instance_uid = version.instance_uid and refused.state = 'rejected') as rejected"
    " from instance as version left join instance as served on served.realm = version.realm"
    " and served.instance_uid = version.instance_uid and served.state = 'current'"
    " left join series on series.id = served.series_id left join study on study.id = served.study_id"
)


def _visible(scope: Scope) -> tuple[str, dict[str, Any]]:
    if scope.whole:
        return "1 = 1", {}
    condition, params = visibility.series_condition(scope)
    return f"study.id is not null and {condition}", params


def _version(row: Row) -> Version:
    found = {name: row[name] for name in Version.__dataclass_fields__}
    return Version(**(found | {"sha256": bytes(row["sha256"]).hex(), "rejected": bool(row["rejected"])}))


def _digest(sha256: str) -> bytes:
    try:
        digest = bytes.fromhex(sha256)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise NotFound("there is no such version")
    return digest
