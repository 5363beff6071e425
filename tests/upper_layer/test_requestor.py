"""What our requestor does with peers that do as they should, or not; they are made by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from dicomweb_box.upper_layer import agreement, commands, framing, negotiation
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.connection import short_pdu
from dicomweb_box.upper_layer.errors import Aborted, Rejected, TimedOut, TooLarge, Unreachable
from dicomweb_box.upper_layer.limits import Timeouts
from dicomweb_box.upper_layer.requestor import Proposed, request
from tests.upper_layer.peers import (
    ABORT,
    CT,
    EXPLICIT,
    IMPLICIT,
    QUICK,
    RELEASE_RP,
    RELEASE_RQ,
    VERIFICATION,
    Wire,
    anything,
    message,
    scripted,
)

BRIEF = Timeouts(connect=15, associate=15, close=0.3, idle=0.3, network=0.3, response=0.3)
ECHO = {"AffectedSOPClassUID": VERIFICATION, "CommandField": commands.C_ECHO_RQ}
PROPOSED = [
    Proposed(abstract_syntax=VERIFICATION, transfer_syntaxes=[IMPLICIT]),
    Proposed(abstract_syntax=CT, transfer_syntaxes=[EXPLICIT, IMPLICIT]),
]


async def asked(port: int, timeouts: Timeouts = QUICK, **more: object) -> Association:
    return await request(
        "127.0.0.1", port, calling="BOX", called="WIRE", contexts=PROPOSED, timeouts=timeouts, **more
    )


async def accept(peer: Wire, most_pdu: int = 16384) -> agreement.AssociationRequest:
    """The script of a peer that accepts everything."""
    kind, body = await peer.pdu()
    assert kind == framing.ASSOCIATE_RQ
    read = negotiation.read_request(body, peer_address="127.0.0.1")
    assert isinstance(read, agreement.AssociationRequest)
    acceptance = await anything(read)
    assert isinstance(acceptance, agreement.Acceptance)
    peer.send(negotiation.accept(read, acceptance, pdu_size=most_pdu)[1])
    return read


def answer(message_id: object, status: int = 0, data: bytes | None = None) -> bytes:
    return message(
        1,
        {
            "AffectedSOPClassUID": VERIFICATION,
            "CommandField": commands.C_ECHO_RQ | commands.RESPONSE,
            "MessageIDBeingRespondedTo": message_id,
            "Status": status,
        },
        data,
    )


@pytest.mark.dicom("PS3.8 9.2.3 AE-4")
@pytest.mark.parametrize(("result", "transient"), [(1, False), (2, True)])
async def test_a_rejection_says_why(result: int, transient: bool):
    async def reject(peer: Wire) -> None:
        await peer.pdu()
        peer.send(short_pdu(framing.ASSOCIATE_RJ, result, 1, 7))
        await peer.ended()

    async with scripted(reject) as port:
        with pytest.raises(Rejected, match="called AE title not recognized") as caught:
            await asked(port)
    assert caught.value.transient is transient


async def test_an_association_without_contexts_is_of_no_use():
    async def refuse_all(peer: Wire) -> None:
        _, body = await peer.pdu()
        read = negotiation.read_request(body, peer_address="")
        assert isinstance(read, agreement.AssociationRequest)
        peer.send(negotiation.accept(read, agreement.Acceptance(contexts={}), pdu_size=0)[1])
        assert (await peer.pdu())[0] == framing.ABORT

    async with scripted(refuse_all) as port:
        with pytest.raises(Rejected, match="none of the proposed presentation contexts"):
            await asked(port)


async def test_nobody_at_the_address():
    async def never(peer: Wire) -> None: ...

    async with scripted(never) as port:
        pass_through = await asyncio.open_connection("127.0.0.1", port)
        pass_through[1].close()
    with pytest.raises(Unreachable, match="could not be reached"):
        await asked(port)


async def test_a_peer_that_does_not_answer():
    async def silent(peer: Wire) -> None:
        await peer.pdu()
        assert (await peer.pdu())[0] == framing.ABORT

    async with scripted(silent) as port:
        with pytest.raises(Unreachable, match="did not answer within"):
            await asked(port, replace(BRIEF, associate=0.3))


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x02\0\0\0\0\4\0\1\0\0",
        short_pdu(framing.RELEASE_RP),
        b"",
        ABORT,
    ],
)
async def test_a_peer_that_answers_otherwise(reply: bytes):
    async def odd(peer: Wire) -> None:
        await peer.pdu()
        peer.send(reply)

    async with scripted(odd) as port:
        with pytest.raises(Unreachable):
            await asked(port, replace(BRIEF, associate=0.3))


async def test_a_transfer_syntax_that_was_not_proposed_is_not_taken():
    async def odd(peer: Wire) -> None:
        _, body = await peer.pdu()
        read = negotiation.read_request(
            body.replace(b"\x40\0\0\x13" + EXPLICIT.encode(), b"\x40\0\0\x131.2.840.10008.1.2.2"),
            peer_address="",
        )
        assert isinstance(read, agreement.AssociationRequest)
        acceptance = await anything(read)
        assert isinstance(acceptance, agreement.Acceptance)
        peer.send(negotiation.accept(read, acceptance, pdu_size=0)[1])
        assert (await peer.pdu())[0] == framing.ABORT

    async with scripted(odd) as port:
        with pytest.raises(Unreachable, match="not proposed"):
            await asked(port)


@pytest.mark.parametrize("count", [0, 129])
async def test_no_more_contexts_than_an_association_can_have(count: int):
    with pytest.raises(ValueError, match="1 to 128"):
        await request("127.0.0.1", 1, calling="BOX", called="X", contexts=[PROPOSED[0]] * count)


@pytest.mark.parametrize("title", ["", "A" * 17, "A\\B"])
async def test_titles_that_are_none(title: str):
    with pytest.raises(ValueError, match="AE Title"):
        await request("127.0.0.1", 1, calling=title, called="X", contexts=PROPOSED)


async def associated(
    script: Callable[[Wire], Awaitable[None]],
    talk: Callable[[Association], Awaitable[None]],
    timeouts: Timeouts = QUICK,
) -> None:
    """Both scripts, one at each end of an association."""

    async def peer_script(peer: Wire) -> None:
        await accept(peer)
        await script(peer)

    async with scripted(peer_script) as port:
        association = await asked(port, timeouts)
        await talk(association)
        await association.abort()


async def test_responses_come_in_order_until_the_final_one():
    async def respond(peer: Wire) -> None:
        command, _ = await peer.message()
        number = command["MessageID"]
        peer.send(
            answer(number, 0xFF00, b"one "), answer(4711), answer(number, 0xFF01, b"two "), answer(number)
        )
        command, _ = await peer.message()
        assert command["MessageID"] != number
        peer.send(answer(command["MessageID"], 0x0110))

    async def talk(association: Association) -> None:
        context = association.contexts[1]
        got = [
            (response.command.Status, await response.whole() if response.has_data else None)
            async for response in association.ask(context, ECHO)
        ]
        assert got == [(0xFF00, b"one "), (0xFF01, b"two "), (0, None)]
        assert (await association.ask_one(context, ECHO)).command.Status == 0x0110

    await associated(respond, talk)


async def test_the_data_set_of_one_response_can_be_read_later():
    async def respond(peer: Wire) -> None:
        command, _ = await peer.message()
        peer.send(answer(command["MessageID"], 0, b"data"))

    async def talk(association: Association) -> None:
        response = await association.ask_one(association.contexts[1], ECHO)
        assert await response.whole() == b"data"

    await associated(respond, talk)


async def test_a_data_set_that_is_too_large():
    async def respond(peer: Wire) -> None:
        command, _ = await peer.message()
        peer.send(answer(command["MessageID"], 0, bytes(1000)))

    async def talk(association: Association) -> None:
        with pytest.raises(TooLarge):
            await association.ask_one(association.contexts[1], ECHO, most=999)

    await associated(respond, talk)


async def test_what_nobody_reads_of_a_response_is_passed_over():
    async def respond(peer: Wire) -> None:
        command, _ = await peer.message()
        peer.send(*(answer(command["MessageID"], 0xFF00, bytes(16000)) for _ in range(500)))
        peer.send(answer(command["MessageID"]))
        command, _ = await peer.message()
        peer.send(answer(command["MessageID"]))

    async def talk(association: Association) -> None:
        count = 0
        async for _ in association.ask(association.contexts[1], ECHO):
            count += 1
        assert count == 501
        assert (await association.ask_one(association.contexts[1], ECHO)).command.Status == 0

    await associated(respond, talk)


async def test_two_tasks_ask_one_after_the_other():
    async def respond(peer: Wire) -> None:
        for _ in range(2):
            command, _ = await peer.message()
            await asyncio.sleep(0.05)
            peer.send(answer(command["MessageID"], command["MessageID"]))

    async def talk(association: Association) -> None:
        context = association.contexts[1]
        both = await asyncio.gather(association.ask_one(context, ECHO), association.ask_one(context, ECHO))
        assert [response.command.Status for response in both] == [1, 2]

    await associated(respond, talk)


@pytest.mark.dicom("PS3.7 9.3.2.3")
async def test_a_cancel_goes_out_while_responses_come():
    async def respond(peer: Wire) -> None:
        command, _ = await peer.message()
        peer.send(answer(command["MessageID"], 0xFF00))
        cancel, _ = await peer.message()
        assert cancel == {
            "CommandField": commands.C_CANCEL_RQ,
            "MessageIDBeingRespondedTo": command["MessageID"],
            "CommandDataSetType": commands.NO_DATA,
        }
        peer.send(answer(command["MessageID"], 0xFE00))

    async def talk(association: Association) -> None:
        context = association.contexts[1]
        statuses = []
        async for response in association.ask(context, ECHO):
            statuses.append(response.command.Status)
            if len(statuses) == 1:
                await association.cancel(context, response.command.MessageIDBeingRespondedTo)
        assert statuses == [0xFF00, 0xFE00]

    await associated(respond, talk)


@pytest.mark.parametrize(
    ("last", "error"),
    [(ABORT, Aborted), (RELEASE_RQ, Aborted), (b"\x09garbage", Aborted), (b"", TimedOut)],
    ids=["abort", "release", "garbage", "silence"],
)
async def test_no_response(last: bytes, error: type[Exception]):
    async def leave(peer: Wire) -> None:
        await peer.message()
        peer.send(last)
        if last == RELEASE_RQ:
            assert await peer.pdu() == (framing.RELEASE_RP, bytes(4))
        elif last != ABORT:
            assert (await peer.pdu())[0] == framing.ABORT

    async def talk(association: Association) -> None:
        with pytest.raises(error) as caught:
            await association.ask_one(association.contexts[1], ECHO)
        assert type(caught.value) is error
        assert not association.is_open
        with pytest.raises(Aborted):
            await association.ask_one(association.contexts[1], ECHO)

    await associated(leave, talk, BRIEF)


@pytest.mark.dicom("PS3.8 9.2.3 AR-9")
async def test_a_release_collision_ends_in_order_for_the_requestor():
    async def leave(peer: Wire) -> None:
        assert await peer.pdu() == (framing.RELEASE_RQ, bytes(4))
        peer.send(RELEASE_RQ)
        assert await peer.pdu() == (framing.RELEASE_RP, bytes(4))
        peer.send(RELEASE_RP)
        await peer.ended()

    async def talk(association: Association) -> None:
        await association.release()
        assert not association.is_open

    await associated(leave, talk)


async def test_the_wait_for_a_response_is_as_long_as_requests_come_in_between():
    async def give(peer: Wire) -> None:
        command, _ = await peer.message()
        for number in range(8):
            peer.send(message(3, {**ECHO, "MessageID": number + 1}, bytes(100)))
            await asyncio.sleep(0.2)
        peer.send(answer(command["MessageID"]))
        assert await peer.pdu() == (framing.RELEASE_RQ, bytes(4))
        peer.send(RELEASE_RP)

    async def talk(association: Association) -> None:
        async def take() -> int:
            count = 0
            while await association.receive() is not None:
                count += 1
            return count

        taking = asyncio.create_task(take())
        assert (await association.ask_one(association.contexts[1], ECHO)).command.Status == 0
        await association.release()
        assert await taking == 8

    await associated(give, talk, replace(BRIEF, network=1, response=1))


async def test_a_peer_that_does_not_answer_a_release_is_left():
    async def silent(peer: Wire) -> None:
        assert (await peer.pdu())[0] == framing.RELEASE_RQ
        assert (await peer.pdu())[0] == framing.ABORT

    async def talk(association: Association) -> None:
        await association.release()

    await associated(silent, talk, BRIEF)


async def test_the_peer_may_release_an_association_that_is_kept():
    async def leave(peer: Wire) -> None:
        peer.send(RELEASE_RQ)
        assert await peer.pdu() == (framing.RELEASE_RP, bytes(4))

    async def talk(association: Association) -> None:
        await association.closed()
        assert not association.is_open

    await associated(leave, talk)


async def test_a_request_may_follow_the_acceptance_at_once():
    async def eager(peer: Wire) -> None:
        peer.send(message(3, {**ECHO, "MessageID": 5}, b"data"), RELEASE_RQ)
        assert await peer.pdu() == (framing.RELEASE_RP, bytes(4))

    async def talk(association: Association) -> None:
        request = await association.receive()
        assert request is not None
        assert (request.command.MessageID, await request.whole()) == (5, b"data")
        assert await association.receive() is None

    await associated(eager, talk)


async def test_a_data_set_that_breaks_off_on_our_side_aborts_the_association():
    async def watch(peer: Wire) -> None:
        while (await peer.pdu())[0] == framing.P_DATA:
            pass

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(50_000)
        raise LookupError("the file is gone")

    async def talk(association: Association) -> None:
        with pytest.raises(LookupError):
            await association.ask_one(association.contexts[3], ECHO, broken())
        assert not association.is_open

    await associated(watch, talk)


@pytest.mark.dicom("PS3.8 D.1.1")
@pytest.mark.parametrize("most_pdu", [0, 128, 1001, 4096, 1 << 30])
@pytest.mark.parametrize("kind", ["bytes", "list", "stream"])
async def test_messages_are_cut_to_what_the_peer_takes(most_pdu: int, kind: str):
    data = bytes(range(256)) * 400
    lengths = []

    async def stream() -> AsyncIterator[bytes]:
        for position in range(0, len(data), 1001):
            yield data[position : position + 1001]

    async def watch(peer: Wire) -> None:
        await accept(peer, most_pdu)
        pdu = peer.pdu

        async def noted() -> tuple[int, bytes]:
            kind, body = await pdu()
            lengths.append(len(body))
            return kind, body

        peer.pdu = noted
        command, got = await peer.message()
        assert got == data
        peer.send(answer(command["MessageID"]))

    async with scripted(watch) as port:
        association = await asked(port)
        assert association.most_pdu == most_pdu
        sent = {"bytes": data, "list": [data[:7], data[7:]], "stream": stream()}[kind]
        await association.ask_one(association.contexts[3], ECHO, sent)
        await association.abort()
    most = min(most_pdu or 1 << 30, 1 << 18)
    assert max(lengths) <= most
    assert all(length % 2 == 0 for length in lengths)
    assert len(lengths) <= 2 + len(data) // (most - 7) + 200 // (most - 7)
