"""People of the tests, and programs that act for them."""

import base64

import httpx

from dicomweb_box.accounts import users
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.app import assemble
from dicomweb_box.box import Box

GOOD = "correct horse battery"
PROGRAM = {"Accept": "application/json"}
ORIGIN = {"Origin": "http://localhost"}


async def person(box: Box, name: str, role: str, **more: object) -> httpx.AsyncClient:
    """A browser in which somebody of this role has just logged in."""
    await users.add(box, name, role=role, password=GOOD, must_change=False, actor=SYSTEM, **more)  # type: ignore[arg-type]
    made = stranger(box)
    answer = await made.post("/login", data={"name": name, "password": GOOD})
    assert answer.status_code == 303, answer.text
    return made


def stranger(box: Box) -> httpx.AsyncClient:
    """A browser in which nobody has logged in."""
    transport = httpx.ASGITransport(assemble(box), raise_app_exceptions=False)
    return httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers={"Accept": "text/html", **ORIGIN}
    )


def basic(name: str, password: str) -> dict[str, str]:
    """What a program sends for a name and a password."""
    return PROGRAM | {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


async def key_of(box: Box, name: str) -> str:
    """What addresses name an account by."""
    return (await users.account(box, name)).id
