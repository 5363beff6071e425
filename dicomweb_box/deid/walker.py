"""One pass over a data set's bytes, to those of the de-identified one.

The loop keeps its own stack, so that no nesting is too deep. What stays is not touched: stretches of kept
elements are copied whole, large ones only named. Sequences get undefined lengths.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from dicomweb_box.deid import stand_ins
from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.elements import ITEM, SEQUENCE_END, UNDEFINED, inside, skipped
from dicomweb_box.deid.pixels import check_amount, fragments, moved_offsets, native_length
from dicomweb_box.deid.plans import (
    CHARSET,
    DELIMITER,
    KEEP,
    MARKER,
    OFFSETS,
    OVERLAY_BIT,
    PIXELS,
    PRIVATE,
    REWRITTEN,
    Plan,
    Plans,
)
from dicomweb_box.deid.redacted import RedactedPixels, Redacting
from dicomweb_box.deid.rules import Action, rule_of
from dicomweb_box.deid.treatment import Treatment
from dicomweb_box.deid.values import GRAMMAR, Writer
from dicomweb_box.dicom.charset import Charset, charset
from dicomweb_box.dicom.header_tables import LONG_LENGTH, Encoding
from dicomweb_box.dicom.pieces import Stretch

Piece = Stretch | bytes | RedactedPixels
LARGE: Final = 1 << 16
"""Kept bytes beyond this are named, not copied."""
_NEVER: Final = 1 << 32
_RECURSE, _REMOVE, _DUMMY = int(Action.RECURSE), int(Action.REMOVE), int(Action.DUMMY)
_GRAMMAR: Final = int(Action.GRAMMAR)
_STAYING: Final = frozenset((_GRAMMAR, int(Action.TEXT), int(Action.SEARCHED)))


@lru_cache(maxsize=8)
def writer_of(encoding: Encoding) -> Writer:
    """What writes elements in an encoding."""
    return Writer(explicit=encoding.explicit, order=encoding.order, long_vrs=LONG_LENGTH)


class Walker:
    """A data set being rewritten; `pieces` are its new bytes."""

    def __init__(
        self,
        data: Any,
        size: int,
        *,
        plans: Plans,
        treatment: Treatment,
        transfer_syntax_uid: str,
        elements: dict[int, bytes],
        items: dict[int, Callable[[Writer], bytes]],
        redacting: Redacting | None = None,
    ) -> None:
        self._data, self._size = data, size
        self._plans, self._treatment = plans, treatment
        self._syntax = transfer_syntax_uid
        self._elements = sorted(elements.items(), reverse=True)
        """Whole elements still to be written at the top, the next one last."""
        self._items = items
        """What to add to sequences at the top, as their items are written."""
        self._redacting = redacting
        self.redacted = False
        self.pieces: list[Piece] = []
        self._offsets: dict[int, tuple[int, bytes, bytes]] = {}
        """Extended offset tables: which piece, their heads and their values."""

    def walk(self, pos: int) -> None:  # noqa: C901 - one loop: calls cost more
        """Rewrite the data set from `pos`. Raises Doubt where it cannot be followed wholly."""
        data, size, pieces = self._data, self._size, self.pieces
        append, treat, judged = pieces.append, self._treatment.value, self._treatment.staying
        stack: list[Any] = []
        plans = self._plans
        head, long_length, known = plans.encoding.head, plans.encoding.long, plans.known
        item_head, writer = plans.encoding.item, writer_of(plans.encoding)
        read = self._treatment.identity.charset
        end, undefined, last, run = size, False, -1, pos
        creators: dict[int, str] = {}  # of private blocks of the data set or item
        bounded = -1  # which piece is the head of a sequence that needs its length
        following = self._elements[-1][0] if self._elements else _NEVER
        try:
            while True:
                while pos < end:
                    key, length = head(data, pos)
                    plan = known.get(key) or plans.plan(key)
                    action, long, tag, vr, written = plan
                    if tag <= last and action != DELIMITER:
                        raise Doubt("attributes are not in ascending order")
                    if long:
                        start = pos + 12
                        length = long_length(data, pos + 8)[0]
                    else:
                        start = pos + 8
                    stop = start + length
                    if stop > end:
                        if length != UNDEFINED:
                            raise Doubt(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is longer than what it is in")
                        stop = -1
                    if tag >= following and not stack:
                        self._flush(run, pos)
                        run = pos
                        following = self._insert(tag, writer)
                    if action == PRIVATE:
                        action, vr = plans.private(plan, data[start : max(start, stop)], creators)
                    if action == KEEP and stop >= 0:
                        last = tag
                        pos = stop
                        continue
                    if stop >= 0 and action in _STAYING:
                        # Most stay: the stretch that is kept goes on.
                        old = data[start:stop]
                        new = judged.get((vr, old)) if action == _GRAMMAR else None
                        if new is None:
                            new = treat(action, tag, vr, old, read, top=not stack)
                        last = tag
                        if new != old:
                            self._flush(run, pos)
                            if new is not None:
                                append(writer.element(tag, written, new))
                            run = stop
                        pos = stop
                        continue
                    if action == DELIMITER:
                        if not undefined or tag != 0xE00D:
                            raise Doubt("a delimiter stands where it does not belong")
                        self._flush(run, pos)
                        run = pos = end = start
                        undefined = False
                        break
                    last = tag
                    if pos > run:
                        if pos - run > LARGE:
                            append(Stretch(run, pos - run))
                        else:
                            append(data[run:pos])
                    if action == _REMOVE and stop >= 0:
                        pos = run = stop
                        continue
                    if action == _RECURSE and vr == "SQ":
                        if not length:
                            more = self._items.get(tag) if not stack else None
                            within = writer_of(inside(plans.encoding, written))
                            added = more(within) if more else b""
                            if added:
                                append(writer.whole_sequence(tag, written, added, within))
                            else:
                                append(writer.head(tag, written, 0))
                            pos = run = start
                            continue
                        if writer.is_bounded(written):
                            bounded = len(pieces)
                        append(writer.open_sequence(tag, written))
                        stack.append(
                            (end, undefined, last, read, plans, end if stop < 0 else stop, stop < 0, tag)
                        )
                        if written == "UN":
                            plans = plans.within(written)
                            head, long_length, known = plans.encoding.head, plans.encoding.long, plans.known
                            item_head, writer = plans.encoding.item, writer_of(plans.encoding)
                        pos = end = run = start
                        last = -2  # the items come first
                        break
                    if action == PIXELS:
                        if stack:
                            raise Doubt("Pixel Data stands in a sequence that is not removed")
                        self._pixels(plan, pos, start, stop, writer)
                        return
                    if stop < 0:
                        pos = run = self._undefined(plan, start, end, plans, writer, stack)
                        continue
                    if action == CHARSET:
                        value = data[start:stop]
                        read = charset(value)
                        if GRAMMAR["CS"](value.replace(b"-", b"_")) and not read.unknown:
                            append(data[pos:stop])
                        else:
                            append(writer.head(tag, written, 0))
                    elif action == OFFSETS:
                        if not stack:
                            # What they are to say is known once the fragments are.
                            self._offsets[tag] = (len(pieces), data[pos:start], data[start:stop])
                            append(b"")
                    elif action == OVERLAY_BIT:
                        clears = self._redacting is not None and self._redacting.clears and not stack
                        if any(data[start:stop]) and not clears:
                            raise Doubt("an overlay lies in unused bits of the pixels")
                    elif action == _DUMMY and vr == "SQ":
                        append(self._stand_in(plan, plans, writer))
                    elif action == REWRITTEN:
                        if stack:
                            self._nested(plan, pos, start, stop, read, writer)
                    elif action != MARKER and action != _REMOVE and action != _RECURSE:
                        old = data[start:stop]
                        new = treat(action, tag, vr, old, read, top=not stack)
                        if new is not None:
                            append(writer.element(tag, written, new))
                    pos = run = stop
                # The end of an item or of a sequence's head: on to the next item, or up.
                if not stack:
                    break
                if last != -2:
                    if undefined:
                        raise Doubt("an item is not ended")
                    self._flush(run, pos)
                    append(writer.item_end)
                    run = pos
                while stack:
                    limit, until = stack[-1][5], stack[-1][6]
                    if pos < limit:
                        group, element, length = item_head(data, pos)
                        pos += 8
                        if group != 0xFFFE:
                            raise Doubt("something else stands where an item begins")
                        if element == ITEM:
                            undefined = length == UNDEFINED
                            end = limit if undefined else pos + length
                            if end > limit:
                                raise Doubt("an item is longer than what it is in")
                            append(writer.item)
                            run, last, read, creators = pos, -1, stack[-1][3], {}
                            break
                        if element != SEQUENCE_END:
                            raise Doubt("a delimiter stands where it does not belong")
                        if not until and pos != limit:
                            raise Doubt("a sequence ends before its length says")
                    elif until:
                        raise Doubt("a sequence is not ended")
                    end, undefined, last, read, outer, _, _, tag = stack.pop()
                    creators = {}  # no block is across a sequence
                    if not stack and tag in self._items:
                        append(self._items[tag](writer))
                    if bounded < 0 or outer is plans:
                        append(writer.sequence_end)
                    if outer is not plans:
                        plans = outer
                        head, long_length, known = plans.encoding.head, plans.encoding.long, plans.known
                        item_head, writer = plans.encoding.item, writer_of(plans.encoding)
                        if bounded >= 0:
                            pieces[bounded] = writer.head(tag, "UN", _length(pieces, bounded + 1))
                            bounded = -1
                    run = pos
                    break
                else:
                    raise Doubt("a sequence is not ended")
        except struct.error:
            # Less than an element's head is no attribute, and is left out.
            if stack or size - pos >= 8:
                raise Doubt("a data set ends within an element") from None
        self._flush(run, pos)
        self._insert(_NEVER, writer)

    def _flush(self, run: int, pos: int) -> None:
        """The kept bytes between two places."""
        if pos - run > LARGE:
            self.pieces.append(Stretch(run, pos - run))
        elif pos > run:
            self.pieces.append(self._data[run:pos])

    def _insert(self, tag: int, writer: Writer) -> int:
        """Write what belongs before an element, or in its place; the tag of what is next."""
        while self._elements and self._elements[-1][0] <= tag:
            self.pieces.append(self._elements.pop()[1])
        return self._elements[-1][0] if self._elements else _NEVER

    def _undefined(
        self, plan: Plan, start: int, end: int, plans: Plans, writer: Writer, stack: list[Any]
    ) -> int:
        """Past a value of undefined length that is not followed into."""
        after = skipped(self._data, start, end, plans.encoding, plan.written_vr)
        if plan.vr not in {"SQ", "UN"} and plan.action not in {_REMOVE, PRIVATE}:
            raise Doubt(
                f"({plan.tag >> 16:04X},{plan.tag & 0xFFFF:04X}) has an undefined length with VR {plan.vr}"
            )
        if plan.action == _DUMMY and plan.vr == "SQ":
            self.pieces.append(self._stand_in(plan, plans, writer))
        elif plan.action == Action.EMPTY:
            self.pieces.append(writer.head(plan.tag, plan.written_vr, 0))
        return after

    def _stand_in(self, plan: Plan, plans: Plans, writer: Writer) -> bytes:
        within = writer_of(inside(plans.encoding, plan.written_vr))
        item = stand_ins.stand_in(plan.tag, within, self._treatment.pseudonyms.uid(""))
        return writer.whole_sequence(plan.tag, plan.written_vr, item, within)

    def _nested(self, plan: Plan, pos: int, start: int, stop: int, read: Charset, writer: Writer) -> None:
        """What describes other pixels than those that are redacted."""
        action = rule_of(self._treatment.policy, plan.tag, plan.vr).action
        if action == KEEP:
            self.pieces.append(self._data[pos:stop])
        elif action not in {_REMOVE, _RECURSE}:
            new = self._treatment.value(action, plan.tag, plan.vr, self._data[start:stop], read, top=False)
            if new is not None:
                self.pieces.append(writer.element(plan.tag, plan.written_vr, new))

    def _pixels(self, plan: Plan, pos: int, start: int, stop: int, writer: Writer) -> None:
        """Pixel Data, which ends the data set: no attribute behind it is ever kept."""
        self._insert(_NEVER, writer)
        order = self._plans.encoding.order
        if self._redacting is not None:
            self.redacted = True
            place = (start, stop if stop >= 0 else self._size)
            self.pieces += self._redacting.pieces(self._data, plan, place, stop < 0, writer)
            return
        if stop >= 0:
            length = stop - start
            if plan.tag == 0x7FE00010:
                length = native_length(self._treatment.identity.raw, order, length)
            self.pieces += [writer.head(plan.tag, plan.written_vr, length), Stretch(start, length)]
            return
        if plan.written_vr not in {"OB", "OW"} or order != "<" or not self._plans.encoding.explicit:
            raise Doubt("Pixel Data has an undefined length where it cannot be encapsulated")
        found = fragments(self._data, start, self._size, self._syntax)
        check_amount(self._data, found, self._syntax, self._treatment.identity.raw)
        for at, value in moved_offsets(self._offsets, found):
            self.pieces[at] = value
        self.pieces += [self._data[pos:start], *found.pieces]


def _length(pieces: list[Piece], first: int) -> int:
    return sum(
        piece.length if isinstance(piece, Stretch) else len(piece)
        for piece in islice(pieces, first, None)
        if not isinstance(piece, RedactedPixels)  # they end a data set
    )
