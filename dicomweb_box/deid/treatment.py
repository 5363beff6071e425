"""The value that stands in the place of another one."""

from dataclasses import dataclass, field
from typing import Final

from dicomweb_box.deid.dates import moved
from dicomweb_box.deid.identity import ACCESSION_NUMBER, PATIENT_ID, PATIENT_NAME, STUDY_ID, Identity
from dicomweb_box.deid.policy import BASIC, PSEUDONYM, Policy
from dicomweb_box.deid.pseudonyms import Pseudonyms
from dicomweb_box.deid.registry import REGISTERED
from dicomweb_box.deid.rules import Action, rule_of
from dicomweb_box.deid.terms import TERMS
from dicomweb_box.deid.values import GRAMMAR, dummy, is_readable, padded
from dicomweb_box.deid.vocabulary import LABELS
from dicomweb_box.dicom.charset import Charset
from dicomweb_box.dicom.header_tables import standard_vr

_STUDY_UID: Final = 0x0020000D
_MOST_STAYING: Final = 10_000
_DATES: Final = frozenset(("DA", "DT", "TM"))
_ONLY_IN_ITEMS: Final = frozenset((PATIENT_NAME, PATIENT_ID, STUDY_ID))


@dataclass(frozen=True, kw_only=True, slots=True)
class Treatment:
    """What a policy makes of the values of one instance."""

    policy: Policy
    pseudonyms: Pseudonyms
    identity: Identity
    days: int
    """By how many its dates move."""
    staying: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    """Values that may stay, by VR and value: frames repeat most of them."""

    def value(
        self, action: int, tag: int, vr: str, value: bytes, read: Charset, *, top: bool
    ) -> bytes | None:
        """The new value, padded; None where the attribute is removed."""
        if action == Action.GRAMMAR:
            return self._by_grammar(tag, vr, value)
        if action == Action.DERIVED:
            return derived(self._by_grammar(tag, vr, value) or b"")
        if action == Action.TEXT:
            # Many of these are needed by their modules: a value that says nothing keeps the object valid.
            return value if self._is_plain(value, read) else dummy(vr)
        if action == Action.SEARCHED:
            return None if self.identity.repeated_in(value, read) else value
        if action == Action.STRUCTURAL_UID:
            known = GRAMMAR["UI"](value) and not self.identity.numbered_in(value.replace(b".", b"\\"))
            return value if known else self._uids(value)
        if action == Action.UID or action == Action.FOREIGN_UID:
            return self._uids(value)
        if action == Action.DATE:
            found = moved(value.decode("latin-1").strip(" \0"), vr, self.days)
            return _unmoved(tag, vr) if found is None else padded(found.encode("ascii"), vr)
        if action == Action.PSEUDONYM:
            return self._pseudonym(tag, vr, value, top=top)
        if action == Action.DUMMY:
            return dummy(vr)
        return self._by_own_rule(action, tag, vr, value)

    def _by_own_rule(self, action: int, tag: int, vr: str, value: bytes) -> bytes:
        if action == Action.REPLACED:
            own = self.policy.rule(tag)
            return padded(own.value.encode("ascii"), vr) if own else b""
        plain = value.strip(b" \0").decode("latin-1")
        if action == Action.HASH and plain:
            return padded(self.pseudonyms.token(f"attribute {tag:08X}", plain).encode("ascii"), vr)
        return b""

    def trial(self) -> list[tuple[int, str, bytes]]:
        """Tag, VR and value of the clinical trial attributes that the policy fills."""
        said = [(tag, standard_vr(tag), text) for tag, text in self.policy.trial]
        if any(PSEUDONYM in text for _, _, text in said):
            name = self.pseudonyms.patient(self.identity.patient, self.policy.pattern)
            said = [(tag, vr, text.replace(PSEUDONYM, name)) for tag, vr, text in said]
        return [(tag, vr, padded(text.encode("ascii"), vr)) for tag, vr, text in said]

    def _by_grammar(self, tag: int, vr: str, value: bytes) -> bytes | None:
        if vr == "CS":
            new = self._codes(tag, value)
        elif GRAMMAR[vr](value) and not self._named(vr, value):
            new = value
        else:
            # A vector that lacks a number is none: all of its values go.
            return _unmoved(tag, vr) if vr in _DATES else b""
        if new == value and len(self.staying) < _MOST_STAYING:
            self.staying[vr, value] = value
        return new

    def _codes(self, tag: int, value: bytes) -> bytes:
        """The code strings that may stay, each in its place: what the second one says is not the first's."""
        if GRAMMAR["CS"](value) and not self.identity.named_in(value, self.identity.charset):
            return value
        kept = [one if self._may_stay(one) else b"" for one in value.split(b"\\")]
        if not any(kept):
            return dummy("CS") if tag in LABELS else b""
        return padded(b"\\".join(kept), "CS")

    def _may_stay(self, code: bytes) -> bool:
        if not GRAMMAR["CS"](code):
            return False
        return code.strip(b" \0") in TERMS or not self.identity.named_in(code, self.identity.charset)

    def _named(self, vr: str, value: bytes) -> bool:
        if vr == "AS":
            return self.identity.named_in(value, self.identity.charset)
        return self.identity.numbered_in(value)

    def _is_plain(self, value: bytes, read: Charset) -> bool:
        if not is_readable(value) or self.identity.named_in(value, read):
            return False
        return value.isascii() or not (read.unknown or "\ufffd" in read.decode(value))

    def _uids(self, value: bytes) -> bytes:
        uids = (one.strip(" \0") for one in value.decode("latin-1").split("\\"))
        new = "\\".join(uid if not uid or uid in REGISTERED else self.pseudonyms.uid(uid) for uid in uids)
        return padded(new.encode("ascii"), "UI")

    def _pseudonym(self, tag: int, vr: str, value: bytes, *, top: bool) -> bytes:
        if tag in _ONLY_IN_ITEMS and not top:
            return b""
        if tag in {PATIENT_ID, PATIENT_NAME}:
            pseudonym = self.pseudonyms.patient(self.identity.patient, self.policy.pattern)
            return padded(pseudonym.encode("ascii"), vr)
        text = value.strip(b" \0").decode("latin-1")
        if not text:
            return b""
        if tag == ACCESSION_NUMBER:
            return padded(self.pseudonyms.token("accession", text).encode("ascii"), vr)
        study = self.identity.text(_STUDY_UID)
        return padded(self.pseudonyms.token("study", study).encode("ascii"), vr)


def _unmoved(tag: int, vr: str) -> bytes | None:
    """What stands in the place of a date that is none: what the Basic Profile says."""
    action = rule_of(BASIC, tag, vr).action
    if action == Action.REMOVE:
        return None
    return b"" if action == Action.EMPTY else dummy(vr)


def derived(value: bytes) -> bytes:
    """Image Type or Frame Type of what is derived from an instance that says so (PS3.3 C.7.6.1.1.2)."""
    first, separator, rest = value.strip(b" \0").partition(b"\\")
    return padded(b"DERIVED" + separator + rest, "CS") if first or separator else value
