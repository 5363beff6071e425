"""`python -m bench.upper_layer`: what the DICOM network alone costs, beside sockets that do nothing else.

C-STORE of half a megabyte over one association, nothing kept, sender and receiver in a process each; CPU of
each side per instance, and that of a socket which takes as many bytes, its acknowledgement included.
"""

import argparse
import asyncio
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context
from statistics import median

import uvloop

from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.acceptor import serve
from dicomweb_box.upper_layer.agreement import Acceptance, AssociationRequest
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.limits import Limits
from dicomweb_box.upper_layer.requestor import Proposed, request

CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
SIZE = 512 << 10


@dataclass
class Spent:
    """CPU of this process between one instance and the next."""

    each: list[int] = field(default_factory=list)
    last: int = 0

    def mark(self) -> None:
        now = time.process_time_ns()
        if self.last:
            self.each.append(now - self.last)
        self.last = now

    def __str__(self) -> str:
        # Beside other work the least tenth says what it costs, the median what it costs here and now.
        least = sorted(self.each)[len(self.each) // 10]
        return f"{least / 1e6:.3f} ms, median {median(self.each) / 1e6:.3f}"


async def _anything(asked: AssociationRequest) -> Acceptance:
    return Acceptance(contexts={one.id: one.transfer_syntaxes[0] for one in asked.proposed})


def _receive(listener: socket.socket, pdu_size: int) -> None:
    spent, leaving = Spent(), asyncio.Event()

    async def take(association: Association) -> None:
        while (message := await association.receive()) is not None:
            async for _ in message.pieces():
                pass
            await association.send(message.context, _response(message.command))
            spent.mark()
        leaving.set()

    limits = Limits(pdu_size=pdu_size)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(listener, _anything, take, limits, leaving=leaving))
    print(f"  taking in  {spent}")


def _response(command: commands.Command) -> dict[str, object]:
    return {
        "AffectedSOPClassUID": command.AffectedSOPClassUID,
        "AffectedSOPInstanceUID": command.AffectedSOPInstanceUID,
        "CommandField": commands.C_STORE_RQ | commands.RESPONSE,
        "MessageIDBeingRespondedTo": command.MessageID,
        "Status": 0,
    }


async def _send(port: int, count: int) -> None:
    proposed = [Proposed(abstract_syntax=CT, transfer_syntaxes=[EXPLICIT])]
    association = await request("127.0.0.1", port, calling="BENCH", called="BOX", contexts=proposed)
    command = {
        "AffectedSOPClassUID": CT,
        "AffectedSOPInstanceUID": "1.2.3.4.5.6.7.8.9",
        "CommandField": commands.C_STORE_RQ,
        "Priority": 0,
    }
    data, spent = os.urandom(SIZE), Spent()
    for _ in range(count):
        await association.ask_one(association.contexts[1], command, data)
        spent.mark()
    await association.release()
    print(f"  sending    {spent}")


def _take_bytes(listener: socket.socket, count: int) -> None:
    connection, _ = listener.accept()
    space, spent = memoryview(bytearray(SIZE)), Spent()
    with connection:
        for _ in range(count):
            came = 0
            while came < SIZE:
                came += connection.recv_into(space[came:])
            connection.sendall(b"ok")
            spent.mark()
    print(f"  a socket alone, taking in  {spent}")


def _send_bytes(port: int, count: int) -> None:
    data, spent = os.urandom(SIZE), Spent()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(count):
            connection.sendall(data)
            connection.recv(2)
            spent.mark()
    print(f"  a socket alone, sending    {spent}")


def _beside(
    receiver: Callable[[socket.socket, int], None], argument: int, sender: Callable[[int], None]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = get_context("fork").Process(target=receiver, args=(listener, argument))
        process.start()
        sender(listener.getsockname()[1])
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.upper_layer")
    parser.add_argument("--count", type=int, default=1000, help="instances for each size of PDU")
    count: int = parser.parse_args().count

    def send(port: int) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_send(port, count))

    print(f"CPU for an instance of {SIZE >> 10} KiB:")
    _beside(_take_bytes, count, lambda port: _send_bytes(port, count))
    for pdu_size in (16 << 10, 128 << 10, 256 << 10):
        print(f"PDUs of {pdu_size >> 10} KiB", flush=True)
        _beside(_receive, pdu_size, send)


if __name__ == "__main__":
    main()
