"""What others wrote is text on every page, never markup, a script or an address of ours."""

from html.parser import HTMLParser

import httpx
import pytest

from conformance.server import Server
from tests.attacks.planted import ELEMENT, FORMULA, QUOTED, SCRIPT
from tests.browser.populated import pages

LEADS = {"href", "src", "action", "formaction", "data", "poster", "hx-get", "hx-post", "hx-sse:connect"}


class Suspicious(HTMLParser):
    """Elements and attributes of a page that none of ours has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "xss-probe" or "xss-probe" in given:
            self.found.append(f"<{tag} {given}>")
        if tag == "script" and not given.get("src", "").startswith("/static/"):
            self.found.append(f"<script {given}>")
        for name, value in given.items():
            scheme = value.strip().lower().partition(":")[0] if ":" in value else ""
            if name.startswith("on") or name == "style":
                self.found.append(f"{tag} {name}={value}")
            if name in LEADS and scheme in {"javascript", "vbscript", "data"}:
                self.found.append(f"{tag} {name}={value}")


@pytest.fixture(scope="module")
def crawled(server: Server) -> dict[str, str]:
    return pages(server)


def test_the_check_finds_what_it_looks_for() -> None:
    for attack in (
        f'<p title="{ELEMENT}">',
        f'<img src="{QUOTED}">',
        SCRIPT,
        '<a href=" JavaScript:alert(1)">',
        "<p style=x>",
    ):
        assert Suspicious(attack).found


def test_no_page_runs_or_shows_as_markup_what_others_wrote(crawled: dict[str, str]) -> None:
    assert {address: found for address, html in crawled.items() if (found := Suspicious(html).found)} == {}
    # The attacks were there to be shown.
    assert sum("xss-probe" in html for html in crawled.values()) >= 8
    assert len(crawled) >= 30


def test_pages_of_errors_and_searches_show_words_of_the_address_as_text(server: Server) -> None:
    with httpx.Client(base_url=server.url, headers={"Accept": "text/html"}, timeout=60) as client:
        for path in (
            "/studies",
            "/series",
            "/patients",
            "/labels",
            "/rules",
            "/upload",
            "/users",
            "/login",
            "/x",
        ):
            for attack in (ELEMENT, QUOTED, SCRIPT):
                answer = client.get(
                    path, params=dict.fromkeys(("q", "PatientID", "sort", "next", "name"), attack)
                )
                assert answer.status_code < 500
                assert Suspicious(answer.text).found == [], path
            answer = client.get(f"{path}/{ELEMENT}")
            assert Suspicious(answer.text).found == []


def test_json_is_never_taken_for_a_page(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for path in ("/studies.json", "/labels.json", "/dicom-web/studies?PatientID=EVIL*&includefield=all"):
            answer = client.get(
                path, headers={"Accept": "application/dicom+json, application/json, text/html;q=0.1"}
            )
            assert answer.headers["content-type"].split(";")[0] in {
                "application/json",
                "application/dicom+json",
            }
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "xss-probe" in answer.text


def test_every_page_is_guarded_against_frames_scripts_and_caches(
    server: Server, crawled: dict[str, str]
) -> None:
    with httpx.Client(base_url=server.url, headers={"Accept": "text/html"}, timeout=60) as client:
        for path in (
            "/studies",
            "/login",
            "/status",
            "/nothing",
            next(one for one in crawled if "viewer" in one),
        ):
            headers = client.get(path, follow_redirects=True).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'self'" in policy
            assert "unsafe" not in policy
            assert headers["x-frame-options"] == "SAMEORIGIN"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert headers["cache-control"] == "no-store"
            assert "server" not in headers


def test_a_formula_is_no_formula_in_a_table_for_spreadsheets(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        answer = client.get("/audit.csv")
    assert answer.status_code == 200
    assert FORMULA in answer.text  # names of accounts and roles that were made
    cells = [cell.strip('"') for line in answer.text.splitlines() for cell in line.split(",")]
    assert not [cell for cell in cells if cell[:1] in {"=", "+", "@", "\t"}]
