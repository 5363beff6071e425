"""Addresses of the DICOMweb door."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, NoMatchFound, Route

from dicomweb_box.asgi.errors import handlers
from dicomweb_box.dicomweb.routes import Services


async def echo(request: Request) -> Response:
    return JSONResponse(
        {"route": request.scope["route"].path, "method": request.method, **request.path_params}
    )


PATHS = [
    "/", "/studies", "/studies/{study}", "/studies/count", "/studies/{study}/series/{series}",
    "/studies/{study}/bulkdata/{path:path}", "/studies/{study}/series/{series}/frames/{frames}",
]  # fmt: skip
ROUTES = [
    *(Route(path, echo, name=path) for path in PATHS),
    Route("/studies", echo, methods=["POST"]),
    Route("/studies/{uid}", echo, methods=["DELETE"]),
]


def client() -> httpx.AsyncClient:
    app = Starlette(routes=[Mount("/dicom-web", routes=[Services(ROUTES)])], exception_handlers=handlers())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", "/", {"route": "/"}),
        ("GET", "/studies", {"route": "/studies"}),
        ("GET", "/studies/", {"route": "/studies"}),
        ("POST", "/studies/", {"route": "/studies"}),
        ("GET", "/studies/count", {"route": "/studies/count"}),
        ("GET", "/studies/1.2", {"route": "/studies/{study}", "study": "1.2"}),
        ("DELETE", "/studies/1.2", {"route": "/studies/{uid}", "uid": "1.2"}),
        (
            "GET", "/studies/1/series/2",
            {"route": "/studies/{study}/series/{series}", "study": "1", "series": "2"},
        ),
        (
            "GET", "/studies/1/bulkdata/00081140/1/00091001",
            {"route": "/studies/{study}/bulkdata/{path:path}", "study": "1", "path": "00081140/1/00091001"},
        ),
        (
            "GET", "/studies/1/series/2/frames/1,2",
            {
                "route": "/studies/{study}/series/{series}/frames/{frames}",
                "study": "1", "series": "2", "frames": "1,2",
            },
        ),
    ],
)  # fmt: skip
async def test_an_address_leads_to_its_handler(method: str, path: str, answer: dict[str, str]) -> None:
    async with client() as http:
        got = await http.request(method, "/dicom-web" + path)

    assert got.json() == {"method": method, **answer}


@pytest.mark.parametrize(
    "path", ["/nothing", "/studies/1/2", "/studies//series/2", "/studies/1/series", "/studies/1/bulkdata"]
)
async def test_nothing_else_is_found(path: str) -> None:
    async with client() as http:
        assert (await http.get("/dicom-web" + path)).status_code == 404


async def test_a_method_that_is_not_taken_is_refused_with_those_that_are() -> None:
    async with client() as http:
        put = await http.put("/dicom-web/studies")
        options = await http.options("/dicom-web/studies/1.2")
        head = await http.head("/dicom-web/studies")

    assert (put.status_code, put.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert (options.status_code, options.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS")
    assert head.status_code == 200


def test_two_handlers_of_one_address_and_method_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two handlers"):
        Services([Route("/studies/{study}", echo), Route("/studies/{uid}", echo)])


def test_an_address_is_made_from_its_name() -> None:
    services = Services(ROUTES)

    assert services.url_path_for("/studies/{study}", study="1.2") == "/studies/1.2"
    with pytest.raises(NoMatchFound):
        services.url_path_for("nowhere")
