"""Values of the content items of Structured Reports in words (PS3.3 C.17.3.2, C.18)."""

from collections.abc import Callable, Mapping

from dicomweb_box.dicom.json_model import Dataset
from dicomweb_box.dicom.words.document import joined
from dicomweb_box.dicom.words.readable import code, full_code, items, sop_class, unit, values, words

_MOST_POINTS = 12


def value_of(item: Dataset, value_type: str) -> str:
    """What a content item says; "" where it says nothing, or its Value Type is none that is known here."""
    shape = _VALUES.get(value_type)
    return shape(item) if shape is not None else ""


def remarks_of(item: Dataset, value_type: str) -> tuple[str, ...]:
    """What else a content item says of its value: qualifiers, when and on what it was observed."""
    found: list[str] = []
    if value_type == "NUM":
        found += [meaning for one in items(item, "0040A301") if (meaning := full_code(one))]
    if observed := words(item, "0040A032"):
        found.append(f"observed {observed}")
    if uid := words(item, "0040A171"):
        found.append(f"observation {uid}")
    if value_type in ("IMAGE", "COMPOSITE", "WAVEFORM"):
        found += [line for one in items(item, "00081199") for line in _reference_remarks(one)]
    return tuple(found)


def is_known(value_type: str) -> bool:
    """Whether `value_of` knows this Value Type."""
    return value_type in _VALUES


def reference(item: Dataset) -> str:
    """A referenced SOP instance: its class and UID, with frames, segments and channels if it names any."""
    kind = sop_class(words(item, "00081150")) if values(item, "00081150") else ""
    parts = [joined((kind, words(item, "00081155")), " ")]
    for tag, name in (("00081160", "frame"), ("0062000B", "segment"), ("0040A0B0", "channel")):
        if shown := words(item, tag):
            parts.append(f"{name} {shown}")
    return joined(parts)


def _reference_remarks(item: Dataset) -> list[str]:
    shown = [f"presentation state {reference(one)}" for one in items(item, "00081199")]
    return shown + [f"real world value mapping {reference(one)}" for one in items(item, "0008114B")]


def _num(item: Dataset) -> str:
    measured = items(item, "0040A300")
    # An empty Measured Value Sequence says that there is no value (PS3.3 C.18.1.1); its qualifier says why.
    return joined(_number(one) for one in measured) or "no value"


def _number(item: Dataset) -> str:
    number = words(item, "0040A30A") or words(item, "0040A161")
    if not number and (numerator := words(item, "0040A162")):
        number = f"{numerator}/{words(item, '0040A163') or '1'}"
    units = [unit(one) for one in items(item, "004008EA")]
    return joined((number or "no value", *units), " ")


def _coordinates(item: Dataset) -> str:
    graphic, spread = words(item, "00700023"), 3 if "30060024" in item else 2
    numbers = values(item, "00700022")
    points = [numbers[at : at + spread] for at in range(0, len(numbers), spread)]
    shown = [f"({', '.join(f'{number:g}' for number in point)})" for point in points[:_MOST_POINTS]]
    if len(points) > _MOST_POINTS:
        shown.append(f"… {len(points)} points in all")
    where = " ".join(shown) or words(item, "00700022")
    frame = words(item, "30060024")
    return joined((joined((graphic, where), " "), f"in frame of reference {frame}" if frame else ""))


def _times(item: Dataset) -> str:
    what = [words(item, "0040A130")]
    for tag, name in (("0040A132", "samples"), ("0040A138", "seconds"), ("0040A13A", "")):
        what.append(joined((name, words(item, tag)), " ") if words(item, tag) else "")
    return joined(what, " ")


def _references(item: Dataset) -> str:
    return joined((reference(one) for one in items(item, "00081199")), "; ")


def _word(tag: str) -> Callable[[Dataset], str]:
    return lambda item: words(item, tag)


_VALUES: Mapping[str, Callable[[Dataset], str]] = {
    "CONTAINER": lambda _: "",
    "TEXT": _word("0040A160"),
    "CODE": lambda item: joined(full_code(one) for one in items(item, "0040A168")),
    "NUM": _num,
    "DATETIME": _word("0040A120"),
    "DATE": _word("0040A121"),
    "TIME": _word("0040A122"),
    "PNAME": _word("0040A123"),
    "UIDREF": _word("0040A124"),
    "COMPOSITE": _references,
    "IMAGE": _references,
    "WAVEFORM": _references,
    "SCOORD": _coordinates,
    "SCOORD3D": _coordinates,
    "TCOORD": _times,
}


def concept(item: Dataset) -> str:
    """The name of a content item."""
    return code(item, "0040A043")
