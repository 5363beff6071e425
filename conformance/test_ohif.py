"""OHIF in headless Chromium, installed and served as a user has it: what it shows of each kind of study."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.browser import Browser, browsing, program
from conformance.server import Server, command, environment, started

LONG = 240
"""Seconds within which the viewer must have come up on a busy machine; it is 17 MB of script."""

CT = "1.2.826.0.1.3680043.9.4245.1760717064491086528325869788156915668"
FOLDERS = ("dcm_qa_ct", "dcmqi", "dicompyler-core", "synthetic", "highdicom", "pydicom-data")
MR = "1.2.124.113532.10.122.1.203.20051130.122937.2950157"
US = "1.3.6.1.4.1.5962.1.2.13.20040826185059.5457"
NM = "1.3.6.1.4.1.5962.1.2.8.20040826185059.5457"
SEG = "1.2.392.200103.20080913.113635.0.2009.6.22.21.43.10.22941.1"
RTSTRUCT = "2.16.840.1.113662.2.12.0.3057.1241703565.35"
SR = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
PDF = "1.2.826.0.1.3680043.8.498.60550260453166786647398974976728960120"
VIDEO = "1.2.826.0.1.3680043.8.498.10337856828228782300359264968970787237"
SM = "1.2.826.0.1.3680043.10.511.3.11998601772218931473771592560209750"
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
    run("import", *(str(test_data / folder) for folder in FOLDERS), data=data, code=(0, 1))
    with started(data) as running:
        yield running


def run(*arguments: str, data: Path, code: tuple[int, ...] = (0,)) -> None:
    given = environment({"DICOMWEB_BOX_DATA": str(data)})
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, env=given, timeout=LONG, check=False
    )
    assert done.returncode in code, done.stdout + done.stderr


@pytest.fixture(scope="module")
def browser(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for the tests of this module."""
    profile = tmp_path_factory.mktemp("browser") / "profile"
    profile.mkdir()
    with browsing(profile) as opened:
        yield opened


def assert_sound(browser: Browser) -> None:
    """No request was refused, none broke off, and no policy was in the way."""
    assert browser.refused() == []
    assert [said for kind, said in browser.said if kind != "warning" and "Content Security" in said] == []


def opened(browser: Browser, server: Server, study: str, shows: str = DRAWN, mode: str = "viewer") -> None:
    """Opens the viewer on a study and clears away what it says to those who are new."""
    browser.open(f"{server.url}/ohif/{mode}?StudyInstanceUIDs={study}")
    browser.wait(shows, LONG)
    while browser.value(f"{TOUR}?.click() ?? !!{TOUR}"):
        browser.listen(0.5)


def test_the_list_shows_the_patients(browser: Browser, server: Server) -> None:
    browser.open(f"{server.url}/ohif/")

    browser.wait(f"{LIST}.includes('HEAD')", LONG)
    assert_sound(browser)


def test_a_series_is_shown_and_scrolls(browser: Browser, server: Server) -> None:
    opened(browser, server, CT)
    first = browser.wait(DRAWN, LONG)

    browser.wheel(760, 400, 120)

    browser.wait(f"{DRAWN} && {DRAWN} !== '{first}'", LONG)
    browser.quiet(within=LONG)
    assert len([one for one in browser.requests.values() if "/frames/1" in one["url"]]) >= 28
    assert_sound(browser)


@pytest.mark.parametrize("study", [MR, US, NM, SEG, RTSTRUCT, SR], ids=["mr", "us", "nm", "seg", "rt", "sr"])
def test_the_first_picture_of_each_kind_of_study_is_drawn(
    browser: Browser, server: Server, study: str
) -> None:
    opened(browser, server, study)

    browser.quiet(within=LONG)
    thumbnails = [one["status"] for one in browser.requests.values() if "/thumbnail" in one["url"]]
    assert thumbnails
    assert set(thumbnails) == {200}
    assert_sound(browser)


def test_a_document_is_shown_as_what_it_is(browser: Browser, server: Server) -> None:
    opened(browser, server, PDF, "document.querySelector('object, embed, iframe') !== null")

    browser.quiet(within=LONG)
    # So short a document comes within the metadata; the viewer shows it from its own memory.
    address = browser.value("(one => one.data || one.src)(document.querySelector('object, embed, iframe'))")
    assert address.startswith("blob:")
    assert_sound(browser)


def test_a_video_plays_from_its_own_address_in_ranges(browser: Browser, server: Server) -> None:
    # The viewer draws the video itself; the element that plays it is not in its page.
    opened(browser, server, VIDEO, "document.querySelector('[data-cy=viewport-pane] canvas') !== null")

    deadline = time.monotonic() + LONG
    while not films(browser) and time.monotonic() < deadline:
        browser.listen(0.5)
    browser.quiet(within=LONG)

    assert {one["status"] for one in films(browser)} == {206}
    assert_sound(browser)


def films(browser: Browser) -> list[dict[str, Any]]:
    return [one for one in browser.requests.values() if one["kind"] == "Media" and one["status"]]


def test_a_slide_is_shown_tile_by_tile(browser: Browser, server: Server) -> None:
    opened(browser, server, SM, "document.querySelector('.ol-viewport canvas') !== null", "microscopy")

    browser.quiet(within=LONG)
    tiles = [one for one in browser.requests.values() if "/frames/" in one["url"]]
    assert len({one["url"] for one in tiles}) == 25
    assert_sound(browser)
