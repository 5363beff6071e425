"""Text written in the character sets of PS3.3 C.12.1.1.2, read back by our decoder and by pydicom."""

import pydicom.charset
import pydicom.valuerep
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomweb_box.dicom.charset import charset
from dicomweb_box.dicom.charset_writer import repertoire

NAMES = [
    ("ISO_IR 100", "Buc^Jérôme"),
    ("ISO_IR 101", "Dvořák^Antonín"),
    ("ISO_IR 126", "Διονυσιος"),
    ("ISO_IR 127", "قباني^لنزار"),
    ("ISO_IR 138", "שרון^דבורה"),
    ("ISO_IR 144", "Люкceмбypг"),
    ("ISO_IR 148", "Çavuşoğlu"),
    ("ISO_IR 166", "สมชาย"),
    ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
    ("GB18030", "Wang^XiaoDong=王^小东"),
    ("GBK", "Wang^XiaoDong=王^小东"),
    ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ("ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    ("\\ISO 2022 IR 87\\ISO 2022 IR 159", "Yamada=丂山丄^太郎"),
    ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
    ("\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东"),
    ("ISO 2022 IR 100\\ISO 2022 IR 126\\ISO 2022 IR 144", "Jérôme Διονυσιος^Люк=é"),
    ("ISO 2022 IR 6\\ISO 2022 IR 87", "Yamada=山田"),
]


@pytest.mark.dicom("PS3.5 6.1.2.5")
@pytest.mark.parametrize(("value", "text"), NAMES)
def test_what_is_written_is_read_again(value, text):
    found = repertoire(value)
    assert found is not None

    data = found.encode(text)

    assert charset(found.value.encode()).decode(data) == text
    if "IR 58" in value:
        return  # pydicom reads no GB 2312 behind an escape sequence
    encodings = pydicom.charset.convert_encodings(found.value.split("\\"))
    assert str(pydicom.valuerep.PersonName(data, encodings)) == text


@pytest.mark.dicom("PS3.5 I.2")
def test_the_standards_own_example_of_korean_is_written_so():
    found = repertoire("\\ISO 2022 IR 149")
    assert found is not None
    assert found.encode("Hong^Gildong=洪^吉洞=홍^길동").hex() == (
        "486f6e675e47696c646f6e673d1b242943fbf35e1b242943d1ced4d73d1b242943c8ab5e1b242943b1e6b5bf"
    )


@pytest.mark.dicom("PS3.5 H.3.1")
def test_the_standards_own_example_of_japanese_is_written_so():
    found = repertoire("\\ISO 2022 IR 87")
    assert found is not None
    assert found.encode("Yamada^Tarou=山田^太郎=やまだ^たろう").hex() == (
        "59616d6164615e5461726f753d1b24423b3345441b28425e1b244242404f"
        "3a1b28423d1b24422464245e24401b28425e1b2442243f246d24261b2842"
    )


@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40))
@pytest.mark.parametrize("value", sorted({value for value, _ in NAMES}))
def test_any_text_is_written_as_itself_or_as_something_near(value, text):
    found = repertoire(value)
    assert found is not None

    near = charset(found.value.encode()).decode(found.nearest(text))

    try:
        data = found.encode(text)
    except UnicodeEncodeError:
        assert "\ufffd" not in near
    else:
        assert charset(found.value.encode()).decode(data) == near == text


def test_unknown_terms_have_no_repertoire():
    assert repertoire("ISO_IR 999") is None
    assert repertoire("ISO_IR 100\\ISO_IR 192") is None
