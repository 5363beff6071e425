"""One client's part: what it may ask for at once and in a second."""

import asyncio
import time

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from dicomweb_box.accounts.addresses import client_key
from dicomweb_box.asgi.shares import BURST, WRONG_PROOF, FairShares, Shares, by_address
from dicomweb_box.errors import TooMany, Unauthenticated
from tests.asgi.served import app_of, fine
from tests.waiting import turned


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_so_many_at_once_and_no_more_until_one_is_answered() -> None:
    shares = Shares(at_once=3, rate=1000)
    for _ in range(3):
        shares.enter("a")

    with pytest.raises(TooMany, match="3 requests at once"):
        shares.enter("a")

    shares.enter("b")
    shares.leave("a")
    shares.enter("a")


def test_a_rate_with_a_burst_and_the_seconds_to_wait() -> None:
    clock = Clock()
    shares = Shares(at_once=10**6, rate=10, clock=clock)
    for _ in range(int(10 * BURST)):
        shares.enter("a")

    with pytest.raises(TooMany) as caught:
        shares.enter("a")

    assert caught.value.seconds == 1
    clock.now += 1
    for _ in range(10):
        shares.enter("a")
    with pytest.raises(TooMany):
        shares.enter("a")
    shares.enter("b")


def test_wrong_proofs_count_many_times() -> None:
    shares = Shares(at_once=10, rate=60, clock=Clock())
    shares.enter("a")
    shares.charge("a", 20 * WRONG_PROOF)

    with pytest.raises(TooMany) as caught:
        shares.enter("a")

    assert caught.value.seconds in (10, 11)


def test_the_table_of_clients_is_bounded_and_keeps_who_is_asking() -> None:
    clock = Clock()
    shares = Shares(at_once=2, rate=1, most=100, clock=clock)
    for _ in range(2):
        shares.enter("busy")
    for number in range(10_000):
        shares.enter(f"client {number}")
        shares.leave(f"client {number}")
        assert len(shares) <= 100

    with pytest.raises(TooMany):
        shares.enter("busy")


def test_a_network_of_ipv6_is_one_client() -> None:
    assert client_key("2001:db8:1:2:a:b:c:d") == client_key("2001:db8:1:2::1")
    assert client_key("2001:db8:1:2::1") != client_key("2001:db8:1:3::1")
    assert client_key("::ffff:192.0.2.1") == client_key("192.0.2.1")
    assert client_key("fe80::1%eth0") == client_key("fe80::2%eth1")
    assert client_key("unknown") == "unknown"


def test_counting_costs_next_to_nothing() -> None:
    shares = Shares(at_once=10, rate=10**9)
    began = time.process_time()
    for _ in range(20_000):
        shares.enter("a")
        shares.leave("a")

    assert (time.process_time() - began) / 20_000 < 10e-6


async def test_who_asks_for_too_much_at_once_is_told_so_and_others_are_answered() -> None:
    gate, entered = asyncio.Event(), []

    async def slow(request: Request) -> Response:
        entered.append(1)
        await gate.wait()
        return Response("done")

    app = FairShares(app_of(("/slow", slow), ("/", fine)), key_of=by_address, at_once=2, rate=1000)

    async def asking(address: str, path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path)

    running = [asyncio.create_task(asking("192.0.2.1", "/slow")) for _ in range(2)]
    await turned(lambda: len(entered) == 2)
    with pytest.raises(TooMany):
        await asking("192.0.2.1", "/")
    assert (await asking("192.0.2.2", "/")).status_code == 200
    gate.set()
    assert [answer.status_code for answer in await asyncio.gather(*running)] == [200, 200]
    assert (await asking("192.0.2.1", "/")).status_code == 200


async def test_a_wrong_proof_is_counted_where_it_is_found_out() -> None:
    async def refusing(scope, receive, send):
        raise Unauthenticated("no")

    app = FairShares(refusing, key_of=by_address, at_once=5, rate=WRONG_PROOF)
    scope = {"type": "http", "client": ("192.0.2.1", 1)}
    for _ in range(int(BURST)):
        with pytest.raises(Unauthenticated):
            await app(scope, None, None)  # type: ignore[arg-type]

    with pytest.raises(TooMany):
        await app(scope, None, None)  # type: ignore[arg-type]
