"""A real browser before a real server: Debian's Chromium by Playwright, one server for all tests of a worker.

A test names its objects itself and stores them by STOW-RS: others share the server.

After whatever a test does to a page it waits by `expect(…)` for what it then reads: a click returns before
the next page is there. With `BROWSER_LATENCY_MS=400` each answer comes late by so much, to a page four times
slower: what reads too early fails then, and not once in ten thousand runs.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from conformance.objects import multipart
from conformance.server import Server, started
from tests.browser.stacks import cine, slices
from tests.builders import new_uid

HERE = Path(__file__).parent
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PATIENCE = 60_000
"""Milliseconds after which what a page does not show is taken for missing, however busy the machine is."""
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
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS), timeout=2 * PATIENCE)
        yield running
        running.close()


@pytest.fixture
def store(server: Server) -> Callable[..., None]:
    """Stores the bytes of instances by STOW-RS."""
    return partial(store_in, server)


def store_in(server: Server, *instances: bytes) -> None:
    """The same, where a test has a server of its own."""
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


@contextlib.contextmanager
def opened(
    browser: Any, server: Server, *, javascript: bool = True, size: dict[str, int] = WIDE
) -> Iterator[Any]:
    """A page of a context of its own; at the end fails on whatever went wrong in it unasked.

    `page.told` fills with errors of scripts, refusals of the content security policy and requests to
    another origin or answered 5xx; a test that provokes one appends a part of its text to `page.excused`.
    """
    context = browser.new_context(
        viewport=size, java_script_enabled=javascript, base_url=server.url, accept_downloads=True
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.told, page.excused, page.scripts = [], [], javascript
    if late := int(os.environ.get("BROWSER_LATENCY_MS", "0")):
        _slow_down(page, late)
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
        assert [one for one in page.told if not any(part in one for part in page.excused)] == []
    finally:
        context.close()


def _slow_down(page: Any, milliseconds: int) -> None:
    """Has each answer come late, nothing kept by the browser, and its processor work at a quarter."""
    tools = page.context.new_cdp_session(page)
    tools.send("Network.enable")
    tools.send("Network.setCacheDisabled", {"cacheDisabled": True})
    slow = {"offline": False, "latency": milliseconds, "downloadThroughput": -1, "uploadThroughput": -1}
    tools.send("Network.emulateNetworkConditions", slow)
    tools.send("Emulation.setCPUThrottlingRate", {"rate": 4})


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


@pytest.fixture(scope="module")
def study(server: Server) -> str:
    """A study for the viewer: 40 slices, a cine of 6 frames, and 20 slices through the same body."""
    study, series = new_uid(), [new_uid() for _ in range(3)]
    thick: dict[str, Any] = {
        "SeriesNumber": 3,
        "SeriesDescription": "Thick",
        "frame_of_reference": f"{series[0]}.1",
    }
    store_in(
        server,
        *slices(40, study=study, series=series[0], SeriesNumber=1),
        cine(study=study, series=series[1]),
        *slices(20, study=study, series=series[2], gap=4, **thick),
    )
    return study
