"""How somebody wants frames to be shown: the query parameters of rendered resources (PS3.18 8.3.5)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dicomweb_box.dicom.voi import Function, Window
from dicomweb_box.errors import BadRequest

QUALITY = 90
_FUNCTIONS: dict[str, Function] = {
    "linear": "LINEAR",
    "linear-exact": "LINEAR_EXACT",
    "linear_exact": "LINEAR_EXACT",
    "sigmoid": "SIGMOID",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What is asked of a rendering; the defaults are what the instance itself says."""

    window: Window | None = None
    quality: int = QUALITY


def view_of(parameters: Iterable[tuple[str, str]]) -> tuple[View, list[str]]:
    """The view that query parameters mean, and a sentence for each that is ignored.

    Raises BadRequest that names the parameter and its rule. `accept` and `charset` are not of a view.
    """
    found: dict[str, Any] = {}
    ignored: list[str] = []
    for name, value in parameters:
        if name in _READERS:
            found[name] = _READERS[name](value)
        elif name not in ("accept", "charset"):
            ignored.append(f"The parameter {_shown(name)} is not known and was ignored.")
    return View(**found), ignored


def _window(value: str) -> Window:
    """PS3.18 8.3.5.1.4; a missing function is linear."""
    rule = "window is center,width,function with function linear, linear-exact or sigmoid"
    center, width, function, *more = [*(part.strip() for part in value.split(",")), "", ""][:4]
    name = _FUNCTIONS.get(function.lower() or "linear")
    if name is None or any(more) or value.count(",") > 2:
        raise BadRequest(rule)
    window = Window(center=_decimal(center, rule), width=_decimal(width, rule), function=name)
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


_READERS: dict[str, Callable[[str], Any]] = {"window": _window, "quality": _quality}
