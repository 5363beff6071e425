"""What holds for every page that links lead to: valid, accessible, with a twin, no patient where it stays."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from conformance.server import Server, started
from conformance.test_dcmjs import missing
from tests.browser.checks import overflows, violations
from tests.browser.conftest import NARROW, WIDE, opened
from tests.browser.populated import page_routes, pages, populate, route_of
from tests.web.pages import Page, assert_well_made

NODE = Path(__file__).parent / "node"
ONLY_ASKS = ("/remove", "/delete", "/new", "/revoke", "/query")
"""Pages that only ask whether, or what, to do; a program simply does it."""
NOT_REACHED = {
    "/upload/{session}/files/{file}",  # for programs
    "/selections/{id}",  # by whoever's cookie names it
    "/download",  # no page
    "/audit.csv",
    "/login",  # no account
    "/login/code",
    "/login/oidc",
    "/login/oidc/back",
    "/profile/second-factor",
    "/shared/{secret}",
    "/profile",
}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with something on every page."""
    with started(tmp_path_factory.mktemp("every") / "data") as running:
        populate(running)
        yield running


@pytest.fixture(scope="module")
def found(full: Server) -> dict[str, str]:
    return pages(full)


def test_links_lead_to_every_page(found: dict[str, str]) -> None:
    reached = {route_of(httpx.URL(address).path) for address in found}

    assert {route.path for route in page_routes()} - reached - NOT_REACHED == set()


def test_every_page_is_well_made(found: dict[str, str]) -> None:
    for address, content in found.items():
        try:
            assert_well_made(Page(content))
        except AssertionError as error:
            raise AssertionError(f"{address}: {error}") from error


def test_no_title_and_no_address_names_a_patient(found: dict[str, str]) -> None:
    for address, content in found.items():
        title = content.partition("<title>")[2].partition("</title>")[0]
        for secret in ("Everywhere", "Elsewhere", "EVE"):
            assert secret not in title, address
            assert secret not in httpx.URL(address).path, address


def test_every_page_has_a_twin_for_programs(full: Server, found: dict[str, str]) -> None:
    with httpx.Client(base_url=full.url, timeout=60) as client:
        for address in found:
            path, _, query = address.partition("?")
            if (path.endswith(ONLY_ASKS) and path != "/query") or path == "/correct":
                continue
            twin = client.get(f"{path}.json" + (f"?{query}" if query else ""))
            assert twin.status_code == 200, f"{address}: {twin.status_code} {twin.text[:200]}"
            assert twin.headers["content-type"].startswith("application/"), address
            assert "json" in twin.headers["content-type"], address
            twin.json()


def test_every_page_is_valid_html(found: dict[str, str], tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    for name in ("package.json", "package-lock.json", ".htmlvalidate.json"):
        shutil.copy(NODE / name, tmp_path)
    installed = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    if installed.returncode:
        pytest.skip(f"npm cannot install the validator: {installed.stderr.strip().splitlines()[-1]}")
    (tmp_path / "pages").mkdir()
    for number, (address, content) in enumerate(found.items()):
        (tmp_path / "pages" / f"{number}.html").write_text(f"{content}<!-- {address} -->\n")
    said = subprocess.run(
        ["node_modules/.bin/html-validate", "--formatter", "text", "pages/*.html"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    named = {f"pages/{number}.html": address for number, address in enumerate(found)}
    lines = said.stdout
    for file, address in named.items():
        lines = lines.replace(file, address)
    assert said.returncode == 0, lines[-8000:] + said.stderr[-2000:]


@pytest.mark.parametrize("shape", ["wide", "narrow and dark"])
def test_every_page_is_accessible_and_fits(
    browser: Any, full: Server, found: dict[str, str], shape: str
) -> None:
    wrong = {}
    with opened(browser, full, size=WIDE if shape == "wide" else NARROW) as page:
        page.emulate_media(color_scheme="light" if shape == "wide" else "dark")
        kinds: set[str | None] = set()
        for address in found:
            kind = route_of(httpx.URL(address).path)
            if kind in kinds:
                continue
            kinds.add(kind)
            page.goto(address)
            if told := [*violations(page), *(["too wide"] if overflows(page) else [])]:
                wrong[address] = told
    assert wrong == {}
