"""Pages of what waits for a decision: versions that are kept but not served, and instances that disagree."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import dataset, disagreements, versions
from dicomweb_box.archive.disagreements import Disputed, Voted
from dicomweb_box.archive.versions import Kept, Version
from dicomweb_box.asgi.identity import identify
from dicomweb_box.dicom.words.difference import side_by_side
from dicomweb_box.dicom.words.readable import sop_class, words
from dicomweb_box.errors import BadRequest, NotFound
from dicomweb_box.web.forms import posted
from dicomweb_box.web.page import page
from dicomweb_box.web.twins import as_json, done, for_programs
from dicomweb_box.web.words import keyword


async def index(request: Request) -> Response:
    """Versions that are held, or with `state=earlier` those that were replaced, the newest first."""
    actor, scope = identify(request)
    state = _state(request)
    before = request.query_params.get("before") or None
    found = await versions.waiting(request.app.state.box, state, before=before, scope=scope, actor=actor)
    if for_programs(request):
        return as_json({"versions": [_plain(one) for one in found.found], "older": found.older})
    return page(
        request,
        "held/index.html",
        state=state,
        versions=[
            {"kind": sop_class(one.sop_class_uid), "of": one, "here": _here(one)} for one in found.found
        ],
        older=found.older,
        first=before is None,
    )


async def show(request: Request) -> Response:
    """One kept version beside the one that is served, and what can be decided about it."""
    version = await _version(request)
    kept = await dataset.of_blob(request.app.state.box, version.blob_key)
    pairs = None
    if version.study_uid is not None and version.series_uid is not None:
        actor, scope = identify(request)
        served = await dataset.of_instance(
            request.app.state.box,
            version.study_uid,
            version.series_uid,
            version.instance_uid,
            scope=scope,
            actor=actor,
        )
        pairs = side_by_side(served.tree, kept)
    if for_programs(request):
        differing = None if pairs is None else [pair.row.path for pair in pairs]
        return as_json(_plain(version) | {"differs_in": differing})
    return page(
        request, "held/show.html", version=version, here=_here(version), pairs=pairs,
        kind=sop_class(version.sop_class_uid),
    )  # fmt: skip


async def serve(request: Request) -> Response:
    """Serve this version from now on."""
    version = await _version(request)
    await posted(request)
    actor, scope = identify(request)
    await versions.serve(request.app.state.box, version, scope=scope, actor=actor)
    return done(request, "/held", resource=_plain(version) | {"state": "current"})


async def discard(request: Request) -> Response:
    """Delete this version for good."""
    version = await _version(request)
    await posted(request)
    actor, scope = identify(request)
    await versions.discard(request.app.state.box, version, scope=scope, actor=actor)
    return done(request, "/held", resource=_plain(version) | {"state": "discarded"})


async def disputes(request: Request) -> Response:
    """Studies whose instances do not say the same about them."""
    actor, scope = identify(request)
    after = request.query_params.get("after", "")
    found = await disagreements.undecided(request.app.state.box, after=after, scope=scope, actor=actor)
    if for_programs(request):
        return as_json({"studies": [_dispute(one) for one in found.found], "next": found.next})
    return page(
        request,
        "held/disagreements.html",
        studies=[_shown(one) for one in found.found],
        next=found.next,
        first=not after,
    )


async def accept(request: Request) -> Response:
    """Leave what is served of a study as it is."""
    fields = await posted(request)
    study_uid = fields.one("study")
    if not study_uid:
        raise BadRequest("study names no study.")
    actor, scope = identify(request)
    await disagreements.accept(request.app.state.box, study_uid, scope=scope, actor=actor)
    return done(request, "/disagreements", resource={"study_uid": study_uid, "accepted": True})


async def _version(request: Request) -> Version:
    actor, scope = identify(request)
    uids = request.path_params
    return await versions.one(
        request.app.state.box, uids["instance_uid"], uids["sha256"], scope=scope, actor=actor
    )


def _state(request: Request) -> Kept:
    match request.query_params.get("state", "held"):
        case "held":
            return "held"
        case "earlier":
            return "earlier"
    raise NotFound("versions are held or earlier")


def _here(version: Version) -> str:
    return f"/held/{version.instance_uid}/{version.sha256}"


def _plain(version: Version) -> dict[str, Any]:
    names = (
        "instance_uid", "sha256", "state", "sop_class_uid", "transfer_syntax_uid", "source", "stored_at",
        "size", "study_uid", "series_uid", "served_source", "served_at", "served_size", "rejected",
    )  # fmt: skip
    return {name: getattr(version, name) for name in names}


def _dispute(one: Disputed) -> dict[str, Any]:
    return {
        "study_uid": one.study_uid,
        "study": _votes(one.study),
        "series": {uid: _votes(values) for uid, values in one.series.items()},
    }


def _votes(values: Any) -> dict[str, Any]:
    return {
        tag: [{"element": vote.element, "instances": vote.instances} for vote in found]
        for tag, found in values.items()
    }


def _shown(one: Disputed) -> dict[str, Any]:
    return {
        "uid": one.study_uid,
        "study": _rows(one.study),
        "series": [{"uid": uid, "rows": _rows(values)} for uid, values in one.series.items()],
    }


def _rows(values: Any) -> list[dict[str, Any]]:
    return [
        {"name": keyword(tag), "values": [_value(tag, vote) for vote in found]}
        for tag, found in values.items()
    ]


def _value(tag: str, vote: Voted) -> dict[str, Any]:
    text = words({tag: vote.element}, tag)
    return {"text": text or "(empty)", "instances": vote.instances}


_ONE = "/held/{instance_uid}/{sha256}"

ROUTES: list[BaseRoute] = [
    Route("/held", index, name="held"),
    Route("/held.json", index, name="held_json"),
    Route(f"{_ONE}/serve", serve, methods=["POST"], name="held_serve"),
    Route(f"{_ONE}/discard", discard, methods=["POST"], name="held_discard"),
    Route(f"{_ONE}.json", show, name="held_version_json"),
    Route(_ONE, show, name="held_version"),
    Route("/disagreements", disputes, name="disagreements"),
    Route("/disagreements.json", disputes, name="disagreements_json"),
    Route("/disagreements/accept", accept, methods=["POST"], name="disagreements_accept"),
]
