"""A box with accounts, and a browser-like client of it without a network."""

from collections.abc import AsyncIterator

import httpx
import pytest

from dicomweb_box.app import assemble
from dicomweb_box.box import Box
from tests.conftest import MakeBox

ORIGIN = {"Origin": "http://localhost"}
"""What a browser sends along with a form."""


@pytest.fixture
async def guarded(make_box: MakeBox) -> AsyncIterator[Box]:
    """An open, empty box that asks who somebody is."""
    async with make_box(no_auth=False) as box:
        yield box


@pytest.fixture
async def client(guarded: Box) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps cookies and wants pages."""
    transport = httpx.ASGITransport(assemble(guarded), raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers={"Accept": "text/html", **ORIGIN}
    ) as made:
        yield made
