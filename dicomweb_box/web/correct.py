"""Pages: correcting what a study says of its patient and itself; every correction, and undoing it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import xxhash
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import corrections
from dicomweb_box.archive.corrections import MOST_REASON, Correction, Subject
from dicomweb_box.asgi.identity import identify
from dicomweb_box.dicom.correctable import ATTRIBUTES, BY_KEYWORD, Correctable, NoValue, element_of, typed
from dicomweb_box.dicom.json_model import Element
from dicomweb_box.dicom.overlay import Kind
from dicomweb_box.errors import BadRequest
from dicomweb_box.web.forms import Fields, posted
from dicomweb_box.web.page import page
from dicomweb_box.web.targets import asked
from dicomweb_box.web.twins import as_json, done, for_programs

KINDS: Mapping[Kind, str] = {
    "CORRECT": "What was recorded was wrong",
    "COERCE": "It is made to fit other records, as after two patients were merged",
}
"""Reason for the Attribute Modification (0400,0565), PS3.3 C.12.1.1.9."""


async def ask(request: Request) -> Response:
    """The present values, as a form."""
    return await _form(request, await _subject(request), {}, Fields({}))


async def take(request: Request) -> Response:
    """Correct what was posted; people are led to the study."""
    fields = await posted(request)
    found = await _subject(request)
    values, wrong = _values(found, fields)
    if not fields.one("reason"):
        wrong["reason"] = "Say why: who reads the study later wants to know."
    elif len(fields.one("reason")) > MOST_REASON:
        wrong["reason"] = f"It is longer than {MOST_REASON} characters."
    if fields.one("kind", "CORRECT") not in KINDS:
        wrong["kind"] = f"It is one of {', '.join(KINDS)}."
    if fields.one("seen") not in ("", _seen(found)):
        wrong["seen"] = "Somebody corrected the study meanwhile. Below are its present values."
    elif not values and not wrong:
        wrong["seen"] = "Nothing is changed: these are the present values."
    if wrong:
        return await _form(request, found, wrong, Fields({}) if "seen" in wrong else fields)
    actor, scope = identify(request)
    correction_id = await corrections.correct(
        request.app.state.box,
        found.of_patient if fields.flag("patient") else (found.study_uid,),
        values,
        reason=fields.one("reason"),
        kind="COERCE" if fields.one("kind") == "COERCE" else "CORRECT",
        scope=scope,
        actor=actor,
    )
    return done(request, f"/studies/{found.study_uid}", resource={"id": correction_id}, status=201)


async def index(request: Request) -> Response:
    """Every correction, the latest first."""
    actor, scope = identify(request)
    before = asked(request).one("before")
    found, older = await corrections.listed(request.app.state.box, before=before, scope=scope, actor=actor)
    if for_programs(request):
        return as_json({"corrections": [_resource(one) for one in found], "older": older})
    return page(request, "care/corrections.html", corrections=list(map(shown, found)), older=older)


async def undo(request: Request) -> Response:
    """Take a correction back; people are led to where they came from: its study, or the list."""
    fields = await posted(request)
    actor, scope = identify(request)
    found = await corrections.undo(request.app.state.box, request.path_params["id"], scope=scope, actor=actor)
    study = fields.one("study")
    named = study in {value.study_uid for value in found.values}
    return done(request, f"/studies/{study}" if named else "/corrections", resource=_resource(found))


def shown(one: Correction) -> dict[str, Any]:
    """A correction for a page: each changed attribute once, with the former values that there were."""
    changed: dict[str, dict[str, Any]] = {}
    for value in one.values:
        row = changed.setdefault(value.tag, {"tag": value.tag, "former": [], "value": typed(value.value)})
        former = typed(value.former)
        if former not in row["former"]:
            row["former"].append(former)
    studies = sorted({value.study_uid for value in one.values})
    return {**_plain(one), "studies": studies, "changed": list(changed.values())}


async def _subject(request: Request) -> Subject:
    actor, scope = identify(request)
    study_uid = request.path_params.get("study_uid") or asked(request).one("study")
    if not study_uid:
        raise BadRequest("Name the study to be corrected.")
    return await corrections.subject(request.app.state.box, study_uid, scope=scope, actor=actor)


def _values(found: Subject, fields: Fields) -> tuple[dict[str, Element], dict[str, str]]:
    """The elements that were given and are other ones, and what is wrong, by keyword."""
    values: dict[str, Element] = {}
    wrong: dict[str, str] = {}
    for keyword, attribute in BY_KEYWORD.items():
        # A form's line ends are not those of the value that it was made of.
        text = fields.one(keyword).replace("\r\n", "\n")
        present = typed(found.attributes.get(attribute.tag)).replace("\r\n", "\n")
        if keyword not in fields.values or text == present.strip():
            continue
        try:
            values[attribute.tag] = element_of(attribute, text)
        except NoValue as error:
            wrong[keyword] = str(error)
    known = {*BY_KEYWORD, "reason", "kind", "patient", "seen"}
    for name in fields.values:
        if name not in known:
            raise BadRequest(f"{name[:64]} is not an attribute that may be corrected.")
    return values, wrong


async def _form(request: Request, found: Subject, wrong: Mapping[str, str], fields: Fields) -> Response:
    if for_programs(request):
        if wrong:
            said = "; ".join(f"{name}: {sentence}" for name, sentence in wrong.items())
            return as_json({"error": said, "wrong": wrong}, 422)
        return as_json(
            {
                "study": found.study_uid,
                "values": {one.keyword: typed(found.attributes.get(one.tag)) for one in ATTRIBUTES},
                "of_patient": found.of_patient,
                "seen": _seen(found),
            }
        )
    groups = {
        name: [_field(one, found, fields, wrong) for one in ATTRIBUTES if one.level == level]
        for level, name in (("patient", "Patient"), ("study", "Study"))
    }
    return page(
        request,
        "care/correct.html",
        status=422 if wrong else 200,
        study_uid=found.study_uid,
        groups=groups,
        of_patient=len(found.of_patient),
        whole_patient=fields.flag("patient"),
        reason=fields.one("reason"),
        kinds=KINDS,
        kind=fields.one("kind", "CORRECT"),
        most_reason=MOST_REASON,
        seen=_seen(found),
        wrong=wrong,
    )


def _field(one: Correctable, found: Subject, fields: Fields, wrong: Mapping[str, str]) -> dict[str, Any]:
    given = fields.one(one.keyword) if one.keyword in fields.values else None
    present = typed(found.attributes.get(one.tag))
    return {
        "keyword": one.keyword,
        "name": one.name,
        "hint": one.hint,
        "long": one.vr == "LT",
        "value": present if given is None else given,
        "message": wrong.get(one.keyword),
    }


def _seen(found: Subject) -> str:
    """What tells the present values from any others, without saying them."""
    return xxhash.xxh3_64_hexdigest(repr([found.attributes.get(one.tag) for one in ATTRIBUTES]).encode())


def _plain(one: Correction) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Correction.__dataclass_fields__ if name != "values"}


def _resource(one: Correction) -> dict[str, Any]:
    return {**_plain(one), "values": [asdict(value) for value in one.values]}


ROUTES: list[BaseRoute] = [
    Route("/correct", ask, methods=["GET"]),
    Route("/studies/{study_uid}/correct", ask, methods=["GET"]),
    Route("/studies/{study_uid}/correct.json", ask, methods=["GET"]),
    Route("/studies/{study_uid}/correct", take, methods=["POST"]),
    Route("/corrections", index, methods=["GET"], name="corrections"),
    Route("/corrections.json", index, methods=["GET"]),
    Route("/corrections/{id}/undo", undo, methods=["POST"]),
]
