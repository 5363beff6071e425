"""For each element's head as it stands in the stream, what the walker does with it."""

from functools import lru_cache
from typing import Final, NamedTuple

from dicomweb_box.deid import rules
from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.elements import ITEM_END, PIXEL_DATA, inside, named_by
from dicomweb_box.deid.identity import CHARACTER_SET
from dicomweb_box.deid.policy import Policy
from dicomweb_box.deid.vocabulary import REDESCRIBED, TYPES
from dicomweb_box.dicom.header_tables import Encoding, private_vr, standard_vr

# Beside rules.Action: what only the walker knows of.
PIXELS, DELIMITER, CHARSET, MARKER, OFFSETS, OVERLAY_BIT, REWRITTEN, PRIVATE = range(20, 28)
KEEP: Final = int(rules.Action.KEEP)
_MARKERS: Final = frozenset((0x00120062, 0x00120063, 0x00280303))
METHOD_CODES, CONTRIBUTING_EQUIPMENT = 0x00120064, 0x0018A001
_PIXELS: Final = frozenset((0x7FE00008, 0x7FE00009, PIXEL_DATA))
_OFFSETS: Final = frozenset((0x7FE00001, 0x7FE00002))
_BIT_POSITION: Final = 0x0102
_MOST: Final = 50_000


class Plan(NamedTuple):
    """What becomes of elements with one tag and one VR."""

    action: int
    long: bool
    tag: int
    vr: str
    """What its value is."""
    written_vr: str
    """What its head says; UN where whoever wrote it did not know the VR."""


class Plans:
    """The plans of a policy for one encoding, worked out once."""

    def __init__(self, policy: Policy, encoding: Encoding) -> None:
        self._policy, self._encoding = policy, encoding
        self.known: dict[bytes, Plan] = {}

    def plan(self, key: bytes) -> Plan:
        """The Plan for the bytes of a head. Raises Doubt for a VR that is none."""
        tag, written, long = (
            named_by(key, self._encoding) if key[:2] != _ITEMS[self._encoding.order] else (0, "", False)
        )
        plan = Plan(*_planned(self._policy, tag, written, long)) if written else self._delimiter(key)
        if len(self.known) < _MOST:  # a hostile instance must not fill the memory
            self.known[key] = plan
        return plan

    def private(self, plan: Plan, value: bytes, creators: dict[int, str]) -> tuple[int, str]:
        """What becomes of a private element, and its VR, by the `creators` of the blocks that there are."""
        return _private(self._policy, plan, value, creators)

    def within(self, vr: str) -> "Plans":
        """Those for the items of a sequence."""
        return plans(self._policy, inside(self._encoding, vr))

    @property
    def encoding(self) -> Encoding:
        """How the elements are written."""
        return self._encoding

    def _delimiter(self, key: bytes) -> Plan:
        number = int.from_bytes(key[2:4], "little" if self._encoding.order == "<" else "big")
        if number != ITEM_END:
            raise Doubt("an item or a delimiter stands where it does not belong")
        return Plan(DELIMITER, False, number, "", "")


_ITEMS: Final = {"<": b"\xfe\xff", ">": b"\xff\xfe"}


@lru_cache(maxsize=256)
def plans(policy: Policy, encoding: Encoding) -> Plans:
    """The Plans of a policy for an encoding."""
    return Plans(policy, encoding)


def _planned(policy: Policy, tag: int, written: str, long: bool) -> tuple[int, bool, int, str, str]:
    vr = written
    if written == "UN" and not tag >> 16 & 1:
        vr = standard_vr(tag).rpartition(" ")[2]
    if tag in {METHOD_CODES, CONTRIBUTING_EQUIPMENT} and vr != "SQ":
        raise Doubt(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is not written as a sequence")
    if tag in _PIXELS:
        return PIXELS, long, tag, vr, written
    if tag in _OFFSETS:
        return OFFSETS, long, tag, vr, written
    if tag == CHARACTER_SET:
        return CHARSET, long, tag, vr, written
    if tag >> 16 & 0xFF00 == 0x6000 and tag & 0xFFFF == _BIT_POSITION:
        return OVERLAY_BIT, long, tag, vr, written
    if own := _owned(policy, tag):
        return own, long, tag, vr, written
    if policy.pixels == "redact" and (action := _redescribed(tag, vr)):
        return action, long, tag, vr, written
    if tag == METHOD_CODES:
        return int(rules.Action.RECURSE), long, tag, vr, written
    return int(rules.rule_of(policy, tag, vr).action), long, tag, vr, written


def _redescribed(tag: int, vr: str) -> int:
    """What becomes of what describes redacted pixels; 0 for what does not."""
    if tag in REDESCRIBED:
        return REWRITTEN
    return int(rules.Action.DERIVED) if tag in TYPES and vr == "CS" else 0


def _owned(policy: Policy, tag: int) -> int:
    """What becomes of what the policy itself writes or names by its creator; 0 for what it does not."""
    if tag >> 16 & 1 and any(rule.creator for rule in policy.rules):
        return PRIVATE
    return MARKER if tag in _MARKERS or any(tag == one for one, _ in policy.trial) else 0


_REMOVED: Final = int(rules.Action.REMOVE), "UN"


def _private(policy: Policy, plan: Plan, value: bytes, creators: dict[int, str]) -> tuple[int, str]:
    """See `Plans.private`. A creator stays where something of its block may (PS3.5 7.8.1)."""
    element = plan.tag & 0xFFFF
    if not element & 0xFF00:
        creator = value.strip(b" \0").decode("latin-1")
        group = plan.tag >> 16
        kept = any(
            rule.creator == creator and rule.action != "remove" and int(rule.mask[:4], 16) == group
            for rule in policy.rules
        )
        if kept and element >= 0x10 and plan.vr in {"LO", "UN"}:
            creators[group << 8 | element] = creator
            return KEEP, plan.vr
        return _REMOVED
    creator = creators.get(plan.tag >> 8, "")
    if not creator:
        return _REMOVED
    vr = plan.vr if plan.vr != "UN" else private_vr(plan.tag, creator)
    return int(rules.rule_of(policy, plan.tag, vr, creator).action), vr
