"""OHIF in headless Chromium, installed and served as a user has it: what it shows of each kind of study."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.browser import Browser, browsing, program
from conformance.server import Server, command, environment, started

LONG = 240
"""Seconds within which the viewer must have come up on a busy machine; it is 17 MB of script."""

CT = "1.2.826.0.1.3680043.9.4245.1760717064491086528325869788156915668"
LIST = "[...document.querySelectorAll('tbody tr')].map(one => one.innerText).join()"
TOUR = (
    "[...document.querySelectorAll('button')].find(one => /Skip all|Confirm and hide/.test(one.textContent))"
)
DRAWN = """(() => {
  const canvas = document.querySelector('canvas.cornerstone-canvas');
  if (!canvas || !canvas.width) return '';
  const cells = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0, lit = 0;
  for (let at = 0; at < cells.length; at += 4) {
    const grey = cells[at] + cells[at + 1] + cells[at + 2];
    lit += grey > 60;
    sum = (sum * 31 + grey) | 0;
  }
  return lit > 2000 ? 'picture ' + sum : '';
})()"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Iterator[Server]:
    """A server with the viewer installed and one study of each kind."""
    if program() is None:
        pytest.skip("Chromium is not installed")
    package = os.environ.get("DICOMWEB_BOX_TEST_OHIF")
    if package is None and shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    data = tmp_path_factory.mktemp("ohif") / "data"
    run("ohif", "install", *(["--from", package] if package else []), data=data)
    run("import", str(test_data / "dcm_qa_ct"), data=data)
    with started(data) as running:
        yield running


def run(*arguments: str, data: Path) -> None:
    given = environment({"DICOMWEB_BOX_DATA": str(data)})
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, env=given, timeout=LONG, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def browser(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for the tests of this module."""
    profile = tmp_path_factory.mktemp("browser") / "profile"
    profile.mkdir()
    with browsing(profile) as opened:
        yield opened


def opened(browser: Browser, server: Server, study: str) -> None:
    """Opens the viewer on a study and clears away what it says to those who are new."""
    browser.open(f"{server.url}/ohif/viewer?StudyInstanceUIDs={study}")
    browser.wait(DRAWN, LONG)
    while browser.value(f"{TOUR}?.click() ?? !!{TOUR}"):
        browser.listen(0.5)


def test_the_list_shows_the_patients(browser: Browser, server: Server) -> None:
    browser.open(f"{server.url}/ohif/")

    browser.wait(f"{LIST}.includes('HEAD')", LONG)
    assert browser.refused() == []


def test_a_series_is_shown_and_scrolls(browser: Browser, server: Server) -> None:
    opened(browser, server, CT)
    first = browser.wait(DRAWN, LONG)

    browser.wheel(760, 400, 120)

    browser.wait(f"{DRAWN} && {DRAWN} !== '{first}'", LONG)
    browser.quiet(within=LONG)
    assert len([one for one in browser.requests.values() if "/frames/1" in one["url"]]) >= 28
    assert browser.refused() == []
