"""Labels: the list of all, one of them, and giving them to studies and series."""

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dicomweb_box.archive import given_labels, labelling, labels
from dicomweb_box.archive.given_labels import Given
from dicomweb_box.archive.labelling import Target
from dicomweb_box.asgi.identity import identify
from dicomweb_box.errors import BadRequest, BoxError, Conflict
from dicomweb_box.web.forms import Fields, posted
from dicomweb_box.web.page import page, wants_fragment
from dicomweb_box.web.targets import Targets, asked, targets
from dicomweb_box.web.twins import as_json, done, for_programs

_PAGE = "labels/index.html"


async def index(request: Request) -> Response:
    """Every label with how many studies and series have it."""
    if for_programs(request):
        return as_json(await _every(request))
    return await _index(request)


async def _index(request: Request, *, message: str | None = None, name: str = "") -> Response:
    found = await _every(request)
    return page(
        request, _PAGE, labels=found, message=message, given=name, status=200 if message is None else 422
    )


async def _every(request: Request) -> list[labels.Label]:
    actor, scope = identify(request)
    return await labels.every(request.app.state.box, scope=scope, actor=actor)


async def create(request: Request) -> Response:
    """Make a label that nothing has yet; nothing happens where there is one of this name."""
    fields = await posted(request)
    actor, scope = identify(request)
    name = fields.one("name")
    try:
        key = await labels.make(request.app.state.box, name, scope=scope, actor=actor)
    except (BadRequest, Conflict) as error:
        if for_programs(request):
            raise
        return await _index(request, message=str(error), name=name)
    return done(request, f"/labels/{key}", resource=await _one(request, key), status=201)


async def show(request: Request) -> Response:
    """One label: what has it, its name, and the way to delete it."""
    found = await _one(request, request.path_params["label_id"])
    if for_programs(request):
        return as_json(found)
    return _show(request, found)


def _show(request: Request, found: labels.Label, error: BoxError | None = None, name: str = "") -> Response:
    return page(
        request,
        "labels/show.html",
        label=found,
        name=name or found.name,
        message=None if error is None else str(error),
        status=200 if error is None else 422,
    )


async def _one(request: Request, label_id: str) -> labels.Label:
    actor, scope = identify(request)
    return await labels.label(request.app.state.box, label_id, scope=scope, actor=actor)


async def rename(request: Request) -> Response:
    """Give a label the posted name."""
    key, name = request.path_params["label_id"], (await posted(request)).one("name")
    actor, scope = identify(request)
    try:
        await labels.rename(request.app.state.box, key, name, scope=scope, actor=actor)
    except (BadRequest, Conflict) as error:
        if for_programs(request):
            raise
        return _show(request, await _one(request, key), error, name)
    return done(request, f"/labels/{key}", resource=await _one(request, key))


async def confirm(request: Request) -> Response:
    """What deleting a label takes away."""
    return page(request, "labels/delete.html", label=await _one(request, request.path_params["label_id"]))


async def delete(request: Request) -> Response:
    """Delete a label from everything that has it."""
    actor, scope = identify(request)
    key = request.path_params["label_id"]
    await labels.delete(request.app.state.box, key, scope=scope, actor=actor)
    return done(request, "/labels")


async def form(request: Request) -> Response:
    """What some studies and series are labelled, and a form to change it."""
    return await _form(request, asked(request))


async def _form(request: Request, fields: Fields, error: BadRequest | None = None) -> Response:
    about = await targets(request, fields)
    actor, scope = identify(request)
    box = request.app.state.box
    held = await given_labels.spread(box, _members(about), scope=scope, actor=actor)
    if for_programs(request):
        return as_json(held)
    return page(
        request,
        "labels/apply.html",
        targets=about,
        held=held,
        names=await labels.names(box, scope=scope, actor=actor),
        back=_back(fields, about),
        message=None if error is None else str(error),
        given=" ".join(fields.all("add")) if error else "",
        status=200 if error is None else 422,
    )


async def apply(request: Request) -> Response:
    """Give labels to the posted studies and series by hand, and take some away."""
    fields = await posted(request)
    add, remove = fields.all("add"), fields.all("remove")
    about = await targets(request, fields)
    actor, scope = identify(request)
    box = request.app.state.box
    if not (add or remove):
        return await _refused(request, fields, BadRequest("Name a label to add, or one to take away."))
    try:
        changed = await labelling.change(
            box, _members(about), add=add, remove=remove, scope=scope, actor=actor
        )
    except BadRequest as error:
        return await _refused(request, fields, error)
    if wants_fragment(request) and fields.flag("chips"):
        return await _chips(request, about)
    return done(request, _back(fields, about), resource=changed)


async def _refused(request: Request, fields: Fields, error: BadRequest) -> Response:
    if for_programs(request):
        raise error
    return await _form(request, fields, error)


async def _chips(request: Request, about: Targets) -> Response:
    """The labels of the one study or series alone, for the page that shows it."""
    target = _members(about)[0]
    held = await of_study(request, target[0])
    return page(
        request,
        "labels/given.html",
        fragment="given",
        held=held.get(target, ()),
        target=about.fields[0],
    )


async def of_study(request: Request, study_uid: str) -> Mapping[Target, Sequence[Given]]:
    """The labels of a study, ("", as its series) and of its series, for the pages that show them."""
    actor, scope = identify(request)
    return await given_labels.of_studies(request.app.state.box, [study_uid], scope=scope, actor=actor)


async def names(request: Request) -> list[str]:
    """What may complete a name that is typed."""
    actor, scope = identify(request)
    return await labels.names(request.app.state.box, scope=scope, actor=actor)


def _members(about: Targets) -> list[Target]:
    return [*((study, "") for study in about.studies), *about.series]


def _back(fields: Fields, about: Targets) -> str:
    """Where to go on: an address of our own that the form names, else a page of what was labelled."""
    named = fields.one("back")
    if named.startswith("/") and not named.startswith(("//", "/\\")):
        return named
    if about.selection is not None:
        return f"/selections/{about.selection}"
    studies = {study for study, _ in _members(about)}
    return f"/studies/{studies.pop()}" if len(studies) == 1 else "/studies"


ROUTES = [
    Route("/labels", index, methods=["GET"], name="labels"),
    Route("/labels.json", index, name="labels_json"),
    Route("/labels", create, methods=["POST"]),
    Route("/labels/apply", form, methods=["GET"], name="labels_apply"),
    Route("/labels/apply.json", form, name="labels_apply_json"),
    Route("/labels/apply", apply, methods=["POST"]),
    Route("/labels/{label_id}.json", show, name="label_json"),
    Route("/labels/{label_id}", show, methods=["GET"], name="label"),
    Route("/labels/{label_id}", rename, methods=["POST"]),
    Route("/labels/{label_id}", delete, methods=["DELETE"]),
    Route("/labels/{label_id}/delete", confirm, methods=["GET"], name="label_delete"),
    Route("/labels/{label_id}/delete", delete, methods=["POST"]),
]
