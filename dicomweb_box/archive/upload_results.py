"""Results of uploaded files, written beside what was announced.

Those of one process that wait share a transaction. Writing one twice changes nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dicomweb_box.accounts.access import Scope
from dicomweb_box.archive import labelling, labels
from dicomweb_box.archive.importing import Refusal
from dicomweb_box.archive.uploads import FILE_COLUMNS, MOST_PATH, Announced, File, State, file_of, scope_of
from dicomweb_box.box import Box
from dicomweb_box.database import GroupCommit, Row, Writer, in_list
from dicomweb_box.errors import NotFound


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What is known of one file; its state stays "arrived" while an archive is being read."""

    file_id: str
    session_id: str
    state: State
    message: str = ""
    stored: int = 0
    already: int = 0
    skipped: int = 0
    refused: int = 0
    studies: frozenset[str] = frozenset()
    refusals: tuple[Refusal, ...] = ()
    """Of members of an archive."""
    chunk_sha256: str | None = None
    """The digest of a file that came whole."""
    at: str


class _Results(GroupCommit[Result, File | None]):
    """This process's group commit of results."""


async def write(box: Box, result: Result) -> File:
    """The file with its result; as it is where it had one before. NotFound where the record was removed."""
    commit = box.resource(_Results, lambda box: _Results(box.database, _apply))
    file = await commit(result)
    if file is None:
        raise NotFound("The record of this upload was removed meanwhile.")
    return file


async def _apply(w: Writer, results: Sequence[Result]) -> Sequence[File | None]:
    done: dict[int, File | None] = {}
    # Every process takes the rows of several sessions in one order; a session's before those of its files.
    for position in sorted(range(len(results)), key=lambda one: results[one].session_id):
        done[position] = await _write(w, results[position])
    return [done[position] for position in range(len(results))]


async def _write(w: Writer, result: Result) -> File | None:
    touched = await w.fetch_value(
        "update upload_session set changed_at = :at where id = :session returning id",
        {"at": result.at, "session": result.session_id},
    )
    row = await w.fetch_one(
        f"select {FILE_COLUMNS} from upload_file where id = :id and session_id = :session",
        {"id": result.file_id, "session": result.session_id},
    )
    if touched is None or row is None:
        return None
    before = file_of(row)
    if before.state not in ("waiting", "arrived"):
        return before
    await _write_counts(w, before, result)
    await _bring(w, result)
    await w.execute_many(_REFUSAL, [_refusal(before, one, result.at) for one in result.refusals])
    return await _write_file(w, result)


async def _write_file(w: Writer, result: Result) -> File | None:
    row = await w.fetch_one(
        "update upload_file set state = :state, message = :message, received = size, stored = :stored,"
        " already = :already, skipped = :skipped, refused = :refused, changed_at = :at,"
        " chunk_offset = case when :whole = 1 then 0 else chunk_offset end,"
        " chunk_sha256 = case when :whole = 1 then :sha256 else chunk_sha256 end"
        f" where id = :id returning {FILE_COLUMNS}",
        {
            "id": result.file_id,
            "state": result.state,
            "message": result.message,
            **_counts(result),
            "at": result.at,
            "whole": int(result.chunk_sha256 is not None),
            "sha256": result.chunk_sha256 or "",
        },
    )
    return None if row is None else file_of(row)


async def _bring(w: Writer, result: Result) -> None:
    """Note the studies; those that the session had not brought before get its labels.

    A scope that is decided by series labels the series that came from its actor's uploads alone: a study's
    label would show the rest of it.
    """
    fresh: list[Row] = []
    for uid in sorted(result.studies):
        fresh += await w.fetch_all(
            "insert into upload_study (session_id, study_uid) values (:session, :study)"
            " on conflict do nothing returning study_uid",
            {"session": result.session_id, "study": uid},
        )
    if result.studies:
        await _label(w, result, [row["study_uid"] for row in fresh])


async def _label(w: Writer, result: Result, studies: Sequence[str]) -> None:
    session = await w.fetch_one(
        "select realm, actor, labels, scope from upload_session where id = :id", {"id": result.session_id}
    )
    named = json.loads(session["labels"]) if session is not None else []
    if session is None or not named:
        return
    scope = Scope(realm=session["realm"])
    actor = session["actor"]
    ids = await labels.known(w, scope, named)  # but for labels that were deleted meanwhile
    targets = [(uid, "") for uid in studies]
    if scope_of(session["scope"], session["realm"]).by_series:
        targets = await _own_series(w, scope, f"upload:{actor}", sorted(result.studies))
    new = await labelling.give(w, targets, ids, scope=scope, actor=actor, at=result.at)
    await labelling.record(w, new, scope.realm, source="upload", actor=actor, at=result.at)


async def _own_series(w: Writer, scope: Scope, source: str, studies: Sequence[str]) -> list[tuple[str, str]]:
    names, params = in_list("study", studies)
    rows = await w.fetch_all(
        "select study.study_uid, series.series_uid from study join series on series.study_id = study.id"
        f" where study.realm = :realm and study.study_uid in {names} and not exists (select 1 from"
        " series_source where series_source.series_id = series.id and series_source.source <> :source)",
        {**params, "realm": scope.realm, "source": source},
    )
    return [(row["study_uid"], row["series_uid"]) for row in rows]


async def _write_counts(w: Writer, before: File, result: Result) -> None:
    known, now = _counts(before), _counts(result)
    await w.execute(
        "update upload_session set received = received + :files, received_size = received_size + :bytes,"
        " settled = settled + :settled, stored = stored + :stored, already = already + :already,"
        " skipped = skipped + :skipped, refused = refused + :refused where id = :id",
        {
            "id": result.session_id,
            "files": int(before.state == "waiting"),
            "bytes": before.size - before.received,
            "settled": int(result.state != "arrived"),
            **{name: count - known[name] for name, count in now.items()},
        },
    )


def _counts(one: File | Result) -> dict[str, int]:
    return {
        "stored": one.stored,
        "already": one.already,
        "skipped": one.skipped,
        "refused": one.refused,
    }


_REFUSAL = (
    "insert into upload_file (id, session_id, digest, path, size, state, message, refused, member,"
    " changed_at) values (:id, :session_id, :digest, :path, 0, 'refused', :message, 1, 1, :changed_at)"
    " on conflict (session_id, digest) do nothing"
)


def _refusal(archive: File, one: Refusal, at: str) -> dict[str, Any]:
    path = f"{archive.path}!{one.name}".replace("\0", "")[:MOST_PATH].encode("utf-8", "replace").decode()
    # A size that no announced file has.
    digest = Announced(path=path, size=-1, modified=archive.id).digest
    return {
        "id": f"{archive.id}-{digest[:12]}",
        "session_id": archive.session_id,
        "digest": digest,
        "path": path,
        "message": one.message,
        "changed_at": at,
    }
