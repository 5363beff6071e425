"""Who did what, from where, and what came of it: rows that are only ever added.

What changes something, or tells who somebody is, is recorded in its own transaction: either both are durable
or neither. What only looks is noted, and written in groups a moment later. No row holds an attribute of a
patient, nor the words of a search: `about` names UIDs, keys of our own and accounts.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dicomweb_box.accounts import keys
from dicomweb_box.accounts.access import SYSTEM, Actor
from dicomweb_box.accounts.audit_chain import Chain, chain_of
from dicomweb_box.accounts.audit_words import Action, Outcome
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Row, Writer

LONGEST = 200
"""Characters of a name or an address; what is longer is cut."""
_MOST_NAMED = 50

Value = str | int | Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One act."""

    actor: Actor
    action: Action
    outcome: Outcome = "success"
    study: str = ""
    """UID of the study that it was about; empty: none, or several."""
    about: Mapping[str, Value] = field(default_factory=dict)
    """What else: UIDs, keys of our own, names of accounts; never an attribute of a patient."""
    count: int = 1
    """Of how many instances, or how many times."""


async def record(w: Writer, box: Box, *entries: Entry) -> None:
    """Write acts in the transaction that does them."""
    chain = chain_of(box)
    moment = _moment(box)
    for entry in entries:
        await chain.append(w, row_of(entry, moment))


async def recorded(box: Box, *entries: Entry) -> None:
    """Write acts that have no transaction of their own; durable when it returns."""
    await box.database.write(lambda w: record(w, box, *entries))


def of_studies(
    actor: Actor, action: Action, rows: Iterable[Row], about: Mapping[str, Value] | None = None
) -> list[Entry]:
    """An act for each study among rows of instances, with how many there are."""
    counts = Counter(str(row["study_uid"] or "") for row in rows)
    return [
        Entry(actor=actor, action=action, study=study, count=count, about=about or {})
        for study, count in sorted(counts.items())
    ]


async def started(box: Box) -> None:
    """Say that this process begins to serve, where nothing has been recorded yet."""
    chain = await opened(box)
    await box.database.write(lambda w: chain.begin(w, _moment(box)))


async def opened(box: Box) -> Chain:
    """This process's chain, its keys looked at first; raises BadSetting where they cannot be had."""
    await keys.ring(box)
    return await in_thread(box, chain_of, box)


async def stopped(box: Box) -> None:
    """Say that this process ends as it should."""
    await box.database.write(lambda w: record(w, box, Entry(actor=SYSTEM, action=Action.STOP)))


def row_of(entry: Entry, moment: str) -> dict[str, str | int]:
    """The columns of an act, but for those that tie it to its chain."""
    return {
        "moment": moment,
        "actor": _plain(entry.actor.name),
        "kind": entry.actor.kind,
        "address": _plain(entry.actor.address),
        "action": entry.action.value,
        "outcome": entry.outcome,
        "study_uid": _plain(entry.study),
        "about": _told(entry.about),
        "count": entry.count,
    }


def _moment(box: Box) -> str:
    return box.clock().isoformat(timespec="milliseconds")


def _told(about: Mapping[str, Value]) -> str:
    """As JSON; of a long list its beginning and how many there are."""
    told: dict[str, Value] = {}
    for name, value in about.items():
        if isinstance(value, str | int):
            told[name] = _plain(value) if isinstance(value, str) else value
            continue
        told[name] = [_plain(one) for one in value[:_MOST_NAMED]]
        if len(value) > _MOST_NAMED:
            told[f"{name} in all"] = len(value)
    return json.dumps(told, ensure_ascii=False)


def _plain(text: str) -> str:
    """The text as both databases can keep it, and of a bounded length."""
    return text[:LONGEST].encode(errors="replace").decode().replace("\0", "")
