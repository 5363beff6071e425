"""Text in each character repertoire of PS3.3 C.12.1.1.2, with the examples of PS3.5 Annexes H to K."""

import struct

import pytest

from dicomweb_box.dicom.charset import charset
from dicomweb_box.dicom.header import read_header
from tests.dicom.test_header_bad_input import element, part10, whole

EXAMPLES = [
    (b"", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
    (b"ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
    (b"ISO_IR 101", b"W\xb3odek", "Włodek"),
    (b"ISO_IR 109", b"\xe6iu", "ĉiu"),
    (b"ISO_IR 110", b"J\xe0nis", "Jānis"),
    (b"ISO_IR 126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
    (b"ISO_IR 127", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"),
    (b"ISO_IR 138", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
    (b"ISO_IR 144", b"\xbb\xee\xdace\xdc\xd1yp\xd3", "Люкceмбypг"),
    (b"ISO_IR 148", b"\xc7avu\xfeo\xf0lu", "Çavuşoğlu"),
    (b"ISO_IR 166", b"\xb9\xd2\xc1\xca\xa1\xd8\xc5", "นามสกุล"),
    (b"ISO_IR 203", b"\xa4 \xbd", "€ œ"),
    (b"ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    (b"ISO_IR 192", "Wang^XiaoDong=王^小東".encode(), "Wang^XiaoDong=王^小東"),
    (b"GB18030", "Wang^XiaoDong=王^小东 㐀".encode("gb18030"), "Wang^XiaoDong=王^小东 㐀"),
    (b"GBK", "王^小东".encode("gbk"), "王^小东"),
    (
        b"\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    (
        b"ISO 2022 IR 13\\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    (
        b"\\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    (
        b"\\ISO 2022 IR 58",
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
        "Zhang^XiaoDong=张^小东=",
    ),
    (b"\\ISO 2022 IR 159", b"\x1b$(D0!\x1b(B x", "丂 x"),
    (b"ISO 2022 IR 100\\ISO 2022 IR 144", b"J\xe9r \x1b-L\xbb\xee\xda", "Jér Люк"),
    (b"ISO 2022 IR 6\\ISO 2022 IR 126", b"Dion \x1b-F\xc4\xe9\xef", "Dion Διο"),
]


@pytest.mark.dicom("PS3.3 C.12.1.1.2")
@pytest.mark.row(93)
@pytest.mark.parametrize(("terms", "value", "text"), EXAMPLES)
def test_text_is_read_in_its_character_set(terms, value, text):
    assert charset(terms).decode(value) == text


@pytest.mark.dicom("PS3.5 6.1.2.5.3")
def test_a_delimiter_brings_the_first_character_set_back():
    assert charset(b"ISO 2022 IR 100\\ISO 2022 IR 144").decode(b"\x1b-L\xbb\xee^\xe9") == "Лю^é"
    assert charset(b"\\ISO 2022 IR 87").decode(b"\x1b$B;3\nabc") == "山\nabc"


@pytest.mark.parametrize(
    "term", [b"ISO_IR 100", b"ISO IR 100", b"ISO-IR 100", b"iso_ir 100 ", b"ISO 2022 IR 100", b"ISO_IR100"]
)
def test_a_term_may_be_misspelt(term):
    assert charset(term).decode(b"\xe9") == "é"
    assert charset(term).unknown == ""


def test_text_that_is_not_in_its_character_set_is_marked_not_lost():
    header = read_header(
        part10(element(0x00080005, "CS", b"ISO_IR 192") + whole(element(0x00100010, "PN", b"D\xf6e^J ")))
    )

    assert header.values("00100010") == [{"Alphabetic": "D�e^J"}]
    assert header.warnings == ("text that is not valid in its Specific Character Set",)


def test_an_unknown_term_is_a_warning():
    header = read_header(
        part10(element(0x00080005, "CS", b"KLINGON ") + whole(element(0x00100010, "PN", b"D\xf6e^J ")))
    )

    assert header.values("00100010") == [{"Alphabetic": "Döe^J"}]
    assert header.warnings == ("Specific Character Set holds a term that is not defined",)


@pytest.mark.dicom("PS3.3 C.12.1.1.2")
def test_a_backslash_inside_a_double_byte_character_does_not_split():
    text = b"\x81\\".decode("gb18030") + "x"
    assert b"\\" in text.encode("gb18030")

    header = read_header(
        part10(
            element(0x00080005, "CS", b"GB18030 ")
            + whole(element(0x00081030, "LO", text.encode("gb18030") + b"\\b"))
        )
    )

    assert header.values("00081030") == [text, "b"]


def test_a_sequence_item_may_have_its_own_character_set_and_inherits_otherwise():
    own = element(0x00080005, "CS", b"ISO_IR 192") + element(0x00080104, "LO", "é ".encode())
    inherited = element(0x00080104, "LO", b"\xe9 ")
    items = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item for item in (own, inherited))
    data = part10(
        element(0x00080005, "CS", b"ISO_IR 100")
        + whole(element(0x0040A730, "SQ", items) + element(0x00420010, "ST", b"\xe9 "))
    )

    header = read_header(data)

    assert header.values("0040A730", "00080104") == ["é", "é"]
    assert header.values("00420010") == ["é"]
