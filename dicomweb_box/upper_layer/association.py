"""An association: messages come in, messages go out, until one side releases or aborts it (PS3.7, PS3.8)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from dicomweb_box.upper_layer import commands, framing
from dicomweb_box.upper_layer.cancelled import Cancelled
from dicomweb_box.upper_layer.commands import Command
from dicomweb_box.upper_layer.connection import Buffer, Connection, short_pdu
from dicomweb_box.upper_layer.errors import Aborted
from dicomweb_box.upper_layer.fragments import Fragments
from dicomweb_box.upper_layer.framing import Violation
from dicomweb_box.upper_layer.limits import Timeouts
from dicomweb_box.upper_layer.message import Context, Message, Queue

Data = Buffer | Iterable[Buffer] | AsyncIterable[Buffer]

LONGEST_COMMAND = 64 << 10
MOST_CANCELLED = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreed:
    """What the negotiation of an association came to."""

    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    contexts: Mapping[int, Context]
    extended: Mapping[str, bytes]
    most_pdu: int
    requestor: bool
    implementation: str = ""


class Association:
    """One association, of either role."""

    def __init__(self, connection: Connection, agreed: Agreed, timeouts: Timeouts) -> None:
        self.calling_ae_title = agreed.calling_ae_title
        self.called_ae_title = agreed.called_ae_title
        self.peer_address = agreed.peer_address
        self.peer_certificate = connection.peer_certificate
        self.contexts = agreed.contexts
        self.extended = agreed.extended
        self.most_pdu = agreed.most_pdu
        self.implementation = agreed.implementation
        self._requestor = agreed.requestor
        self._connection = connection
        self._timeouts = timeouts
        self._command = bytearray()
        self._command_context = 0
        self._incoming: Message | None = None
        self._requests = Queue(connection)
        self._answers: dict[int, Queue] = {}
        self._cancelled: dict[int, Cancelled] = {}
        self._message_id = 0
        self._sending = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._leaving = False
        self._released_by_peer = False
        self._release: asyncio.Future[None] | None = None
        connection.hand_over(self)

    @property
    def is_open(self) -> bool:
        """Whether messages can still be sent."""
        return self._connection.error is None and not self._released_by_peer and self._release is None

    # Receiving.

    async def receive(self) -> Message | None:
        """The next request; None when the association is released, by either side, or we are leaving.

        What was not read of the data set of the one before is passed over. Raises Aborted, TimedOut.
        """
        while True:
            message = self._requests.take()
            if message is not None:
                return message
            if self._released_by_peer:
                self._confirm_release()
                return None
            if self._release is not None:
                return None
            if self._connection.error is not None:
                raise self._connection.error
            if self._leaving:
                return None
            await self._requests.wait(self._timeouts.idle, "a request")

    def cancelled(self, message_id: int) -> Cancelled:
        """Set when the peer sends C-CANCEL-RQ for its request of this Message ID."""
        event = self._cancelled.setdefault(message_id, Cancelled())
        if self._connection.error is not None:
            event.set()  # nobody is there to answer to
        return event

    def leave(self) -> None:
        """`receive` gives None from now on, once what has come already is served."""
        self._leaving = True
        self._requests.wake()

    # Sending.

    async def send(
        self, context: Context, command: Mapping[str, Any] | Dataset, data: Data | None = None
    ) -> None:
        """Send a whole message; raises Aborted, TimedOut.

        The data set goes out as its pieces come and is never joined: they must stay as they are, as the
        socket may take them later. Where it cannot be given to its end, the association is aborted, since the
        peer waits for the rest.
        """
        encoded = commands.encode(command, has_data=data is not None)
        async with self._sending:
            if not self._connection.error and self._release is not None:
                raise Aborted("the association is being released")
            fragments = Fragments(context.id, self.most_pdu, self._connection.write)
            try:
                await fragments.send(encoded, data)
            except BaseException:
                self.end(Aborted("a message could not be sent to its end"), abort=(0, 0))
                raise
        self._settle(command)

    async def ask(
        self, context: Context, command: Mapping[str, Any], data: Data | None = None
    ) -> AsyncGenerator[Message]:
        """Send a request and give its responses, the last one with a final status; raises Aborted, TimedOut.

        The Message ID is the command's own, if it has one. Requests go one after another, as a peer performs
        one operation at a time (PS3.7 D.3.3.3), so that nothing else can be asked in the loop over this.
        """
        async with self._asking:
            message_id = command.get("MessageID") or self._next_message_id()
            answers = self._answers[message_id] = Queue(self._connection)
            try:
                await self.send(context, {**command, "MessageID": message_id}, data)
                status = 0xFF00
                while status in commands.PENDING:
                    message = await self._answer(answers)
                    status = message.command.get("Status", 0)
                    yield message
            finally:
                del self._answers[message_id]
                answers.drop()

    async def ask_one(
        self, context: Context, command: Mapping[str, Any], data: Data | None = None, *, most: int = 1 << 20
    ) -> Message:
        """Send a request that has one response, and give that, its data set (up to `most`) read already."""
        async with aclosing(self.ask(context, command, data)) as answers:
            async for message in answers:
                await message.keep(most)
                return message
        raise Aborted("no response came")

    async def cancel(self, context: Context, message_id: int) -> None:
        """Ask the peer to stop serving our request (C-CANCEL-RQ); it may still answer as if not."""
        await self.send(
            context, {"CommandField": commands.C_CANCEL_RQ, "MessageIDBeingRespondedTo": message_id}
        )

    # The end.

    async def release(self) -> None:
        """End the association in order, if it has not ended yet (PS3.8 7.2), whatever the peer does."""
        if self._connection.error is not None or self._release is not None:
            return
        if self._released_by_peer:
            self._confirm_release()
            return
        self._release = asyncio.get_running_loop().create_future()
        async with self._sending:
            self._connection.put(short_pdu(framing.RELEASE_RQ))
            self._drop_all()
            await self._connection.within(self._release, self._timeouts.close, "the answer to a release")

    async def abort(self) -> None:
        """End the association at once (PS3.8 7.3), if it has not ended yet."""
        self.end(Aborted("the association was aborted by us"), abort=(0, 0))

    def end(self, error: Aborted, *, abort: tuple[int, int] | None = None) -> None:
        """As `Connection.end`."""
        self._connection.end(error, abort=abort)

    async def closed(self) -> None:
        """Wait until there is no connection any more."""
        await asyncio.shield(self._connection.closed)

    # What the connection calls.

    def pdu(self, kind: int, body: bytes) -> None:
        """A PDU other than P-DATA-TF came (PS3.8 9.2.3, Sta6 to Sta12)."""
        if kind == framing.RELEASE_RQ and not self._released_by_peer:
            self._release_asked()
        elif kind == framing.RELEASE_RP and self._release is not None:
            self._release_answered()
        else:
            raise Violation(f"a PDU of type {kind} out of turn", reason=framing.UNEXPECTED_PDU)

    def fragment(self, context_id: int, control: int, piece: memoryview, ended: bool) -> None:
        """A piece of a fragment came; raises Violation where there can be none."""
        if self._released_by_peer:
            raise Violation("a message after its release", reason=framing.UNEXPECTED_PDU)
        if control & framing.COMMAND:
            self._command_piece(context_id, control, piece, ended)
            return
        message = self._incoming
        if message is None or message.context.id != context_id:
            raise Violation("a data set without its command set")
        message.add(piece)
        if ended and control & framing.LAST:
            self._incoming = None
            message.end()

    def lost(self, error: Aborted) -> None:
        """Nothing more comes."""
        self._requests.wake()
        for answers in self._answers.values():
            answers.wake()
        if self._incoming is not None:
            self._incoming.wake()
        for message in self._readers():
            message.wake()
        if self._release is not None and not self._release.done():
            self._release.set_result(None)
        for event in self._cancelled.values():
            event.set()

    # Private.

    def _readers(self) -> Iterable[Message]:
        for queue in (self._requests, *self._answers.values()):
            yield from queue.waiting()

    def _command_piece(self, context_id: int, control: int, piece: memoryview, ended: bool) -> None:
        if self._incoming is not None or (self._command and self._command_context != context_id):
            raise Violation("a command set within another message")
        self._command += piece
        self._command_context = context_id
        if len(self._command) > LONGEST_COMMAND:
            raise Violation(f"a command set of more than {LONGEST_COMMAND} bytes")
        if ended and control & framing.LAST:
            data, self._command = self._command, bytearray()
            self._message(context_id, data)

    def _message(self, context_id: int, data: bytearray) -> None:
        """A command set has come wholly."""
        context = self.contexts.get(context_id)
        if context is None:
            raise Violation("a message in a presentation context that was not accepted")
        try:
            command = commands.decode(data)
        except commands.Malformed as error:
            raise Violation(str(error)) from None
        message = Message(context, command, self._connection, self._timeouts)
        if message.has_data:
            self._incoming = message
        self._dispatch(message, command)

    def _dispatch(self, message: Message, command: Command) -> None:
        field = command["CommandField"]
        queue: Queue | None
        if field == commands.C_CANCEL_RQ:
            self._cancel(command.get("MessageIDBeingRespondedTo"))
            queue = None
        elif field & commands.RESPONSE:
            queue = self._answers.get(command.get("MessageIDBeingRespondedTo", -1))
        else:
            if "MessageID" not in command:
                raise Violation("a request without Message ID")
            self._cancelled.pop(command["MessageID"], None)
            queue = self._requests
        if queue is None or self._release is not None:
            message.drop()  # answers to what nobody asks any more, and what comes after our release
        else:
            queue.put(message)

    def _cancel(self, message_id: int | None) -> None:
        if message_id is None:
            return
        while len(self._cancelled) >= MOST_CANCELLED:
            del self._cancelled[next(iter(self._cancelled))]
        self.cancelled(message_id).set()

    def _settle(self, command: Mapping[str, Any] | Dataset) -> None:
        """A request that was answered finally cannot be cancelled any more."""
        if (
            command.get("CommandField", 0) & commands.RESPONSE
            and command.get("Status") not in commands.PENDING
        ):
            self._cancelled.pop(command.get("MessageIDBeingRespondedTo", -1), None)

    async def _answer(self, answers: Queue) -> Message:
        while True:
            message = answers.take()
            if message is not None:
                return message
            if self._connection.error is not None:
                raise self._connection.error
            if self._released_by_peer:
                raise Aborted("the peer released the association instead of responding")
            await answers.wait(self._timeouts.response, "a response")

    def _next_message_id(self) -> int:
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    def _release_asked(self) -> None:
        self._released_by_peer = True
        if self._release is not None:
            # PS3.8 9.2.3, Sta9 and Sta10: both asked. The requestor answers first, the acceptor after it.
            if self._requestor:
                self._connection.put(short_pdu(framing.RELEASE_RP))
        elif self._requestor:
            self._confirm_release()
        else:
            self._requests.wake()
            for answers in self._answers.values():
                answers.wake()

    def _release_answered(self) -> None:
        if self._released_by_peer and not self._requestor:
            self._confirm_release()
        else:
            self._connection.close(Aborted("the association was released"))

    def _confirm_release(self) -> None:
        self._connection.put(short_pdu(framing.RELEASE_RP))
        self._connection.end(Aborted("the association was released"))

    def _drop_all(self) -> None:
        self._requests.drop()
        if self._incoming is not None:
            self._incoming.drop()
