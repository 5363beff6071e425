"""A PACS read as a proxy."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from pydicom.dataset import Dataset

from dicomweb_box.app import assemble
from dicomweb_box.box import Box
from tests.outbound.pacs import Pacs, pacs
from tests.outbound.remote import north


@asynccontextmanager
async def proxy(box: Box, *held: Dataset, **how: Any) -> AsyncIterator[tuple[Pacs, httpx.AsyncClient]]:
    """A PACS that is offered as a proxy, and a client below its root."""
    with pacs(*held, **how) as there:
        await north(box, there, proxy=True)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(assemble(box)), base_url="http://localhost/dicom-web/proxy/north"
        ) as client:
            yield there, client


def path(one: Dataset) -> str:
    return f"/studies/{one.StudyInstanceUID}/series/{one.SeriesInstanceUID}/instances/{one.SOPInstanceUID}"


def kinds(there: Pacs) -> Counter[str]:
    """How often it was asked for what."""
    return Counter(f"{kind} {asked.QueryRetrieveLevel}" for kind, asked in there.asked)


def values(row: dict[str, Any], tag: str) -> list[Any]:
    return list(row[tag].get("Value", []))
