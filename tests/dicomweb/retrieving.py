"""What the tests of retrieval share: a box behind its handlers, instances in it, parts of an answer."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount

from dicomweb_box.accounts.access import ANONYMOUS
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.asgi.errors import handlers
from dicomweb_box.asgi.stack import middleware
from dicomweb_box.box import Box
from dicomweb_box.dicomweb.routes import routes
from tests.builders import pieces

AS_STORED = "application/dicom; transfer-syntax=*"
MULTIPART_AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@asynccontextmanager
async def client_of(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the box's DICOMweb services in this process; errors come as answers."""
    app = Starlette(
        routes=[Mount("/dicom-web", routes=routes(box))],
        middleware=middleware(box.settings),
        exception_handlers=handlers(),
    )
    app.state.box = box
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080/dicom-web") as client:
        yield client


async def put(box: Box, data: bytes, source: str = "stow:test") -> Stored:
    """Store one object; it must succeed."""
    outcome = await store(box, await receive(box, pieces(data)), source=source, actor=ANONYMOUS)
    assert isinstance(outcome, Stored), outcome
    return outcome


def path_of(stored: Stored, *more: str) -> str:
    """The instance's path below the service's root."""
    names = ("studies", stored.study_uid, "series", stored.series_uid, "instances", stored.instance_uid)
    return "/" + "/".join((*names, *more))


def parts_of(response: httpx.Response) -> list[tuple[dict[str, str], bytes]]:
    """Headers and bytes of each part of a multipart answer."""
    match = re.search(r"boundary=([^;]+)", response.headers["content-type"])
    assert match is not None
    found = []
    for chunk in response.content.split(b"--" + match[1].encode())[1:-1]:
        head, _, body = chunk.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().strip().split("\r\n"))
        found.append((fields, body[:-2]))
    return found
