"""An instance's bytes in, those of the de-identified instance out."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Final

from dicomweb_box.deid import markers, redaction, verdict
from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.elements import Glance
from dicomweb_box.deid.identity import IDENTIFYING, identity
from dicomweb_box.deid.mapped import let_go
from dicomweb_box.deid.pixels import BITS, COLUMNS, FRAMES, PHOTOMETRIC, ROWS, SAMPLES
from dicomweb_box.deid.plans import CONTRIBUTING_EQUIPMENT, METHOD_CODES, plans
from dicomweb_box.deid.policy import Policy, applied
from dicomweb_box.deid.pseudonyms import Pseudonyms
from dicomweb_box.deid.redacted import Codec, RedactedPixels, Redacting, made_here
from dicomweb_box.deid.registry import REGISTERED, TRANSFER_SYNTAXES
from dicomweb_box.deid.treatment import Treatment
from dicomweb_box.deid.values import Writer
from dicomweb_box.deid.walker import Piece, Walker, writer_of
from dicomweb_box.dicom.header_tables import Encoding
from dicomweb_box.dicom.part10 import Part10, open_part10, written_meta
from dicomweb_box.dicom.pieces import Stretch
from dicomweb_box.dicom.uids import DEFLATED, clean_uid
from dicomweb_box.errors import UnreadableInstance

_INSTANCE_UID: Final = 0x00080018
_SEQUENCES: Final = (METHOD_CODES, CONTRIBUTING_EQUIPMENT)
_SEEN: Final = (
    IDENTIFYING
    | verdict.JUDGED
    | {_INSTANCE_UID, markers.METHOD, *_SEQUENCES, ROWS, COLUMNS, SAMPLES, BITS, FRAMES, PHOTOMETRIC}
)
_LAST_SEEN: Final = verdict.LAST_JUDGED
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Deidentified:
    """The new instance: bytes, and stretches of `data` that stay as they are."""

    instance_uid: str
    transfer_syntax_uid: str
    meta: bytes
    data: Any
    """The source, or what a deflated one inflates to."""
    pieces: list[Piece]
    deflated: bool
    rule: str = ""
    """The rule by which pixels were made black; empty where none were."""

    def chunks(self) -> Iterator[bytes]:
        """The Part 10 file, in pieces of at most 1 MiB or as they come.

        Raises Doubt where pixels that are to be redacted cannot be: nothing of it may then go anywhere.
        """
        yield self.meta
        if not self.deflated:
            yield from self._plain()
            return
        deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        length = 0
        for chunk in self._plain():
            out = deflate.compress(chunk)
            length += len(out)
            yield out
        out = deflate.flush()
        # PS3.5 A.5: a byte of padding makes the length even.
        yield out + b"\0" * ((length + len(out)) % 2)

    def _plain(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Stretch):
                for at in range(piece.offset, piece.offset + piece.length, _CHUNK):
                    yield self.data[at : min(at + _CHUNK, piece.offset + piece.length)]
                    let_go(self.data, at, at + _CHUNK)
            elif isinstance(piece, RedactedPixels):
                yield from piece.chunks(self.data)
            else:
                yield piece


def deidentify(
    data: Any, size: int, policy: Policy, pseudonyms: Pseudonyms, codec: Codec = made_here
) -> Deidentified:
    """The instance in `data` (bytes or a mapped file) under a policy; `data` stays open until it is written.

    `codec` decodes and encodes frames that are redacted. Raises Doubt where the instance cannot be
    de-identified beyond doubt; nothing of it may then go anywhere.
    """
    try:
        opened = open_part10(data, size)
    except UnreadableInstance as error:
        raise Doubt("it is not a DICOM instance that can be read") from error
    if policy.keeps:
        return _as_it_is(data, size, opened)
    syntax = opened.transfer_syntax_uid
    if syntax not in TRANSFER_SYNTAXES:
        raise Doubt("its transfer syntax is not one of the standard's")
    if opened.size > len(opened.data):
        raise Doubt("its data set inflates to more than 64 MiB")
    glance = _glance(opened.encoding, policy.asked, redacts=policy.pixels == "redact")
    raw = glance.values(opened.data, opened.start, opened.size)
    sop_class_uid, instance_uid = (clean_uid(raw.get(tag, b"")) for tag in (verdict.SOP_CLASS, _INSTANCE_UID))
    if not sop_class_uid or not instance_uid:
        raise Doubt("it has no SOP Class UID or no SOP Instance UID")
    policy = applied(policy, raw)
    verdict.judge(raw, syntax, policy)
    redacting = None
    if policy.pixels == "redact":
        redacting = redaction.planned(raw, opened.encoding, syntax, policy, codec)
        policy = _carried_out(policy, redacted=bool(redacting and redacting.rule))
    written_syntax = redacting.target.transfer_syntax_uid if redacting else syntax
    treatment = _treatment(policy, pseudonyms, raw)
    # What PS3.6 registers, such as a colour palette, is nobody's (and stays in the data set, too).
    kept = "retain-uids" in policy.options or instance_uid in REGISTERED
    new_uid = instance_uid if kept else pseudonyms.uid(instance_uid)
    return Deidentified(
        instance_uid=new_uid,
        transfer_syntax_uid=written_syntax,
        meta=written_meta(
            sop_class_uid=sop_class_uid, instance_uid=new_uid, transfer_syntax_uid=written_syntax
        ),
        data=opened.data,
        pieces=_pieces(opened.data, opened.start, opened.size, opened.encoding, syntax, treatment, redacting),
        deflated=syntax in DEFLATED,
        rule=redacting.rule if redacting else "",
    )


def _as_it_is(data: Any, size: int, opened: Part10) -> Deidentified:
    """The same instance bit for bit, with its UID: what is changed in nothing is no other instance."""
    raw = _glance(opened.encoding, frozenset(), redacts=False).values(opened.data, opened.start, opened.size)
    instance_uid = clean_uid(raw.get(_INSTANCE_UID, b""))
    if not instance_uid:
        raise Doubt("it has no SOP Instance UID")
    return Deidentified(
        instance_uid=instance_uid,
        transfer_syntax_uid=opened.transfer_syntax_uid,
        meta=b"",
        data=data,
        pieces=[Stretch(0, size)],
        deflated=False,
    )


@lru_cache
def _carried_out(policy: Policy, *, redacted: bool) -> Policy:
    """The policy as one instance says that it was carried out: only what was redacted says so."""
    return replace(policy, pixels="redact" if redacted else "refuse")


def _treatment(policy: Policy, pseudonyms: Pseudonyms, raw: Mapping[int, bytes]) -> Treatment:
    found = identity(raw)
    days = pseudonyms.days(found.patient, policy.dates) if policy.moves_dates else 0
    return Treatment(policy=policy, pseudonyms=pseudonyms, identity=found, days=days)


def _pieces(
    data: Any,
    start: int,
    size: int,
    encoding: Encoding,
    syntax: str,
    treatment: Treatment,
    redacting: Redacting | None,
) -> list[Piece]:
    writer = writer_of(encoding)
    policy, found = treatment.policy, treatment.identity
    items = markers.items(policy, found.raw, writer)
    elements = markers.elements(policy, found, writer)
    elements |= {tag: writer.element(tag, vr, value) for tag, vr, value in treatment.trial()}
    for tag in _SEQUENCES:
        if tag not in found.raw:
            elements[tag] = writer.open_sequence(tag) + items[tag] + writer.sequence_end

    def walked(more: Mapping[int, bytes]) -> list[Piece]:
        walker = Walker(
            data,
            size,
            plans=plans(policy, encoding),
            treatment=treatment,
            transfer_syntax_uid=syntax,
            elements={**elements, **more},
            items={tag: partial(_more, policy, found.raw, tag) for tag in _SEQUENCES if tag in found.raw},
            redacting=redacting,
        )
        walker.walk(start)
        if redacting is not None and not walker.redacted:
            raise Doubt("there are no pixels in it that could be redacted")
        return walker.pieces

    if redacting is None or not redacting.rule:
        return walked({})
    said = markers.redacted(found.raw, redacting, writer)
    pieces = walked(said)
    # What frames have lost is known once they are found, and is said before them.
    lost = next((piece.lost(data) for piece in pieces if isinstance(piece, RedactedPixels)), b"")
    more = markers.redacted(found.raw, redacting, writer, lost)
    return pieces if more == said else walked(more)


def _more(policy: Policy, raw: Mapping[int, bytes], tag: int, writer: Writer) -> bytes:
    return markers.items(policy, raw, writer)[tag]


@lru_cache
def _glance(encoding: Encoding, asked: frozenset[int], *, redacts: bool) -> Glance:
    if redacts:
        return Glance(encoding, _SEEN | redaction.SEEN | asked, max(redaction.LAST_SEEN, *asked, 0))
    return Glance(encoding, _SEEN | asked, max(_LAST_SEEN, *asked, 0))
