"""Rules: the list of all, one with how far its run is, and the form that makes and changes them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dicomweb_box.archive import rule_runs, rules
from dicomweb_box.archive.rule_runs import Preview
from dicomweb_box.archive.rules import Rule, Wanted
from dicomweb_box.asgi.identity import identify
from dicomweb_box.dicom.header_conditions import MOST, SOURCE, conditions
from dicomweb_box.errors import BadQuery, BadRequest, Conflict
from dicomweb_box.web import labels
from dicomweb_box.web.forms import Fields, posted
from dicomweb_box.web.page import page
from dicomweb_box.web.targets import asked
from dicomweb_box.web.twins import as_json, done, for_programs

_EMPTY_ROWS = 3
SUGGESTED = (
    "Modality",
    "BodyPartExamined",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "Manufacturer",
    "ManufacturerModelName",
    "StationName",
    "InstitutionName",
    "StudyDate",
    "PatientID",
    "PatientName",
    "PatientSex",
    "AccessionNumber",
    "ReferringPhysicianName",
    "ImageType",
    "SliceThickness",
    "SOPClassUID",
)
"""Attributes that the field offers; any other can be typed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A rule for programs."""

    id: str
    name: str
    attribute: list[str]
    value: list[str]
    level: str
    label: str
    enabled: bool
    deleting: bool
    run: str
    done: int
    total: int
    labelled: int


@dataclass(kw_only=True, slots=True)
class Form:
    """What the form holds, and what is wrong with it."""

    name: str = ""
    label: str = ""
    level: str = "series"
    pairs: list[tuple[str, str]] = field(default_factory=list)
    messages: dict[str, str] = field(default_factory=dict)
    """By field: name, label, conditions, and each condition by its number."""
    preview: Preview | None = None


def shown(rule: Rule) -> Shown:
    """The rule as programs get it."""
    return Shown(
        id=rule.id,
        name=rule.name,
        attribute=[name for name, _ in rule.conditions],
        value=[value for _, value in rule.conditions],
        level=rule.level,
        label=rule.label,
        enabled=rule.enabled,
        deleting=rule.ended,
        run=rule.run,
        done=rule.run_done,
        total=rule.run_total,
        labelled=rule.labelled,
    )


async def index(request: Request) -> Response:
    """Every rule."""
    actor, scope = identify(request)
    found = await rules.every(request.app.state.box, scope=scope, actor=actor)
    if for_programs(request):
        return as_json([shown(rule) for rule in found])
    busy = any(rule.run != "done" for rule in found)
    return page(request, "rules/index.html", fragment="rules", rules=found, busy=busy)


async def blank(request: Request) -> Response:
    """The form of a new rule, filled with what the query says already; with `do=preview`, how many match."""
    form = _given(asked(request))
    await _prepare(request, form)
    return await _form(request, form, None)


async def create(request: Request) -> Response:
    """Make the posted rule."""
    fields = await posted(request)
    actor, scope = identify(request)
    try:
        key = await rules.make(request.app.state.box, _wanted(fields), scope=scope, actor=actor)
    except (BadRequest, Conflict) as error:
        return await _refused(request, fields, error, None)
    return done(request, f"/rules/{key}", resource=shown(await _one(request, key)), status=201)


async def show(request: Request) -> Response:
    """One rule: its form, how far its run is, and what else can be done with it."""
    rule = await _one(request, request.path_params["rule_id"])
    if for_programs(request):
        return as_json(shown(rule))
    fields = asked(request)
    if not fields.values:
        return await _form(request, _kept(rule), rule)
    form = _given(fields)
    await _prepare(request, form)
    return await _form(request, form, rule)


async def change(request: Request) -> Response:
    """Let a rule be what is posted."""
    key, fields = request.path_params["rule_id"], await posted(request)
    actor, scope = identify(request)
    before = await _one(request, key)
    try:
        wanted = _wanted(fields, enabled=before.enabled)
        await rules.change(request.app.state.box, key, wanted, scope=scope, actor=actor)
    except (BadRequest, Conflict) as error:
        return await _refused(request, fields, error, before)
    return done(request, f"/rules/{key}", resource=shown(await _one(request, key)))


async def run(request: Request) -> Response:
    """Let the worker go through all that is stored once more."""
    key = request.path_params["rule_id"]
    actor, scope = identify(request)
    await rules.run_again(request.app.state.box, key, scope=scope, actor=actor)
    return done(request, f"/rules/{key}", resource=shown(await _one(request, key)))


async def switch(request: Request) -> Response:
    """Switch a rule on or off, by the posted `enabled`."""
    key, fields = request.path_params["rule_id"], await posted(request)
    actor, scope = identify(request)
    box = request.app.state.box
    await rules.switch(box, key, enabled=fields.flag("enabled"), scope=scope, actor=actor)
    return done(request, f"/rules/{key}", resource=shown(await _one(request, key)))


async def confirm(request: Request) -> Response:
    """What deleting a rule takes away."""
    return page(request, "rules/delete.html", rule=await _one(request, request.path_params["rule_id"]))


async def delete(request: Request) -> Response:
    """Delete a rule; the worker takes its labels away."""
    actor, scope = identify(request)
    await rules.delete(request.app.state.box, request.path_params["rule_id"], scope=scope, actor=actor)
    return done(request, "/rules")


async def _one(request: Request, rule_id: str) -> Rule:
    actor, scope = identify(request)
    return await rules.rule(request.app.state.box, rule_id, scope=scope, actor=actor)


# The form


def _pairs(fields: Fields) -> list[tuple[str, str]]:
    """The conditions given: `attribute` and `value`, as many of one as of the other, empty rows left out."""
    names, values = fields.values.get("attribute", ()), fields.values.get("value", ())
    if len(names) != len(values):
        raise BadRequest("Give as many attributes as values.")
    pairs = [(name.strip(), value.strip()) for name, value in zip(names, values, strict=True)]
    return [(name, value) for name, value in pairs if name or value]


def _wanted(fields: Fields, *, enabled: bool = True) -> Wanted:
    return Wanted(
        name=fields.one("name"),
        conditions=tuple(_pairs(fields)),
        level=rules.level_of(fields.one("level", "series")),
        label=fields.one("label"),
        enabled=enabled,
    )


def _given(fields: Fields) -> Form:
    return Form(
        name=fields.one("name"),
        label=fields.one("label"),
        level=rules.level_of(fields.one("level") or "series"),
        pairs=_pairs(fields),
    )


def _kept(rule: Rule) -> Form:
    return Form(name=rule.name, label=rule.label, level=rule.level, pairs=list(rule.conditions))


async def _prepare(request: Request, form: Form) -> None:
    """Look at what is typed so far, where that is asked for."""
    if request.query_params.get("do") != "preview":
        return
    _check(form)
    if not form.messages:
        _, scope = identify(request)
        level = rules.level_of(form.level)
        form.preview = await rule_runs.preview(request.app.state.box, form.pairs, level, scope=scope)


def _check(form: Form) -> None:
    """Say beside each condition what is wrong with it."""
    if not form.pairs:
        form.messages["conditions"] = "Name at least one condition."
    for number, pair in enumerate(form.pairs):
        try:
            conditions([pair])
        except BadQuery as error:
            form.messages[f"condition-{number}"] = str(error)
    if len(form.pairs) > MOST:
        form.messages["conditions"] = f"There are more than {MOST} conditions."


async def _refused(
    request: Request, fields: Fields, error: BadRequest | Conflict, rule: Rule | None
) -> Response:
    if for_programs(request):
        raise error
    form = _given(fields)
    _check(form)
    if not form.messages:
        about = "label" if "label's name" in str(error) or "A label" in str(error) else "name"
        form.messages[about] = str(error)
    return await _form(request, form, rule, status=422)


async def _form(request: Request, form: Form, rule: Rule | None, *, status: int = 200) -> Response:
    # The form never shrinks while it is filled, and always has a row to go on with.
    had = len(request.query_params.getlist("attribute"))
    number = max(had, len(form.pairs) + 1, 0 if form.pairs else _EMPTY_ROWS)
    if request.query_params.get("do") == "row":
        number += 1
    rows: Sequence[tuple[str, str]] = [*form.pairs, *[("", "")] * (number - len(form.pairs))][:MOST]
    context: dict[str, Any] = {"names": await labels.names(request), "suggested": [*SUGGESTED, SOURCE]}
    # Only a rule that is kept has a run to look at; what was refused comes back as the form.
    progress = rule is not None and status == 200 and not request.query_params.get("do")
    fragment = "progress" if progress else "form"
    return page(
        request,
        "rules/show.html",
        fragment=fragment,
        status=status,
        form=form,
        rule=rule,
        rows=rows,
        address="/rules" if rule is None else f"/rules/{rule.id}",
        here="/rules/new" if rule is None else f"/rules/{rule.id}",
        **context,
    )


ROUTES = [
    Route("/rules", index, methods=["GET"], name="rules"),
    Route("/rules.json", index, name="rules_json"),
    Route("/rules", create, methods=["POST"]),
    Route("/rules/new", blank, name="rule_new"),
    Route("/rules/{rule_id}.json", show, name="rule_json"),
    Route("/rules/{rule_id}", show, methods=["GET"], name="rule"),
    Route("/rules/{rule_id}", change, methods=["POST"]),
    Route("/rules/{rule_id}", delete, methods=["DELETE"]),
    Route("/rules/{rule_id}/run", run, methods=["POST"], name="rule_run"),
    Route("/rules/{rule_id}/enabled", switch, methods=["POST"], name="rule_enabled"),
    Route("/rules/{rule_id}/delete", confirm, methods=["GET"], name="rule_delete"),
    Route("/rules/{rule_id}/delete", delete, methods=["POST"]),
]
