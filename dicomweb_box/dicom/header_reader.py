"""One pass over a data set, from its bytes straight to DICOM JSON (PS3.18 Annex F).

The loop keeps its own stack, so that no nesting is too deep, and writes text, so that what was read does not
stay in memory as objects. Anything it does not know is `Unusual`: the caller asks pydicom then.
What is not on the way of nearly every element is decided in `header_state`.
"""

import struct
from json.encoder import encode_basestring as quote
from typing import Final

from dicomweb_box.dicom import header_tables as tables
from dicomweb_box.dicom import header_values as values
from dicomweb_box.dicom.charset import Charset, charset
from dicomweb_box.dicom.header_parts import ITEM, SEQUENCE_END, UNDEFINED, Unusual
from dicomweb_box.dicom.header_state import LARGE, State
from dicomweb_box.dicom.header_tables import (
    BINARY,
    CODE,
    IMPLICIT_LITTLE,
    LAST_PLAIN,
    LONG_TEXT,
    NAME,
    NUMBER,
    NUMBERS,
    SEQUENCE,
    TAGS,
    TEXT,
    Encoding,
)

_PARTS_HELD: Final = 50_000  # pieces of text before they are joined: a piece costs more than its characters


class Reader(State):
    """One data set being read."""

    __slots__ = ()

    def read(self, pos: int, encoding: Encoding) -> bytes:  # noqa: C901 - one loop, because calls cost more than its work
        """The data set from `pos` to the end as a DICOM JSON object, UTF-8.

        Raises UnreadableInstance where it is cut off or absurd, Unusual where pydicom should look, Found.
        """
        data, stack, size = self.data, self._stack, self.size
        self.order = encoding.order
        threshold = self.bulk_threshold
        parts: list[str] = ["{"]
        append = parts.append
        head, table, explicit = encoding.head, encoding.table, encoding.explicit
        text: Charset = charset(b"")
        decode, plain = text.decode, text.ascii_is_plain
        end, undefined, last, opened = size, False, -1, 1
        seen, signed = self.seen, self.signed
        try:
            while True:
                while pos < end:
                    key, length = head(data, pos)
                    entry = table.get(key) or self._new_entry(encoding, key)
                    kind, long, opening, with_values, vr, tag, extra = entry
                    if long:
                        start = pos + 12
                        length = encoding.long(data, pos + 8)[0]
                    else:
                        start = pos + 8
                    stop = start + length
                    if kind > LAST_PLAIN:
                        if kind == tables.DELIMITER:
                            if not undefined:
                                raise Unusual("an item delimiter where no item of undefined length is open")
                            pos = end = start
                            undefined = False
                            break
                        if kind == tables.SKIPPED:
                            if stop > end:
                                raise self._cut_off(stop, tag)
                            pos = stop
                            continue
                        if kind == tables.REMEMBERED:
                            if stop > end:
                                raise self._cut_off(stop, tag)
                            seen[tag] = value = data[start:stop]
                            kind = extra.kind
                            extra = extra.extra
                            if tag == tables.CHARACTER_SET:
                                text = charset(bytes(value))
                                decode, plain = text.decode, text.ascii_is_plain
                                if text.unknown:
                                    self.warnings[
                                        "Specific Character Set holds a term that is not defined"
                                    ] = None
                                if length and stop <= end:
                                    # From here on the text is UTF-8, and says so (PS3.18 8.8).
                                    if tag <= last:
                                        self._out_of_order()
                                    last = tag
                                    pos = stop
                                    append(f'{with_values}"ISO_IR 192"]}}')
                                    continue
                            elif tag == 0x00280103 and length == 2:
                                signed = value != b"\0\0"
                        else:
                            entry = self._settle(entry, encoding, start, stop, seen, signed)
                            kind, _, opening, with_values, vr, tag, extra = entry
                    if length > LARGE or stop > end:
                        if length == UNDEFINED:
                            if kind != SEQUENCE:
                                if kind != BINARY:
                                    raise Unusual(f"an undefined length with VR {vr}")
                                if vr == "UN":
                                    kind = SEQUENCE
                                    opening = f',"{tag:08X}":{{"vr":"SQ"'
                                    with_values = opening + ',"Value":['
                                else:
                                    pos = self._fragments(entry, start, end, opening, append, encoding)
                                    continue
                        elif stop > end:
                            raise self._cut_off(stop, tag)
                        elif kind != BINARY and kind != SEQUENCE:
                            self._bulk(tag, vr, start, length, opening, append)
                            pos = stop
                            continue
                    if tag <= last:
                        self._out_of_order()
                    last = tag
                    pos = stop
                    if not length:
                        append(opening + "}")
                    elif kind <= CODE:
                        value = data[start:stop]
                        if value.isascii():
                            string = value.decode().rstrip(" \0")
                            if string.isprintable() and '"' not in string:
                                # Nothing to escape, and no escape sequence of ISO 2022.
                                if "\\" in string:
                                    append(f"{with_values}{values.plain_strings(string, vr)}]}}")
                                elif not string:
                                    append(opening + "}")
                                elif kind == CODE:
                                    append(f'{with_values}"{string.lstrip(" ")}"]}}')
                                else:
                                    append(f'{with_values}"{string}"]}}')
                                continue
                            if kind == TEXT and not plain:
                                string = self._decoded(value, decode).rstrip(" \0")
                        elif kind == TEXT:
                            string = self._decoded(value, decode).rstrip(" \0")
                        else:
                            string = value.decode("latin-1").rstrip(" \0")
                        if string:
                            append(f"{with_values}{values.strings(string, vr)}]}}")
                        else:
                            append(opening + "}")
                    elif kind == NUMBER:
                        number = extra(data[start:stop])
                        if number is None:
                            append(values.decimal(data[start:stop], opening, with_values, vr))
                        else:
                            string = number[1].decode()
                            if "\\" in string:
                                string = string.replace("\\", ",")
                            append(f"{with_values}{string}]}}")
                    elif kind == NUMBERS:
                        if length == extra.size and (one := extra.one(data, start)[0]) - one == 0:
                            append(f"{with_values}{one}]}}")
                        else:
                            append(self._numbers(start, length, entry, encoding))
                    elif kind == NAME:
                        value = data[start:stop]
                        if value.isascii() and (plain or b"\x1b" not in value):
                            string = value.decode().rstrip(" \0")
                        else:
                            string = self._decoded(value, decode).rstrip(" \0")
                        if "=" in string or "\\" in string or not string:
                            append(values.names(string, opening, with_values))
                        else:
                            append(f'{with_values}{{"Alphabetic":{quote(string)}}}]}}')
                    elif kind == LONG_TEXT:
                        value = data[start:stop]
                        if value.isascii() and (plain or b"\x1b" not in value):
                            string = value.decode().rstrip(" \0")
                        elif vr == "UR":
                            string = value.decode("latin-1").rstrip(" \0")
                        else:
                            string = self._decoded(value, decode).rstrip(" \0")
                        append(f"{with_values}{quote(string)}]}}" if string else opening + "}")
                    elif kind == TAGS:
                        append(values.tags(data[start:stop], opening, with_values, encoding.order))
                    elif kind == BINARY:
                        if length > threshold or (tag in tables.PIXEL_DATA and not stack):
                            self._bulk(tag, vr, start, length, opening, append)
                        else:
                            append(values.inline(data[start:stop], opening, vr, encoding.order))
                    else:  # SEQUENCE
                        append(with_values)
                        stack.append(
                            [end, undefined, last, seen, signed, text, encoding, opened,
                             end if length == UNDEFINED else stop, 0, tag, opening, length == UNDEFINED]
                        )  # fmt: skip
                        if explicit and key[4:] == b"UN":
                            encoding = IMPLICIT_LITTLE  # PS3.5 6.2.2 note 2
                            head, table, explicit = encoding.head, encoding.table, encoding.explicit
                        pos = start
                        end = start  # to the items
                        undefined = True
                        opened = -1
                        break
                # The end of an item, or of a sequence's head: on to the next item, or up.
                if not stack:
                    break
                if opened >= 0:  # an item ends here
                    if undefined:
                        raise self._cut_off(size + 1 if end == size else end, stack[-1][10])
                    if pos != end:
                        raise Unusual("an item that does not end where its length says")
                    if len(parts) > opened > 0:
                        parts[opened] = parts[opened][1:]
                    append("}")
                    if len(parts) > _PARTS_HELD:
                        self._join(parts)
                while stack:
                    frame = stack[-1]
                    limit = frame[8]
                    if pos < limit:
                        group, element, length = encoding.item(data, pos)
                        pos += 8
                        if group != 0xFFFE:
                            raise Unusual("something else where an item begins")
                        if element == ITEM:
                            frame[9] += 1
                            append("{" if frame[9] == 1 else ",{")
                            undefined = length == UNDEFINED
                            end = limit if undefined else pos + length
                            if end > limit:
                                raise self._cut_off(end, frame[10])
                            opened, last = len(parts), -1
                            seen = {}
                            signed, text = frame[4], frame[5]
                            decode, plain = text.decode, text.ascii_is_plain
                            break
                        if element != SEQUENCE_END:
                            raise Unusual("a delimiter that does not belong there")
                        if not frame[12] and pos < limit:
                            continue
                    elif frame[12]:
                        raise self._cut_off(self.size + 1 if limit == size else limit, frame[10])
                    if frame[9]:
                        append("]}")
                    else:
                        parts[-1] = frame[11] + "}"
                    stack.pop()
                    end, undefined, last, seen, signed, text = frame[:6]
                    decode, plain, opened = text.decode, text.ascii_is_plain, frame[7]
                    if frame[6] is not encoding:
                        encoding = frame[6]
                        head, table, explicit = encoding.head, encoding.table, encoding.explicit
                    break
        except struct.error:
            if stack:
                raise self._cut_off(size + 1, stack[-1][10]) from None
            self.warnings["bytes after the last element were left out"] = None
        if len(parts) > opened > 0:
            parts[opened] = parts[opened][1:]
        append("}")
        self._join(parts)
        return b"".join(self._chunks)
