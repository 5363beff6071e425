"""Pages: the list of upload sessions, and one session with what it brought; each with its JSON twin."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import uploads
from dicomweb_box.archive.query import search
from dicomweb_box.archive.uploads import Session, State
from dicomweb_box.asgi.identity import identify
from dicomweb_box.box import Box
from dicomweb_box.dicom.matching import from_parameters
from dicomweb_box.errors import BadRequest
from dicomweb_box.web import upload_files, upload_form, words
from dicomweb_box.web.forms import posted
from dicomweb_box.web.page import page
from dicomweb_box.web.twins import as_json, done, for_programs

PAGE_SIZE = 25
STUDIES_SHOWN = 50
FILTERS: Mapping[str, tuple[str, tuple[State, ...]]] = {
    "": ("All", ()),
    "refused": ("Refused", ("refused", "expired")),
    "unfinished": ("Unfinished", ("waiting", "arrived")),
    "skipped": ("Left out", ("skipped",)),
    "stored": ("Stored", ("stored", "already", "unpacked")),
}
STATES: Mapping[State, str] = {
    "waiting": "not complete yet",
    "arrived": "being stored",
    "stored": "new",
    "already": "was here already",
    "skipped": "left out",
    "refused": "refused",
    "unpacked": "archive, unpacked",
    "expired": "given up",
}


async def index(request: Request) -> Response:
    """The sessions, the newest first, and a form to begin one."""
    return await _index(request)


async def index_json(request: Request) -> Response:
    """The same for programs: `next` leads to the next page."""
    found, following = await _sessions(request)
    link = f"/upload.json?{urlencode({'before': following})}" if following else None
    return as_json({"sessions": [resource_of(one) for one in found], "next": link})


async def begin(request: Request) -> Response:
    """A new session; its page, or 201 with the session."""
    fields = await posted(request)
    actor, scope = identify(request)
    name = fields.one("name")
    given = [one for text in fields.all("labels") for one in text.split(",") if one.strip()]
    try:
        session = await uploads.begin(_box(request), name, given=given, scope=scope, actor=actor)
    except BadRequest as error:
        if for_programs(request):
            raise
        return await _index(request, name=name, given=", ".join(given), message=str(error), status=422)
    return done(request, f"/upload/{session.id}", resource=resource_of(session), status=201)


async def show(request: Request) -> Response:
    """One session: its counts, the studies it brought, its files; and where further ones are dropped."""
    actor, scope = identify(request)
    session = await uploads.session(_box(request), _id(request), scope=scope, actor=actor)
    chosen = request.query_params.get("state", "")
    if chosen not in FILTERS:
        chosen = ""
    files, following = await uploads.files(
        _box(request),
        session.id,
        states=FILTERS[chosen][1],
        before=request.query_params.get("before", ""),
        limit=PAGE_SIZE,
    )
    query = {name: value for name, value in request.query_params.items() if name in ("state", "before")}
    here = f"/upload/{session.id}"
    return page(
        request,
        "upload/show.html",
        fragment="live",
        session=session,
        labels=json.loads(session.labels),
        studies=await _studies(request, session),
        files=files,
        filters=[(name, label) for name, (label, _) in FILTERS.items()],
        chosen=chosen,
        states=STATES,
        here=here,
        again=f"{here}?{urlencode(query)}" if query else here,
        following=f"{here}?{urlencode({'state': chosen, 'before': following})}" if following else None,
        first=f"{here}?{urlencode({'state': chosen})}" if "before" in query else None,
    )


async def show_json(request: Request) -> Response:
    """One session for programs."""
    actor, scope = identify(request)
    session = await uploads.session(_box(request), _id(request), scope=scope, actor=actor)
    studies = [one["uid"] for one in await _studies(request, session)]
    return as_json({**resource_of(session), "studies": studies})


async def confirm(request: Request) -> Response:
    """A page that says what removing the record means."""
    actor, scope = identify(request)
    session = await uploads.session(_box(request), _id(request), scope=scope, actor=actor)
    return page(request, "upload/remove.html", session=session)


async def remove(request: Request) -> Response:
    """The record is gone, with what arrived only in part; instances stay."""
    actor, scope = identify(request)
    await uploads.forget(_box(request), _id(request), scope=scope, actor=actor)
    return done(request, "/upload", resource={"removed": _id(request)})


def resource_of(session: Session) -> dict[str, Any]:
    """A session as programs get it."""
    counts = {name: getattr(session, name) for name in Session.__dataclass_fields__}
    counts["labels"] = json.loads(session.labels)
    return {**counts, "active": session.active, "address": f"/upload/{session.id}"}


async def _index(
    request: Request, *, name: str = "", given: str = "", message: str | None = None, status: int = 200
) -> Response:
    found, following = await _sessions(request)
    return page(
        request,
        "upload/index.html",
        status=status,
        sessions=found,
        following=f"/upload?{urlencode({'before': following})}" if following else None,
        first="/upload" if request.query_params.get("before") else None,
        name=name,
        given=given,
        message=message,
        # Such a message says what it is about.
        invalid=None if message is None else "labels" if "label" in message else "name",
    )


async def _sessions(request: Request) -> tuple[list[Session], str | None]:
    actor, scope = identify(request)
    before = request.query_params.get("before", "")
    return await uploads.sessions(_box(request), before=before, limit=PAGE_SIZE, scope=scope, actor=actor)


async def _studies(request: Request, session: Session) -> list[dict[str, Any]]:
    """What the actor may see of the studies it brought."""
    brought = await uploads.studies_of(_box(request), session.id, limit=STUDIES_SHOWN)
    if not brought:
        return []
    actor, scope = identify(request)
    asked = [("StudyInstanceUID", "\\".join(brought)), ("limit", str(STUDIES_SHOWN))]
    query, _ = from_parameters("study", asked, {})
    answer = await search(_box(request), query, scope=scope, actor=actor)
    return [_study(json.loads(row)) for row in answer.rows]


def _study(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": words.first(row, "0020000D"),
        "patient_name": words.first(row, "00100010"),
        "patient_id": words.first(row, "00100020"),
        "date": words.first(row, "00080020"),
        "description": words.first(row, "00081030"),
        "modalities": words.values(row, "00080061"),
        "instance_count": words.first(row, "00201208") or 0,
    }


def _id(request: Request) -> str:
    return str(request.path_params["session"])


def _box(request: Request) -> Box:
    box: Box = request.app.state.box
    return box


ROUTES: list[BaseRoute] = [
    Route("/upload", index, name="uploads"),
    Route("/upload", begin, methods=["POST"]),
    Route("/upload.json", index_json),
    Route("/upload/{session}.json", show_json),
    Route("/upload/{session}", show, name="upload"),
    Route("/upload/{session}", upload_form.take, methods=["POST"]),
    Route("/upload/{session}", remove, methods=["DELETE"]),
    Route("/upload/{session}/remove", confirm),
    Route("/upload/{session}/remove", remove, methods=["POST"]),
    Route("/upload/{session}/files", upload_files.announce, methods=["POST"]),
    Route("/upload/{session}/files.json", upload_files.listed),
    Route("/upload/{session}/files/{file}", upload_files.show, methods=["GET", "HEAD"]),
    Route("/upload/{session}/files/{file}", upload_files.append, methods=["PATCH"]),
]
