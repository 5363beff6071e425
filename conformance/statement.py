"""The DICOM conformance statement (PS3.2), of what the program accepts: `python -m conformance.statement`."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydicom.uid import UID, UID_dictionary

from dicomweb_box.deid.policy import BUILT_IN, CODES, OFFERED, REDACTED
from dicomweb_box.deid.table import EDITION
from dicomweb_box.deid.table import table as deid_table
from dicomweb_box.dicom.charset import DEFINED_TERMS
from dicomweb_box.dicomweb.routes import ROUTES
from dicomweb_box.dicomweb.transactions import transactions
from dicomweb_box.dimse.negotiation import UNCOMPRESSED, is_storage, storage_syntax
from dicomweb_box.dimse.services import EXTENDED, SERVICES, Offer
from dicomweb_box.outbound.services import Service
from dicomweb_box.setting_sources import explain
from dicomweb_box.settings import Settings
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.negotiation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION

DOCUMENT = Path(__file__).with_name("STATEMENT.md")
COMMAND = "python -m conformance.statement"
NAMES = {
    commands.C_ECHO_RQ: "C-ECHO",
    commands.C_FIND_RQ: "C-FIND",
    commands.C_GET_RQ: "C-GET",
    commands.C_MOVE_RQ: "C-MOVE",
    commands.N_ACTION_RQ: "N-ACTION",
    commands.N_EVENT_REPORT_RQ: "N-EVENT-REPORT",
    commands.N_CREATE_RQ: "N-CREATE",
    commands.N_SET_RQ: "N-SET",
}
BEGIN, END = "<!-- {} -->\n", "<!-- /{} -->\n"


def generated() -> dict[str, str]:
    """The tables of the statement by their names."""
    parts = {
        "services": _services(),
        "storage": _storage(),
        "syntaxes": _syntaxes(),
        "implementation": _implementation(),
        "dicomweb": _dicomweb(),
        "repertoires": _repertoires(),
        "options": _options(),
        "actions": _actions(),
        "settings": _settings(),
    }
    return {name: "\n".join(lines) + "\n" for name, lines in parts.items()}


def committed() -> dict[str, str]:
    """What the document says now."""
    text = DOCUMENT.read_text()
    return {
        name: text.partition(BEGIN.format(name))[2].partition(END.format(name))[0] for name in generated()
    }


def write() -> None:
    """Put the tables into the document."""
    text = DOCUMENT.read_text()
    for name, table in generated().items():
        before, begin, rest = text.partition(BEGIN.format(name))
        text = before + begin + table + END.format(name) + rest.partition(END.format(name))[2]
    DOCUMENT.write_text(text)


def _services() -> Iterator[str]:
    yield "| SOP class | UID | service | what a peer must be let ask for | extended negotiation |"
    yield "|---|---|---|---|---|"
    for uid, offers in SERVICES.items():
        asked = ", ".join(sorted({NAMES[command] for command in offers}))
        needed = " or ".join(_needed(offers.values()))
        yield f"| {UID(uid).name} | `{uid}` | {asked} | {needed} | {'yes' if uid in EXTENDED else ''} |"
    yield f"| each of storage | below | C-STORE | `{Service.STORE}` | |"


def _needed(offers: Iterable[Offer]) -> list[str]:
    found = {one for offer in offers for one in (offer.service, offer.or_else) if one}
    return [f"`{service}`" for service in Service if service in found]


def _storage() -> Iterator[str]:
    yield "| SOP class | UID |"
    yield "|---|---|"
    for uid, (_, kind, _, retired, _) in UID_dictionary.items():
        if kind == "SOP Class" and not retired and is_storage(uid) and UID(uid).name != uid:
            yield f"| {UID(uid).name} | `{uid}` |"


def _syntaxes() -> Iterator[str]:
    yield "| transfer syntax | UID | identifiers, and peers that take nothing else |"
    yield "|---|---|---|"
    for uid, (_, kind, _, _, _) in UID_dictionary.items():
        if kind == "Transfer Syntax" and storage_syntax([uid]):
            yield f"| {UID(uid).name} | `{uid}` | {'yes' if uid in UNCOMPRESSED else ''} |"


def _implementation() -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    yield f"| Implementation Class UID | `{IMPLEMENTATION_CLASS_UID}` |"
    yield f"| Implementation Version Name | `{IMPLEMENTATION_VERSION}` |"


def _dicomweb() -> Iterator[str]:
    yield "| transaction | method and path | takes | gives |"
    yield "|---|---|---|---|"
    for one in transactions(ROUTES):
        path = "/" + "/".join(one.segments)
        takes, gives = (", ".join(f"`{kind}`" for kind in kinds) for kinds in (one.takes, one.gives))
        yield f"| {one.summary} | {one.method} `{path}` | {takes} | {gives} |"


def _repertoires() -> Iterator[str]:
    yield ", ".join(f"`{term}`" for term in DEFINED_TERMS)


def _options() -> Iterator[str]:
    yield "| option of PS3.15 E.3 | code (CID 7050) | carried out | in the policies |"
    yield "|---|---|---|---|"
    for name, (code, meaning) in CODES.items():
        done = name == "basic" or name in OFFERED
        within = [one.name for one in BUILT_IN.values() if name == "basic" or name in one.options]
        yield f"| {meaning} | {code} | {'yes' if done else 'no'} | {', '.join(within)} |"
    yield f"| {REDACTED[1]} | {REDACTED[0]} | where pixels were made black | |"


def _actions() -> Iterator[str]:
    yield f"| action of Table E.1-1, edition {EDITION} | attributes | what is done |"
    yield "|---|---|---|"
    found = Counter(row.basic for row in deid_table().rows)
    for code, count in found.most_common():
        yield f"| {code} | {count} | {DONE[code]} |"


DONE = {
    "X": "removed",
    "D": "replaced by a value that says nothing",
    "U": "replaced by another UID",
    "Z": "emptied",
    "X/D": "replaced by a value that says nothing",
    "X/Z": "emptied",
    "X/Z/D": "replaced by a value that says nothing",
    "Z/D": "replaced by a value that says nothing",
    "X/Z/U*": "its items are treated one by one, UIDs replaced",
}


def _settings() -> Iterator[str]:
    yield "| setting | default | meaning |"
    yield "|---|---|---|"
    for one in explain(Settings()):
        if one.name.startswith("dimse") or one.name in ("ae_title", "duplicates"):
            yield f"| `{one.name}` | `{one.default}` {one.unit} | {one.meaning} |"


if __name__ == "__main__":
    write()
