"""A client of the application over an open box, without a network."""

from collections.abc import AsyncIterator

import httpx
import pytest

from dicomweb_box.app import assemble
from dicomweb_box.box import Box


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(assemble(box), raise_app_exceptions=False)
    headers = {"Accept": "text/html"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as made:
        yield made
