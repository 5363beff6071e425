"""Other sites' pages can neither act here nor read under another name."""

import socket

import httpx
import pytest

from dicomweb_box.settings import Settings
from tests.asgi.served import app_of, client_of, fine

LAN = "http://box.clinic.lan:8080"
SETTINGS = Settings(
    no_auth=True,
    public_url="http://box.clinic.lan:8080",
    cors_origins=("https://viewer.example",),
    allowed_hosts=("pacs.clinic.lan", "*.viewers.example"),
)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"User-Agent": "curl/8", "Authorization": "Basic YTpi"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8080"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Cookie": "session=1"}, True),
        ({"Origin": "http://localhost:8080"}, True),
        ({"Origin": "https://viewer.example", "Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}, False),
        ({"Origin": "http://localhost:3000"}, False),
        ({"Origin": "https://localhost:8080"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Cookie": "session=1"}, False),
        ({"User-Agent": "Mozilla/5.0", "Authorization": "Basic YTpi"}, False),
    ],
)
async def test_an_unsafe_request_of_another_origin_is_refused(headers: dict[str, str], allowed: bool) -> None:
    async with client_of(app_of(("/", fine), settings=SETTINGS)) as client:
        for method in ("POST", "DELETE"):
            answer = await client.request(method, "/", headers=headers)
            assert answer.status_code == (200 if allowed else 403)
        assert (await client.get("/", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [(LAN, True), ("http://box.clinic.lan", False), ("http://other.clinic.lan:8080", False)],
)
async def test_plain_http_on_a_lan_is_judged_by_origin_alone(origin: str, allowed: bool) -> None:
    # Browsers send no Sec-Fetch-Site to plain HTTP beyond localhost.
    async with client_of(app_of(("/", fine), settings=SETTINGS), base_url=LAN) as client:
        answer = await client.post("/", headers={"Origin": origin, "Cookie": "session=1"})

    assert answer.status_code == (200 if allowed else 403)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8080", 200),
        ("box.localhost:9", 200),
        ("127.0.0.1:8080", 200),
        ("127.8.9.1", 200),
        ("[::1]:8080", 200),
        ("box.clinic.lan:8080", 200),
        ("evil.example", 421),
        ("localhost.evil.example:8080", 421),
        ("127.0.0.1.evil.example", 421),
        ("pacs.clinic.lan", 200),
        ("a.viewers.example", 200),
        ("a.b.viewers.example", 421),
        ("viewers.example", 421),
        ("localhost@evil.example", 421),
        ("localhost/evil", 421),
        ("localhost:port", 421),
        ("192.168.1.5:8080", 421),
        ("[::ffff:10.0.0.1]", 421),
        ("[nonsense", 421),
        ("", 200),
    ],
)
async def test_only_its_own_names_are_answered(host: str, status: int) -> None:
    async with client_of(app_of(("/", fine), settings=SETTINGS)) as client:
        answer = await client.get("/", headers={"Host": host})

    assert answer.status_code == status
    assert status == 200 or "localhost" in answer.json()["error"]


async def test_the_address_that_was_connected_to_is_a_name_of_ours() -> None:
    app = app_of(("/", fine), settings=Settings(no_auth=True))

    async def at(host: str, local: str) -> int:
        async def there(scope, receive, send):
            await app({**scope, "server": (local, 8080)}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(there)) as client:
            return (await client.get("http://localhost/", headers={"Host": host})).status_code

    assert await at("192.168.1.5:8080", "192.168.1.5") == 200
    assert await at("192.168.1.5", "::ffff:192.168.1.5") == 200
    assert await at("[fe80::1]", "fe80::1%eth0") == 200
    assert await at("192.168.1.5", "192.168.1.6") == 421
    assert await at(socket.gethostname(), "192.168.1.6") == 200
