"""A box behind its HTTP door, in process or on a real socket; STOW bodies."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import httpx
import uvicorn

from dicomweb_box.app import assemble
from dicomweb_box.box import Box
from dicomweb_box.dicom.multipart import closing, part_head

RELATED = 'multipart/related; type="application/dicom"; boundary=frontier'


def body_of(parts: Iterable[bytes]) -> bytes:
    """The parts as a body of `RELATED`."""
    heads = [
        part_head("frontier", "application/dicom", first=number == 0) + part
        for number, part in enumerate(parts)
    ]
    return b"".join(heads) + closing("frontier")


def client_of(box: Box) -> httpx.AsyncClient:
    """A client of the box in this process."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(assemble(box)), base_url="http://localhost/dicom-web"
    )


async def post(
    box: Box,
    content: bytes | AsyncIterator[bytes],
    *,
    content_type: str = RELATED,
    study: str | None = None,
    **headers: str,
) -> httpx.Response:
    """The answer to one Store request."""
    path = "/studies" if study is None else f"/studies/{study}"
    async with client_of(box) as client:
        return await client.post(path, content=content, headers={"Content-Type": content_type, **headers})


@asynccontextmanager
async def serving(box: Box) -> AsyncIterator[int]:
    """The box served by uvicorn; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(assemble(box), lifespan="off", log_config=None))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        yield listening.getsockname()[1]
        server.should_exit = True
        await task
