"""Pictures that stand for what cannot be pictured: a report, a plan, a frame that cannot be decoded."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_PAPER, _INK, _GROUND = 232, 64, 24


_CLASS = "1.2.840.10008.5.1.4.1.1."
_WORDS = {
    "88.59": "KO",
    "88": "SR",
    "104.1": "PDF",
    "104.2": "CDA",
    "104.3": "STL",
    "104": "DOC",
    "11": "PR",
    "481.3": "RT STRUCT",
    "481": "RT",
    "9": "WAVE",
    "66.5": "SURFACE",
    "66": "REG",
    "67": "RWV",
    "91": "ANN",
    "77.1": "VIDEO",
}


def word_of(sop_class_uid: str) -> str:
    """A short word for what instances of a SOP class are; DICOM for one that is not known."""
    name = sop_class_uid.removeprefix(_CLASS)
    while name and name not in _WORDS:
        name = name.rpartition(".")[0]
    return _WORDS.get(name, "DICOM")


def icon(word: str, width: int, height: int) -> "Image":
    """A sheet of paper with a word on it, such as SR or PDF, as large as it fits."""
    from PIL import Image, ImageDraw, ImageFont

    side = max(1, min(width, height, 1024))
    picture = Image.new("L", (side, side), _GROUND)
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = side * 0.2, side * 0.1, side * 0.8, side * 0.9
    fold = side * 0.15
    draw.polygon(
        [(left, top), (right - fold, top), (right, top + fold), (right, bottom), (left, bottom)], fill=_PAPER
    )
    draw.polygon([(right - fold, top), (right - fold, top + fold), (right, top + fold)], fill=150)
    if side >= 16:
        size = side * 0.52 / max(2.5, len(word) * 0.7)
        font = ImageFont.load_default(max(6.0, size))
        draw.text((side / 2, side / 2), word, fill=_INK, font=font, anchor="mm")
    return picture
