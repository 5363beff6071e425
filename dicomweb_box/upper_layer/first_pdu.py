"""Waits for the one PDU that decides whether there is to be an association."""

import asyncio

from dicomweb_box.upper_layer import framing
from dicomweb_box.upper_layer.errors import Aborted
from dicomweb_box.upper_layer.framing import Receiver, Violation


class FirstPdu:
    """Receives for a connection until there is an association (PS3.8 9.2.3, Sta2 and Sta5)."""

    def __init__(self, *kinds: int) -> None:
        self._kinds = kinds
        self._come: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._pdus: list[tuple[int, bytes]] = []
        self._fragments: list[tuple[int, int, memoryview, bool]] = []

    async def pdu_that_came(self) -> tuple[int, bytes]:
        """Which of the PDUs waited for came, and its body; raises Aborted."""
        return await self._come

    def pass_on(self, receiver: Receiver) -> None:
        """What came in the same read as an A-ASSOCIATE-AC is for the association; raises Violation."""
        for fragment in self._fragments:
            receiver.fragment(*fragment)
        for pdu in self._pdus:  # the only one that may follow is a release, and nothing may follow that
            receiver.pdu(*pdu)

    def pdu(self, kind: int, body: bytes) -> None:
        """A PDU came; raises Violation where it is another one than waited for."""
        if self._accepted() and not self._pdus:
            self._pdus.append((kind, body))
        elif kind not in self._kinds or self._come.done():
            raise Violation(f"a PDU of type {kind} out of turn", reason=framing.UNEXPECTED_PDU)
        else:
            self._come.set_result((kind, body))

    def fragment(self, context_id: int, control: int, piece: memoryview, ended: bool) -> None:
        """A piece of a message came; raises Violation where there is no association yet."""
        if not self._accepted() or self._pdus:
            raise Violation("a message before there was an association", reason=framing.UNEXPECTED_PDU)
        self._fragments.append((context_id, control, piece, ended))

    def lost(self, error: Aborted) -> None:
        """Nothing more comes."""
        if not self._come.done():
            self._come.set_exception(error)
            self._come.exception()  # it is told to whoever waits, if anybody does

    def _accepted(self) -> bool:
        come = self._come
        return come.done() and come.exception() is None and come.result()[0] == framing.ASSOCIATE_AC
