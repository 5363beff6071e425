"""What a browser may do with an answer."""

import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dicomweb_box.errors import NotFound
from dicomweb_box.settings import Settings
from tests.asgi.served import app_of, client_of, fine

ORIGIN = "https://viewer.example"
SETTINGS = Settings(no_auth=True, cors_origins=(ORIGIN,))


async def page(request: Request) -> Response:
    return HTMLResponse("<title>Studies</title>")


async def validated(request: Request) -> Response:
    return Response(headers={"ETag": '"1"'})


async def kept(request: Request) -> Response:
    return Response(headers={"Cache-Control": "public, max-age=31536000, immutable"})


async def missing(request: Request) -> Response:
    raise NotFound("There is no such study.")


async def test_a_page_runs_no_foreign_or_inline_script_and_is_not_kept() -> None:
    async with client_of(app_of(("/", page))) as client:
        answer = await client.get("/")

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("handler", "cache_control"),
    [
        (fine, "no-store"),
        (validated, "private, no-cache"),
        (kept, "public, max-age=31536000, immutable"),
        (missing, "no-store"),
    ],
)
async def test_only_what_can_be_asked_about_again_is_kept(handler, cache_control: str) -> None:
    async with client_of(app_of(("/", handler))) as client:
        answer = await client.get("/")

    assert answer.headers["cache-control"] == cache_control
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "content-security-policy" not in answer.headers


@pytest.mark.row(94)
async def test_browsers_of_allowed_origins_may_call_dicom_web_and_read_errors() -> None:
    app = app_of(
        ("/dicom-web/studies", fine), ("/dicom-web/gone", missing), ("/page", fine), settings=SETTINGS
    )
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "accept, range, if-none-match",
    }

    async with client_of(app) as client:
        preflight = await client.options("/dicom-web/studies", headers={"Origin": ORIGIN, **asked})
        answer = await client.get("/dicom-web/studies", headers={"Origin": ORIGIN})
        error = await client.get("/dicom-web/gone", headers={"Origin": ORIGIN})
        other = await client.get("/dicom-web/studies", headers={"Origin": "https://other.example"})
        elsewhere = await client.get("/page", headers={"Origin": ORIGIN})

    assert preflight.status_code == 200
    assert {"accept", "authorization", "range"} <= set(
        preflight.headers["access-control-allow-headers"].lower().split(", ")
    )
    for one in (preflight, answer, error):
        assert one.headers["access-control-allow-origin"] == ORIGIN
    assert error.status_code == 404
    assert {"ETag", "Warning", "Content-Location"} <= set(
        answer.headers["access-control-expose-headers"].split(", ")
    )
    for one in (other, elsewhere):
        assert "access-control-allow-origin" not in one.headers


async def failing(request: Request) -> Response:
    raise RuntimeError("a mistake of ours")


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/wado", "localhost", 200),
        ("/dicom-web/studies", "localhost", 200),
        ("/dicom-web/nowhere", "localhost", 404),
        ("/dicom-web/failing", "localhost", 500),
        ("/dicom-web/studies?a=%00", "localhost", 400),
        ("/dicom-web/studies", "archive.example", 421),
    ],
)
async def test_errors_of_the_middleware_too_can_be_read_from_an_allowed_origin(
    path: str, host: str, status: int
) -> None:
    app = app_of(
        ("/dicom-web/studies", fine), ("/dicom-web/failing", failing), ("/wado", fine), settings=SETTINGS
    )

    async with client_of(app) as client:
        answer = await client.get(path, headers={"Origin": ORIGIN, "Host": host})

    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "Origin" in answer.headers["vary"]


async def test_an_answer_without_an_origin_is_not_kept_for_who_has_one() -> None:
    async with client_of(app_of(("/dicom-web/studies", fine), settings=SETTINGS)) as client:
        answer = await client.get("/dicom-web/studies")

    assert "Origin" in answer.headers["vary"]
    assert "access-control-allow-origin" not in answer.headers


async def test_only_the_services_are_shared() -> None:
    async with client_of(app_of(("/dicom-webs", fine), ("/wadox", fine), settings=SETTINGS)) as client:
        for path in ("/dicom-webs", "/wadox"):
            answer = await client.get(path, headers={"Origin": ORIGIN})
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/dicom-web/rendered", "/wado"])
async def test_what_was_stored_never_runs_as_a_page_of_ours(path: str) -> None:
    async with client_of(app_of((path, page))) as client:
        answer = await client.get(path)

    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "media_type", ["model/x3d+xml", "image/svg+xml", "Text/HTML; charset=utf-8", "application/xml"]
)
async def test_nothing_that_a_browser_may_take_for_markup_runs(media_type: str) -> None:
    async def stored(request: Request) -> Response:
        return Response(b"<script/>", headers={"Content-Type": media_type})

    async with client_of(app_of(("/dicom-web/rendered", stored))) as client:
        answer = await client.get("/dicom-web/rendered")

    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
