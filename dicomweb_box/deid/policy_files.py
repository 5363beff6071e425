"""Policies that people write, in TOML."""

import re
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from pydicom.datadict import tag_for_keyword

from dicomweb_box.deid import deviations
from dicomweb_box.deid.own_rules import Condition, OwnRule
from dicomweb_box.deid.policy import BUILT_IN, KEEP_NAME, Dates, Policy
from dicomweb_box.deid.table import Option
from dicomweb_box.deid.toml_files import read_toml
from dicomweb_box.errors import BadSetting

T = TypeVar("T")
_MOST_RULES: Final = 1000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PARTS: Final = frozenset(
    ("name", "version", "base", "options", "pattern", "pixels", "reason", "dates", "trial", "rule")
)
_RULE: Final = frozenset(("attribute", "creator", "action", "value", "reason", "when"))


def read_policy(path: Path) -> Policy:
    """The policy in a file. Raises BadSetting, naming the part of it that cannot be meant."""
    content = read_toml(path)
    return _named(path.name, lambda: parsed_policy(content, path.stem))


def parsed_policy(content: dict[str, Any], name: str) -> Policy:
    """The policy that a file's content tells of; `name` where it has none of its own."""
    _known(content, _PARTS, "a policy")
    name, version = _text(content, "name", name), _text(content, "version", "1")
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(version) or name in {*BUILT_IN, KEEP_NAME}:
        raise BadSetting(
            "name, version: letters, digits, - . and _, and no name of a policy that is built in"
        )
    base = BUILT_IN.get(_text(content, "base", "basic"))
    if base is None:
        raise BadSetting(f"base is one of {', '.join(BUILT_IN)}")
    policy = Policy(
        name=name,
        version=version,
        options=base.options | _options(content.get("options", [])),
        dates=_named("dates", lambda: _dates(content.get("dates", {}))),
        pixels=_text(content, "pixels", base.pixels),  # type: ignore[arg-type]
        reason=_text(content, "reason", ""),
        pattern=_text(content, "pattern", base.pattern),
        rules=_rules(content.get("rule", [])),
        trial=_named("trial", lambda: _trial(content.get("trial", {}))),
    )
    deviations.weakening(policy)
    return policy


def _named(part: str, read: Callable[[], T]) -> T:
    """What `read` returns; the part is named in what it raises."""
    try:
        return read()
    except BadSetting as error:
        raise BadSetting(f"{part}: {error}") from error


def _known(content: Any, names: frozenset[str], what: str) -> None:
    if not isinstance(content, dict):
        raise BadSetting(f"{what} is a table")
    for name in content:
        if name not in names:
            raise BadSetting(f"{what} has no part {name!r}: there are {', '.join(sorted(names))}")


def _text(content: dict[str, Any], name: str, default: str) -> str:
    found = content.get(name, default)
    if not isinstance(found, str) or not found.isprintable():
        raise BadSetting(f"{name} is one line of text")
    return found


def _options(found: Any) -> frozenset[Option]:
    return frozenset(cast("list[Option]", _named("options", lambda: _texts(found))))


def _texts(found: Any) -> list[str]:
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise BadSetting("it is a list of texts")
    return found


def _dates(found: Any) -> Dates:
    _known(found, frozenset(field.name for field in fields(Dates)), "dates")
    most, weeks = found.get("most_days", Dates().most_days), found.get("whole_weeks", False)
    if type(most) is not int or type(weeks) is not bool:
        raise BadSetting("most_days is a number of days, whole_weeks true or false")
    return Dates(most_days=most, whole_weeks=weeks)


def _trial(found: Any) -> tuple[tuple[int, str], ...]:
    if not isinstance(found, dict):
        raise BadSetting("it is a table of attributes and texts")
    return tuple(sorted((int(mask_of(name), 16), _text(found, name, "")) for name in found))


def _rules(found: Any) -> tuple[OwnRule, ...]:
    if not isinstance(found, list) or len(found) > _MOST_RULES:
        raise BadSetting(f"rules are written [[rule]], at most {_MOST_RULES}")
    return tuple(_named(_rule_name(number, one), partial(_rule, one)) for number, one in enumerate(found, 1))


def _rule_name(number: int, found: Any) -> str:
    attribute = found.get("attribute") if isinstance(found, dict) else None
    return f"rule {number} ({attribute})" if isinstance(attribute, str) else f"rule {number}"


def _rule(found: Any) -> OwnRule:
    _known(found, _RULE, "a rule")
    for name in ("attribute", "action"):
        if name not in found:
            raise BadSetting(f"a rule has {name}")
    return OwnRule(
        mask=mask_of(_text(found, "attribute", "")),
        action=_text(found, "action", ""),  # type: ignore[arg-type]
        creator=_text(found, "creator", ""),
        value=_text(found, "value", ""),
        reason=_text(found, "reason", ""),
        when=_named("when", lambda: _conditions(found.get("when", {}))),
    )


def _conditions(found: Any) -> tuple[Condition, ...]:
    if not isinstance(found, dict):
        raise BadSetting("it is a table of attributes and the values they have")
    return tuple(_condition(name, value) for name, value in found.items())


def _condition(name: str, value: Any) -> Condition:
    mask = mask_of(name)
    if "X" in mask or int(mask, 16) >> 16 & 1 or not "00080000" < mask < "7FE00000":
        raise BadSetting(f"{name}: a condition is about one standard attribute")
    values = tuple(_texts(value if isinstance(value, list) else [value]))
    if not values:
        raise BadSetting(f"{name}: it lists no value")
    return Condition(tag=int(mask, 16), values=values)


def mask_of(given: str) -> str:
    """A keyword or tag as eight hexadecimal digits, X for any."""
    tag = tag_for_keyword(given)
    if tag is not None:
        return f"{tag:08X}"
    digits = given.strip("()").replace(",", "").upper()
    if not re.fullmatch(r"[0-9A-FX]{8}", digits):
        raise BadSetting(f"{given} is neither a keyword nor a tag of eight hexadecimal digits, x for any")
    return digits
