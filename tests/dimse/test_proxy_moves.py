"""A proxy that serves no C-GET: what is read of it comes by C-MOVE, into its cache alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydicom.dataset import Dataset

from dicomweb_box.box import Box
from dicomweb_box.outbound.dimse_scu import FIND, GET, MOVE
from dicomweb_box.upper_layer.errors import Rejected
from tests.conftest import MakeBox
from tests.dicomweb.doors import client_of
from tests.dicomweb.proxied import path
from tests.dimse.doors import EXPLICIT, call, serving
from tests.outbound.pacs import TITLE, Pacs, pacs
from tests.outbound.remote import north, study

TO_CACHE = "BOX_PROXY"
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
async def box(make_box: MakeBox) -> AsyncIterator[Box]:
    """A box with an AE title for what is read of proxies."""
    async with make_box(proxy_ae_title=TO_CACHE) as made:
        yield made


@asynccontextmanager
async def mover(
    box: Box, *held: Dataset, services: tuple[str, ...] = (FIND, MOVE), **how: Any
) -> AsyncIterator[tuple[Pacs, httpx.AsyncClient]]:
    """A PACS that only moves, offered as a proxy, and a client of the box."""
    async with serving(box) as door, client_of(box) as client:
        with pacs(*held, services=services, destination=("127.0.0.1", door.port), **how) as there:
            await north(box, there, proxy=True)
            yield there, client


async def realms(box: Box) -> set[str]:
    rows = await box.database.fetch_all("select distinct realm from instance")
    return {row["realm"].partition(":")[0] for row in rows}


@pytest.mark.dicom("PS3.4 C.4.2")
async def test_a_series_comes_by_c_move_into_the_cache_alone(box: Box) -> None:
    theirs = study(6)
    async with mover(box, *theirs) as (there, client):
        one = await client.get(f"/proxy/north{path(theirs[0])}")
        whole = await client.get(f"/proxy/north/studies/{theirs[0].StudyInstanceUID}/metadata")
        own = await client.get("/studies")

    assert (one.status_code, whole.status_code) == (200, 200)
    assert len(whole.json()) == 6
    assert own.json() == []
    assert await realms(box) == {"proxy"}
    assert [kind for kind, asked in there.asked if asked.QueryRetrieveLevel == "SERIES"].count("move") == 2


async def test_a_peer_that_negotiates_c_get_and_does_not_serve_it_is_asked_to_move(box: Box) -> None:
    theirs = study(1)
    async with mover(box, *theirs, services=(FIND, GET, MOVE), get_status=0xA900) as (there, client):
        answer = await client.get(f"/proxy/north{path(theirs[0])}")

    assert answer.status_code == 200
    assert [kind for kind, _ in there.asked if kind != "find"] == ["get", "move"]


async def test_what_comes_after_the_peer_said_that_it_sent_it_is_waited_for(box: Box) -> None:
    theirs = study(1)
    async with mover(box, *theirs, later=True) as (there, client):
        asked = asyncio.create_task(client.get(f"/proxy/north{path(theirs[0])}"))
        while [kind for kind, _ in there.asked][-1:] != ["move"]:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(there.push, *theirs, called=TO_CACHE)
        answer = await asked

    assert answer.status_code == 200


async def test_what_a_proxy_stores_under_the_archives_title_is_the_archives(box: Box) -> None:
    theirs = study(2)
    async with mover(box, *theirs) as (there, client):
        await asyncio.to_thread(there.push, *theirs)
        found = await client.get("/studies")

    assert len(found.json()) == 1
    assert await realms(box) == {"main"}


async def test_nobody_else_stores_under_the_title_of_the_cache(box: Box) -> None:
    with pacs() as there:
        await north(box, there)
    async with serving(box) as door:
        for calling in (TITLE, "STRANGER"):
            with pytest.raises(Rejected):
                await call(door.port, (CT, EXPLICIT), calling=calling, called=TO_CACHE)


async def test_without_the_setting_a_peer_without_c_get_is_a_bad_gateway(make_box: MakeBox) -> None:
    theirs = study(1)
    async with make_box() as box, mover(box, *theirs) as (there, client):
        answer = await client.get(f"/proxy/north{path(theirs[0])}")

    assert answer.status_code == 502
    assert "proxy_ae_title" in answer.json()["error"]
    assert "move" not in {kind for kind, _ in there.asked}
