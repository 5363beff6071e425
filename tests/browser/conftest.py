"""A real browser before a real server: Debian's Chromium by Playwright, one server for all tests of a worker.

A test names its objects itself and stores them by STOW-RS: others share the server.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from conformance.objects import multipart
from conformance.server import Server, started

HERE = Path(__file__).parent
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking", "--mute-audio")


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the tests of a file on one worker of a parallel run, with one browser."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group(f"browser-{item.path.stem}"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A started server, empty at first."""
    with started(tmp_path_factory.mktemp("pages") / "data") as running:
        yield running


# Of a module: while it lives an event loop runs in this thread, and other tests could have none.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; skips where it is not installed."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture
def store(server: Server) -> Callable[..., None]:
    """Stores the bytes of instances by STOW-RS."""

    def stored(*instances: bytes) -> None:
        answer = httpx.post(
            f"{server.dicomweb}/studies",
            content=multipart(list(instances)),
            headers={
                "Content-Type": 'multipart/related; type="application/dicom"; boundary=conformance-part',
                "Accept": "application/dicom+json",
            },
            timeout=60,
        )
        assert answer.status_code == 200, answer.text

    return stored


@contextlib.contextmanager
def opened(
    browser: Any, server: Server, *, javascript: bool = True, size: dict[str, int] = WIDE
) -> Iterator[Any]:
    """A page of a context of its own; at the end fails on whatever went wrong in it unasked.

    `page.told` fills with errors of scripts, refusals of the content security policy and requests to
    another origin or answered 5xx; a test that provokes one takes it out.
    """
    context = browser.new_context(
        viewport=size, java_script_enabled=javascript, base_url=server.url, accept_downloads=True
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.told, page.scripts = [], javascript
    page.on("pageerror", lambda error: page.told.append(f"script: {error}"))
    page.on(
        "console",
        lambda said: page.told.append(f"{said.type}: {said.text}") if said.type == "error" else None,
    )
    page.on("request", lambda asked: _foreign(page, server, asked.url))
    page.on(
        "response", lambda got: page.told.append(f"{got.status}: {got.url}") if got.status >= 500 else None
    )
    try:
        yield page
        assert page.told == []
    finally:
        context.close()


def _foreign(page: Any, server: Server, url: str) -> None:
    if not url.startswith((server.url, "data:", "blob:", "about:", "chrome")):  # its own reader of PDF
        page.told.append(f"another origin: {url}")


@pytest.fixture(params=["wide", "narrow"])
def page(request: pytest.FixtureRequest, browser: Any, server: Server) -> Iterator[Any]:
    """A page with JavaScript, in a window of 1280 and in one of 390 pixels."""
    with opened(browser, server, size=WIDE if request.param == "wide" else NARROW) as shown:
        yield shown


@pytest.fixture(params=["wide", "narrow"])
def plain_page(request: pytest.FixtureRequest, browser: Any, server: Server) -> Iterator[Any]:
    """The same without JavaScript."""
    with opened(browser, server, javascript=False, size=WIDE if request.param == "wide" else NARROW) as shown:
        yield shown


def look(page: Any, name: str, tmp_path: Path) -> Path:
    """A screenshot of the whole page, for eyes."""
    path = tmp_path / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path
