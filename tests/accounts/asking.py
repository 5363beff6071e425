"""One request to the application without a client: only what an answer says."""

import asyncio
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


async def ask(
    app: Starlette,
    method: str,
    address: str,
    headers: dict[str, str] | None = None,
    *,
    body: bytes = b"",
    root: str = "",
) -> Answer:
    """The answer to a request by a client that leaves once an answer began that has no end."""
    path, _, query = address.partition("?")
    given = {"host": "localhost", **(headers or {})}
    if body:
        given["content-length"] = str(len(body))
    began = asyncio.Event()
    sent: list[dict[str, Any]] = []
    arrived = False

    async def receive() -> dict[str, Any]:
        nonlocal arrived
        if arrived:
            await began.wait()
            return {"type": "http.disconnect"}
        arrived = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)
        began.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": root,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()],
        "client": ("127.0.0.1", 40000),
        "server": ("localhost", 80),
    }
    await app(scope, receive, send)
    head = sent[0]
    return Answer(
        status=head["status"],
        headers={name.decode(): value.decode("latin-1") for name, value in head["headers"]},
        body=b"".join(bytes(message.get("body", b"")) for message in sent[1:]),
    )
