"""Retrieve studies, series, instances and frames as pictures and texts for people (PS3.18 10.4.1.1.3)."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from dicomweb_box import __version__
from dicomweb_box.archive import render, retrieve
from dicomweb_box.archive.body import Body, Later
from dicomweb_box.archive.representation import Picture, Representations
from dicomweb_box.archive.representations import MOST_PICTURES, representations
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.asgi.blob_response import BlobResponse
from dicomweb_box.asgi.byte_range import not_modified
from dicomweb_box.dicom.display import raster
from dicomweb_box.dicom.display.view import View, view_of
from dicomweb_box.dicom.media_types import Accepted, Offer, choose
from dicomweb_box.dicom.words.document_html import CONTENT_SECURITY_POLICY
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
from dicomweb_box.dicomweb.wado_frames import existing, frame_ranges
from dicomweb_box.errors import Damaged, NotAcceptable, NotFound

log = logging.getLogger(__name__)

_AT_ONCE = 256
"""Pictures that are named before others get their turn."""


@dataclass(frozen=True, slots=True)
class _Rendering:
    """A request for something rendered."""

    request: Request
    ask: Asked
    view: View
    ignored: tuple[str, ...]

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [warning(sentence) for sentence in self.ignored]

    def location(self, one: Instance, number: int | None) -> str:
        frame = () if number is None else ("frames", str(number))
        return path_of(
            self.request,
            *("studies", one.study_uid, "series", one.series_uid, "instances", one.instance_uid),
            *(*frame, "rendered"),
        )


@dataclass(frozen=True, slots=True)
class _Given:
    """One part of an answer: a picture, or a whole instance, in a media type."""

    instance: Instance
    shown: Representations
    number: int | None
    media_type: str

    @property
    def picture(self) -> Picture | None:
        if self.number is None or self.shown.picture is None:
            return None
        return self.shown.picture(self.number)


async def study(request: Request) -> BlobResponse:
    """GET /studies/{study}/rendered."""
    return await _several(request)


async def series(request: Request) -> BlobResponse:
    """GET /studies/{study}/series/{series}/rendered."""
    return await _several(request)


async def instance(request: Request) -> BlobResponse:
    """GET …/instances/{instance}/rendered.

    Of several frames a client that takes multipart/related gets each, another the one that stands for all.
    """
    asking = _asked(request)
    found, shown = await _instance(asking)
    offer = _chosen(asking.ask.accepted, shown)
    if offer.media_type in shown.whole_types:
        given = [_Given(found, shown, None, offer.media_type)]
    elif offer.multipart:
        given = _each(found, shown, offer.media_type)
    else:
        number = 1
        if found.number_of_frames:
            number = await render.representative(asking.ask.box, found, shown.count, otherwise=1)
        given = [_Given(found, shown, number, offer.media_type)]
    return await _answer(asking, given, alone=not offer.multipart, lacking=_lacking(shown))


async def frames(request: Request) -> BlobResponse:
    """GET …/instances/{instance}/frames/{frames}/rendered."""
    asking = _asked(request)
    ranges = frame_ranges(request.path_params["frames"])
    found, shown = await _instance(asking)
    if not shown.count:
        raise NotAcceptable(
            "the instance has no frames that can be rendered", tuple(map(str, _offers(shown)))
        )
    numbers, missing = existing(ranges, shown.count)
    offers = _offered(shown.count > 0, ())
    if len(numbers) > 1:
        offers = tuple(offer for offer in offers if offer.multipart)
    offer = choose(_lenient(asking.ask.accepted) if len(numbers) > 1 else asking.ask.accepted, offers)
    given = [_Given(found, shown, number, offer.media_type) for number in numbers]
    lacking = f"{missing} of the frames asked for do not exist" if missing else None
    return await _answer(asking, given, alone=not offer.multipart, lacking=lacking)


async def _several(request: Request) -> BlobResponse:
    asking = _asked(request)
    ask, uids = asking.ask, request.path_params
    found = await retrieve.instances(
        ask.box, uids["study"], uids.get("series"), scope=ask.scope, actor=ask.actor
    )
    accepted = _lenient(ask.accepted)
    given: list[_Given] = []
    refused: list[NotAcceptable] = []
    lost = 0
    for one in found:
        try:
            shown = await representations(ask.box, one, scope=ask.scope, actor=ask.actor)
        except NotFound:  # a presentation state of images that are elsewhere
            lost += 1
            continue
        except NotAcceptable as refusal:
            refused.append(refusal)
            continue
        lost += bool(shown.missing)
        try:
            given += _all_of(one, shown, accepted)
        except NotAcceptable as refusal:
            refused.append(refusal)
        if len(given) > MOST_PICTURES:
            raise NotAcceptable(f"more than {MOST_PICTURES} frames are not shown at once", ())
    if not given:
        raise refused[0] if refused else NotFound("there is nothing that can be rendered")
    lacking = None
    if refused or lost:
        lacking = f"{len(refused) + lost} of {len(found)} instances are left out: not acceptable or not here"
    return await _answer(asking, given, alone=False, lacking=lacking)


def _all_of(one: Instance, shown: Representations, accepted: Sequence[Accepted]) -> list[_Given]:
    """The whole of an instance, or each of its pictures; raises NotAcceptable."""
    offer = _chosen(accepted, shown)
    if offer.media_type in shown.whole_types:
        return [_Given(one, shown, None, offer.media_type)]
    return _each(one, shown, offer.media_type)


def _each(one: Instance, shown: Representations, media_type: str) -> list[_Given]:
    if shown.count > MOST_PICTURES:
        raise NotAcceptable(
            f"more than {MOST_PICTURES} frames are not shown at once: ask for some of them", ()
        )
    return [_Given(one, shown, number, media_type) for number in range(1, shown.count + 1)]


def _lacking(shown: Representations) -> str | None:
    return f"{shown.missing} of the {shown.what_is_missing} are not here" if shown.missing else None


def _asked(request: Request) -> _Rendering:
    view, ignored = view_of(request.query_params.multi_items() if request.scope["query_string"] else ())
    return _Rendering(request, asked(request), view, tuple(ignored))


async def _instance(asking: _Rendering) -> tuple[Instance, Representations]:
    ask, uids = asking.ask, asking.request.path_params
    found = await retrieve.one_with_frames(
        ask.box, uids["study"], uids["series"], uids["instance"], scope=ask.scope, actor=ask.actor
    )
    return found, await representations(ask.box, found, scope=ask.scope, actor=ask.actor)


def _offers(shown: Representations) -> tuple[Offer, ...]:
    """What can be given, alone or as multipart; a type that shows the whole is not one of its pictures."""
    return _offered(shown.count > 0, shown.whole_types)


@lru_cache(maxsize=256)
def _offered(pictures: bool, whole_types: tuple[str, ...]) -> tuple[Offer, ...]:
    kinds = [kind for kind in raster.MEDIA_TYPES if pictures and kind not in whole_types]
    return tuple(
        Offer(media_type=kind, multipart=form) for kind in (*kinds, *whole_types) for form in (False, True)
    )


def _chosen(accepted: Sequence[Accepted], shown: Representations) -> Offer:
    """What fits best; who takes anything is not given a listing for a document, or a film for a picture."""
    return _choice(tuple(accepted), shown.count > 0, shown.whole_types, shown.written)


@lru_cache(maxsize=256)
def _choice(
    accepted: tuple[Accepted, ...], pictures: bool, whole_types: tuple[str, ...], written: tuple[str, ...]
) -> Offer:
    """Remembered, as a viewer asks for picture after picture."""
    anything = any(one.media_type == "*/*" and one.quality > 0 for one in accepted)
    if anything and not pictures and whole_types[0] not in written:
        # A frame or <object> of a browser names text/html first, whatever it is to show.
        whole_types = whole_types[:1]
    offer = choose(accepted, _offered(pictures, whole_types))
    moving = pictures and offer.media_type in whole_types
    # An <img> names image/webp beside image/*: it asks for a picture, not for a film that is long to make.
    if moving and offer.media_type.startswith("image/") and any(map(_takes_pictures, accepted)):
        return choose(accepted, _offered(pictures, ()))
    return offer


def _takes_pictures(accepted: Accepted) -> bool:
    return accepted.quality > 0 and accepted.media_type in ("image/*", "*/*", "image/jpeg", "image/png")


def _lenient(accepted: Sequence[Accepted]) -> tuple[Accepted, ...]:
    """Ranges of which each may come as multipart: what is several parts cannot come otherwise."""
    return tuple(replace(one, multipart=None) for one in accepted)


async def _answer(
    asking: _Rendering, given: Sequence[_Given], *, alone: bool, lacking: str | None = None
) -> BlobResponse:
    box, view = asking.ask.box, asking.view
    names = await _names(given, view)
    headers, status = asking.headers, 200
    if lacking:
        headers.append(warning(lacking))
        status = 206
    etag = tag_of(names, alone, headers)
    if status == 200 and not_modified(asking.request.scope["headers"], etag):
        return BlobResponse(box, [], content_type=given[0].media_type, etag=etag, status=304)
    make = _body if len(given) == 1 else _body_or_icon
    first = await unless_gone(asking.request, make(asking, given[0]))
    parts = [_part(asking, given[0], first)]
    parts += [_part(asking, one, [Later(partial(_body_or_icon, asking, one))]) for one in given[1:]]
    if alone and given[0].media_type == "text/html" and "text/html" in given[0].shown.written:
        headers.append(("Content-Security-Policy", CONTENT_SECURITY_POLICY))
    if alone:
        return single(box, parts[0], etag, status=status, headers=headers)
    return multipart(box, parts, given[0].media_type, etag, status=status, headers=headers)


async def _names(given: Sequence[_Given], view: View) -> list[str]:
    names = []
    for one in given:
        names.append(_name(one, view))
        if not len(names) % _AT_ONCE:
            await asyncio.sleep(0)
    return names


def _name(one: _Given, view: View) -> str:
    if one.picture is not None:
        return render.name_of(one.picture, view, one.media_type)
    return repr((__version__, one.instance.version, one.media_type, view if one.shown.count else None))


def _part(asking: _Rendering, one: _Given, body: list[Body]) -> Part:
    content_type = one.media_type
    if content_type in one.shown.written:
        content_type += "; charset=utf-8"
    frame = one.picture is not None and one.picture.state is None and one.shown.count > 1
    return Part(content_type, asking.location(one.instance, one.number if frame else None), body)


async def _body(asking: _Rendering, one: _Given) -> list[Body]:
    if one.picture is not None:
        try:
            return [await render.rendered(asking.ask.box, one.picture, asking.view, one.media_type)]
        except Damaged as error:  # it can still be had as it was stored
            raise NotAcceptable(f"the frame cannot be shown: {error}", ()) from error
    if one.shown.whole is None:
        raise NotFound("the instance cannot be rendered")
    return await one.shown.whole(one.media_type, asking.view)


async def _body_or_icon(asking: _Rendering, one: _Given) -> list[Body]:
    """As `_body`; a picture that cannot be made is one that says so, as the answer has begun already."""
    try:
        return await _body(asking, one)
    except (Damaged, NotAcceptable, NotFound) as error:
        if one.picture is None:
            raise
        log.warning("instance %s, frame %s: %s", one.instance.instance_uid, one.number, error)
        return [await render.icon(asking.ask.box, "CANNOT BE SHOWN", asking.view, one.media_type)]


_INSTANCE = "/studies/{study}/series/{series}/instances/{instance}"

ROUTES: list[BaseRoute] = [
    Route("/studies/{study}/rendered", study),
    Route("/studies/{study}/series/{series}/rendered", series),
    Route(f"{_INSTANCE}/rendered", remembered(instance)),
    Route(f"{_INSTANCE}/frames/{{frames}}/rendered", remembered(frames)),
]
