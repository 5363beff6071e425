"""Words burned into a picture: whose it is, and how it was made (PS3.18 8.3.5.1.1)."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicomweb_box.dicom import json_model, json_values
from dicomweb_box.dicom.display.view import Annotation

if TYPE_CHECKING:
    from PIL.Image import Image

_PATIENT = (("00100010", ""), ("00100020", "ID "), ("00100030", "born "), ("00100040", "sex "))
_TECHNIQUE = (
    ("00080060", ""),
    ("00080020", "study of "),
    ("0008103E", ""),
    ("00200011", "series "),
    ("00200013", "instance "),
    ("00180060", "kV "),
    ("00181151", "mA "),
    ("00180050", "mm thick "),
    ("00201041", "at mm "),
    ("00180080", "TR ms "),
    ("00180081", "TE ms "),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """Lines at the top left, about the patient, and at the bottom left, about the technique."""

    top: tuple[str, ...] = ()
    bottom: tuple[str, ...] = ()


def words_of(json: bytes, wanted: Sequence[Annotation]) -> Words:
    """The words of an instance's DICOM JSON that are wanted."""
    dataset = json_model.top_level(json)
    return Words(
        top=tuple(_lines(dataset, _PATIENT)) if "patient" in wanted else (),
        bottom=tuple(_lines(dataset, _TECHNIQUE)) if "technique" in wanted else (),
    )


def annotated(picture: "Image", words: Words) -> "Image":
    """The picture with the words burned in; letters that the font does not have are question marks."""
    from PIL import ImageDraw, ImageFont

    size = max(11.0, min(picture.size) / 32)
    font = ImageFont.load_default(size)
    draw = ImageDraw.Draw(picture)
    white, black = (255, 0) if picture.mode == "L" else ((255,) * 3, (0,) * 3)
    for lines, anchor, place in (
        (words.top, "la", (size / 2, size / 2)),
        (words.bottom, "ld", (size / 2, picture.height - size / 2)),
    ):
        if lines:
            text = "\n".join(shown(line, font) for line in lines)
            if anchor == "ld":
                box = draw.multiline_textbbox((0, 0), text, font=font)
                place = (place[0], place[1] - box[3])
            draw.multiline_text(
                place, text, fill=white, font=font, stroke_width=max(1, round(size / 12)), stroke_fill=black
            )
    return picture


def shown(line: str, font: Any) -> str:
    """The line in letters that the font has: without accents where it has none with them, else as `?`."""
    return "".join(_letter(letter, font) for letter in line)


def _letter(letter: str, font: Any) -> str:
    if letter in " \n" or _has(letter, font):
        return letter
    plain = "".join(one for one in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(one))
    return plain if plain and all(_has(one, font) for one in plain) else "?"


def _has(letter: str, font: Any) -> bool:
    if letter.isascii():
        return letter.isprintable()
    return bytes(font.getmask(letter)) != bytes(font.getmask("\U0010fffd"))


def _lines(dataset: json_model.Dataset, attributes: Sequence[tuple[str, str]]) -> list[str]:
    found = []
    for tag, before in attributes:
        value = json_values.text(dataset, tag)
        if value:
            found.append(before + value.replace("^", " ").strip())
    return found
