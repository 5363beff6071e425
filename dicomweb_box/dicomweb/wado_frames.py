"""Retrieve frames, as stored or native, one or many (PS3.18 10.4.1.1.6)."""

import asyncio
import re
from collections.abc import Sequence
from functools import lru_cache, partial

from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import retrieve, transcoding
from dicomweb_box.archive.body import Body, Later, settle_first
from dicomweb_box.archive.frame_body import native_frame, stored_frame
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.archive.transcoding import transcoded_frame
from dicomweb_box.asgi.blob_response import BlobResponse
from dicomweb_box.dicom.frames import FrameTable
from dicomweb_box.dicom.image import NATIVE
from dicomweb_box.dicom.media_types import Accepted, Offer, choose_stored
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE
from dicomweb_box.dicomweb.frame_types import VIDEO_TYPES, asks_for_encoding, encoded_offers, frame_offers
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
    takes_anything,
    warning,
)
from dicomweb_box.errors import BadRequest, Damaged, NotAcceptable, NotFound

MOST_FRAMES = 100_000
"""Frames of one answer: it holds the head of each in memory."""
_AT_ONCE = 256
"""Frames that are looked up before others get their turn."""
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


async def frames(request: Request) -> BlobResponse:
    """GET /studies/{study}/series/{series}/instances/{instance}/frames/{frames}; without a list: all."""
    ask = asked(request)
    uids = request.path_params
    # Without a list all are meant; PS3.18 10.4.1.1.6 knows none without.
    ranges = frame_ranges(uids["frames"]) if "frames" in uids else None
    found = await retrieve.one_with_frames(
        ask.box, uids["study"], uids["series"], uids["instance"], scope=ask.scope, actor=ask.actor
    )
    table = await retrieve.frame_table(ask.box, found)
    _refuse_video(found, table)
    numbers, missing = existing([range(1, table.count + 1)] if ranges is None else ranges, table.count)
    offer, offers = await negotiated(ask, found, alone=len(numbers) == 1)
    return await answer(request, ask, found, numbers, offer, offers, missing=missing)


async def negotiated(ask: Asked, found: Instance, *, alone: bool) -> tuple[Offer, tuple[Offer, ...]]:
    """What is given of the instance's frames, and all that could be; raises NotAcceptable."""
    stored = found.transfer_syntax_uid
    # What can be encoded is looked up only for who asks for more than is there.
    if not _asks_for_more(ask.accepted, stored, alone=alone):
        return _negotiated(ask.accepted, stored, (), alone=alone)
    return _negotiated(ask.accepted, stored, await transcoding.targets(ask.box, found), alone=alone)


@lru_cache(maxsize=256)
def _asks_for_more(accepted: tuple[Accepted, ...], stored: str, *, alone: bool) -> bool:
    return asks_for_encoding(accepted, frame_offers(stored, alone=alone, anything=True))


@lru_cache(maxsize=256)
def _negotiated(
    accepted: tuple[Accepted, ...], stored: str, targets: tuple[str, ...], *, alone: bool
) -> tuple[Offer, tuple[Offer, ...]]:
    """Remembered, as each frame asks for it."""
    offers = frame_offers(stored, alone=alone, anything=takes_anything(accepted))
    encoded = encoded_offers(targets, alone=alone)
    return choose_stored(accepted, offers, encoded), (*offers, *encoded)


async def answer(
    request: Request,
    ask: Asked,
    found: Instance,
    numbers: list[int],
    offer: Offer,
    offers: Sequence[Offer],
    *,
    missing: int = 0,
) -> BlobResponse:
    """The frames as the chosen offer says."""
    parts = await frame_parts(request, ask, found, numbers, offer, offers)
    etag = tag_of(found.sha256, str(offer), numbers)
    status, headers = 200, []
    if missing:
        status, headers = 206, [warning(f"{missing} of the frames asked for do not exist")]
    if offer.multipart:
        return multipart(ask.box, parts, offer.media_type, etag, status=status, headers=headers)
    return single(ask.box, parts[0], etag, status=status, headers=headers)


async def frame_parts(
    request: Request,
    ask: Asked,
    found: Instance,
    numbers: Sequence[int],
    offer: Offer,
    offers: Sequence[Offer],
) -> list[Part]:
    """A part for each frame; raises NotAcceptable where the first cannot be given as the offer says."""
    if len(numbers) > MOST_FRAMES:
        raise NotAcceptable(f"more than {MOST_FRAMES} frames are not given at once: ask for some of them", ())
    parts: list[Part] = []
    waits = offer.transfer_syntax != found.transfer_syntax_uid and found.transfer_syntax_uid not in NATIVE
    waits |= offer.transfer_syntax not in (found.transfer_syntax_uid, EXPLICIT_LITTLE)
    for number in numbers:
        making = _body(ask, found, number, offer, offers, first=not parts)
        body = await (unless_gone(request, making) if waits and not parts else making)
        location = path_of(
            request,
            *("studies", found.study_uid, "series", found.series_uid),
            *("instances", found.instance_uid, "frames", str(number)),
        )
        parts.append(Part(offer.content_type, location, body))
        if not len(parts) % _AT_ONCE:
            await asyncio.sleep(0)
    return parts


async def _body(
    ask: Asked, found: Instance, number: int, offer: Offer, offers: Sequence[Offer], *, first: bool
) -> list[Body]:
    syntax = offer.transfer_syntax
    if syntax == found.transfer_syntax_uid and syntax != EXPLICIT_LITTLE:
        return await stored_frame(ask.box, found, number)
    try:
        if syntax is not None and syntax != EXPLICIT_LITTLE:
            encoding = partial(transcoded_frame, ask.box, found, number, syntax)
            return await encoding() if first else [Later(encoding)]
        body = await native_frame(ask.box, found, number)
        # What cannot be decoded shows before the answer begins.
        return await settle_first(body) if first else body
    except Damaged as error:
        # What was stored is kept, and is at fault: no failure of this server.
        as_stored = tuple(str(one) for one in offers if one.transfer_syntax == found.transfer_syntax_uid)
        only = "can only be given as it was stored" if as_stored else "cannot be given"
        raise NotAcceptable(f"the frame {only}: {error}", as_stored) from error


def frame_ranges(text: str) -> list[range]:
    """The frame numbers of `1,2,7` or `1-50`; raises BadRequest."""
    ranges = []
    for one in text.split(","):
        match = _RANGE.fullmatch(one.strip())
        if match is None:
            raise BadRequest("frames are asked for by numbers from 1, such as 1,2,7 or 1-50")
        first = int(match[1])
        last = int(match[2] or first)
        if first < 1 or last < first:
            raise BadRequest("frames are numbered from 1, and a range grows")
        ranges.append(range(first, last + 1))
    return ranges


def existing(ranges: list[range], count: int) -> tuple[list[int], int]:
    """The numbers that exist, in the order asked, and how many do not; raises NotFound where none does.

    Raises BadRequest for too many.
    """
    asked_for = sum(map(len, ranges))
    there = [one[: max(0, count - one.start + 1)] for one in ranges]
    if sum(map(len, there)) > MOST_FRAMES:
        raise BadRequest(f"at most {MOST_FRAMES} frames are given at once")
    numbers = [number for one in there for number in one]
    if not numbers:
        raise NotFound(f"there is no such frame: the instance has {count}")
    return numbers, asked_for - len(numbers)


def _refuse_video(found: Instance, table: FrameTable) -> None:
    if table.kind == "video" or found.transfer_syntax_uid in VIDEO_TYPES:
        kind = VIDEO_TYPES.get(found.transfer_syntax_uid, "video/mp4")
        message = "a video has no single frames: ask for its bulk data, bulkdata/7FE00010"
        raise NotAcceptable(message, (f"{kind}; transfer-syntax={found.transfer_syntax_uid}",))


ROUTES: list[BaseRoute] = [
    Route("/studies/{study}/series/{series}/instances/{instance}/frames", frames),
    Route("/studies/{study}/series/{series}/instances/{instance}/frames/{frames}", remembered(frames)),
]
