"""An audit row as a DICOM audit message (PS3.15 A.5), and that as a syslog message (RFC 5424).

Two things of the standard are left out on purpose, since our audit does not have them: who the patient is,
and what was searched for.
"""

import base64
import json
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from dicomweb_box.accounts.audit_search import Told
from dicomweb_box.accounts.audit_words import Action

Code = tuple[str, str, str]
"""Value, coding scheme and meaning."""
Role = Literal["application", "source", "destination", "media source", "media destination", ""]

PRIORITY_WELL, PRIORITY_NOT = 85, 84
"""Facility 10 (security), severity 5 (notice) or 4 (warning): PS3.15 A.6."""
MESSAGE_ID = "DICOM+RFC3881"
_BOM = b"\xef\xbb\xbf"
_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_OUTCOMES = {"success": "0", "refused": "4", "not found": "4", "failed": "8"}


def _dcm(value: str, meaning: str) -> Code:
    return value, "DCM", meaning


@dataclass(frozen=True, slots=True)
class Event:
    """What an action is in the standard's words (PS3.16 CID 400 to 403)."""

    id: Code
    action: Literal["C", "R", "U", "D", "E"]
    type: Code | None = None
    user: Role = ""
    """The part that who acts plays in it."""
    box: Role = "application"


_ACCESSED = _dcm("110103", "DICOM Instances Accessed")
_TRANSFERRED = _dcm("110104", "DICOM Instances Transferred")
_ALERT = _dcm("110113", "Security Alert")
_USER_CHANGED = Event(_ALERT, "U", _dcm("110137", "User Security Attributes Changed"))
_CONFIGURED = Event(_ALERT, "U", _dcm("110131", "Software Configuration"))

EVENTS: dict[Action, Event] = {
    Action.START: Event(_dcm("110100", "Application Activity"), "E", _dcm("110120", "Application Start")),
    Action.STOP: Event(_dcm("110100", "Application Activity"), "E", _dcm("110121", "Application Stop")),
    Action.LOG_IN: Event(_dcm("110114", "User Authentication"), "E", _dcm("110122", "Login")),
    Action.LOG_OUT: Event(_dcm("110114", "User Authentication"), "E", _dcm("110123", "Logout")),
    Action.PASSWORD: _USER_CHANGED,
    Action.ACCOUNT: _USER_CHANGED,
    Action.ROLE: Event(_ALERT, "U", _dcm("110136", "Security Roles Changed")),
    Action.TOKEN: _USER_CHANGED,
    Action.LINK: _USER_CHANGED,
    Action.SESSION: _USER_CHANGED,
    Action.SEARCH: Event(_dcm("110112", "Query"), "E", user="source", box="destination"),
    Action.VIEW: Event(_ACCESSED, "R"),
    Action.RETRIEVE: Event(_TRANSFERRED, "R", user="destination", box="source"),
    Action.EXPORT: Event(_dcm("110106", "Export"), "R", user="media destination", box="source"),
    Action.STORE: Event(_TRANSFERRED, "C", user="source", box="destination"),
    Action.TRANSFER: Event(_dcm("110102", "Begin Transferring DICOM Instances"), "E"),
    Action.SEND: Event(_TRANSFERRED, "R", box="source"),
    Action.UPLOAD: Event(_dcm("110107", "Import"), "C", user="media source", box="destination"),
    Action.REJECT: Event(_ACCESSED, "D"),
    Action.RESTORE: Event(_ACCESSED, "U"),
    Action.ERASE: Event(_dcm("110105", "DICOM Study Deleted"), "D"),
    Action.CORRECT: Event(_ACCESSED, "U"),
    Action.DECIDE: Event(_ACCESSED, "U"),
    Action.LABEL: Event(_ACCESSED, "U"),
    Action.RULE: _CONFIGURED,
    Action.PEER: _CONFIGURED,
    Action.WORKLIST: Event(_dcm("110111", "Procedure Record"), "U"),
    Action.VAULT: Event(_dcm("110110", "Patient Record"), "R"),
    Action.VAULT_CHANGED: _CONFIGURED,
    Action.FORGET: Event(_dcm("110110", "Patient Record"), "D"),
    Action.DECLARE: _CONFIGURED,
    Action.CHANGE: _CONFIGURED,
    Action.AUDIT: Event(_dcm("110101", "Audit Log Used"), "R"),
    Action.ALERT: Event(
        _ALERT, "E", ("audit-not-whole", "dicomweb_box", "The audit is not what was written")
    ),
    Action.LOST: Event(_ALERT, "E", _dcm("110133", "Audit Recording Stopped")),
}
_ROLES: dict[Role, Code] = {
    "application": _dcm("110150", "Application"),
    "source": _dcm("110153", "Source Role ID"),
    "destination": _dcm("110152", "Destination Role ID"),
    "media source": _dcm("110155", "Source Media"),
    "media destination": _dcm("110154", "Destination Media"),
}


def message(row: Told, *, source: str) -> bytes:
    """The XML of one row; `source` is the name of this box."""
    event = EVENTS[Action(row.action)]
    root = Element("AuditMessage")
    told = SubElement(
        root,
        "EventIdentification",
        EventActionCode=event.action,
        EventDateTime=row.moment,
        EventOutcomeIndicator=_OUTCOMES[row.outcome],
    )
    _coded(told, "EventID", event.id)
    if event.type is not None:
        _coded(told, "EventTypeCode", event.type)
    if row.outcome != "success":
        SubElement(told, "EventOutcomeDescription").text = row.outcome
    if row.kind != "system":
        _participant(root, row.actor or "not known", event.user, requests=True, address=row.address)
    _participant(root, source, event.box, requests=row.kind == "system")
    of = SubElement(root, "AuditSourceIdentification", AuditSourceID=source)
    SubElement(of, "AuditSourceTypeCode", {"csd-code": "4"})
    _objects(root, row)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _coded(parent: Element, name: str, code: Code) -> None:
    value, scheme, meaning = code
    SubElement(parent, name, {"csd-code": value, "codeSystemName": scheme, "originalText": meaning})


def _participant(root: Element, user: str, role: Role, *, requests: bool, address: str = "") -> None:
    said = {"UserID": user, "UserIsRequestor": "true" if requests else "false"}
    if address:
        said |= {"NetworkAccessPointID": address, "NetworkAccessPointTypeCode": "2"}
    participant = SubElement(root, "ActiveParticipant", said)
    if role:
        _coded(participant, "RoleIDCode", _ROLES[role])
    if role.startswith("media"):
        medium = SubElement(participant, "MediaIdentifier")
        _coded(medium, "MediaType", _dcm("110037", "URI"))


def _objects(root: Element, row: Told) -> None:
    if row.study_uid:
        _object(root, row.study_uid, "3", _dcm("110180", "Study Instance UID"), row.study_uid)
    if row.action == Action.SEARCH:
        _object(root, _STUDY_ROOT_FIND, "3", _dcm("110181", "SOP Class UID"), None)
    # What else we know, and where it stands in our own audit.
    place = f"{row.chain}.{row.sequence}"
    kind = ("audit-row", "dicomweb_box", "Row of the audit")
    of = _object(root, place, "13", kind, "Security Audit Log" if row.action == Action.AUDIT else place)
    for name, value in {"action": row.action, "count": row.count, **row.about}.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        SubElement(of, "ParticipantObjectDetail", type=name, value=_base64(text))


def _object(root: Element, key: str, role: str, kind: Code, name: str | None) -> Element:
    made = SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=key,
        ParticipantObjectTypeCode="2",
        ParticipantObjectTypeCodeRole=role,
    )
    _coded(made, "ParticipantObjectIDTypeCode", kind)
    if name is None:
        SubElement(made, "ParticipantObjectQuery").text = ""
    else:
        SubElement(made, "ParticipantObjectName").text = name
    return made


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def syslog(row: Told, *, source: str, host: str) -> bytes:
    """The row as a syslog message (RFC 5424 6), framed by its length for a stream (RFC 5425 4.3)."""
    priority = PRIORITY_WELL if row.outcome == "success" else PRIORITY_NOT
    head = f"<{priority}>1 {row.moment} {host or '-'} dicomweb_box {row.chain} {MESSAGE_ID} - "
    said = head.encode("ascii", "replace") + _BOM + message(row, source=source)
    return b"%d " % len(said) + said
