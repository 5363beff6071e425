"""The multipart reader takes what clients send and says the same however the body is cut."""

import io
import itertools
from email.parser import BytesParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomweb_box.dicom.multipart import Parser, PartBegin, PartEnd, closing, new_boundary, part_head
from dicomweb_box.errors import BadRequest

BOUNDARY = "frontier"
Part = tuple[dict[str, str], bytes]


def read(body: bytes, *cuts: int, boundary: str = BOUNDARY) -> list[Part]:
    """Every part of `body`, fed in pieces cut at `cuts`."""
    parser = Parser(boundary)
    parts: list[Part] = []
    whole = 0
    pieces = [body[begin:end] for begin, end in itertools.pairwise([0, *sorted(cuts), len(body)])]
    for events in [*(parser.feed(piece) for piece in pieces), parser.close()]:
        for event in events:
            if isinstance(event, PartBegin):
                parts.append((dict(event.headers), b""))
            elif isinstance(event, PartEnd):
                whole += 1
            else:
                parts[-1] = (parts[-1][0], parts[-1][1] + bytes(event))
    assert whole == len(parts)
    return parts


def outcome(body: bytes, *cuts: int) -> list[Part] | str:
    try:
        return read(body, *cuts)
    except BadRequest as error:
        return str(error)


def written(parts: list[bytes], boundary: str = BOUNDARY) -> bytes:
    body = b""
    for number, data in enumerate(parts):
        body += part_head(boundary, "application/dicom", first=number == 0) + data
    return body + closing(boundary)


DICOM = {"content-type": "application/dicom"}


@pytest.mark.row(112)
@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b"--frontier\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--frontier--\r\n", [(DICOM, b"abc")]),
        (b"\r\n--frontier\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--frontier--", [(DICOM, b"abc")]),
        (b"hello\r\n--frontier\r\nCONTENT-TYPE:application/dicom\r\n\r\nabc\r\n--frontier--",
         [(DICOM, b"abc")]),
        (b"--frontier\ncontent-type: application/dicom\n\nabc\n--frontier--\n", [(DICOM, b"abc")]),
        (b"--frontier\ncontent-type: application/dicom\n\nabc\r\n--frontier--\n", [(DICOM, b"abc\r")]),
        (b"--frontier \t\r\nContent-Type: application/dicom\r\n\r\nabc\r\n--frontier-- \t\r\n",
         [(DICOM, b"abc")]),
        (b"--frontier\r\n\r\nabc\r\n--frontier--", [({}, b"abc")]),
        (b"--frontier\r\n\0\0\0\0DICM\r\n\r\n\r\n--frontier--", [({}, b"\0\0\0\0DICM\r\n\r\n")]),
        (b"--frontier\r\nA: b\r\n\r\nabc\r\n--frontier--\r\nepilogue\r\n--frontier\r\n",
         [({"a": "b"}, b"abc")]),
        (b"--frontier\r\nA: b\r\n c\r\nA: d\r\n\r\n\r\n--frontier--", [({"a": "b c"}, b"")]),
        (b"--frontier\r\nA: b\r\n\r\n--frontier--", [({"a": "b"}, b"")]),
        (b"--frontier\r\nA: b\r\n--frontier\r\n--frontier--", [({"a": "b"}, b""), ({}, b"")]),
        (b"--frontier\r\n\r\n\r\n--frontier--", [({}, b"")]),
        (b"--frontier--\r\n", []),
    ],
    ids=[
        "strict", "leading CRLF, no trailing one", "preamble, header case", "bare line feeds",
        "bare line feeds, data end in CR", "white space after boundary", "no headers",
        "not even a blank line", "epilogue", "folded and repeated header, empty data",
        "no line end before the delimiter", "headers alone, nothing at all", "empty part", "no part",
    ],
)  # fmt: skip
def test_it_reads_what_clients_send_however_it_is_cut(body: bytes, parts: list[Part]) -> None:
    assert read(body) == parts
    assert read(body, *range(len(body))) == parts
    for cut in range(len(body)):
        assert read(body, cut) == parts


@pytest.mark.row(112)
@pytest.mark.parametrize(
    "data",
    [
        b"--frontier x", b"\r\n--frontier5\r\n", b"\r\n--frontier-\r\n", b"\r\n--frontier--x\r\n",
        b"\r\n --frontier\r\n", b"x--frontier--\r\n", b"\r\n--frontie\r\n", b"\r\n--FRONTIER\r\n",
        b"\r\r\n--frontier.\r\n",
        b"\r\n--frontier" + b" " * 300 + b"\r\n",
    ],
)  # fmt: skip
def test_a_boundary_that_is_no_whole_line_is_data(data: bytes) -> None:
    body = written([data, data])

    assert [part[1] for part in read(body)] == [data, data]
    assert [part[1] for part in read(body, *range(len(body)))] == [data, data]


FRAGMENTS = [
    b"\r\n", b"\n", b"\r", b"--frontier", b"--", b"-", b" ", b"\t", b"A: b", b"abc", b"\0", b"frontier",
    b"\r\n--frontier", b"\r\n--frontier\r\n", b"\r\n\r\n", b":",
]  # fmt: skip


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=24), st.lists(st.integers(0, 200), max_size=6))
def test_any_body_means_the_same_however_it_is_cut(fragments: list[bytes], cuts: list[int]) -> None:
    body = b"".join(fragments)
    whole = outcome(body)

    assert outcome(body, *(cut for cut in cuts if cut <= len(body))) == whole
    assert outcome(body, *range(len(body))) == whole


@given(st.lists(st.binary(max_size=400) | st.sampled_from(FRAGMENTS), min_size=1, max_size=6), st.data())
def test_what_is_written_is_read_again(parts: list[bytes], data: st.DataObject) -> None:
    boundary = new_boundary()
    body = written(parts, boundary)
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8))

    assert read(body, *cuts, boundary=boundary) == [(DICOM, part) for part in parts]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "The body is empty."),
        (
            b"--other\r\n\r\nabc\r\n--other--",
            "No line of the body is the boundary that the Content-Type header names.",
        ),
        (b"x" * 70_000, "The body does not begin with the boundary that the Content-Type header names."),
        (b"--frontier\r\n\r\nabc\r\n", "The body ends within part 1: the closing boundary is missing."),
        (
            b"--frontier\r\n\r\nabc\r\n--frontier",
            "The body ends within part 2: the closing boundary is missing.",
        ),
        (b"--frontier\r\nA: b", "The body ends within part 1: the closing boundary is missing."),
        (b"--frontier\r\n" + b"A: b\r\n" * 4000 + b"\r\n", "The headers of part 1 are longer than 16 KB."),
    ],
)
def test_a_body_that_cannot_be_meant_is_refused_with_its_reason(body: bytes, sentence: str) -> None:
    for cuts in ([], range(0, len(body), 997)):
        with pytest.raises(BadRequest, match=f"^{sentence}$"):
            read(body, *cuts)


def test_parts_before_the_break_are_told() -> None:
    parser = Parser(BOUNDARY)
    body = b"--frontier\r\n\r\nabc\r\n--frontier\r\n" + b"A: b\r\n" * 4000

    told: list[object] = []
    with pytest.raises(BadRequest):
        told.extend(parser.feed(body))  # extend keeps what came before the error

    assert isinstance(told[0], PartBegin)
    assert told[1] == b"abc"
    assert told[2] == PartEnd()


@pytest.mark.parametrize("boundary", ["", "a\nb", "a\rb", "x" * 2000])
def test_a_boundary_that_cannot_be_one_is_refused(boundary: str) -> None:
    with pytest.raises(BadRequest):
        Parser(boundary)


def test_no_more_than_a_delimiter_is_kept_between_pieces() -> None:
    parser = Parser(BOUNDARY)
    list(parser.feed(b"--frontier\r\n\r\n"))

    for piece in (b"\0" * 65536, b"\r" * 65536, b"\n" * 65536, b"\r\n--frontier" + b" " * 65536):
        told = list(parser.feed(piece))
        assert sum(len(event) for event in told if isinstance(event, memoryview)) >= 65_000


def test_the_data_are_slices_of_what_was_fed() -> None:
    parser = Parser(BOUNDARY)
    piece = bytes(range(256)) * 64
    list(parser.feed(b"--frontier\r\n\r\n" + piece))

    (data,) = parser.feed(piece)

    assert isinstance(data, memoryview)
    assert data.obj is piece


@pytest.mark.dicom("PS3.18 8.6.1.2")
def test_the_written_form_is_the_strict_one_that_clients_parse() -> None:
    head = part_head(
        "b",
        "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1",
        first=True,
        content_location="frames/1",
    )

    assert head == (
        b"--b\r\nContent-Type: application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1\r\n"
        b"Content-Location: frames/1\r\n\r\n"
    )
    assert len(head) < 1000
    assert part_head("b", "text/plain") == b"\r\n--b\r\nContent-Type: text/plain\r\n\r\n"
    assert closing("b") == b"\r\n--b--\r\n"


def test_another_reader_reads_what_is_written() -> None:
    parts = [b"one", b"two lines", b""]
    message = b'Content-Type: multipart/related; boundary="frontier"\r\n\r\n' + written(parts)

    read_by_email = BytesParser().parse(io.BytesIO(message)).get_payload()

    assert [part.get_payload(decode=True) for part in read_by_email] == [b"one", b"two lines", b""]
