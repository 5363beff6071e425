"""Waits for the one PDU that decides whether there is to be an association."""

import asyncio

from dicomweb_box.upper_layer import framing
from dicomweb_box.upper_layer.errors import Aborted
from dicomweb_box.upper_layer.framing import Violation


class FirstPdu:
    """Receives for a connection until there is an association (PS3.8 9.2.3, Sta2 and Sta5)."""

    def __init__(self, *kinds: int) -> None:
        self._kinds = kinds
        self._come: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    async def body(self) -> bytes:
        """The body of the PDU; raises Aborted."""
        return (await self._come)[1]

    async def kind_and_body(self) -> tuple[int, bytes]:
        """Which of the PDUs waited for came, and its body; raises Aborted."""
        return await self._come

    def pdu(self, kind: int, body: bytes) -> None:
        """A PDU came; raises Violation where it is another one than waited for, or the second."""
        if kind == framing.ABORT:
            raise Violation("an abort before there was an association", reason=framing.UNEXPECTED_PDU)
        if kind not in self._kinds or self._come.done():
            raise Violation(f"a PDU of type {kind} out of turn", reason=framing.UNEXPECTED_PDU)
        self._come.set_result((kind, body))

    def fragment(self, context_id: int, control: int, piece: memoryview, ended: bool) -> None:
        """A piece of a message came, before there is an association."""
        raise Violation("a message before there was an association", reason=framing.UNEXPECTED_PDU)

    def lost(self, error: Aborted) -> None:
        """Nothing more comes."""
        if not self._come.done():
            self._come.set_exception(error)
            self._come.exception()  # it is told to whoever waits, if anybody does
