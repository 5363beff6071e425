"""Requests of two meanings are refused; foreign names, paths and origins lead nowhere."""

import httpx
import pytest

from conformance.objects import multipart
from conformance.server import Server
from tests.attacks.conftest import said
from tests.browser.populated import PARTS
from tests.builders import make_instance, new_uid

SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
UP = b'{"status":"up"}'
POST = b"POST /labels HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

TWO_MEANINGS = {
    "a length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 70\r\n\r\n",
    "one length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "a length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "a negative length": POST + b"Content-Length: -2\r\n\r\n{}",
    "a length in another base": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "a length in two pieces": POST + b"Content-Length: 1_0\r\n\r\n{}",
    "two encodings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunks not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "an unknown encoding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a control character before a value": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "a folded line": POST + b"X-Fold: a\r\n Content-Length: 70\r\n\r\n",
    "a folded encoding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "bare line feeds": b"POST /labels HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n",
    "a bare line feed in a header": POST + b"X: y\nContent-Length: 0\r\n\r\n",
    "a bare carriage return": POST + b"X: y\rContent-Length: 0\r\n\r\n",
    "a NUL": POST + b"X: y\0z\r\nContent-Length: 0\r\n\r\n",
    "a header without a name": POST + b": z\r\nContent-Length: 0\r\n\r\n",
    "a blank in a name": POST + b"X Y: z\r\nContent-Length: 0\r\n\r\n",
    "a line feed in a chunk's extension": CHUNKED + b"2;a\nxx\r\n{}\r\n0\r\n\r\n",
    "a chunk in another base": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "a blank after a chunk's size": CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n",
    "chunks parted by line feeds": CHUNKED + b"2\n{}\n0\n\n",
    "a chunk of more than there can be": CHUNKED + b"fffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
    "more than the chunk's size": CHUNKED + b"2\r\n{}xx\r\n0\r\n\r\n",
    "a length after the body": CHUNKED + b"2\r\n{}\r\n0\r\nContent-Length: 99\r\n\r\n",
}


@pytest.mark.parametrize("words", TWO_MEANINGS.values(), ids=TWO_MEANINGS.keys())
def test_a_request_of_two_meanings_is_refused_and_ends_the_connection(server: Server, words: bytes) -> None:
    answer = said(server, words + SMUGGLED)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in answer
    assert UP not in answer


def test_an_encoding_that_is_not_chunks_alone_is_refused(server: Server) -> None:
    answer = said(server, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Transfer-Encoding" in answer


def test_extensions_of_chunks_are_passed_over(server: Server) -> None:
    words = CHUNKED + b'2;a="b"\r\n{}\r\n0\r\n\r\n' + SMUGGLED

    answer = said(server, words)

    assert answer.startswith(b"HTTP/1.1 422 ")
    assert answer.count(UP) == 1


def test_the_body_of_a_get_is_no_request(server: Server) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED)

    assert said(server, head + SMUGGLED, seconds=1.0).count(UP) == 1


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Host: evil.example", 421),
        (b"Host: localhost\r\nHost: localhost", 400),
        (b"Host: localhost\r\nHost: evil.example", 421),
        (b"X: no host", 400),
        (b"Host: localhost@evil.example", 421),
        (b"Host: localhost:80@evil.example", 421),
        (b"Host: localhost#.evil.example", 421),
        (b"Host: evil.example\r\nX-Forwarded-Host: localhost", 421),
        (b"Host: localhost\r\nX-Forwarded-Host: evil.example\r\nX-Host: evil.example", 200),
        (b"Host: localhost\r\nForwarded: host=evil.example;proto=https", 200),
        (b"Host: localhost\r\nX-Original-URL: /status\r\nX-Rewrite-URL: /status", 200),
    ],
)
def test_names_that_are_not_ours_make_no_addresses(server: Server, head: bytes, status: int) -> None:
    for line in (
        b"GET /dicom-web/studies?limit=1 HTTP/1.1\r\n",
        b"GET http://evil.example/dicom-web/studies HTTP/1.1\r\n",
    ):
        answer = said(server, line + head + b"\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
        assert b"evil.example" not in answer


WAYS_OUT = [
    "../../../../../../etc/passwd",
    "..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "..%252f..%252f..%252f..%252fetc%252fpasswd",
    "..\\..\\..\\..\\..\\etc\\passwd",
    "..%5c..%5c..%5c..%5cetc%5cpasswd",
    "....//....//....//....//etc/passwd",
    "%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "file:///etc/passwd",
    "..;/..;/..;/etc/passwd",
    "../index.db",
    "..%2f..%2fbox.toml",
]


@pytest.mark.parametrize("base", ["/static/", "/static/x/", "/ohif/", "/", "/dicom-web/studies/", "/upload/"])
def test_no_path_leads_out_of_what_is_served(server: Server, base: str) -> None:
    for way in WAYS_OUT:
        words = f"GET {base}{way} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()

        answer = said(server, words)

        # A redirect is to an address of ours with a slash more or less.
        assert answer.split(b" ", 2)[1] in {b"307", b"400", b"404", b"410"}, (way, answer[:200])
        assert b"root:" not in answer
        assert b"SQLite format" not in answer


@pytest.mark.parametrize(
    "onward",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
     "/%09/evil.example", "///evil.example", "/\t/evil.example", "http:evil.example", "@evil.example"],
)  # fmt: skip
def test_logging_in_leads_nowhere_else(server: Server, onward: str) -> None:
    with httpx.Client(base_url=server.url, headers={"Accept": "text/html"}, timeout=60) as client:
        form = client.get("/login", params={"next": onward})
    shown = form.text if form.status_code == 200 else form.headers["location"]
    assert httpx.URL(server.url).join(form.headers.get("location", "/")).host == "127.0.0.1"
    assert 'value="https://evil' not in shown
    assert 'value="javascript' not in shown
    assert 'value="//' not in shown


def test_an_address_with_slashes_is_not_led_to_another_host(server: Server) -> None:
    for path in ("//evil.example/", "//evil.example/..", "/%2f%2fevil.example/", "/studies//evil.example/"):
        answer = said(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        location = next((line for line in answer.splitlines() if line.lower().startswith(b"location:")), b"")
        assert not location.lower().startswith((b"location: //", b"location: http://evil", b"location: /\\"))


def test_other_sites_can_neither_write_nor_read(server: Server) -> None:
    evil = {"Origin": "https://evil.example", "Cookie": "dicomweb_box=1"}
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for headers in (evil, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}, {"Cookie": "a=b"}):
            assert client.post("/labels", data={"name": "forged"}, headers=headers).status_code == 403
            assert client.delete("/dicom-web/studies/1.2.3", headers=headers).status_code == 403
        read = client.get("/dicom-web/studies", headers=evil)
        asked = client.options(
            "/dicom-web/studies", headers={**evil, "Access-Control-Request-Method": "POST"}
        )
    for answer in (read, asked):
        assert not [name for name in answer.headers if name.startswith("access-control-allow")]


@pytest.mark.parametrize(
    "preamble",
    [
        b"<html><script>alert(document.domain)</script></html>",
        b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"\x7fELF\x02\x01\x01",
        b"MZ\x90\x00",
        b"II*\x00",
        b"#!/bin/sh\nid\n",
        b"%PDF-1.7",
    ],
)
def test_an_object_that_is_also_something_else_is_given_as_dicom_alone(
    server: Server, preamble: bytes
) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()
    made = make_instance(StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=instance)
    both = preamble.ljust(128, b"\0") + made[128:]
    place = f"/dicom-web/studies/{study}/series/{series}/instances/{instance}"
    wado = f"/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}"
    with httpx.Client(base_url=server.url, timeout=60) as client:
        stored = client.post("/dicom-web/studies", content=multipart([both]), headers=PARTS)
        assert stored.status_code == 200
        answers = [
            client.get(
                place, headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
            ),
            client.get(place, headers={"Accept": "application/dicom; transfer-syntax=*"}),
            client.get(place, headers={"Accept": "text/html, */*;q=0.8"}),
            client.get(f"{wado}&contentType=application/dicom"),
        ]
    for answer in answers:
        assert answer.status_code == 200
        kind = answer.headers["content-type"]
        assert kind.startswith(
            ("application/dicom", 'multipart/related; type="application/dicom"', "multipart/related")
        ), kind
        assert answer.headers["x-content-type-options"] == "nosniff"
