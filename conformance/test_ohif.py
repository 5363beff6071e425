"""OHIF in headless Chromium, installed and served as a user has it: what it shows of each kind of study."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.servers import orthanc_program
from conformance import ohif_study, orthanc
from conformance.browser import Browser, browsing, program
from conformance.server import Server, command, environment, started

FIRST = 240
"""Seconds within which it must have come up for the first time on a busy machine; it is 17 MB of script."""
LONG = 90
"""Seconds for everything after that."""

CT = "1.2.826.0.1.3680043.9.4245.1760717064491086528325869788156915668"
IMPORTED = (
    "dcm_qa_ct", "dcmqi", "dicompyler-core", "synthetic", "highdicom", "pydicom-data", "EZ-WSI-DICOMweb",
    "pydicom/test_files/CT_small.dcm", "pydicom/test_files/examples_palette.dcm",
)  # fmt: skip
MR = "1.2.124.113532.10.122.1.203.20051130.122937.2950157"
US = "1.3.6.1.4.1.5962.1.2.13.20040826185059.5457"
NM = "1.3.6.1.4.1.5962.1.2.8.20040826185059.5457"
SEG = "1.2.392.200103.20080913.113635.0.2009.6.22.21.43.10.22941.1"
RTSTRUCT = "2.16.840.1.113662.2.12.0.3057.1241703565.35"
SR = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
PDF = "1.2.826.0.1.3680043.8.498.60550260453166786647398974976728960120"
VIDEO = "1.2.826.0.1.3680043.8.498.10337856828228782300359264968970787237"
SM = "1.2.826.0.1.3680043.10.511.3.11998601772218931473771592560209750"
PALETTE = "1.3.46.670589.14.1000.210.4.199999.20110525182825.1.0"
SEGMENTED_PALETTE = "1.2.392.200039.102.3.1096.11.20020524.111958"
SM_WITHOUT_VOLUME = "1.3.6.1.4.1.11129.5.7.999.18649109954048068.740.1688792381777315"
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


OBJECTS = "[...document.querySelectorAll('[data-cy=study-browser-thumbnail-no-image]')]"
HYDRATE = "document.querySelector('[data-cy=yes-hydrate-btn]')"
PANEL = "document.querySelector('[data-cy={}-btn]')"
RED = """(() => {
  const canvas = document.querySelector('canvas.cornerstone-canvas');
  if (!canvas || !canvas.width) return 0;
  const cells = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let red = 0;
  for (let at = 0; at < cells.length; at += 4) red += cells[at] > cells[at + 1] + 60;
  return red;
})()"""
OUTLINES = """[...document.querySelectorAll('svg.svg-layer path')]
  .filter(one => one.getAttribute('d').length > 400).length"""
WRITTEN = "[...document.querySelectorAll('svg.svg-layer text')].map(one => one.textContent).join()"
TEXT = "document.body.innerText"
UNREACHED = "npm could not fetch"


@pytest.fixture(scope="module")
def files(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What is shown: a study of each kind, and one of our own with objects that fit its pictures."""
    own = tmp_path_factory.mktemp("study")
    ohif_study.write(own)
    return [*(test_data / name for name in IMPORTED), own]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, files: list[Path]) -> Iterator[Server]:
    """A server with the viewer installed, by npm or from the package that is named."""
    if program() is None:
        pytest.skip("Chromium is not installed")
    package = os.environ.get("DICOMWEB_BOX_TEST_OHIF")
    if package is None and shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    data = tmp_path_factory.mktemp("ohif") / "data"
    done = run("ohif", "install", *(["--from", package] if package else []), data=data)
    if UNREACHED in done.stdout + done.stderr:
        pytest.skip("the package registry cannot be reached")
    assert done.returncode == 0, done.stdout + done.stderr
    done = run("import", *map(str, files), data=data)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    with started(data) as running:
        yield running


def run(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    given = environment({"DICOMWEB_BOX_DATA": str(data)})
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, env=given, timeout=FIRST, check=False
    )


@pytest.fixture(scope="module")
def browser(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for the tests of this module, which has the viewer's scripts by now."""
    profile = tmp_path_factory.mktemp("browser") / "profile"
    profile.mkdir()
    with browsing(profile) as opened:
        opened.open(f"{server.url}/ohif/")
        opened.wait(f"{LIST}.includes('HEAD')", FIRST)
        yield opened


@pytest.fixture(scope="module")
def beside(server: Server, files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the same viewer shows the same studies as Orthanc has them."""
    if orthanc_program() is None:
        pytest.skip("Orthanc with its DICOMweb plugin is not installed")
    stored = [
        path for given in files for path in ([given] if given.is_file() else sorted(given.rglob("*.dcm")))
    ]
    with orthanc.instead_of(server.url, tmp_path_factory.mktemp("orthanc"), stored) as url:
        yield url


def errors(browser: Browser) -> set[str]:
    """What the page said on its console as errors: first lines, without addresses, UIDs and numbers."""
    lines = (said.partition("\n")[0] for kind, said in browser.said if kind != "warning")
    return {re.sub(r"https?://\S+|[\d.]{2,}|\d", "", line).strip() for line in lines}


def assert_sound(browser: Browser) -> None:
    """No request was refused, none broke off, no policy was in the way, and nothing was wrong."""
    assert browser.refused() == []
    assert [said for _, said in browser.said if "Content Security" in said] == []
    assert errors(browser) == set()


def opened(browser: Browser, url: str, study: str, shows: str = DRAWN, mode: str = "viewer") -> None:
    """Opens the viewer on a study and clears away what it says to those who are new."""
    browser.open(f"{url}/ohif/{mode}?StudyInstanceUIDs={study}")
    browser.wait(shows, LONG)
    while browser.value(f"{TOUR}?.click() ?? !!{TOUR}"):
        browser.listen(0.5)


def loaded(browser: Browser, kind: str, shows: str) -> None:
    """Loads the first object of a kind into the picture, by a double click on its entry."""
    mine = f"{OBJECTS}.find(one => one.innerText.startsWith('{kind}'))"
    browser.wait(f"!!{mine}", LONG)
    browser.value(f"{mine}.dispatchEvent(new MouseEvent('dblclick', {{bubbles: true}}))")
    # Where it asks whether to, the answer is yes.
    browser.wait(f"({HYDRATE}?.click(), {shows})", LONG)


def test_the_list_shows_the_patients(browser: Browser, server: Server) -> None:
    browser.open(f"{server.url}/ohif/")

    browser.wait(f"{LIST}.includes('HEAD')", LONG)
    assert_sound(browser)


def test_a_series_is_shown_and_scrolls(browser: Browser, server: Server) -> None:
    opened(browser, server.url, CT)
    first = browser.wait(DRAWN, LONG)

    browser.wheel(760, 400, 120)

    browser.wait(f"{DRAWN} && {DRAWN} !== '{first}'", LONG)
    browser.quiet(within=LONG)
    assert len([one for one in browser.requests.values() if "/frames/1" in one["url"]]) >= 28
    assert_sound(browser)


@pytest.mark.parametrize(
    "study",
    [MR, US, NM, SEG, RTSTRUCT, SR, PALETTE],
    ids=["mr", "us", "nm", "seg", "rt", "sr", "palette"],
)
def test_the_first_picture_of_each_kind_of_study_is_drawn(
    browser: Browser, server: Server, study: str
) -> None:
    opened(browser, server.url, study)

    browser.quiet(within=LONG)
    thumbnails = [one["status"] for one in browser.requests.values() if "/thumbnail" in one["url"]]
    assert thumbnails
    assert set(thumbnails) == {200}
    assert_sound(browser)


def test_a_segmentation_is_laid_over_its_pictures(browser: Browser, server: Server) -> None:
    opened(browser, server.url, ohif_study.STUDY)
    assert browser.value(RED) == 0

    loaded(browser, "SEG", f"{RED} > 20000")

    browser.value(f"{PANEL.format('panelSegmentation')}.click()")
    browser.wait(f"{TEXT}.includes('{ohif_study.SEGMENT}')", LONG)
    assert_sound(browser)


def test_the_contours_of_a_structure_set_are_drawn(browser: Browser, server: Server) -> None:
    opened(browser, server.url, ohif_study.STUDY)
    assert browser.value(OUTLINES) == 0

    loaded(browser, "RTSTRUCT", f"{OUTLINES} > 0")

    browser.value(f"{PANEL.format('panelSegmentation')}.click()")
    browser.wait(f"{TEXT}.includes('{ohif_study.CONTOUR}')", LONG)
    assert_sound(browser)


def test_the_measurements_of_a_report_are_drawn_and_listed(browser: Browser, server: Server) -> None:
    opened(browser, server.url, ohif_study.STUDY)

    loaded(browser, "SR", f"{WRITTEN}.includes('{ohif_study.LENGTH} mm')")

    browser.value(f"{PANEL.format('trackedMeasurements')}.click()")
    browser.wait(f"{TEXT}.includes('{ohif_study.LENGTH}')", LONG)
    assert_sound(browser)


def test_objects_of_other_makers_are_loaded(browser: Browser, server: Server) -> None:
    opened(browser, server.url, RTSTRUCT)
    loaded(browser, "RTSTRUCT", f"{HYDRATE} === null && !document.body.innerText.includes('LOAD')")
    assert_sound(browser)

    opened(browser, server.url, SR)
    loaded(browser, "SR\\nMeasurement Reports", f"{WRITTEN}.includes('cm')")
    assert_sound(browser)


def test_a_document_is_shown_as_what_it_is(browser: Browser, server: Server) -> None:
    opened(browser, server.url, PDF, "document.querySelector('object, embed, iframe') !== null")

    browser.quiet(within=LONG)
    # So short a document comes within the metadata; the viewer shows it from its own memory.
    address = browser.value("(one => one.data || one.src)(document.querySelector('object, embed, iframe'))")
    assert address.startswith("blob:")
    assert_sound(browser)


def test_a_video_plays_from_its_own_address_in_ranges(browser: Browser, server: Server) -> None:
    # The viewer draws the video itself; the element that plays it is not in its page.
    opened(browser, server.url, VIDEO, "document.querySelector('[data-cy=viewport-pane] canvas') !== null")

    deadline = time.monotonic() + LONG
    while not films(browser) and time.monotonic() < deadline:
        browser.listen(0.5)
    browser.quiet(within=LONG)

    assert {one["status"] for one in films(browser)} == {206}
    assert_sound(browser)


def films(browser: Browser) -> list[dict[str, Any]]:
    return [one for one in browser.requests.values() if one["kind"] == "Media" and one["status"]]


def test_a_slide_is_shown_tile_by_tile(browser: Browser, server: Server) -> None:
    opened(browser, server.url, SM, "document.querySelector('.ol-viewport canvas') !== null", "microscopy")

    browser.quiet(within=LONG)
    tiles = [one for one in browser.requests.values() if "/frames/" in one["url"]]
    assert len({one["url"] for one in tiles}) == 25
    assert_sound(browser)


# What this version of the viewer cannot show: palettes in segments, slides without an image of
# flavour VOLUME; and one study that it shows.
COMPARED = [
    pytest.param(SEGMENTED_PALETTE, "viewer", id="palette-in-segments"),
    pytest.param(SM_WITHOUT_VOLUME, "microscopy", id="slide-without-volume"),
    pytest.param(ohif_study.STUDY, "viewer", id="shown"),
]


@pytest.mark.parametrize(("study", "mode"), COMPARED)
def test_it_says_nothing_that_it_does_not_say_before_orthanc(
    browser: Browser, server: Server, beside: str, study: str, mode: str
) -> None:
    ours = said_before(browser, server.url, study, mode)
    assert browser.refused() == []

    theirs = said_before(browser, beside, study, mode)

    assert ours <= theirs


def said_before(browser: Browser, url: str, study: str, mode: str) -> set[str]:
    """The errors said while a study is opened."""
    opened(browser, url, study, "document.querySelector('[data-cy=viewport-grid]') !== null", mode)
    browser.quiet(within=LONG)
    return errors(browser)
