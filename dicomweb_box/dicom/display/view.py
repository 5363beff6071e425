"""How somebody wants frames to be shown: the query parameters of rendered resources (PS3.18 8.3.5)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dicomweb_box.dicom.display.viewport import Viewport, viewport_of
from dicomweb_box.dicom.display.voi import Function, Window
from dicomweb_box.errors import BadRequest

QUALITY = 90
_FUNCTIONS: dict[str, Function] = {
    "linear": "LINEAR",
    "linear-exact": "LINEAR_EXACT",
    "linear_exact": "LINEAR_EXACT",
    "sigmoid": "SIGMOID",
}

Annotation = Literal["patient", "technique"]
IccProfile = Literal["no", "yes", "srgb", "adobergb", "rommrgb"]
ANNOTATIONS: tuple[Annotation, ...] = ("patient", "technique")
ICC_PROFILES: tuple[IccProfile, ...] = ("no", "yes", "srgb", "adobergb", "rommrgb")


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What is asked of a rendering; the defaults are what the instance itself says."""

    window: Window | None = None
    viewport: Viewport | None = None
    quality: int = QUALITY
    annotation: tuple[Annotation, ...] = ()
    iccprofile: IccProfile | None = None
    graphics: bool = True
    """Whether overlays and what presentation states draw are shown."""


def view_of(parameters: Iterable[tuple[str, str]]) -> tuple[View, list[str]]:
    """The view that query parameters mean, and a sentence for each that is ignored.

    Raises BadRequest that names the parameter and its rule. `accept` and `charset` are not of a view.
    """
    ignored: list[str] = []
    found = _read(parameters, _READERS, ignored)
    if "annotation" in found:
        found["annotation"] = _annotations(found["annotation"], ignored)
    return View(**found), ignored


def thumbnail_view_of(parameters: Iterable[tuple[str, str]]) -> tuple[View, list[str]]:
    """As `view_of`, of a thumbnail: it takes the size of a viewport alone, and shows no graphics."""
    ignored: list[str] = []
    readers = {"viewport": lambda value: viewport_of(value, region=False)}
    viewport = _read(parameters, readers, ignored).get("viewport") or Viewport(width=256, height=256)
    return View(viewport=viewport, quality=80, graphics=False), ignored


def _read(
    parameters: Iterable[tuple[str, str]], readers: Mapping[str, Callable[[str], Any]], ignored: list[str]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parameters:
        if name in found:
            raise BadRequest(f"{name} is given twice")
        if name in readers:
            found[name] = readers[name](value)
        elif name not in ("accept", "charset"):
            ignored.append(f"The parameter {_shown(name)} is not known here and was ignored.")
    return found


def _window(value: str) -> Window:
    """PS3.18 8.3.5.1.4; a missing function is linear."""
    rule = "window is center,width,function with function linear, linear-exact or sigmoid"
    members = [member.strip() for member in value.split(",")]
    if not 2 <= len(members) <= 3:
        raise BadRequest(rule)
    name = _FUNCTIONS.get((members[2].lower() if len(members) > 2 else "") or "linear")
    if name is None:
        raise BadRequest(rule)
    window = Window(center=_decimal(members[0], rule), width=_decimal(members[1], rule), function=name)
    # PS3.3 C.11.2.1.2.1, C.11.2.1.3
    if window.width < 1 and name == "LINEAR":
        raise BadRequest("window has a width of at least 1 where its function is linear")
    if window.width <= 0:
        raise BadRequest("window has a width above 0")
    return window


def _quality(value: str) -> int:
    """PS3.18 8.3.5.1.2."""
    if not (value.isascii() and value.isdigit() and 1 <= int(value[:9]) <= 100):
        raise BadRequest("quality is a whole number from 1 to 100")
    return int(value)


def _annotations(keywords: list[str], ignored: list[str]) -> tuple[Annotation, ...]:
    """The annotations there are, in one order; others are ignored with a warning (PS3.18 8.3.5.1.1)."""
    known = tuple(one for one in ANNOTATIONS if one in keywords)
    unknown = [_shown(one) for one in keywords if one not in ANNOTATIONS]
    if unknown:
        ignored.append(f"The following annotation values are not supported: {', '.join(unknown)}")
    return known


def _keywords(value: str) -> list[str]:
    found = [one.strip() for one in value.split(",")]
    if not all(found):
        raise BadRequest("annotation is a list of patient and technique")
    return found


def _icc_profile(value: str) -> str:
    if value not in ICC_PROFILES:
        raise BadRequest(f"iccprofile is one of {', '.join(ICC_PROFILES)}")
    return value


def _decimal(text: str, rule: str) -> float:
    try:
        found = float(text)
    except ValueError:
        raise BadRequest(rule) from None
    if not abs(found) < 1e12:  # not a number is not below either
        raise BadRequest(rule)
    return found


def _shown(name: str) -> str:
    plain = "".join(letter for letter in name if letter.isascii() and (letter.isalnum() or letter in "-_."))
    return plain[:32] or "without a name"


_READERS: dict[str, Callable[[str], Any]] = {
    "window": _window,
    "viewport": viewport_of,
    "quality": _quality,
    "annotation": _keywords,
    "iccprofile": _icc_profile,
}
