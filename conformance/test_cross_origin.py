"""Browsers of other origins: what a page elsewhere may ask and read (Fetch, CORS protocol)."""

from collections.abc import Iterator

import httpx
import pytest

from conformance.objects import Object
from conformance.server import started

VIEWER = "https://viewer.example.org"
NEEDED = ("Accept", "Authorization", "Content-Type", "If-None-Match", "Range", "X-Requested-With")
READ = (
    "Content-Type", "Content-Location", "Content-Range", "Content-Length", "ETag", "Location", "Retry-After",
    "Warning", "Accept-Ranges",
)  # fmt: skip
INSTANCE = "/dicom-web/studies/1.2/series/1.3/instances/1.4"
ASKED = [
    ("GET", "/dicom-web/studies"),
    ("POST", "/dicom-web/studies"),
    ("POST", "/dicom-web/studies/1.2"),
    ("DELETE", "/dicom-web/studies/1.2"),
    ("GET", "/dicom-web/studies/1.2/series"),
    ("GET", "/dicom-web/studies/1.2/series/1.3/metadata"),
    ("GET", INSTANCE),
    ("DELETE", INSTANCE),
    ("GET", f"{INSTANCE}/frames/1,2"),
    ("GET", f"{INSTANCE}/bulkdata/7FE00010"),
    ("GET", f"{INSTANCE}/rendered"),
    ("GET", f"{INSTANCE}/thumbnail"),
    ("OPTIONS", "/dicom-web/"),
    ("HEAD", f"{INSTANCE}/frames/1"),
    ("GET", "/wado"),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server of which one other origin may ask."""
    folder = tmp_path_factory.mktemp("cors") / "data"
    with (
        started(folder, settings={"DICOMWEB_BOX_CORS_ORIGINS": VIEWER}) as server,
        httpx.Client(base_url=server.url, timeout=60, headers={"Origin": VIEWER}) as client,
    ):
        yield client


def names(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


@pytest.mark.row(94)
@pytest.mark.parametrize(("method", "path"), ASKED)
def test_a_page_elsewhere_may_send_each_request_with_the_headers_it_needs(
    shared: httpx.Client, method: str, path: str
) -> None:
    answer = shared.options(
        path,
        headers={
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": ", ".join(NEEDED).lower(),
        },
    )

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == VIEWER
    assert method in answer.headers["access-control-allow-methods"]
    assert names(", ".join(NEEDED)) <= names(answer.headers["access-control-allow-headers"])
    assert int(answer.headers["access-control-max-age"]) >= 600
    assert "Origin" in answer.headers["vary"]


@pytest.mark.row(94)
def test_a_page_elsewhere_can_read_answers_and_errors_with_their_headers(
    shared: httpx.Client, objects: dict[str, Object]
) -> None:
    stored = next(iter(objects.values()))
    sent = shared.post(
        "/dicom-web/studies", content=stored.data, headers={"Content-Type": "application/dicom"}
    )
    answers = [
        (200, sent),
        (200, shared.get("/dicom-web/studies")),
        (400, shared.get("/dicom-web/studies", params={"StudyDate": "x"})),
        (400, shared.get("/wado")),
        (404, shared.get(INSTANCE)),
        (404, shared.get("/dicom-web/nowhere")),
        (405, shared.put("/dicom-web/studies")),
        (406, shared.get("/dicom-web/studies", headers={"Accept": "image/png"})),
        (415, shared.post("/dicom-web/studies", content=b"x", headers={"Content-Type": "text/plain"})),
    ]

    for status, answer in answers:
        assert answer.status_code == status, answer.request.url
        assert answer.headers["access-control-allow-origin"] == VIEWER
        assert names(", ".join(READ)) <= names(answer.headers["access-control-expose-headers"])
        assert "Origin" in answer.headers["vary"]


@pytest.mark.row(94)
def test_any_other_page_can_neither_send_nor_read(shared: httpx.Client) -> None:
    other = {"Origin": "https://elsewhere.example"}

    preflight = shared.options(
        "/dicom-web/studies", headers={**other, "Access-Control-Request-Method": "POST"}
    )
    read = shared.get("/dicom-web/studies", headers=other)
    sent = shared.post("/dicom-web/studies", content=b"", headers=other)

    for answer in (preflight, read, sent):
        assert "access-control-allow-origin" not in answer.headers
    assert sent.status_code == 403
