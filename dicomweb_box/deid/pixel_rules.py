"""Rules that say where pixels show who the patient is: data of this program's own format, in TOML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from dicomweb_box.deid.toml_files import read_toml
from dicomweb_box.errors import BadSetting

_BUILT_IN: Final = Path(__file__).with_name("pixel_rules.toml")
_TEXTS: Final = ("manufacturer", "model", "modality", "sop_class")
_SIZES: Final = ("rows", "columns")
_KNOWN: Final = frozenset(("name", "blank", *_TEXTS, *_SIZES))
_OUTSIDE: Final = "outside-ultrasound-regions"


class Rectangle(NamedTuple):
    """Pixels from (left, top), which begin at 0."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelRule:
    """Which instances, and what of their frames is blanked."""

    name: str
    texts: tuple[tuple[str, frozenset[str]], ...] = ()
    """By name of the condition, the values of which the instance must have one; in lower case."""
    rows: int | None = None
    columns: int | None = None
    blank: tuple[Rectangle, ...] | Literal["outside-ultrasound-regions"]

    def matches(self, said: Mapping[str, str], rows: int, columns: int) -> bool:
        """Whether an instance that says so, with frames of this size, is meant."""
        if self.rows not in (None, rows) or self.columns not in (None, columns):
            return False
        return all(said.get(condition, "").strip(" \0").lower() in values for condition, values in self.texts)


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelRules:
    """Rules, none of which is before another."""

    rules: tuple[PixelRule, ...] = ()

    def matching(self, said: Mapping[str, str], rows: int, columns: int) -> list[PixelRule]:
        """Those that mean an instance."""
        return [rule for rule in self.rules if rule.matches(said, rows, columns)]


NO_RULES: Final = PixelRules()


@lru_cache(maxsize=1)
def built_in() -> PixelRules:
    """The rules that follow from the standard."""
    return PixelRules(rules=_rules(read_toml(_BUILT_IN), _BUILT_IN.name))


def read_rules(paths: Sequence[Path]) -> PixelRules:
    """The rules of some files; raises BadSetting where one says what cannot be."""
    found: list[PixelRule] = []
    for path in paths:
        found += _rules(read_toml(path), str(path))
    names = [rule.name for rule in found]
    for name in names:
        if names.count(name) > 1:
            raise BadSetting(f"two rules for pixels have the name {name}")
    return PixelRules(rules=tuple(found))


def _rules(content: dict[str, Any], where: str) -> tuple[PixelRule, ...]:
    given = content.get("rule")
    if set(content) != {"rule"} or not isinstance(given, list) or not given:
        raise BadSetting(f"{where} holds something else than tables [[rule]]")
    return tuple(_rule(one, where) for one in given)


def _rule(given: Any, where: str) -> PixelRule:
    name = given.get("name") if isinstance(given, dict) else None
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise BadSetting(f"a rule in {where} has no name")
    if unknown := sorted(set(given) - _KNOWN):
        raise BadSetting(f"the rule {name} has {unknown[0]}, which no rule has")
    sizes = {size: _size(given[size], f"{size} of the rule {name}") for size in _SIZES if size in given}
    texts = tuple((key, _texts(given[key], f"{key} of the rule {name}")) for key in _TEXTS if key in given)
    if not texts:
        raise BadSetting(f"the rule {name} names no {', '.join(_TEXTS[:-1])} or {_TEXTS[-1]}")
    blank = given.get("blank")
    if blank == _OUTSIDE:
        return PixelRule(name=name, texts=texts, blank=_OUTSIDE, **sizes)
    if set(sizes) != set(_SIZES):
        raise BadSetting(
            f"the rule {name} has rectangles, and so needs the rows and columns they are meant for"
        )
    if not isinstance(blank, list) or not blank:
        raise BadSetting(f"blank of the rule {name} is neither rectangles nor {_OUTSIDE!r}")
    rectangles = tuple(_rectangle(one, name, sizes["rows"], sizes["columns"]) for one in blank)
    return PixelRule(name=name, texts=texts, blank=rectangles, **sizes)


def _size(given: Any, what: str) -> int:
    if type(given) is not int or not 1 <= given <= 0xFFFF:
        raise BadSetting(f"{what} is no number from 1 to 65535")
    return given


def _texts(given: Any, what: str) -> frozenset[str]:
    values = given if isinstance(given, list) else [given]
    if not values or not all(isinstance(value, str) and value.strip() for value in values):
        raise BadSetting(f"{what} is neither a text nor a list of texts")
    return frozenset(value.strip().lower() for value in values)


def _rectangle(given: Any, name: str, rows: int, columns: int) -> Rectangle:
    sides = Rectangle._fields
    if not isinstance(given, dict) or set(given) != set(sides):
        raise BadSetting(f"a rectangle of the rule {name} has other sides than {', '.join(sides)}")
    if any(type(given[side]) is not int for side in sides):
        raise BadSetting(f"a rectangle of the rule {name} has a side that is no whole number")
    found = Rectangle(**given)
    if found.left < 0 or found.top < 0 or found.width < 1 or found.height < 1:
        raise BadSetting(f"a rectangle of the rule {name} is empty or begins before the frame")
    if found.left + found.width > columns or found.top + found.height > rows:
        raise BadSetting(f"a rectangle of the rule {name} reaches beyond the frame")
    return found
