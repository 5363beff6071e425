"""What is said of the client counts only from proxies that are trusted."""

import ipaddress

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dicomweb_box.asgi.proxies import Hop, TrustedProxies, forwarded
from dicomweb_box.settings import Settings
from tests.asgi.served import app_of

TRUSTED = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "2001:db8::/32")))


async def tell(request: Request) -> Response:
    assert request.client is not None
    return JSONResponse([request.client.host, request.url.scheme, request.url.netloc])


async def told(peer: str, headers: list[tuple[str, str]], header: str = "x-forwarded-for") -> list[str]:
    """Who asks, how, and whom, as the application sees it."""
    app = TrustedProxies(Starlette(routes=[Route("/", tell)]), trusted=TRUSTED, header=header)
    transport = httpx.ASGITransport(app, client=(peer, 999))
    async with httpx.AsyncClient(transport=transport, base_url="http://box") as client:
        return list((await client.get("/", headers=headers)).json())


@pytest.mark.parametrize(
    ("peer", "headers", "seen"),
    [
        ("192.0.2.1", {"X-Forwarded-For": "198.51.100.7"}, ["192.0.2.1", "http", "box"]),
        (
            "192.0.2.1",
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil"},
            ["192.0.2.1", "http", "box"],
        ),
        ("10.0.0.1", {}, ["10.0.0.1", "http", "box"]),
        ("10.0.0.1", {"X-Forwarded-For": "198.51.100.7"}, ["198.51.100.7", "http", "box"]),
        ("::ffff:10.0.0.1", {"X-Forwarded-For": "198.51.100.7"}, ["198.51.100.7", "http", "box"]),
        # What the client wrote itself stands to the left of what the proxies wrote.
        ("10.0.0.1", {"X-Forwarded-For": "127.0.0.1, 198.51.100.7"}, ["198.51.100.7", "http", "box"]),
        ("10.0.0.1", {"X-Forwarded-For": "1.1.1.1, 198.51.100.7, 10.9.9.9"}, ["198.51.100.7", "http", "box"]),
        ("10.0.0.1", {"X-Forwarded-For": "10.1.1.1, 10.2.2.2"}, ["10.1.1.1", "http", "box"]),
        ("10.0.0.1", {"X-Forwarded-For": "198.51.100.7:4321"}, ["198.51.100.7", "http", "box"]),
        ("10.0.0.1", {"X-Forwarded-For": "[2001:dead::1]:4321"}, ["2001:dead::1", "http", "box"]),
        ("10.0.0.1", {"X-Forwarded-For": "unknown"}, ["10.0.0.1", "http", "box"]),
        ("10.0.0.1", {"X-Forwarded-For": "198.51.100.7, nonsense, 10.3.3.3"}, ["10.3.3.3", "http", "box"]),
        (
            "10.0.0.1",
            {
                "X-Forwarded-For": "198.51.100.7",
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Host": "pacs:8443",
            },
            ["198.51.100.7", "https", "pacs:8443"],
        ),
        ("10.0.0.1", {"X-Forwarded-Proto": "http, HTTPS"}, ["10.0.0.1", "https", "box"]),
        ("10.0.0.1", {"X-Forwarded-Proto": "gopher"}, ["10.0.0.1", "http", "box"]),
        ("10.0.0.1", {"Forwarded": "for=198.51.100.7;proto=https"}, ["10.0.0.1", "http", "box"]),
    ],
)
async def test_x_forwarded_headers(peer: str, headers: dict[str, str], seen: list[str]) -> None:
    assert await told(peer, list(headers.items())) == seen


@pytest.mark.parametrize(
    ("peer", "header", "seen"),
    [
        ("192.0.2.1", "for=198.51.100.7;proto=https;host=evil", ["192.0.2.1", "http", "box"]),
        ("10.0.0.1", "for=198.51.100.7;proto=https;host=pacs", ["198.51.100.7", "https", "pacs"]),
        ("10.0.0.1", 'For="[2001:dead::1]:80" ; Proto=HTTPS', ["2001:dead::1", "https", "box"]),
        ("10.0.0.1", "for=1.1.1.1;host=evil, for=198.51.100.7;host=pacs", ["198.51.100.7", "http", "pacs"]),
        (
            "10.0.0.1",
            "for=1.1.1.1;host=evil,for=198.51.100.7;host=pacs,for=10.1.1.1;host=inner",
            ["198.51.100.7", "http", "pacs"],
        ),
        ("10.0.0.1", "for=_hidden;proto=https", ["10.0.0.1", "https", "box"]),
        ("10.0.0.1", "for=198.51.100.7;proto", ["10.0.0.1", "http", "box"]),
        ("10.0.0.1", 'for="198.51.100.7', ["10.0.0.1", "http", "box"]),
    ],
)
async def test_the_header_of_rfc_7239(peer: str, header: str, seen: list[str]) -> None:
    assert await told(peer, [("Forwarded", header)], "forwarded") == seen


async def test_only_the_one_header_that_proxies_write_is_read() -> None:
    spoofed = [("X-Forwarded-For", "198.51.100.7"), ("Forwarded", "for=203.0.113.9")]

    assert (await told("10.0.0.1", spoofed, "forwarded"))[0] == "203.0.113.9"
    assert (await told("10.0.0.1", spoofed))[0] == "198.51.100.7"


def test_quoted_commas_part_nothing() -> None:
    assert forwarded('for="a,b;c";host="x\\"y", for=192.0.2.1') == [
        Hop(address=None, host='x"y'),
        Hop(address="192.0.2.1"),
    ]


async def test_a_name_that_a_proxy_tells_must_be_one_of_ours() -> None:
    settings = Settings(trusted_proxies=("127.0.0.1/32",), public_url="https://pacs.example", no_auth=True)
    app = app_of(("/", tell), settings=settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        poisoned = await client.get("/", headers={"X-Forwarded-Host": "evil.example"})
        ours = await client.get(
            "/", headers={"X-Forwarded-Host": "pacs.example", "X-Forwarded-Proto": "https"}
        )

    assert poisoned.status_code == 421
    assert ours.json()[1:] == ["https", "pacs.example"]
    assert ours.headers["strict-transport-security"] == "max-age=31536000"


async def test_https_is_only_asked_for_where_it_is_spoken() -> None:
    for settings, sent in (
        (Settings(no_auth=True), False),
        (Settings(no_auth=True, public_url="https://pacs.example"), True),
    ):
        app = app_of(("/", tell), settings=settings)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert ("strict-transport-security" in (await client.get("/")).headers) is sent
