"""An uploading program, as tests need it."""

import base64
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import httpx

from dicomweb_box.box import Box
from tests.builders import make_instance

JSON = {"Accept": "application/json"}


def content_digest(data: bytes, algorithm: str = "sha256") -> str:
    name = {"sha256": "sha-256", "sha512": "sha-512"}[algorithm]
    return f"{name}=:{base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}:"


def zipped(**members: bytes) -> bytes:
    """A zip archive; names with `__` for a slash."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return made.getvalue()


async def begun(client: httpx.AsyncClient, name: str = "Tests") -> str:
    """The address of a new session."""
    answer = await client.post("/upload", json={"name": name}, headers=JSON)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == answer.json()["address"]
    return str(answer.headers["location"])


async def announced(
    client: httpx.AsyncClient, session: str, path: str, size: int, modified: str | int = "1"
) -> dict[str, Any]:
    body = {"files": [{"path": path, "size": size, "modified": modified}]}
    answer = await client.post(f"{session}/files", json=body, headers=JSON)
    assert answer.status_code == 200, answer.text
    [file] = answer.json()["files"]
    return dict(file)


async def patch(
    client: httpx.AsyncClient, file: dict[str, Any], data: bytes, offset: int = 0, **headers: str
) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.patch(
        file["address"],
        content=data,
        headers={"Upload-Offset": str(offset), "Content-Digest": content_digest(data), **JSON, **given},
    )


async def sent(client: httpx.AsyncClient, session: str, path: str, data: bytes) -> dict[str, Any]:
    """A file announced and sent in one chunk; what the server says of it."""
    file = await announced(client, session, path, len(data))
    answer = await patch(client, file, data, Upload_Complete="?1")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def session_of(client: httpx.AsyncClient, session: str) -> dict[str, Any]:
    answer = await client.get(f"{session}.json")
    assert answer.status_code == 200
    return dict(answer.json())


def partial_files(box: Box) -> list[Path]:
    return [path for path in (box.settings.data / "uploads").rglob("*") if path.is_file()]


def counts(session: dict[str, Any]) -> tuple[int, ...]:
    return tuple(session[name] for name in ("files", "received", "stored", "already", "skipped", "refused"))


async def begun_with_one(client: httpx.AsyncClient) -> tuple[str, bytes, dict[str, Any]]:
    """A new session, and one instance that is announced in it."""
    session = await begun(client)
    data = make_instance()
    return session, data, await announced(client, session, "a.dcm", len(data))
