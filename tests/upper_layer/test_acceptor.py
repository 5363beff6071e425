"""What our acceptor does with peers that do as they should, or not; the peers are made by hand."""

import asyncio
import contextlib
import logging
import struct
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from dicomweb_box.upper_layer import commands, framing
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.limits import Limits, Timeouts
from tests.upper_layer.peers import (
    ABORT,
    EXPLICIT,
    QUICK,
    RELEASE_RP,
    RELEASE_RQ,
    Archive,
    answered,
    association_request,
    echo,
    message,
    p_data,
    response,
    serving,
    store,
    wire,
)
from tests.waiting import turned

BRIEF = Timeouts(connect=15, associate=15, close=0.3, idle=0.3, network=0.3, response=0.3)


# The end of associations.


@pytest.mark.dicom("PS3.8 9.2.3 AR-2")
async def test_it_confirms_a_release_and_lets_the_peer_close():
    archive = Archive()
    async with serving(archive.talk) as port, wire(port) as peer:
        await peer.associate()
        peer.send(echo(), RELEASE_RQ)
        command, _ = await peer.message()
        assert (command["MessageIDBeingRespondedTo"], command["Status"]) == (1, 0)
        assert await peer.pdu() == (framing.RELEASE_RP, bytes(4))
        await peer.ended()  # ARTIM
    assert archive.ended == ["released"]


@pytest.mark.dicom("PS3.8 9.2.3 AA-3")
@pytest.mark.parametrize("before", [b"", echo(), store(bytes(100))[:-50], store(bytes(100))[:20]])
async def test_an_abort_ends_the_association_in_any_state(before: bytes):
    archive = Archive()
    async with serving(archive.talk) as port, wire(port) as peer:
        await peer.associate()
        if not before or before == echo():
            peer.send(before, ABORT)
        else:
            peer.send(before)
            await peer.writer.drain()
            peer.writer.transport.abort()
        await turned(lambda: archive.ended == ["Aborted"])


@pytest.mark.dicom("PS3.8 9.2.3 AA-2")
async def test_an_abort_before_the_association_is_not_answered():
    async with serving(Archive().talk) as port, wire(port) as peer:
        peer.send(ABORT)
        await peer.ended()


@pytest.mark.dicom("PS3.8 9.2.3 AR-8")
async def test_a_release_collision_ends_in_order_for_the_acceptor():
    async def leave(association: Association) -> None:
        await association.release()

    async with serving(leave) as port, wire(port) as peer:
        await peer.associate()
        assert await peer.pdu() == (framing.RELEASE_RQ, bytes(4))
        peer.send(RELEASE_RQ)
        await asyncio.sleep(0.05)
        peer.send(RELEASE_RP)
        assert await peer.pdu() == (framing.RELEASE_RP, bytes(4))
        await peer.ended()


async def test_what_comes_after_our_release_is_passed_over():
    async def leave(association: Association) -> None:
        await association.release()

    async with serving(leave) as port, wire(port) as peer:
        await peer.associate()
        assert await peer.pdu() == (framing.RELEASE_RQ, bytes(4))
        peer.send(store(bytes(50_000)), RELEASE_RP)
        await peer.ended()


@pytest.mark.dicom("PS3.8 9.2.3 AA-8")
@pytest.mark.parametrize(
    ("pdu", "reason"),
    [
        (association_request(), framing.UNEXPECTED_PDU),
        (RELEASE_RP, framing.UNEXPECTED_PDU),
        (b"\x63\0\0\0\0\4\0\0\0\0", framing.UNRECOGNIZED_PDU),
        (b"\x04\0\xff\xff\xff\xff", framing.INVALID_PARAMETER),
        (b"\x01\0\x7f\xff\xff\xff", framing.INVALID_PARAMETER),
        (b"\x04\0\0\0\0\3abc", framing.INVALID_PARAMETER),
        (b"\x04\0\0\0\0\x08\0\0\0\1\1\3ab", framing.INVALID_PARAMETER),
        (b"\x04\0\0\0\0\x08\0\0\0\xff\1\3ab", framing.INVALID_PARAMETER),
        (p_data(3, framing.LAST, b"data"), framing.INVALID_PARAMETER),
        (p_data(99, framing.COMMAND | framing.LAST, echo()[12:]), framing.INVALID_PARAMETER),
        (p_data(1, framing.COMMAND | framing.LAST, b"garbage"), framing.INVALID_PARAMETER),
        (p_data(1, framing.COMMAND | framing.LAST, b""), framing.INVALID_PARAMETER),
        (p_data(1, framing.COMMAND, bytes(40_000)) * 2, framing.INVALID_PARAMETER),
        (p_data(1, framing.COMMAND, echo()[12:30]) + p_data(3, 3, echo()[30:]), framing.INVALID_PARAMETER),
        (store(b"data")[:-16] + echo(), framing.INVALID_PARAMETER),
        (message(1, {"CommandField": commands.C_ECHO_RQ}), framing.INVALID_PARAMETER),
    ],
)
async def test_it_aborts_what_breaks_the_protocol(pdu: bytes, reason: int, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    archive = Archive()
    async with serving(archive.talk) as port, wire(port) as peer:
        await peer.associate()
        peer.send(pdu)
        await answered(peer, source=2, reason=reason)
        await turned(lambda: archive.ended == ["Aborted"])
    assert "Traceback" not in caplog.text


async def test_a_handler_that_fails_aborts_its_association_and_no_other(caplog: pytest.LogCaptureFixture):
    async def fail(association: Association) -> None:
        await association.receive()
        raise LookupError("a mistake of ours")

    async with serving(fail) as port, wire(port) as peer, wire(port) as other:
        await peer.associate()
        await other.associate()
        peer.send(echo())
        await answered(peer, source=0, reason=0)
        other.send(ABORT)
        await other.ended()
    assert "a mistake of ours" in caplog.text


# Time.


async def test_a_request_for_an_association_that_drips_is_dropped():
    timeouts = replace(BRIEF, associate=0.3)
    async with serving(Archive().talk, limits=Limits(timeouts=timeouts)) as port, wire(port) as peer:
        sent, began = 0, time.monotonic()
        while not peer.writer.transport.is_closing():
            peer.send(association_request()[sent : sent + 1])
            sent += 1
            await asyncio.sleep(0.05)
        assert time.monotonic() - began > 0.2
        assert sent < 20


@pytest.mark.parametrize("many", [{"half_open": 3}, {"half_open_of_address": 3}])
async def test_the_oldest_of_too_many_silent_connections_goes_first(many: dict[str, int]):
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(Archive().talk, limits=Limits(timeouts=QUICK, **many)))
        silent = [await stack.enter_async_context(wire(port)) for _ in range(5)]
        for peer in silent[:2]:
            await peer.ended()
        await silent[4].associate()
        await silent[3].associate()


@pytest.mark.parametrize(
    "sent",
    [b"", echo()[:20], store(bytes(100))[:-50], store(bytes(100))[:-112]],
    ids=["nothing", "half a command set", "half a data set", "a command set alone"],
)
async def test_a_peer_that_falls_silent_is_aborted(sent: bytes):
    archive = Archive()
    async with serving(archive.talk, limits=Limits(timeouts=BRIEF)) as port, wire(port) as peer:
        await peer.associate()
        peer.send(sent)
        await answered(peer, source=2, reason=0)
        await turned(lambda: archive.ended == ["TimedOut"])


async def test_a_data_set_that_drips_is_aborted():
    archive = Archive()
    async with serving(archive.talk, limits=Limits(timeouts=BRIEF)) as port, wire(port) as peer:
        await peer.associate()
        whole = store(bytes(100))
        peer.send(whole[:-100])
        for sent in range(100):
            if archive.ended:
                break
            peer.send(whole[-100 + sent :][:1])
            await asyncio.sleep(BRIEF.network / 4)
        assert archive.ended == ["TimedOut"]
        assert sent < 20


async def test_a_peer_that_takes_nothing_is_aborted():
    async def flood(association: Association) -> None:
        request = await association.receive()
        assert request is not None
        while True:
            await association.send(request.context, response(request, 0xFF00), bytes(1 << 20))

    archive = Archive()

    async def talk(association: Association) -> None:
        try:
            await flood(association)
        except Exception as error:
            archive.ended.append(type(error).__name__)
            raise

    async with serving(talk, limits=Limits(timeouts=BRIEF)) as port, wire(port) as peer:
        await peer.associate()
        peer.send(echo())
        await turned(lambda: archive.ended == ["TimedOut"])


# Data sets.


async def test_what_a_handler_does_not_read_is_passed_over():
    async def refuse(association: Association) -> None:
        while (request := await association.receive()) is not None:
            await association.send(request.context, response(request, 0xA700))

    async with serving(refuse) as port, wire(port) as peer:
        await peer.associate()
        for number in (1, 2):
            peer.send(store(bytes(3 << 20), number))
            command, _ = await peer.message()
            assert (command["MessageIDBeingRespondedTo"], command["Status"]) == (number, 0xA700)


async def test_nothing_is_read_while_nobody_takes_what_came():
    gate = asyncio.Event()
    lengths = []

    async def hesitate(association: Association) -> None:
        request = await association.receive()
        assert request is not None
        await gate.wait()
        lengths.append(len(await request.whole(most=1 << 27)))
        await association.send(request.context, response(request))

    async with serving(hesitate) as port, wire(port) as peer:
        await peer.associate()
        data = bytes(14 << 20)
        peer.send(store(data))
        # What is neither in our buffers nor in those of the sockets still waits on the other side.
        assert await standing(peer.writer.transport.get_write_buffer_size) > 2 << 20
        gate.set()
        await peer.message()
        assert lengths == [len(data)]


async def test_an_empty_data_set_is_none_the_less_one():
    archive = Archive()
    async with serving(archive.talk) as port, wire(port) as peer:
        await peer.associate()
        peer.send(store(b""))
        await peer.message()
    assert archive.stored == {"1.2.3": (EXPLICIT, b"")}


@pytest.mark.dicom("PS3.8 E.1")
async def test_fragments_may_be_cut_anywhere_and_share_pdus():
    archive = Archive()
    data = bytes(range(256)) * 8
    whole = store(data)
    split = whole.index(p_data(3, framing.LAST, data))
    pieces = [data[:1], b"", data[1:1000], data[1000:]]
    fragments = b"".join(
        struct.pack(">IBB", len(piece) + 2, 3, framing.LAST if piece is pieces[-1] else 0) + piece
        for piece in pieces
    )
    pdu = struct.pack(">BxI", framing.P_DATA, len(fragments)) + fragments
    async with serving(archive.talk) as port, wire(port) as peer:
        await peer.associate()
        for position in range(0, split + len(pdu), 7):
            peer.send((whole[:split] + pdu)[position : position + 7])
            await asyncio.sleep(0)
        await peer.message()
    assert archive.stored == {"1.2.3": (EXPLICIT, data)}


# Cancel, and leaving.


@pytest.mark.dicom("PS3.7 9.3.2.3")
async def test_a_cancel_is_heard_while_a_request_is_served():
    async def serve_slowly(association: Association) -> None:
        while (request := await association.receive()) is not None:
            cancelled = association.cancelled(request.command.MessageID)
            assert not cancelled.is_set()
            await association.send(request.context, response(request, 0xFF00), b"match")
            await cancelled.wait()
            await association.send(request.context, response(request, 0xFE00))

    cancel = {"CommandField": commands.C_CANCEL_RQ, "MessageIDBeingRespondedTo": 7}
    async with serving(serve_slowly) as port, wire(port) as peer:
        await peer.associate()
        for _ in range(2):  # the same Message ID again is another request
            peer.send(echo(7))
            assert (await peer.message())[0]["Status"] == 0xFF00
            peer.send(message(1, cancel))
            assert (await peer.message())[0]["Status"] == 0xFE00
        for number in range(1000):
            peer.send(message(1, {**cancel, "MessageIDBeingRespondedTo": number}))
        peer.send(RELEASE_RQ)
        assert await peer.pdu() == (framing.RELEASE_RP, bytes(4))


async def test_when_leaving_it_serves_what_came_and_releases():
    leaving, begun, finish = asyncio.Event(), asyncio.Event(), asyncio.Event()
    archive = Archive()

    async def talk(association: Association) -> None:
        while (request := await association.receive()) is not None:
            begun.set()
            await finish.wait()
            await archive.serve(association, request)

    async with serving(talk, leaving=leaving) as port, wire(port) as peer, wire(port) as silent:
        await peer.associate()
        peer.send(store(b"data"))
        await begun.wait()
        leaving.set()
        await silent.ended()
        finish.set()
        assert (await peer.message())[0]["Status"] == 0
        assert await peer.pdu() == (framing.RELEASE_RQ, bytes(4))
        peer.send(RELEASE_RP)
        await peer.ended()
    assert list(archive.stored) == ["1.2.3"]


async def test_when_cancelled_it_aborts_what_is_left():
    archive = Archive()
    async with contextlib.AsyncExitStack() as stack:
        async with serving(archive.talk) as port:
            peer = await stack.enter_async_context(wire(port))
            await peer.associate()
        await answered(peer, source=0, reason=0)
    assert archive.ended == ["CancelledError"]


async def standing(measured: Callable[[], int]) -> int:
    """What is measured once it does not change any more."""
    async with asyncio.timeout(30):
        while True:
            before = measured()
            await asyncio.sleep(0.3)
            if measured() == before:
                return before
