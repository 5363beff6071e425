"""What a study holds at a DICOM peer, and the requests that bring what is missing of it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dicomweb_box.box import Box
from dicomweb_box.database import chunks
from dicomweb_box.dicom.remote_query import Level
from dicomweb_box.errors import PeerRefused, PeerUnreachable
from dicomweb_box.outbound import dimse_scu
from dicomweb_box.outbound.dimse_scu import FIND, PLAIN, Row, sentence
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.requestor import Proposed

MOST_INSTANCES = 200_000
"""Of one study."""
_AT_ONCE = 500
_INTEGER = re.compile(r"[+-]?[0-9]{1,12}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """What a study, or one series of it, holds at a peer."""

    instances: Mapping[str, Mapping[str, str]]
    """By series: SOP Instance UID → SOP Class UID, which may be empty."""

    @property
    def uids(self) -> set[str]:
        """All instances."""
        return {uid for of_series in self.instances.values() for uid in of_series}

    @property
    def classes(self) -> set[str]:
        """The SOP classes that the peer told."""
        return {name for of_series in self.instances.values() for name in of_series.values() if name}


async def look(box: Box, peer: Peer, study_uid: str, series_uid: str | None = None) -> Remote:
    """What the study has there, or one of its series; raises PeerUnreachable, PeerRefused."""
    association = await dimse_scu.called(box, peer, [Proposed(abstract_syntax=FIND, transfer_syntaxes=PLAIN)])
    try:
        names = [series_uid] if series_uid is not None else await _series(association, study_uid)
        found = {name: await _instances(association, study_uid, name) for name in names}
        return Remote(instances={name: held for name, held in found.items() if held})
    except UpperLayerError as error:
        raise PeerUnreachable(sentence(error)) from error
    finally:
        await dimse_scu.ended(association)


async def _series(association: Association, study_uid: str) -> list[str]:
    rows = await _all(association, "series", StudyInstanceUID=study_uid)
    return sorted({_value(row, "0020000E") for row in rows} - {""})


async def _instances(association: Association, study_uid: str, series_uid: str) -> Mapping[str, str]:
    """In the order of their numbers, as far as they have any."""
    unique = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid}
    rows = sorted(await _all(association, "instance", **unique), key=_number)
    return {_value(row, "00080018"): _value(row, "00080016") for row in rows if _value(row, "00080018")}


async def _all(association: Association, level: Level, **unique: str) -> Sequence[Row]:
    found = await dimse_scu.find(association, dimse_scu.asked_of(level, **unique), most=MOST_INSTANCES)
    if found.more:
        raise PeerRefused(f"The study has more than {MOST_INSTANCES} instances.")
    return found.rows


def _value(row: Row, tag: str) -> str:
    """The first value of an attribute as text; empty: none."""
    values = (row.get(tag) or {}).get("Value") or [""]
    return str(values[0] or "").strip()


def _number(row: Row) -> int:
    text = _value(row, "00200013")
    return int(text) if _INTEGER.fullmatch(text) else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What one request asks for."""

    level: Level
    uids: Mapping[str, str]


def requests(remote: Remote, study_uid: str, missing: set[str]) -> Iterator[Request]:
    """The fewest requests for what is missing: the study, series, or lists of instances."""
    study = {"StudyInstanceUID": study_uid}
    if missing == remote.uids:
        yield Request(level="study", uids=study)
        return
    for series_uid, instances in remote.instances.items():
        of_series = {**study, "SeriesInstanceUID": series_uid}
        lacking = sorted(missing & instances.keys())
        if len(lacking) == len(instances):
            yield Request(level="series", uids=of_series)
            continue
        # PS3.4 C.4.2.1.4: a list of UIDs at the level of the request.
        for some in chunks(lacking, _AT_ONCE):
            yield Request(level="instance", uids={**of_series, "SOPInstanceUID": "\\".join(some)})
