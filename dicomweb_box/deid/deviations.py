"""Where a policy's own rules leave the Basic Profile or its options, and what may then still be claimed."""

from functools import lru_cache
from typing import Final

from dicomweb_box.deid.own_rules import OwnRule
from dicomweb_box.deid.policy import CODES, Policy
from dicomweb_box.deid.rules import Action, rule_of
from dicomweb_box.deid.table import EDITION, Option, table
from dicomweb_box.dicom.header_tables import private_vr, standard_vr
from dicomweb_box.errors import BadSetting

_MOST_SAID: Final = 32
_DATES: Final = frozenset(("DA", "DT", "TM"))
# How little is left of what was there: 0 for all of it.
_LEAST, _MOVED, _KEYED, _NOTHING = range(4)
_OWN: Final = {"keep": _LEAST, "date": _MOVED, "uid": _KEYED, "hash": _KEYED}
_TABLES: Final = {
    Action.KEEP: _LEAST, Action.TEXT: _LEAST, Action.GRAMMAR: _LEAST, Action.RECURSE: _LEAST,
    Action.STRUCTURAL_UID: _LEAST, Action.FOREIGN_UID: _LEAST, Action.DATE: _MOVED, Action.UID: _KEYED,
    Action.PSEUDONYM: _KEYED,
}  # fmt: skip


@lru_cache(maxsize=256)
def weakening(policy: Policy) -> tuple[OwnRule, ...]:
    """The rules that leave more than the profile and the options would.

    Raises BadSetting where one of them has no reason.
    """
    plain = _without_rules(policy)
    found = tuple(rule for rule in policy.rules if _weakens(rule, plain))
    for rule in found:
        if not rule.reason.strip():
            raise BadSetting(
                f"the rule {rule.action} of {rule.shown} leaves more than the profile: it takes a reason"
            )
    return found


@lru_cache(maxsize=256)
def codes(policy: Policy) -> tuple[tuple[str, str], ...]:
    """Those of the policy's codes (PS3.16 CID 7050) that no rule contradicts."""
    denied = {CODES[option] for option in policy.options if any(_denies(one, option) for one in policy.rules)}
    if weakening(policy):
        denied.add(CODES["basic"])
    return tuple(code for code in policy.codes if code not in denied)


@lru_cache(maxsize=256)
def methods(policy: Policy) -> tuple[str, ...]:
    """What De-identification Method (0012,0063) says: the policy, and where it leaves the profile."""
    less = weakening(policy)
    if not less:
        return (policy.method,)
    said = [f"Own rule: {rule.action} {rule.shown}" for rule in less[:_MOST_SAID]]
    if len(less) > _MOST_SAID:
        said.append(f"and {len(less) - _MOST_SAID} more own rules")
    return (f"dicomweb_box {policy.name} {policy.version}: PS3.15 {EDITION}, deviating", *said)


def temporal(policy: Policy) -> bytes:
    """Longitudinal Temporal Information Modified (0028,0303): what is true of the least changed date."""
    dates = {rule.action for rule in policy.rules if _may_be_date(rule)}
    if "retain-full-dates" in policy.options or "keep" in dates:
        return b"UNMODIFIED"
    return b"MODIFIED" if policy.moves_dates else b"REMOVED "


def _without_rules(policy: Policy) -> Policy:
    return Policy(name=policy.name, version=policy.version, options=policy.options)


def _weakens(rule: OwnRule, plain: Policy) -> bool:
    left = _OWN.get(rule.action, _NOTHING)
    if left == _NOTHING:
        return False
    if rule.creator or "X" in rule.mask:
        return True
    tag = int(rule.mask, 16)
    vrs = [vr for vr in standard_vr(tag).split(" or ") if rule.may_treat(vr)]
    return any(left < _TABLES.get(rule_of(plain, tag, vr).action, _NOTHING) for vr in vrs)


def _denies(rule: OwnRule, option: Option) -> bool:
    """Whether a rule does not do what an option says of an attribute."""
    for row in table().rows:
        letter = row.options.get(option)
        if letter is None or not _is_of_row(rule, row.mask):
            continue
        if rule.action != ("date" if option == "modify-dates" else "keep"):
            return True
    return False


def _is_of_row(rule: OwnRule, mask: str) -> bool:
    if mask == "private":
        return rule.is_private
    pairs = zip(rule.mask, mask.upper(), strict=True)
    return not rule.is_private and all(one == other or "X" in (one, other) for one, other in pairs)


def _may_be_date(rule: OwnRule) -> bool:
    """Whether a rule may be of dates: one of several elements, or of one that no dictionary knows, is."""
    if rule.creator:
        return private_vr(int(rule.mask.replace("XX", "10"), 16), rule.creator) in _DATES | {"UN"}
    if "X" in rule.mask[4:]:
        return True
    vrs = standard_vr(int(rule.mask.replace("X", "0"), 16)).split(" or ")
    return not (_DATES | {"UN"}).isdisjoint(vrs)
