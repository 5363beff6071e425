"""Upload sessions and their files: what was announced, how much of it is here, what became of it.

A session is a record that outlives the index. Its counts are kept by whoever changes a file's row, in the
same transaction. A file is known by path, size and last modification, so that announcing it again finds its
row.
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Literal

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import label_name, labels, partial_files
from dicomweb_box.archive.importing import is_skipped
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Row, Writer, in_list
from dicomweb_box.errors import BadRequest, NotFound

State = Literal["waiting", "arrived", "stored", "already", "skipped", "refused", "unpacked", "expired"]

MOST_NAME = 200
MOST_LABELS = 20
MOST_PATH = 4096
MOST_SIZE = 1 << 46
MOST_ANNOUNCED = 1000
"""Files announced in one request."""
MOST_FILES = 500_000
"""Files of one session."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """One upload session and its counts."""

    id: str
    name: str
    labels: str
    """JSON: names of labels for each study that it brings."""
    begun_at: str
    changed_at: str
    files: int
    size: int
    received: int
    received_size: int
    settled: int
    stored: int
    already: int
    skipped: int
    refused: int

    @property
    def active(self) -> bool:
        """Whether something announced has no outcome yet."""
        return self.settled < self.files


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """One file of a session; `received` is where its next chunk begins."""

    id: str
    session_id: str
    path: str
    size: int
    state: State
    message: str
    received: int
    chunk_offset: int
    chunk_sha256: str
    stored: int
    already: int
    skipped: int
    refused: int
    member: int
    changed_at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Announced:
    """A file that is to be sent; `modified` is any text that changes with the file."""

    path: str
    size: int
    modified: str = ""

    @property
    def digest(self) -> str:
        """What the same file has again after a reload."""
        told = "\0".join((self.path, str(self.size), self.modified))
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


_SESSION = ", ".join(Session.__dataclass_fields__)
FILE_COLUMNS = ", ".join(File.__dataclass_fields__)
_OWN = "realm = :realm and (:whole = 1 or actor = :actor)"


def own(scope: Scope, actor: Actor) -> dict[str, Any]:
    """Parameters of the condition that a session may be seen: one's own, or all for who administers all."""
    every = scope.whole and (actor.administers or actor.kind in ("anonymous", "system"))
    return {"realm": scope.realm, "whole": int(every), "actor": actor.own_name}


def kept_scope(scope: Scope) -> str:
    """A scope as a session keeps it for the worker."""
    if scope.whole:
        return ""
    names = (scope.studies, scope.sources, *scope.labels)
    return json.dumps([None if one is None else sorted(one) for one in names])


def scope_of(kept: str, realm: str) -> Scope:
    """What `kept_scope` kept."""
    if not kept:
        return Scope(realm=realm)
    studies, sources, *labels = (None if one is None else frozenset(one) for one in json.loads(kept))
    return Scope(
        realm=realm, studies=studies, sources=sources, labels=tuple(one or frozenset() for one in labels)
    )


def source_of(actor: Actor) -> str:
    """The source of what an actor uploads: one for all sessions, so that a later one may correct others."""
    return f"upload:{actor.own_name}"


def stamp(moment: datetime) -> str:
    """A moment as it stands in these tables."""
    return moment.isoformat(timespec="microseconds")


async def begin(box: Box, name: str, *, given: Sequence[str] = (), scope: Scope, actor: Actor) -> Session:
    """A new session; without a name it is named for the moment. The labels `given` are put on what it brings.

    Raises BadRequest for a name that is none, of the session or of a label, and for too many of them.
    """
    wanted = sorted({label_name.name_of(text) for text in given})
    if len(wanted) > MOST_LABELS:
        raise BadRequest(f"An upload gives at most {MOST_LABELS} labels.")
    if len(name) > MOST_NAME or not name.isprintable():
        raise BadRequest(f"The name is longer than {MOST_NAME} characters, or holds some that do not print.")
    now = box.clock()
    row = {
        "id": secrets.token_urlsafe(9),
        "realm": scope.realm,
        "name": name or f"Upload of {now:%Y-%m-%d %H:%M} UTC",
        "actor": actor.own_name,
        "labels": json.dumps(wanted),
        "scope": kept_scope(scope),
        "at": stamp(now),
    }

    async def work(w: Writer) -> None:
        # Made now, so that no file fails at one label too many.
        await labels.ensure(w, wanted, scope=scope, actor=actor, at=row["at"])
        await w.execute(
            "insert into upload_session (id, realm, name, actor, labels, scope, begun_at, changed_at)"
            " values (:id, :realm, :name, :actor, :labels, :scope, :at, :at)",
            row,
        )
        await audit.record(w, box, _told(actor, row["id"], "begun"))

    await box.database.write(work)
    return await session(box, row["id"], scope=scope, actor=actor)


async def session(box: Box, session_id: str, *, scope: Scope, actor: Actor) -> Session:
    """The session; NotFound where there is none that this actor may see."""
    row = await box.database.fetch_one(
        f"select {_SESSION} from upload_session where id = :id and {_OWN}",
        {"id": session_id, **own(scope, actor)},
    )
    if row is None:
        raise NotFound("There is no such upload, or its record was removed.")
    return Session(**dict(zip(Session.__dataclass_fields__, row, strict=True)))


async def sessions(
    box: Box, *, before: str, limit: int, scope: Scope, actor: Actor
) -> tuple[list[Session], str | None]:
    """Sessions, the newest first, from the mark `before` on; and the mark of the next page."""
    at, _, last = before.partition("~")
    rows = await box.database.fetch_all(
        f"select {_SESSION} from upload_session where {_OWN}"
        + (" and (begun_at, id) < (:at, :last)" if before else "")
        + " order by begun_at desc, id desc limit :limit",
        {**own(scope, actor), "limit": limit + 1, **({"at": at, "last": last} if before else {})},
    )
    found = [Session(**dict(zip(Session.__dataclass_fields__, row, strict=True))) for row in rows]
    page = found[:limit]
    return page, f"{page[-1].begun_at}~{page[-1].id}" if len(found) > limit else None


async def forget(box: Box, session_id: str, *, scope: Scope, actor: Actor) -> None:
    """Remove the record and what arrived only in part; instances stay. NotFound as in `session`."""
    await session(box, session_id, scope=scope, actor=actor)

    async def work(w: Writer) -> None:
        for table in ("upload_study", "upload_file"):
            await w.execute(f"delete from {table} where session_id = :id", {"id": session_id})
        await w.execute("delete from upload_session where id = :id", {"id": session_id})
        await audit.record(w, box, _told(actor, session_id, "record removed"))

    await box.database.write(work)
    await in_thread(box, partial_files.remove_session, box.settings.data, session_id)


def _told(actor: Actor, session_id: str, what: str) -> audit.Entry:
    return audit.Entry(actor=actor, action=Action.UPLOAD, about={"upload": session_id, "what": what})


async def studies_of(box: Box, session_id: str, *, limit: int) -> list[str]:
    """Study Instance UIDs of what the session brought; at most `limit`."""
    rows = await box.database.fetch_all(
        "select study_uid from upload_study where session_id = :id order by study_uid limit :limit",
        {"id": session_id, "limit": limit},
    )
    return [row["study_uid"] for row in rows]


async def announce(
    box: Box, session_id: str, announced: Sequence[Announced], *, scope: Scope, actor: Actor
) -> list[File]:
    """The row of each file, in the order given; those known by path, size and modification as they are.

    Raises BadRequest for a path or size that cannot be, NotFound as in `session`.
    """
    if len(announced) > MOST_ANNOUNCED:
        raise BadRequest(f"More than {MOST_ANNOUNCED} files are announced at once.")
    for one in announced:
        _check(one)
    now = stamp(box.clock())
    rows = await box.database.write(
        partial(_announce, session_id=session_id, announced=announced, now=now, own=own(scope, actor))
    )
    by_digest = {row["digest"]: file_of(row) for row in rows}
    return [by_digest[one.digest] for one in announced]


def _check(one: Announced) -> None:
    if not one.path or len(one.path) > MOST_PATH or "\0" in one.path:
        raise BadRequest(f"A path is empty, holds a NUL or is longer than {MOST_PATH} characters.")
    try:
        one.path.encode()
    except UnicodeEncodeError:
        raise BadRequest("A path is not Unicode.") from None
    if not 0 <= one.size <= MOST_SIZE:
        raise BadRequest("A size is negative, or beyond all measure.")


async def _announce(
    w: Writer, *, session_id: str, announced: Sequence[Announced], now: str, own: dict[str, Any]
) -> Sequence[Row]:
    # Touched first, so that everyone who changes a session takes its row before those of its files.
    files = await w.fetch_value(
        f"update upload_session set changed_at = :now where id = :id and {_OWN} returning files",
        {"id": session_id, "now": now, **own},
    )
    if files is None:
        raise NotFound("There is no such upload, or its record was removed.")
    unique = {one.digest: one for one in announced}
    names, params = in_list("digest", unique)
    select = (
        f"select digest, {FILE_COLUMNS} from upload_file where session_id = :session and digest in {names}"
    )
    params["session"] = session_id
    known = {row["digest"]: row for row in await w.fetch_all(select, params)}
    fresh = [_row(session_id, one, now) for digest, one in unique.items() if digest not in known]
    if files + len(fresh) > MOST_FILES:
        raise BadRequest(f"An upload has at most {MOST_FILES} files; begin another one.")
    await w.execute_many(_INSERT, fresh)
    again = [row["id"] for row in known.values() if row["state"] == "expired"]
    if again:
        await _revive(w, again, now)
    await w.execute(
        "update upload_session set files = files + :files, size = size + :size, settled = settled + :settled,"
        " skipped = skipped + :skipped, refused = refused + :refused where id = :id",
        {
            "id": session_id,
            "files": len(fresh),
            "size": sum(row["size"] for row in fresh if row["state"] == "waiting"),
            "settled": sum(row["state"] != "waiting" for row in fresh) - len(again),
            "skipped": sum(row["skipped"] for row in fresh),
            "refused": sum(row["refused"] for row in fresh) - len(again),
        },
    )
    return await w.fetch_all(select, params)


async def _revive(w: Writer, ids: list[str], now: str) -> None:
    names, params = in_list("id", ids)
    await w.execute(
        "update upload_file set state = 'waiting', message = '', received = 0, refused = 0, changed_at = :now"
        f" where id in {names}",
        {**params, "now": now},
    )


_INSERT = (
    "insert into upload_file (id, session_id, digest, path, size, state, message, skipped, refused, member,"
    " changed_at) values (:id, :session_id, :digest, :path, :size, :state, :message, :skipped, :refused,"
    " :member, :changed_at)"
)


def _row(session_id: str, one: Announced, now: str) -> dict[str, Any]:
    state, message = "waiting", ""
    parts = PurePosixPath(one.path.replace("\\", "/")).parts
    if parts and is_skipped(parts):
        state, message = "skipped", "no instance, by its name"
    elif not one.size:
        state, message = "refused", "the file is empty"
    return {
        "id": secrets.token_urlsafe(9),
        "session_id": session_id,
        "digest": one.digest,
        "path": one.path,
        "size": one.size,
        "state": state,
        "message": message,
        "skipped": int(state == "skipped"),
        "refused": int(state == "refused"),
        "member": 0,
        "changed_at": now,
    }


async def file(box: Box, session_id: str, file_id: str, *, scope: Scope, actor: Actor) -> File:
    """One file of a session; NotFound where there is none that this actor may see."""
    row = await box.database.fetch_one(
        f"select {FILE_COLUMNS} from upload_file where id = :id and session_id ="
        f" (select id from upload_session where id = :session and {_OWN})",
        {"id": file_id, "session": session_id, **own(scope, actor)},
    )
    if row is None:
        raise NotFound("There is no such file in this upload, or its record was removed.")
    return file_of(row)


async def files(
    box: Box, session_id: str, *, states: Sequence[State], before: str, limit: int
) -> tuple[list[File], str | None]:
    """Files in these states (none: in any), the last that changed first, and the mark of the next page.

    The caller has asked for the session.
    """
    at, _, last = before.partition("~")
    names, params = in_list("state", states)
    rows = await box.database.fetch_all(
        f"select {FILE_COLUMNS} from upload_file where session_id = :session"
        + (f" and state in {names}" if states else "")
        + (" and (changed_at, id) < (:at, :last)" if before else "")
        + " order by changed_at desc, id desc limit :limit",
        {"session": session_id, "limit": limit + 1, **params, **({"at": at, "last": last} if before else {})},
    )
    page = [file_of(row) for row in rows[:limit]]
    return page, f"{page[-1].changed_at}~{page[-1].id}" if len(rows) > limit else None


def file_of(row: Row) -> File:
    """The file that a row with each of its columns is."""
    return File(**{name: row[name] for name in File.__dataclass_fields__})
