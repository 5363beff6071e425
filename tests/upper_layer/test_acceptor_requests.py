"""Requests for an association: which are rejected or aborted, and what is negotiated of the others."""

import asyncio
import logging
import struct

import pytest

from dicomweb_box.upper_layer import agreement, framing, negotiation
from dicomweb_box.upper_layer.agreement import Acceptance, AssociationRequest, Proposed, Rejection
from dicomweb_box.upper_layer.limits import Limits
from tests.upper_layer.peers import (
    CT,
    EXPLICIT,
    IMPLICIT,
    QUICK,
    RELEASE_RQ,
    VERIFICATION,
    Archive,
    answered,
    anything,
    association_request,
    echo,
    serving,
    wire,
)
from tests.waiting import turned


def items(*parts: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack(">BxH", kind, len(content)) + content for kind, content in parts)


def with_user_items(*parts: tuple[int, bytes]) -> bytes:
    """An A-ASSOCIATE-RQ with more items of user information."""
    pdu = bytearray(association_request())
    more = items(*parts)
    position = pdu.index(b"\x51\x00\x00\x04") - 4
    length = int.from_bytes(pdu[position + 2 : position + 4], "big")
    pdu[position + 2 : position + 4] = (length + len(more)).to_bytes(2, "big")
    pdu += more
    pdu[2:6] = (len(pdu) - 6).to_bytes(4, "big")
    return bytes(pdu)


# Associations that are not wanted.


async def rejected(pdu: bytes, **more: object) -> tuple[int, ...]:
    async with serving(Archive().talk, **more) as port, wire(port) as peer:
        peer.send(pdu)
        kind, body = await peer.pdu()
        assert kind == framing.ASSOCIATE_RJ
        return tuple(body[1:])


@pytest.mark.dicom("PS3.8 9.3.4")
async def test_it_rejects_as_the_policy_says():
    async def nobody(request: AssociationRequest) -> Rejection:
        assert (request.calling_ae_title, request.called_ae_title) == ("WIRE", "BOX")
        assert request.peer_address == "127.0.0.1"
        return agreement.CALLING_NOT_RECOGNIZED

    assert await rejected(association_request(), admit=nobody) == (1, 1, 3)


@pytest.mark.dicom("PS3.8 9.3.2")
async def test_it_rejects_another_version_of_the_protocol():
    pdu = bytearray(association_request())
    pdu[6:8] = b"\0\2"
    assert await rejected(bytes(pdu)) == (1, 2, 2)


@pytest.mark.dicom("PS3.8 9.3.2.1")
async def test_it_rejects_another_application_context():
    pdu = association_request().replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.2")
    assert await rejected(pdu) == (1, 1, 2)


@pytest.mark.dicom("PS3.8 9.3.4")
async def test_over_the_limit_of_associations_it_rejects_for_now():
    limits = Limits(associations=2, timeouts=QUICK)
    archive = Archive()
    async with serving(archive.talk, limits=limits) as port, wire(port) as one, wire(port) as two:
        await one.associate()
        await two.associate()
        async with wire(port) as three:
            three.send(association_request())
            assert await three.pdu() == (framing.ASSOCIATE_RJ, bytes([0, 2, 3, 2]))
        one.send(RELEASE_RQ)
        await one.pdu()
        one.writer.close()
        await turned(lambda: archive.ended == ["released"])
        async with asyncio.timeout(30):
            while not await accepted(port):
                await asyncio.sleep(0.01)


async def accepted(port: int) -> bool:
    """Whether an association is accepted, and not rejected."""
    async with wire(port) as one:
        one.send(association_request())
        return (await one.pdu())[0] == framing.ASSOCIATE_AC


async def test_an_address_has_its_own_limit():
    limits = Limits(associations_of_address=1, timeouts=QUICK)
    async with serving(Archive().talk, limits=limits) as port, wire(port) as one, wire(port) as two:
        await one.associate()
        two.send(association_request())
        assert await two.pdu() == (framing.ASSOCIATE_RJ, bytes([0, 2, 3, 2]))


# Negotiation.


async def asked(pdu: bytes) -> AssociationRequest:
    """What the policy is told of an A-ASSOCIATE-RQ, which is then accepted."""
    requests = []

    async def policy(request: AssociationRequest) -> Acceptance | Rejection:
        requests.append(request)
        return await anything(request)

    async with serving(Archive().talk, admit=policy) as port, wire(port) as peer:
        peer.send(pdu)
        kind, body = await peer.pdu()
        assert kind == framing.ASSOCIATE_AC
        assert b"\x59\x00" not in body[68:]
        peer.send(echo())
        await peer.message()
    (request,) = requests
    return request


@pytest.mark.dicom("PS3.7 D.3.3.7")
@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5])
async def test_user_identity_is_passed_over_without_a_response(kind: int):
    await asked(with_user_items((0x58, bytes([kind, 1]) + b"\0\4user\0\4word")))


@pytest.mark.dicom("PS3.8 9.3.1")
async def test_items_it_does_not_know_are_passed_over():
    request = await asked(with_user_items((0x7F, b"something")))
    assert request.calling_ae_title == "WIRE"


@pytest.mark.dicom("PS3.7 D.3.3.6")
async def test_the_policy_is_told_related_general_sop_classes():
    uid = CT.encode() + b".99"
    service, general = b"1.2.840.10008.4.2", CT.encode()
    content = b"".join(
        [
            struct.pack(">H", len(uid)),
            uid,
            struct.pack(">H", len(service)),
            service,
            struct.pack(">HH", len(general) + 2, len(general)),
            general,
        ]
    )
    request = await asked(with_user_items((0x57, content)))
    assert request.related == {uid.decode(): (CT,)}


@pytest.mark.dicom("PS3.7 D.3.3.3")
async def test_an_asynchronous_operations_window_is_answered_with_one():
    async with serving(Archive().talk) as port, wire(port) as peer:
        peer.send(with_user_items((0x53, b"\0\0\0\x08")))
        kind, body = await peer.pdu()
        assert kind == framing.ASSOCIATE_AC
        assert b"\x53\x00\x00\x04\0\1\0\1" in body


async def test_no_window_is_answered_where_none_was_asked_for():
    async with serving(Archive().talk) as port, wire(port) as peer:
        assert b"\x53\x00\x00\x04" not in await peer.associate()


@pytest.mark.dicom("PS3.7 D.3.3.5")
async def test_extended_negotiation_is_answered_as_the_policy_says():
    async def policy(request: AssociationRequest) -> Acceptance:
        assert request.extended == {CT: b"\1\1\1"}
        return Acceptance(contexts={1: IMPLICIT}, extended={CT: b"\1\0\1"})

    archive = Archive()
    async with serving(archive.talk, admit=policy) as port, wire(port) as peer:
        body = await peer.associate(extended={CT: b"\1\1\1"})
        assert CT.encode() + b"\1\0\1" in body
        peer.send(echo())
        await peer.message()
        assert archive.associations[0].extended == {CT: b"\1\0\1"}


@pytest.mark.dicom("PS3.8 9.3.3.2")
async def test_refused_contexts_carry_their_reason():
    async def policy(request: AssociationRequest) -> Acceptance:
        return Acceptance(contexts={3: agreement.NO_TRANSFER_SYNTAX})

    async with serving(Archive().talk, admit=policy) as port, wire(port) as peer:
        body = await peer.associate()
    results = {}
    position = body.index(b"\x21\x00")
    while body[position] == 0x21:
        results[body[position + 4]] = body[position + 6]
        position += 4 + int.from_bytes(body[position + 2 : position + 4], "big")
    assert results == {1: agreement.NO_ABSTRACT_SYNTAX, 3: agreement.NO_TRANSFER_SYNTAX}


def test_choose_takes_our_order_of_transfer_syntaxes():
    request = negotiation.read_request(
        association_request(
            Proposed(abstract_syntax=VERIFICATION, transfer_syntaxes=[IMPLICIT]),
            Proposed(abstract_syntax=CT, transfer_syntaxes=[IMPLICIT, EXPLICIT]),
            Proposed(abstract_syntax="1.2.3", transfer_syntaxes=[IMPLICIT]),
        )[6:],
        peer_address="",
    )
    assert isinstance(request, AssociationRequest)
    chosen = agreement.choose(request, {CT: [EXPLICIT, IMPLICIT], VERIFICATION: [EXPLICIT]})
    assert chosen == {1: agreement.NO_TRANSFER_SYNTAX, 3: EXPLICIT}


@pytest.mark.parametrize(
    "broken",
    [
        association_request().replace(b"\x20\x00", b"\x20\x00", 1)[:-3],
        association_request().replace(b"WIRE            ", b" " * 16),
        association_request().replace(b"WIRE            ", b"W\xff" + b" " * 14),
        association_request().replace(b"\x03\x00\x00\x00\x30", b"\x01\x00\x00\x00\x30"),
        association_request().replace(b"\x03\x00\x00\x00\x30", b"\x02\x00\x00\x00\x30"),
        association_request().replace(
            b"\x51\x00\x00\x04\x00\x00\x40\x00", b"\x51\x00\x00\x04\x00\x00\x00\x07"
        ),
        b"\x01\0\0\0\0\4\0\1cd",
        b"\x01\0\0\0\0\0",
    ],
)
async def test_a_request_that_cannot_be_understood_is_aborted(
    broken: bytes, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    pdu = bytearray(broken)
    pdu[2:6] = (len(pdu) - 6).to_bytes(4, "big")
    async with serving(Archive().talk) as port, wire(port) as peer:
        peer.send(bytes(pdu))
        await answered(peer, source=2, reason=framing.INVALID_PARAMETER)
    assert "Traceback" not in caplog.text
    assert "WIRE" not in caplog.text
