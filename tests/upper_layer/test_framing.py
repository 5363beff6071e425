"""Streams of PDUs, cut anywhere."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_RJ, A_RELEASE_RP, A_RELEASE_RQ

from dicomweb_box.upper_layer import framing
from dicomweb_box.upper_layer.connection import short_pdu
from dicomweb_box.upper_layer.framing import Framing, Violation


class Gathered:
    """What came, with pieces of a fragment joined."""

    def __init__(self) -> None:
        self.all: list[tuple[object, ...]] = []
        self._piece = b""

    def pdu(self, kind: int, body: bytes) -> None:
        assert not self._piece
        self.all.append((kind, body))

    def fragment(self, context_id: int, control: int, piece: memoryview, ended: bool) -> None:
        self._piece += piece
        if ended:
            self.all.append((context_id, control, self._piece))
            self._piece = b""


fragments = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=50)), min_size=1, max_size=4
)
others = st.tuples(st.sampled_from([1, 2, 3, 5, 6, 7]), st.binary(max_size=40))


def encoded(pdu: list[tuple[int, int, bytes]] | tuple[int, bytes]) -> bytes:
    if isinstance(pdu, tuple):
        kind, body = pdu
    else:
        kind, body = framing.P_DATA, b"".join(struct.pack(">IBB", len(d) + 2, c, h) + d for c, h, d in pdu)
    return struct.pack(">BxI", kind, len(body)) + body


@pytest.mark.dicom("PS3.8 9.3")
@given(st.lists(st.one_of(fragments, others), max_size=6), st.lists(st.integers(1, 60), min_size=1))
def test_pdus_come_out_however_the_stream_is_cut(pdus: list[object], cuts: list[int]):
    stream = b"".join(map(encoded, pdus))
    gathered = Gathered()
    frames = Framing(gathered)
    position = 0
    while position < len(stream):
        for cut in cuts:
            frames.feed(memoryview(stream[position : position + cut]))
            position += cut
    expected = []
    for pdu in pdus:
        expected += [pdu] if isinstance(pdu, tuple) else pdu
    assert gathered.all == expected
    assert frames.whole == len(pdus)
    assert not frames.amid


@given(st.lists(st.one_of(fragments, others), min_size=1, max_size=3), st.data())
def test_a_stream_that_breaks_off_is_amid_a_pdu(pdus: list[object], data: st.DataObject):
    stream = b"".join(map(encoded, pdus))
    last = encoded(pdus[-1])
    cut = data.draw(st.integers(1, len(last) - 1))
    frames = Framing(Gathered())
    frames.feed(memoryview(stream[:-cut]))
    assert frames.amid


@given(st.binary(max_size=300), st.integers(1, 40))
def test_any_bytes_are_taken_apart_or_violate(stream: bytes, step: int):
    frames = Framing(Gathered())
    with contextlib.suppress(Violation):
        for position in range(0, len(stream), step):
            frames.feed(memoryview(stream[position : position + step]))
        assert frames.amid or frames.whole or not stream


@pytest.mark.dicom("PS3.8 9.3.4 9.3.6 9.3.7 9.3.8")
def test_short_pdus_are_those_of_pynetdicom():
    reject = A_ASSOCIATE_RJ()
    reject.result, reject.source, reject.reason_diagnostic = 2, 3, 2
    assert short_pdu(framing.ASSOCIATE_RJ, 2, 3, 2) == reject.encode()
    abort = A_ABORT_RQ()
    abort.source, abort.reason_diagnostic = 2, 6
    assert short_pdu(framing.ABORT, 2, 6) == abort.encode()
    assert short_pdu(framing.RELEASE_RQ) == A_RELEASE_RQ().encode()
    assert short_pdu(framing.RELEASE_RP) == A_RELEASE_RP().encode()
