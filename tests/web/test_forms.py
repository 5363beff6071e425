"""What is posted, by people's forms and by programs."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dicomweb_box.asgi.errors import handlers
from dicomweb_box.web.forms import MOST_BYTES, posted
from dicomweb_box.web.twins import as_json, done


async def echo(request: Request) -> Response:
    fields = await posted(request)
    return as_json({"name": fields.one("name"), "label": fields.all("label"), "sure": fields.flag("sure")})


async def make(request: Request) -> Response:
    return done(request, "/things/1", resource={"id": 1}, status=201)


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = Starlette(
        routes=[Route("/echo", echo, methods=["POST"]), Route("/things", make, methods=["POST"])],
        exception_handlers=handlers(),
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def test_a_form_and_a_json_object_say_the_same(client: httpx.AsyncClient) -> None:
    form = await client.post("/echo", data={"name": " Ann ", "label": ["a", "b"], "sure": "on"})
    json = await client.post("/echo", json={"name": "Ann", "label": ["a", "b"], "sure": True})

    assert form.json() == json.json() == {"name": "Ann", "label": ["a", "b"], "sure": True}


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"{", "application/json", "not JSON"),
        (b"[]", "application/json", "not a JSON object"),
        (b'{"name": {"a": 1}}', "application/json", "name is neither"),
        (b"name=a&name=b", "application/x-www-form-urlencoded", "name is given more than once"),
        (b"name=a%00b", "application/x-www-form-urlencoded", "holds a NUL"),
        (b'{"label": ["a", "b\\u0000"]}', "application/json", "holds a NUL"),
        (b"name=%ff", "application/x-www-form-urlencoded", "not UTF-8"),
        (b"name=a", "text/plain", "neither"),
        (b"sure=perhaps", "application/x-www-form-urlencoded", "sure is neither true nor false"),
    ],
)
async def test_what_cannot_be_meant_is_said(
    client: httpx.AsyncClient, body: bytes, kind: str, said: str
) -> None:
    answer = await client.post("/echo", content=body, headers={"Content-Type": kind})

    assert answer.status_code == 400
    assert said in answer.json()["error"]


async def test_a_form_larger_than_any_of_ours_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo", data={"name": "a" * (MOST_BYTES + 1)})

    assert answer.status_code == 413


async def test_people_are_led_on_and_programs_told(client: httpx.AsyncClient) -> None:
    person = await client.post("/things", headers={"Accept": "text/html"})
    program = await client.post("/things", headers={"Accept": "application/json"})

    assert (person.status_code, person.headers["location"]) == (303, "/things/1")
    assert (program.status_code, program.headers["location"], program.json()) == (201, "/things/1", {"id": 1})
