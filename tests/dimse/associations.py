"""An association whose other end is the test: what was sent is kept."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import write_dataset, write_file_meta_info

from dicomweb_box.accounts.access import ANYBODY, Identity
from dicomweb_box.box import Box
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomweb_box.dimse.call import Call
from dicomweb_box.outbound.admission import Caller
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.services import EVERY_SERVICE
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.cancelled import Cancelled
from dicomweb_box.upper_layer.message import Context


def encoded(ds: Dataset, syntax: str = EXPLICIT_LITTLE) -> bytes:
    """A data set as it is in a message."""
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_implicit_VR = syntax == IMPLICIT_LITTLE
    buffer.is_little_endian = True
    write_dataset(buffer, ds)
    return buffer.getvalue()


def decoded(data: bytes, syntax: str = EXPLICIT_LITTLE) -> Dataset:
    """The data set of a message."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    buffer = io.BytesIO()
    write_file_meta_info(buffer, meta, enforce_standard=False)
    return pydicom.dcmread(io.BytesIO(bytes(128) + b"DICM" + buffer.getvalue() + data))


@dataclass
class Asking:
    """One request and what the handler does with it."""

    data: bytes
    abstract_syntax: str
    transfer_syntax: str = EXPLICIT_LITTLE
    command_field: int = commands.C_FIND_RQ
    command: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.context = Context(
            id=1,
            abstract_syntax=self.abstract_syntax,
            transfer_syntax=self.transfer_syntax,
            as_scp=True,
            as_scu=False,
        )
        self.command = commands.Command(
            {
                "AffectedSOPClassUID": self.abstract_syntax,
                "CommandField": self.command_field,
                "MessageID": 7,
                **self.command,
            }
        )
        self.has_data = bool(self.data)

    async def whole(self, most: int = 1 << 20) -> bytes:
        """The data set."""
        assert len(self.data) <= most
        return self.data


class FakeAssociation:
    """Keeps what is sent; `on_send` is called after each message."""

    calling_ae_title = "MODALITY1"
    called_ae_title = "DICOMWEB_BOX"
    peer_address = "127.0.0.1"

    def __init__(self, extended: Mapping[str, bytes], on_send: Callable[["FakeAssociation"], None]) -> None:
        self.extended = extended
        self.sent: list[tuple[Mapping[str, Any], bytes | None]] = []
        self.event = Cancelled()
        self._on_send = on_send

    def cancelled(self, message_id: int) -> Cancelled:
        """Set by the test."""
        assert message_id == 7
        return self.event

    async def send(self, context: Context, command: Mapping[str, Any], data: bytes | None = None) -> None:
        """Keep it."""
        commands.encode(command, has_data=data is not None)
        self.sent.append((command, data))
        self._on_send(self)

    @property
    def statuses(self) -> list[int]:
        """Of every message."""
        return [command["Status"] for command, _ in self.sent]


def _nothing(association: FakeAssociation) -> None:
    del association


def call_of(
    box: Box,
    *,
    calling: str = "MODALITY1",
    identity: Identity = ANYBODY,
    peer: Peer | None = None,
    extended: Mapping[str, bytes] | None = None,
    on_send: Callable[[FakeAssociation], None] = _nothing,
) -> tuple[Call, FakeAssociation]:
    """A call of whoever it is."""
    association = FakeAssociation(extended or {}, on_send)
    association.calling_ae_title = calling
    caller = Caller(identity=replace(identity), peer=peer, source=f"dimse:{calling}", services=EVERY_SERVICE)
    return Call(box=box, association=association, caller=caller), association  # type: ignore[arg-type]
