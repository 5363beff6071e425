"""A peer that takes instances and says whether it keeps them: pynetdicom's AE as SCP of both services."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel as Push

INSTANCE = "1.2.840.10008.1.20.1.1"
TITLE = "KEEPER"


@dataclass
class Keeper:
    """What it has and was asked, and how it tells."""

    tells: Literal["here", "anew", "never"] = "here"
    """Over the association that asked, over one of its own, or not at all."""
    box_port: int = 0
    port: int = 0
    status: int = 0
    """… of N-ACTION."""
    lost: dict[str, int] = field(default_factory=dict)
    """Instances that it does not keep, with the reason of each."""
    contradicts: bool = False
    """It names these among those that it keeps as well."""
    got: list[str] = field(default_factory=list)
    asked: list[Dataset] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    """Statuses of its reports."""
    threads: list[threading.Thread] = field(default_factory=list)

    def store(self, event: Any) -> int:
        self.got.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    def action(self, event: Any) -> tuple[int, None]:
        self.asked.append(event.action_information)
        if self.status == 0 and self.tells != "never":
            over = event.assoc if self.tells == "here" else None
            self.begin(self.tell, event.action_information, over)
        return self.status, None

    def join(self) -> None:
        """Wait until it has told all and was answered."""
        for thread in self.threads:
            thread.join(60)

    def begin(self, work: Callable[..., object], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self.threads.append(thread)
        thread.start()

    def tell(self, asked: Dataset, over: Any = None) -> None:
        """Report on what was asked, over this association or a new one."""
        told = Dataset()
        told.TransactionUID = asked.TransactionUID
        kept, lost = [], []
        for one in asked.ReferencedSOPSequence:
            reason = self.lost.get(one.ReferencedSOPInstanceUID)
            if reason is None or self.contradicts:
                kept.append(deepcopy(one))
            if reason is not None:
                one.FailureReason = reason
                lost.append(one)
        if kept:
            told.ReferencedSOPSequence = kept
        if lost:
            told.FailedSOPSequence = lost
        association = over or self.call()
        answer, _ = association.send_n_event_report(told, 2 if lost else 1, Push, INSTANCE)
        self.answers.append(int(answer.Status))
        if over is None:
            association.release()

    def call(self) -> Any:
        ae = AE(TITLE)
        ae.add_requested_context(Push)
        role = build_role(Push, scp_role=True)
        made = ae.associate("127.0.0.1", self.box_port, ae_title="DICOMWEB_BOX", ext_neg=[role])
        assert made.is_established
        return made


@contextmanager
def keeping(*, serves: bool = True, **more: Any) -> Iterator[Keeper]:
    """A keeper on a free port; it `serves` Storage Commitment, or only stores."""
    made = Keeper(**more)
    ae = AE(TITLE)
    ae.add_supported_context(CTImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    if serves:
        ae.add_supported_context(Push)
    handlers = [(evt.EVT_C_STORE, made.store), (evt.EVT_N_ACTION, made.action)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    made.port = server.socket.getsockname()[1]
    try:
        yield made
    finally:
        made.join()
        server.shutdown()
