"""Pages: what one instance says, and what another says differently; each with its JSON twin."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import dataset
from dicomweb_box.archive.dataset import Shown
from dicomweb_box.archive.query import search
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.asgi.identity import identify
from dicomweb_box.dicom.matching import from_parameters
from dicomweb_box.dicom.words.difference import Pair, side_by_side
from dicomweb_box.dicom.words.readable import sop_class
from dicomweb_box.dicom.words.tree import Row
from dicomweb_box.errors import BadRequest, NotFound
from dicomweb_box.web import words
from dicomweb_box.web.page import page
from dicomweb_box.web.twins import as_json, for_programs

OTHERS_SHOWN = 500
_UID = re.compile(r"[0-9.]{1,64}")


async def show(request: Request) -> Response:
    """Every attribute of an instance, or those that hold the words of `find`; NotFound."""
    wanted = request.query_params.get("find", "")[:200]
    shown = await _shown(request, wanted)
    if for_programs(request):
        return as_json(_resource(shown))
    return page(
        request,
        "instances/show.html",
        fragment="attributes",
        find=wanted,
        tree=shown.tree,
        arrived=shown.arrived,
        others=[] if request.headers.get("hx-request") else await _others(request, shown.instance),
        **_named(shown.instance),
    )


async def compare(request: Request) -> Response:
    """The attributes of two instances side by side: those that differ, or all of them with `all=1`."""
    shown = await _shown(request, "")
    other_uid = request.query_params.get("with", "").strip()
    if not other_uid:
        if for_programs(request):
            raise BadRequest("with names no instance to compare with.")
        return RedirectResponse(_address(shown.instance), 303)
    other = await _other(request, other_uid)
    everything = request.query_params.get("all", "") in ("1", "true", "on")
    pairs = side_by_side(shown.tree, other.tree, everything=everything)
    if for_programs(request):
        return as_json(
            {"left": _facts(shown.instance), "right": _facts(other.instance), "attributes": _pairs(pairs)}
        )
    return page(
        request,
        "instances/compare.html",
        pairs=pairs,
        everything=everything,
        other=_named(other.instance),
        cut=shown.tree.cut or other.tree.cut,
        **_named(shown.instance),
    )


async def _shown(request: Request, wanted: str) -> Shown:
    actor, scope = identify(request)
    uids = request.path_params
    return await dataset.of_instance(
        request.app.state.box,
        uids["study_uid"],
        uids["series_uid"],
        uids["instance_uid"],
        scope=scope,
        actor=actor,
        wanted=wanted,
    )


async def _other(request: Request, instance_uid: str) -> Shown:
    actor, scope = identify(request)
    if not _UID.fullmatch(instance_uid):
        raise BadRequest("with is not a UID.")
    box = request.app.state.box
    try:
        found = await dataset.find(box, instance_uid, scope=scope, actor=actor)
    except NotFound:
        raise NotFound("there is no such instance to compare with") from None
    return await dataset.of_instance(
        box, found.study_uid, found.series_uid, instance_uid, scope=scope, actor=actor
    )


async def _others(request: Request, instance: Instance) -> list[dict[str, Any]]:
    """The instances of the same series to compare with."""
    actor, scope = identify(request)
    within = {"study": instance.study_uid, "series": instance.series_uid}
    query, _ = from_parameters("instance", [("limit", str(OTHERS_SHOWN))], within)
    found = await search(request.app.state.box, query, scope=scope, actor=actor)
    rows = [words.parsed(row) for row in found.rows]
    return [
        {"uid": words.first(row, "00080018"), "number": words.first(row, "00200013")}
        for row in rows
        if words.first(row, "00080018") != instance.instance_uid
    ]


def _named(instance: Instance) -> dict[str, Any]:
    return {
        "instance": instance,
        "kind": sop_class(instance.sop_class_uid),
        "syntax": sop_class(instance.transfer_syntax_uid),
        "digest": instance.sha256.hex(),
        "here": _address(instance),
        "service": f"/dicom-web/studies/{instance.study_uid}/series/{instance.series_uid}",
    }


def _address(instance: Instance) -> str:
    return f"/studies/{instance.study_uid}/series/{instance.series_uid}/instances/{instance.instance_uid}"


def _facts(instance: Instance) -> dict[str, Any]:
    return {
        "study_uid": instance.study_uid,
        "series_uid": instance.series_uid,
        "instance_uid": instance.instance_uid,
        "sop_class_uid": instance.sop_class_uid,
        "transfer_syntax_uid": instance.transfer_syntax_uid,
        "size": instance.size,
        "sha256": instance.sha256.hex(),
    }


def _resource(shown: Shown) -> dict[str, Any]:
    return {
        **_facts(shown.instance),
        "source": shown.arrived.source,
        "stored_at": shown.arrived.stored_at,
        "warnings": shown.arrived.warnings,
        "attributes": [_plain(row) for row in shown.tree.rows],
        "cut": shown.tree.cut,
    }


def _plain(row: Row) -> dict[str, Any]:
    names = ("path", "tag", "name", "keyword", "vr", "length", "value", "creator", "depth")
    return {name: getattr(row, name) for name in names}


def _pairs(pairs: Any) -> list[dict[str, Any]]:
    return [
        {
            "path": pair.row.path,
            "tag": pair.row.tag,
            "name": pair.row.name,
            "differs": pair.differs,
            "left": _side(pair, pair.left),
            "right": _side(pair, pair.right),
        }
        for pair in pairs
    ]


def _side(pair: Pair, row: Row | None) -> dict[str, Any] | None:
    return None if row is None else {"vr": row.vr, "length": row.length, "value": row.value}


_INSTANCE = "/studies/{study_uid}/series/{series_uid}/instances/{instance_uid}"

ROUTES: list[BaseRoute] = [
    Route(f"{_INSTANCE}/compare.json", compare, name="instance_compare_json"),
    Route(f"{_INSTANCE}/compare", compare, name="instance_compare"),
    Route(f"{_INSTANCE}.json", show, name="instance_json"),
    Route(_INSTANCE, show, name="instance"),
]
