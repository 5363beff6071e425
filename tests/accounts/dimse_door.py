"""The DIMSE door of an open box on a real socket, and one request of each service that it offers."""

import asyncio
import contextlib
import io
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.box import Box
from dicomweb_box.dimse import server
from dicomweb_box.dimse.services import SERVICES, STORAGE, Offer
from dicomweb_box.outbound import peers
from dicomweb_box.outbound.particulars import Particulars
from dicomweb_box.outbound.services import Service
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.requestor import Proposed, request
from tests.accounts.stored import Object
from tests.builders import make_dataset
from tests.upper_layer.peers import Archive, response, serving

IMPLICIT = str(ImplicitVRLittleEndian)
CT = str(CTImageStorage)
OFFERED: list[tuple[str, int, Offer]] = [
    (uid, command, offer)
    for uid, offers in [*SERVICES.items(), (CT, STORAGE)]
    for command, offer in offers.items()
]
"""Each service by abstract syntax and Command Field; one storage class stands for all."""


def ids_of(offered: tuple[str, int, Offer]) -> str:
    """A name for a test."""
    return f"{offered[2].service}-{offered[0]}-{offered[1]:04x}"


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What came of a request: the responses, the last one with its final status, and what was sent along."""

    statuses: tuple[int, ...]
    commands: tuple[Mapping[str, Any], ...]
    identifiers: tuple[bytes, ...]
    given: tuple[str, ...] = ()
    """UIDs of the instances that came as sub-operations."""

    @property
    def status(self) -> int:
        return self.statuses[-1]

    def told(self, of: Object) -> str:
        """All of it, with an object's UIDs left out."""
        kept = [{key: one for key, one in said.items() if key != "ErrorComment"} for said in self.commands]
        text = repr((self.statuses, kept, self.identifiers, self.given))
        for level in ("study", "series", "instance"):
            text = text.replace(getattr(of, level), level)
        return text


@dataclass
class Door:
    """A box that is asked over associations."""

    box: Box
    port: int
    elsewhere: int
    """Port of an archive that takes what it is sent."""
    archive: Archive = field(default_factory=Archive)

    async def peer(self, title: str, **more: Any) -> str:
        """A new peer on this machine, by its AE title."""
        given = {"host": "127.0.0.1", "port": self.elsewhere} | more
        await peers.add(self.box, Particulars(name=title, ae_title=title, **given), actor=SYSTEM)
        return title

    async def call(self, title: str, *, called: str = "DICOMWEB_BOX") -> Association:
        """An association with every context that there is."""
        uids = dict.fromkeys(uid for uid, _, _ in OFFERED)
        contexts = [
            Proposed(abstract_syntax=uid, transfer_syntaxes=[IMPLICIT], as_scp=uid == CT) for uid in uids
        ]
        return await request("127.0.0.1", self.port, calling=title, called=called, contexts=contexts)

    async def ask(self, title: str, offered: tuple[str, int, Offer], of: Object, **more: Any) -> Answered:
        """What one request about an object comes to, over an association of its own."""
        association = await self.call(title)
        try:
            return await asked(association, offered, of, title=title, **more)
        finally:
            await association.release()


@contextlib.asynccontextmanager
async def opened(box: Box) -> AsyncIterator[Door]:
    """The door of a box, and an archive beside it."""
    stop, accepting = asyncio.Event(), asyncio.Event()
    archive = Archive()
    listener = socket.create_server(("127.0.0.1", 0))
    listeners: list[tuple[socket.socket, ssl.SSLContext | None]] = [(listener, None)]
    async with serving(archive.talk) as elsewhere:
        task = asyncio.create_task(server.serve(box, listeners, stop, when_accepting=accepting.set))
        try:
            await accepting.wait()
            yield Door(box=box, port=listener.getsockname()[1], elsewhere=elsewhere, archive=archive)
        finally:
            stop.set()
            await task
            listener.close()


async def asked(
    association: Association,
    offered: tuple[str, int, Offer],
    of: Object,
    *,
    title: str,
    destination: str | None = None,
    level: str = "IMAGE",
    keys: Mapping[str, str] | None = None,
) -> Answered:
    """The responses to a request of a service."""
    uid, command, _ = offered
    context = next(one for one in association.contexts.values() if one.abstract_syntax == uid and one.as_scu)
    told, data = _request(uid, command, of, destination or title, level, keys)
    given: list[str] = []
    taking = asyncio.create_task(_take(association, given))
    said: list[Mapping[str, Any]] = []
    identifiers: list[bytes] = []
    try:
        async with contextlib.aclosing(
            association.ask(context, told, encoded(data) if data else None)
        ) as answers:
            async for message in answers:
                said.append(dict(message.command))
                identifiers.append(await message.whole())
    finally:
        taking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await taking
    return Answered(
        statuses=tuple(one["Status"] for one in said),
        commands=tuple(said),
        identifiers=tuple(identifiers),
        given=tuple(given),
    )


async def _take(association: Association, given: list[str]) -> None:
    """Store what comes as sub-operations of C-GET; a report of an earlier request may come in between."""
    while (message := await association.receive()) is not None:
        await message.whole()
        if message.command["CommandField"] == commands.C_STORE_RQ:
            given.append(message.command["AffectedSOPInstanceUID"])
        await association.send(message.context, response(message))


def encoded(data: Dataset) -> bytes:
    """A data set as it goes over the wire."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, True
    write_dataset(buffer, data)
    return buffer.getvalue()


def decoded(identifier: bytes) -> Dataset:
    """An identifier of a response."""
    return read_dataset(io.BytesIO(identifier), is_implicit_VR=True, is_little_endian=True)


def _request(
    uid: str, command: int, of: Object, destination: str, level: str, keys: Mapping[str, str] | None
) -> tuple[dict[str, Any], Dataset | None]:
    told: dict[str, Any] = {"CommandField": command, "AffectedSOPClassUID": uid}
    match command:
        case commands.C_ECHO_RQ:
            return told, None
        case commands.C_STORE_RQ:
            data = make_dataset(study=of.study, series=of.series, instance=of.instance)
            return told | {"AffectedSOPInstanceUID": of.instance, "Priority": 0}, data
        case commands.C_FIND_RQ | commands.C_GET_RQ:
            return told | {"Priority": 0}, identifier(of, level, keys)
        case commands.C_MOVE_RQ:
            return told | {"Priority": 0, "MoveDestination": destination}, identifier(of, level, keys)
        case commands.N_CREATE_RQ:
            return told | {"AffectedSOPInstanceUID": of.instance}, _step(of)
        case commands.N_SET_RQ | commands.N_GET_RQ:
            data = _step(of) if command == commands.N_SET_RQ else None
            return _requested(told, of.instance), data
        case commands.N_ACTION_RQ:
            return _requested(told, "1.2.840.10008.1.20.1.1") | {"ActionTypeID": 1}, _commitment(of)
        case commands.N_EVENT_REPORT_RQ:
            event = {"AffectedSOPInstanceUID": "1.2.840.10008.1.20.1.1", "EventTypeID": 1}
            return told | event, _commitment(of)
    raise AssertionError(f"nothing is known of command {command:04x}")


def _requested(told: dict[str, Any], instance: str) -> dict[str, Any]:
    """As requests of the normalised services name what they are about (PS3.7 10.3)."""
    uid = told.pop("AffectedSOPClassUID")
    return told | {"RequestedSOPClassUID": uid, "RequestedSOPInstanceUID": instance}


def identifier(of: Object, level: str, keys: Mapping[str, str] | None = None) -> Dataset:
    """What a query or a retrieval of an object names."""
    data = Dataset()
    data.QueryRetrieveLevel = level
    data.StudyInstanceUID = of.study
    if level in ("SERIES", "IMAGE"):
        data.SeriesInstanceUID = of.series
    if level == "IMAGE":
        data.SOPInstanceUID = of.instance
    for keyword, value in (keys or {}).items():
        setattr(data, keyword, value)
    return data


def _step(of: Object) -> Dataset:
    data = Dataset()
    data.PerformedProcedureStepStatus = "IN PROGRESS"
    data.PerformedProcedureStepID = "P1"
    data.PerformedStationAETitle = "ANY"
    data.PerformedProcedureStepStartDate, data.PerformedProcedureStepStartTime = "20260105", "101500"
    data.Modality = "CT"
    scheduled = Dataset()
    scheduled.StudyInstanceUID = of.study
    data.ScheduledStepAttributesSequence = [scheduled]
    return data


def _commitment(of: Object) -> Dataset:
    data, referenced = Dataset(), Dataset()
    data.TransactionUID = of.series
    referenced.ReferencedSOPClassUID, referenced.ReferencedSOPInstanceUID = CT, of.instance
    data.ReferencedSOPSequence = [referenced]
    return data


def may(offer: Offer, services: frozenset[Service], *, to_itself: bool = True) -> bool:
    """Whether a peer of these services is answered."""
    if offer.service is Service.MOVE:
        return (Service.RETRIEVE if to_itself else Service.MOVE) in services
    return offer.service in services
