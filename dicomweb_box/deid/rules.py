"""What a policy does with an attribute, and why: by Table E.1-1, and beyond it by its VR."""

from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import Final

from dicomweb_box.deid.own_rules import OwnRule, RuleAction
from dicomweb_box.deid.policy import Policy
from dicomweb_box.deid.table import EDITION, Option, Row, table
from dicomweb_box.deid.vocabulary import BINARY, DUMMIED, REDESCRIBED, STRUCTURAL_UIDS, TECHNICAL, TYPES
from dicomweb_box.dicom.header_tables import private_vr, standard_vr


class Action(IntEnum):
    """What becomes of one attribute."""

    KEEP = 0
    """Its bytes stay as they are."""
    REMOVE = 1
    EMPTY = 2
    DUMMY = 3
    """A value of its VR that says nothing."""
    UID = 4
    """Another UID, always the same for the same one."""
    FOREIGN_UID = 5
    """Another UID, unless it is registered in PS3.6."""
    DATE = 6
    """Moved by the patient's days."""
    GRAMMAR = 7
    """Kept where it is what its VR allows and names nobody, else emptied."""
    TEXT = 8
    """Kept where it can be read and names nobody, else replaced by a value that says nothing."""
    RECURSE = 9
    """A sequence whose items are treated attribute by attribute."""
    PSEUDONYM = 10
    STRUCTURAL_UID = 11
    """Kept where it is a UID that holds no number of the patient, else another UID."""
    DERIVED = 12
    """As GRAMMAR, with DERIVED for its first value: its pixels are not those that were made."""
    REPLACED = 13
    """The value that a rule of the policy says."""
    HASH = 14
    """What follows from the value and the project's key."""
    SEARCHED = 15
    """Bytes that are kept where they repeat nothing of the patient, else removed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What becomes of an attribute, and who says so."""

    action: Action
    rule: str
    """Such as `PS3.15 Table E.1-1 edition 2026d: X/Z/D`."""
    option: str
    """The option of the policy that decided; empty for the Basic Profile."""
    why: str


_TEXT_VRS: Final = frozenset(("AE", "LO", "LT", "SH", "ST", "UC", "UR", "UT"))
_DATE_VRS: Final = frozenset(("DA", "DT", "TM"))
_GRAMMAR_VRS: Final = frozenset(("AS", "CS", "DS", "IS"))
_READ_VRS: Final = _TEXT_VRS | _DATE_VRS | _GRAMMAR_VRS | {"PN", "UI", "SQ"}
PSEUDONYMISED: Final = frozenset((0x00080050, 0x00100010, 0x00100020, 0x00200010))
"""Accession Number, Patient's Name, Patient ID, Study ID."""
_REPLACED: Final = frozenset((0x00120062, 0x00120063, 0x00120064, 0x00280303))
_TIMEZONE: Final = 0x00080201
_SHORTENED: Final = {"X/D": "D", "X/Z/D": "D", "Z/D": "D", "X/Z": "Z"}


@lru_cache(maxsize=65536)
def rule_of(policy: Policy, tag: int, vr: str, creator: str = "") -> Rule:
    """The Rule for an attribute with this VR (UN where it is not known); a private one is of a creator."""
    group = tag >> 16
    if policy.keeps:
        return _said(Action.KEEP, f"the policy {policy.name} {policy.version}", "identities are kept")
    if not tag & 0xFFFF or group in {0, 2, 4, 6} or group >= 0xFFFA:
        return _said(
            Action.REMOVE, "PS3.15 E.1.1", "it belongs to a message, a file set, a signature or padding"
        )
    if tag in _REPLACED:
        return _said(Action.KEEP, "PS3.15 E.1.1", "it tells of the de-identification, and is written anew")
    own = policy.rule(tag, creator) if policy.rules else None
    if own is not None and own.may_treat(vr):
        return _owned(policy, own, tag, vr)
    row = table().find(tag)
    if row is None:
        return _unlisted(policy, tag, vr)
    return _listed(policy, row, tag, vr)


_OWN: Final[dict[RuleAction, Action]] = {
    "remove": Action.REMOVE,
    "empty": Action.EMPTY,
    "replace": Action.REPLACED,
    "uid": Action.UID,
    "date": Action.DATE,
    "hash": Action.HASH,
}


def _owned(policy: Policy, own: OwnRule, tag: int, vr: str) -> Rule:
    action = _OWN.get(own.action) or _kept_by_rule(tag, vr, own.creator)
    name = f"the policy {policy.name} {policy.version}: {own.action}"
    return _said(action, name, own.reason or "the policy says so")


def _kept_by_rule(tag: int, vr: str, creator: str) -> Action:
    """Kept where it names nobody."""
    if vr == "PN":
        return Action.TEXT
    action = _kept_private(tag, vr, creator) if tag >> 16 & 1 else _kept(tag, vr)
    return Action.SEARCHED if action == Action.KEEP else action


def _kept_private(tag: int, vr: str, creator: str) -> Action:
    # Sequences of private attributes are not followed into: nobody says what is in them. What is written
    # as a date and is none by its creator's dictionary would make untrue what is said of dates.
    known = private_vr(tag, creator)
    if vr == "SQ" or (vr in _DATE_VRS and known not in _DATE_VRS | {"UN"}):
        return Action.REMOVE
    return Action.TEXT if vr == "UN" else _kept_of(vr)


def explained(policy: Policy, tag: int) -> Rule:
    """The Rule for an attribute with the VR of the dictionary, where no condition of a rule holds."""
    unasked = replace(policy, rules=tuple(rule for rule in policy.rules if not rule.when))
    if any(tag == one for one, _ in policy.trial):
        return _said(Action.REPLACED, f"the policy {policy.name} {policy.version}", "it says its value")
    found = rule_of(unasked, tag, standard_vr(tag).rpartition(" ")[2])
    if policy.pixels == "redact" and tag in REDESCRIBED | TYPES:
        return replace(found, why=f"{found.why}; where pixels are made black it tells of that")
    return found


def _listed(policy: Policy, row: Row, tag: int, vr: str) -> Rule:
    name = f"PS3.15 Table E.1-1 edition {EDITION}: {row.basic}"
    given = {option: row.options[option] for option in policy.options if option in row.options}
    # What is to be cleaned is not kept, whatever another option says.
    for code in ("C", "K"):
        for option in sorted(option for option, letter in given.items() if letter == code):
            action = _cleaned(option, tag, vr) if code == "C" else _kept(tag, vr)
            if action is not None:
                return _said(action, f"{name}, {code}", _KEPT_WHY[option], option)
        if code == "C" and "C" in given.values():
            break
    return _basic(row, tag, vr, name)


_KEPT_WHY: Final[dict[Option, str]] = {
    "retain-uids": "the policy retains UIDs",
    "retain-device-identity": "the policy retains the identity of devices",
    "retain-institution-identity": "the policy retains the identity of institutions",
    "retain-patient-characteristics": "the policy retains characteristics of patients",
    "retain-full-dates": "the policy retains dates and times",
    "modify-dates": "the policy moves dates by the same days for all of a patient",
}


def _cleaned(option: Option, tag: int, vr: str) -> Action | None:
    """What cleaning is; None where nothing here can tell that a text names nobody."""
    if option == "modify-dates":
        if vr in _DATE_VRS:
            return Action.DATE
        return Action.TEXT if tag == _TIMEZONE else None
    return None


def _kept(tag: int, vr: str) -> Action:
    if _is_disguised(vr, standard_vr(tag).split(" or ")):
        return Action.REMOVE
    return Action.RECURSE if vr == "SQ" else _kept_of(vr)


def _kept_of(vr: str) -> Action:
    if vr in _TEXT_VRS:
        return Action.TEXT
    if vr in _GRAMMAR_VRS or vr in _DATE_VRS or vr == "UI":
        return Action.GRAMMAR
    # What is not known cannot be read, and so not be judged.
    return Action.REMOVE if vr in {"UN", "PN"} else Action.KEEP


def _is_disguised(vr: str, meant: list[str]) -> bool:
    """Whether text, a name or a date may hide behind another VR than the attribute's own."""
    if vr in meant or vr == "UN" or any(one not in _READ_VRS for one in meant):
        return False
    if vr in _GRAMMAR_VRS:
        return not set(meant) & _GRAMMAR_VRS
    return vr not in _READ_VRS


def _basic(row: Row, tag: int, vr: str, name: str) -> Rule:
    code = _SHORTENED.get(row.basic, row.basic)
    if code == "X":
        return _said(Action.REMOVE, name, "the Basic Profile removes it")
    if code == "X/Z/U*":
        return _said(Action.RECURSE, name, "the Basic Profile replaces the UIDs in its items")
    if tag in PSEUDONYMISED:
        return _said(Action.PSEUDONYM, name, "a pseudonym stands in its place")
    if code == "U":
        return _said(Action.UID, name, "the Basic Profile replaces it by another UID")
    if code == "Z":
        return _said(Action.EMPTY, name, "the Basic Profile empties it")
    if vr == "UI":
        return _said(Action.UID, name, "another UID is the value that says nothing")
    if vr == "UN":
        return _said(Action.REMOVE, name, "its VR is not known, so that no value can stand in its place")
    return _said(Action.DUMMY, name, "the Basic Profile replaces it by a value that says nothing")


def _unlisted(policy: Policy, tag: int, vr: str) -> Rule:
    name = f"not listed in PS3.15 Table E.1-1, VR {vr}"
    meant = standard_vr(tag).split(" or ")
    if meant == ["UN"] or vr == "UN":
        return _said(Action.REMOVE, name, "an attribute that no dictionary knows is removed")
    if _is_disguised(vr, meant):
        return _said(Action.REMOVE, name, "text may hide behind a VR that is not the attribute's own")
    if vr == "SQ":
        return _said(Action.RECURSE, name, "its items are treated attribute by attribute")
    if vr == "PN":
        return _said(Action.EMPTY, name, "names of persons are emptied wherever they are")
    if vr in _DATE_VRS:
        return _date(policy, name)
    if vr == "UI":
        return _unlisted_uid(tag, name)
    return _unlisted_text(tag, vr, name)


def _unlisted_text(tag: int, vr: str, name: str) -> Rule:
    if vr in _GRAMMAR_VRS:
        return _said(Action.GRAMMAR, name, "kept where it is what its VR allows and names nobody")
    if vr == "OB" and standard_vr(tag) == "OB" and tag not in BINARY:
        return _said(Action.REMOVE, name, "bytes that nothing here can read are removed")
    if vr not in _TEXT_VRS:
        return _said(Action.KEEP, name, "numbers and pixels are kept")
    if tag in TECHNICAL:
        return _said(Action.TEXT, name, "a technical term, kept where it names nobody")
    if tag in DUMMIED:
        return _said(Action.DUMMY, name, "free text that the instance needs a value of")
    return _said(Action.REMOVE, name, "free text may hold anything, and is removed")


def _unlisted_uid(tag: int, name: str) -> Rule:
    if tag in STRUCTURAL_UIDS:
        return _said(Action.STRUCTURAL_UID, name, "it says what the instance is, not whose")
    return _said(Action.FOREIGN_UID, name, "UIDs that PS3.6 does not register are replaced")


def _date(policy: Policy, name: str) -> Rule:
    if "modify-dates" in policy.options:
        return _said(Action.DATE, name, _KEPT_WHY["modify-dates"], "modify-dates")
    if "retain-full-dates" in policy.options:
        return _said(Action.GRAMMAR, name, _KEPT_WHY["retain-full-dates"], "retain-full-dates")
    return _said(Action.DUMMY, name, "dates and times are replaced by ones that say nothing")


def _said(action: Action, rule: str, why: str, option: str = "") -> Rule:
    return Rule(action=action, rule=rule, option=option, why=why)
