"""Errors become answers with a sentence, never a traceback, and nothing of the query in the log."""

import asyncio
import logging

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message

from dicomweb_box.asgi.errors import Fault
from dicomweb_box.errors import (
    BadQuery,
    BadRequest,
    Damaged,
    NotAcceptable,
    NotFound,
    OutOfResources,
    RequestStalled,
    RequestTooLarge,
    UnreadableInstance,
)
from tests.asgi.served import Handler, app_of, client_of


async def sent_by(app: ASGIApp) -> list[Message]:
    """Every message that a request of "/" is answered with."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return await asyncio.Future()  # the client neither sends nor leaves

    scope = {
        "type": "http", "method": "POST", "path": "/", "query_string": b"", "scheme": "http", "root_path": "",
        "headers": [(b"host", b"localhost")],
    }  # fmt: skip
    await app(scope, receive, send)
    return sent


def raising(error: BaseException) -> Handler:
    async def handler(request: Request) -> Response:
        raise error

    return handler


@pytest.mark.parametrize(
    ("error", "method", "status"),
    [
        (BadRequest("Part 2 has no end."), "POST", 400),
        (BadQuery("limit is no number."), "GET", 400),
        (NotFound("There is no such study."), "GET", 404),
        (OutOfResources("The disk is full."), "GET", 503),
        (OutOfResources("The disk is full."), "POST", 507),
        (RequestTooLarge("The body is too long."), "POST", 413),
        (RequestStalled("The body stopped."), "POST", 408),
        (UnreadableInstance("No SOP Instance UID."), "POST", 400),
        (Damaged("The blob is shorter than the index says."), "GET", 500),
        (ExceptionGroup("of a task group", [NotFound("There is no such study.")]), "GET", 404),
    ],
)
async def test_an_error_of_ours_is_answered_with_its_sentence(
    error: Exception, method: str, status: int
) -> None:
    async with client_of(app_of(("/", raising(error)))) as client:
        answer = await client.request(method, "/")

    sentence = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
    assert answer.status_code == status
    assert answer.json() == {"error": str(sentence)}
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.row(55)
async def test_what_is_not_acceptable_says_what_is() -> None:
    error = NotAcceptable("None of the asked media types can be given.", ("image/png", "image/gif"))

    async with client_of(app_of(("/", raising(error)))) as client:
        answer = await client.get("/")

    assert answer.status_code == 406
    assert answer.json()["offered"] == ["image/png", "image/gif"]


async def test_an_unforeseen_error_says_nothing_of_itself_and_is_logged_without_query_and_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    async with client_of(app_of(("/studies", raising(ValueError("Doe^Jane"))))) as client:
        answer = await client.get("/studies?PatientName=Doe^Jane")

    assert answer.status_code == 500
    assert "Doe" not in answer.text
    assert "Traceback" not in answer.text
    logged = [record for record in caplog.records if record.name.startswith("dicomweb_box")]
    assert len(logged) == 1
    assert "GET /studies failed: ValueError" in logged[0].getMessage()
    assert "test_errors.py" in logged[0].getMessage()
    assert "Doe" not in logged[0].getMessage()
    assert logged[0].exc_info is None


async def test_no_route_and_no_method_are_sentences_too() -> None:
    async with client_of(app_of(("/", raising(NotFound(""))))) as client:
        nowhere = await client.get("/nowhere")
        other = await client.put("/")

    assert (nowhere.status_code, nowhere.json()["error"]) == (404, "There is nothing at this address.")
    assert other.status_code == 405
    assert set(other.headers["allow"].split(", ")) == {"GET", "HEAD", "POST", "DELETE"}


async def test_an_answer_already_begun_is_broken_off(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: Request) -> Response:
        async def body():
            yield b"half"
            raise Damaged("The blob ends too early.")

        return StreamingResponse(body())

    sent = await sent_by(app_of(("/", handler)))

    assert [message.get("body") for message in sent] == [None, b"half"]
    assert sent[-1]["more_body"]
    assert "Damaged (The blob ends too early.)" in caplog.text


async def test_a_client_that_left_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    assert await sent_by(app_of(("/", raising(ClientDisconnect())))) == []
    assert [record.levelname for record in caplog.records if record.name.startswith("dicomweb_box")] == [
        "INFO"
    ]


@pytest.mark.parametrize(
    ("path", "headers", "html"),
    [
        ("/studies/1", {"Accept": "text/html,*/*;q=0.8"}, True),
        ("/studies/1", {"HX-Request": "true"}, True),
        ("/studies/1", {"Accept": "application/json"}, False),
        ("/dicom-web/studies/1", {"Accept": "text/html,*/*;q=0.8"}, False),
    ],
)
async def test_people_get_a_page_and_programs_get_json(
    path: str, headers: dict[str, str], html: bool
) -> None:
    def page(request: Request, fault: Fault) -> Response:
        return PlainTextResponse(f"page: {fault.sentence}", fault.status)

    app = app_of(
        ("/studies/1", raising(NotFound("Gone."))),
        ("/dicom-web/studies/1", raising(NotFound("Gone."))),
        page=page,
    )
    async with client_of(app) as client:
        answer = await client.get(path, headers=headers)

    assert answer.status_code == 404
    assert answer.text == ("page: Gone." if html else '{"error":"Gone."}')
