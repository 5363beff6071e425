"""Retrieve studies, series and instances as DICOM objects (PS3.18 10.4.1.1.1, 8.7.3)."""

from collections.abc import Sequence
from functools import lru_cache

from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts.rights import Right
from dicomweb_box.archive import retrieve, transcoding
from dicomweb_box.archive.body import Body, settle_first
from dicomweb_box.archive.explicit_body import (
    can_be_explicit,
    explicit_body,
    explicit_later,
    stored_body,
    stored_later,
    without_bytes,
)
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.archive.transcoding import transcoded_body, transcoded_later
from dicomweb_box.asgi.blob_response import BlobResponse
from dicomweb_box.asgi.guard import check
from dicomweb_box.asgi.identity import identity_of
from dicomweb_box.dicom.media_types import Accepted, Offer, asks_for_more, choose_stored
from dicomweb_box.dicom.transcode import TARGETS
from dicomweb_box.dicom.uids import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomweb_box.dicomweb import wado_zip
from dicomweb_box.dicomweb.gone import unless_gone
from dicomweb_box.dicomweb.retrieval import (
    Asked,
    Part,
    asked,
    multipart,
    path_of,
    remembered,
    single,
    tag_of,
    warning,
)
from dicomweb_box.dicomweb.wado_zip import ZIP, Given
from dicomweb_box.errors import Damaged, NotAcceptable, UnreadableInstance

_DICOM = "application/dicom"
_EXPORTING = frozenset((Right.EXPORT,))
"""What an archive of a whole study or series needs, as `/download` does."""
_NEVER_NAMED = frozenset((IMPLICIT_LITTLE, EXPLICIT_BIG))
_NAMED = 10
"""Up to so many instances that are left out are named."""
_MEASURED = 64
"""Up to so many rewritten instances are looked through before the answer, to tell its length."""


async def study(request: Request) -> BlobResponse:
    """GET /studies/{study}."""
    return await _several(request)


async def series(request: Request) -> BlobResponse:
    """GET /studies/{study}/series/{series}."""
    return await _several(request)


async def instance(request: Request) -> BlobResponse:
    """GET /studies/{study}/series/{series}/instances/{instance}."""
    ask = asked(request)
    if wado_zip.wanted(ask.accepted, alone=True):
        return await _several(request)
    uids = request.path_params
    found = await retrieve.one(
        ask.box, uids["study"], uids["series"], uids["instance"], scope=ask.scope, actor=ask.actor
    )
    return await alone(request, ask, found, _location(request, found))


async def alone(request: Request, ask: Asked, found: Instance, location: str) -> BlobResponse:
    """One instance in the transfer syntax and form that is asked for; raises NotAcceptable."""
    targets = await _targets(ask, found, alone=True)
    offer = _chosen(ask, found.given_syntax, targets, alone=True)
    body = stored_later(ask.box, found)
    if found.overlay is not None or offer.transfer_syntax != found.transfer_syntax_uid:
        body = await unless_gone(request, _rewritten(ask, found, offer.transfer_syntax))
    part = Part(offer.content_type, location, body)
    etag = tag_of(found.version, str(offer))
    if offer.multipart:
        return multipart(ask.box, [part], _DICOM, etag)
    return single(ask.box, part, etag)


async def _targets(ask: Asked, found: Instance, *, alone: bool) -> tuple[str, ...]:
    """The transfer syntaxes to encode the instance in; looked up for who asks for more than is there."""
    if not _asks_for_encoding(ask.accepted, found.given_syntax, alone=alone):
        return ()
    return await transcoding.targets(ask.box, found)


@lru_cache(maxsize=256)
def _asks_for_encoding(accepted: tuple[Accepted, ...], stored: str, *, alone: bool) -> bool:
    offers = _offers(stored, (), alone=alone, named=False)
    return asks_for_more(accepted, offers, _offers(None, TARGETS, alone=alone, named=True))


async def _rewritten(ask: Asked, found: Instance, syntax: str | None) -> list[Body]:
    """The instance in another transfer syntax; what cannot be decoded is found out before the answer."""
    try:
        if syntax == found.given_syntax:
            return await stored_body(ask.box, found)
        if syntax is not None and syntax != EXPLICIT_LITTLE:
            return await transcoded_body(ask.box, found, syntax)
        return await settle_first(await explicit_body(ask.box, found))
    except (Damaged, UnreadableInstance) as error:
        offered = tuple(map(str, _offers(found.given_syntax, (), alone=True, named=False)[:2]))
        message = f"the instance can only be given as it was stored: {error}"
        raise NotAcceptable(message, offered) from error


async def _several(request: Request) -> BlobResponse:
    ask = asked(request)
    uids = request.path_params
    found = await retrieve.instances(
        ask.box,
        uids["study"],
        uids.get("series"),
        uids.get("instance"),
        scope=ask.scope,
        actor=ask.actor,
    )
    if wado_zip.wanted(ask.accepted, alone="instance" in uids):
        if "instance" not in uids:
            check(identity_of(request), _EXPORTING)
        given = await _given(wado_zip.of_members(ask), found, most_measured=0)
        return await wado_zip.answer(request, ask, given, len(found) - len(given))
    given = await _given(ask, found, most_measured=_MEASURED)
    parts = [
        Part(f"{_DICOM}; transfer-syntax={one.transfer_syntax}", _location(request, one.instance), one.body)
        for one in given
    ]
    etag = tag_of([(one.instance.version, one.transfer_syntax) for one in given])
    if len(parts) == len(found):
        return multipart(ask.box, parts, _DICOM, etag)
    # PS3.18 10.4.3.1: some of the content cannot be given.
    left_out = {one.instance_uid for one in found} - {one.instance.instance_uid for one in given}
    text = (
        f"{len(left_out)} of {len(found)} instances are left out: not acceptable or not readable:"
        f" {', '.join(sorted(left_out)[:_NAMED])}{', ...' if len(left_out) > _NAMED else ''}"
    )
    return multipart(ask.box, parts, _DICOM, etag, status=206, headers=[warning(text)])


async def _given(ask: Asked, found: Sequence[Instance], *, most_measured: int) -> list[Given]:
    """Those of the instances that can be given; raises NotAcceptable or Damaged where none can."""
    chosen, refusals = await _chosen_each(ask, found)
    lost = await without_bytes(ask.box, found)
    able = [one for one in found if one.id not in lost and one.id in chosen]
    rewritten = sum(one.overlay is not None or chosen[one.id] != one.transfer_syntax_uid for one in able)
    given: list[Given] = []
    for one in able:
        body = await _body(ask, one, chosen[one.id], measured=rewritten <= most_measured)
        if body is not None:
            given.append(Given(one, chosen[one.id], body))
    if not given:
        raise refusals[0] if refusals else Damaged("the stored bytes are missing")
    return given


async def _body(ask: Asked, one: Instance, syntax: str, *, measured: bool) -> list[Body] | None:
    stored = syntax == one.given_syntax
    if stored and (one.overlay is None or not measured):
        return stored_later(ask.box, one)
    if not stored and syntax != EXPLICIT_LITTLE:
        return transcoded_later(ask.box, one, syntax)
    if not measured:
        return explicit_later(ask.box, one)
    try:
        return await (stored_body if stored else explicit_body)(ask.box, one)
    except (Damaged, UnreadableInstance):
        return None


async def _chosen_each(ask: Asked, found: Sequence[Instance]) -> tuple[dict[int, str], list[NotAcceptable]]:
    """The transfer syntax in which each is given, by its id, and why others are not (PS3.18 8.7.8)."""
    alike: dict[tuple[str, tuple[str, ...]], str | NotAcceptable] = {}
    chosen: dict[int, str] = {}
    for one in found:
        stored, targets = one.given_syntax, await _targets(ask, one, alone=False)
        if (stored, targets) not in alike:
            try:
                offer = _chosen(ask, stored, targets, alone=False)
                alike[stored, targets] = offer.transfer_syntax or stored
            except NotAcceptable as refusal:
                alike[stored, targets] = refusal
        syntax = alike[stored, targets]
        if isinstance(syntax, str):
            chosen[one.id] = syntax
    return chosen, [one for one in alike.values() if isinstance(one, NotAcceptable)]


def _chosen(ask: Asked, stored: str, targets: tuple[str, ...], *, alone: bool) -> Offer:
    offers = _offers(stored, (), alone=alone, named=not ask.anything)
    encoded = _offers(None, targets, alone=alone, named=True)
    accepted: Sequence[Accepted] = ask.accepted
    if not can_be_explicit(stored):
        # Who takes anything at all is better served with what there is than with a refusal.
        accepted = [*accepted, *(_STORED for one in accepted if one.media_type == "*/*" and one.quality)]
    try:
        return choose_stored(accepted, offers, encoded)
    except NotAcceptable as refusal:
        raise NotAcceptable(str(refusal), (*refusal.offered, ZIP)) from refusal


_STORED = Accepted(media_type="*/*", multipart=None, transfer_syntax="*", quality=0.001)


def _offers(stored: str | None, targets: tuple[str, ...], *, alone: bool, named: bool) -> list[Offer]:
    """What can be given of an instance stored so, or encoded; `named`: to who names transfer syntaxes."""
    syntaxes = [*targets]
    if stored is not None and not (named and stored in _NEVER_NAMED):
        syntaxes.append(stored)
    if stored is not None and stored != EXPLICIT_LITTLE and can_be_explicit(stored):
        syntaxes.append(EXPLICIT_LITTLE)
    forms = (False, True) if alone else (True,)
    return [
        Offer(media_type=_DICOM, multipart=form, transfer_syntax=syntax)
        for syntax in syntaxes
        for form in forms
    ]


def _location(request: Request, one: Instance) -> str:
    return path_of(request, "studies", one.study_uid, "series", one.series_uid, "instances", one.instance_uid)


ROUTES: list[BaseRoute] = [
    Route("/studies/{study}", study),
    Route("/studies/{study}/series/{series}", series),
    Route("/studies/{study}/series/{series}/instances/{instance}", remembered(instance)),
]
