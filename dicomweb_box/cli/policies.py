"""Policies as the command line names and tells of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicomweb_box import settings
from dicomweb_box.errors import BadSetting

if TYPE_CHECKING:
    from dicomweb_box.deid.own_rules import OwnRule
    from dicomweb_box.deid.policy import Policy

_ENDING: Final = ".toml"


def policy_named(chosen: settings.Settings, name: str, reason: str | None) -> "Policy":
    """The policy that is built in, in a file, or in the folder `policies` of the data."""
    from dicomweb_box.deid.policy import BUILT_IN, KEEP_NAME, keeping
    from dicomweb_box.deid.policy_files import read_policy

    if name == KEEP_NAME:
        if reason is None:
            raise BadSetting("the policy keep, which keeps identities, takes --reason REASON")
        return keeping(reason)
    if reason is not None:
        raise BadSetting("--reason goes with the policy keep alone")
    if name in BUILT_IN:
        return BUILT_IN[name]
    if name.endswith(_ENDING) or "/" in name:
        return read_policy(Path(name))
    folder = chosen.data / "policies"
    own = sorted(path.stem for path in folder.glob(f"*{_ENDING}"))
    if name not in own:
        raise BadSetting(f"there is no policy {name}: there are {', '.join((*BUILT_IN, KEEP_NAME, *own))}")
    return read_policy(folder / f"{name}{_ENDING}")


def explain(policy: "Policy", given: str) -> int:
    """Print what the policy does with an attribute, by which rule and option, and why."""
    from pydicom.datadict import dictionary_description, dictionary_has_tag, tag_for_keyword

    from dicomweb_box.deid.rules import explained

    digits = given.strip("()").replace(",", "")
    tag = tag_for_keyword(given)
    if tag is None and len(digits) == 8:
        tag = int(digits, 16) if all(digit in "0123456789abcdefABCDEF" for digit in digits) else None
    if tag is None:
        raise BadSetting("--explain takes a keyword, or a tag of eight hexadecimal digits")
    name = dictionary_description(tag) if dictionary_has_tag(tag) else "an attribute that no dictionary knows"
    print(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {name}")
    for own in policy.rules:
        if own.when or own.creator:
            _explain_own(own, tag)
    rule = explained(policy, tag)
    print(f"action {rule.action.name.lower().replace('_', ' ')}")
    print(f"rule {rule.rule}")
    print(f"option {rule.option or 'none'}")
    print(f"why {rule.why}")
    return 0


def _explain_own(own: "OwnRule", tag: int) -> None:
    """What a rule says that does not hold for each instance."""
    if own.is_of(tag, own.creator):
        where = [*([f"the private creator is {own.creator}"] if own.creator else []), *_conditions(own)]
        print(f"where {' and '.join(where)}: {own.action}{f', because {own.reason}' if own.reason else ''}")


def _conditions(own: "OwnRule") -> list[str]:
    from pydicom.datadict import keyword_for_tag

    return [
        f"{keyword_for_tag(one.tag) or f'{one.tag:08X}'} is {' or '.join(one.values)}" for one in own.when
    ]


def rules_told(policy: "Policy") -> list[dict[str, str]]:
    """A policy's own rules for a report."""
    return [
        {
            "attribute": own.shown,
            "action": own.action,
            "when": " and ".join(_conditions(own)),
            "reason": own.reason,
        }
        for own in policy.rules
    ]
