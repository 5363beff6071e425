"""OHIF in headless Chromium, installed and served as a user has it: what it shows of each kind of study."""

import hashlib
import io
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.servers import orthanc_program
from conformance import ohif_kinds, ohif_study, orthanc
from conformance.browser import Browser, NotDone, browsing, program
from conformance.server import Server, command, environment, started

FIRST = 240
"""Seconds within which it must have come up for the first time on a busy machine; it is 17 MB of script."""
LONG = 90
"""Seconds for everything after that."""

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
ASKED = "performance.getEntriesByType('resource').some(one => one.name.endsWith('/metadata'))"
TEXT = "document.body.innerText"
DOCUMENT = "document.querySelector('object')"
DIGEST = """async address => {
  const got = await fetch(address);
  const hash = await crypto.subtle.digest('SHA-256', await got.arrayBuffer());
  return [
    got.headers.get('content-type'),
    [...new Uint8Array(hash)].map(one => one.toString(16).padStart(2, '0')).join(''),
  ];
}"""
UNREACHED = "npm could not fetch"


@pytest.fixture(scope="module")
def files(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What is shown: the shared test files, and a study of our own with objects that fit its pictures."""
    own = tmp_path_factory.mktemp("study")
    ohif_study.write(own)
    return [*ohif_kinds.files(test_data), *sorted(own.iterdir())]


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
    with orthanc.instead_of(server.url, tmp_path_factory.mktemp("orthanc"), files) as url:
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
    deadline = time.monotonic() + LONG
    while True:
        browser.value(f"{mine}.dispatchEvent(new MouseEvent('dblclick', {{bubbles: true}}))")
        try:
            # Where it asks whether to, the answer is yes.
            browser.wait(f"({HYDRATE}?.click(), {shows})", LONG / 3)
        except NotDone:  # a click may be lost while a slow page still puts its entries together
            if time.monotonic() > deadline:
                raise
        else:
            return


def test_the_list_shows_the_patients(browser: Browser, server: Server) -> None:
    browser.open(f"{server.url}/ohif/")

    browser.wait(f"{LIST}.includes('HEAD')", LONG)
    assert_sound(browser)


def test_a_series_is_shown_and_scrolls(browser: Browser, server: Server) -> None:
    opened(browser, server.url, ohif_kinds.CT)
    first = browser.wait(DRAWN, LONG)

    browser.wheel(760, 400, 120)

    browser.wait(f"{DRAWN} && {DRAWN} !== '{first}'", LONG)
    browser.quiet(within=LONG)
    assert len([one for one in browser.requests.values() if "/frames/1" in one["url"]]) >= 28
    assert_sound(browser)


@pytest.mark.parametrize("study", ohif_kinds.DRAWN.values(), ids=ohif_kinds.DRAWN)
def test_the_first_picture_of_each_kind_of_study_is_drawn(
    browser: Browser, server: Server, study: str
) -> None:
    opened(browser, server.url, study)

    browser.quiet(within=LONG)
    thumbnails = [one["status"] for one in browser.requests.values() if "/thumbnail" in one["url"]]
    assert thumbnails
    assert set(thumbnails) == {200}
    assert_sound(browser)


@pytest.mark.parametrize(("study", "modality"), ohif_kinds.LISTED.values(), ids=ohif_kinds.LISTED)
def test_what_has_no_thumbnail_is_listed(browser: Browser, server: Server, study: str, modality: str) -> None:
    opened(browser, server.url, study, f"{OBJECTS}.some(one => one.innerText.startsWith('{modality}'))")

    browser.quiet(within=LONG)
    assert_sound(browser)


def test_each_sop_class_of_the_shared_files_is_in_a_study_that_is_opened(test_data: Path) -> None:
    opened_studies = {
        *ohif_kinds.DRAWN.values(),
        *(study for study, _ in ohif_kinds.LISTED.values()),
        *(study for study, _ in ohif_kinds.COMPARED.values()),
        *ohif_kinds.SHOWN_ELSEWHERE,
    }
    rows = ohif_kinds.sound(test_data)

    left = {row["sop_class_name"] for row in rows} - {
        row["sop_class_name"] for row in rows if row["study"] in opened_studies
    }

    assert left == set(ohif_kinds.SKIPPED)


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


def liver(series: str) -> str:
    """What asks for the pictures of the liver and one series of its segments."""
    return f"{ohif_kinds.CT_WITH_SEG}&SeriesInstanceUIDs={ohif_kinds.LIVER_PICTURES},{series}"


@pytest.mark.parametrize(
    ("study", "kind", "shows"),
    [
        (ohif_kinds.CT_WITH_RTSTRUCT, "RTSTRUCT", f"{HYDRATE} === null && !{TEXT}.includes('LOAD')"),
        # Of a series that has a report among its pictures, the viewer finds the pictures.
        (ohif_kinds.CT_WITH_REPORTS, "SEG", f"{RED} > 1000"),
        (ohif_kinds.CT_WITH_REPORTS, "SR\\nMeasurement Reports", f"{WRITTEN}.includes('cm')"),
        (liver(ohif_kinds.LIVER), "SEG", f"{RED} > 1000"),
    ],
    ids=["contours", "segments", "measurements", "deflated-segments"],
)
def test_objects_of_other_makers_are_loaded(
    browser: Browser, server: Server, study: str, kind: str, shows: str
) -> None:
    opened(browser, server.url, study)

    loaded(browser, kind, shows)

    assert_sound(browser)


@pytest.mark.parametrize("name", ["within-metadata", "from-its-address"])
def test_a_document_is_painted_and_is_what_was_stored(
    browser: Browser, server: Server, test_data: Path, name: str
) -> None:
    study, content, colour = {
        "within-metadata": (ohif_kinds.PDF, ohif_kinds.document(test_data), (255, 255, 255)),
        "from-its-address": (ohif_study.LETTER, ohif_study.letter(), (220, 30, 30)),
    }[name]
    opened(browser, server.url, study, f"!!{DOCUMENT}?.data")

    browser.quiet(within=LONG)
    digest = hashlib.sha256(content).hexdigest()
    assert browser.value(f"({DIGEST})({DOCUMENT}.data)") == ["application/pdf", digest]
    deadline = time.monotonic() + LONG
    while cells(browser, colour) < 50_000 and time.monotonic() < deadline:
        browser.listen(0.5)
    assert cells(browser, colour) >= 50_000
    assert_sound(browser)


def cells(browser: Browser, colour: tuple[int, int, int]) -> int:
    """How many cells of the page are near a colour."""
    page = np.asarray(Image.open(io.BytesIO(browser.picture())).convert("RGB"), "i2")
    return int((abs(page - np.array(colour, "i2")) < 35).all(axis=2).sum())


def test_a_video_plays_from_its_own_address_in_ranges(browser: Browser, server: Server) -> None:
    # The viewer draws the video itself; the element that plays it is not in its page.
    opened(
        browser,
        server.url,
        ohif_kinds.VIDEO,
        "document.querySelector('[data-cy=viewport-pane] canvas') !== null",
    )

    deadline = time.monotonic() + LONG
    while not films(browser) and time.monotonic() < deadline:
        browser.listen(0.5)
    browser.quiet(within=LONG)

    assert {one["status"] for one in films(browser)} == {206}
    assert_sound(browser)


def films(browser: Browser) -> list[dict[str, Any]]:
    return [one for one in browser.requests.values() if one["kind"] == "Media" and one["status"]]


def test_a_slide_is_shown_tile_by_tile(browser: Browser, server: Server) -> None:
    shown = "document.querySelector('.ol-viewport canvas') !== null"
    opened(browser, server.url, ohif_kinds.SM, shown, "microscopy")

    browser.quiet(within=LONG)
    tiles = [one for one in browser.requests.values() if "/frames/" in one["url"]]
    assert len({one["url"] for one in tiles}) == 25
    assert_sound(browser)


@pytest.mark.parametrize(("study", "mode"), ohif_kinds.COMPARED.values(), ids=ohif_kinds.COMPARED)
def test_it_says_nothing_that_it_does_not_say_before_orthanc(
    browser: Browser, server: Server, beside: str, study: str, mode: str
) -> None:
    ours = said_before(browser, server.url, study, mode)
    assert browser.refused() == []

    theirs = said_before(browser, beside, study, mode)

    assert ours <= theirs


def test_it_refuses_segments_of_another_size_than_their_pictures_before_orthanc_too(
    browser: Browser, server: Server, beside: str
) -> None:
    for url in (server.url, beside):
        opened(browser, url, liver(ohif_kinds.LIVER_OF_ANOTHER_SIZE))

        loaded(browser, "SEG", "true")

        deadline = time.monotonic() + LONG
        while not any("different geometry" in one for one in errors(browser)):
            assert time.monotonic() < deadline, f"{url}: {errors(browser)}"
            browser.listen(0.5)


def said_before(browser: Browser, url: str, study: str, mode: str) -> set[str]:
    """The errors said while a study is opened."""
    # Where nothing can be shown, the viewer waits for ever: what it does after it has the metadata is heard.
    opened(browser, url, study, ASKED, mode)
    browser.quiet(4, within=LONG)
    return errors(browser)


def filled_in(browser: Browser, **fields: str) -> None:
    """Fills in a form of a page of ours and sends it."""
    for name, value in fields.items():
        browser.value(f"document.querySelector('#{name}').value = '{value}'")
    browser.value(f"document.querySelector('#{next(iter(fields))}').form.requestSubmit()")


@pytest.mark.row(134)
def test_who_has_logged_in_on_a_page_is_shown_pictures_until_that_ends(
    server: Server, browser: Browser, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(server.data / "ohif", data / "ohif")
    ohif_study.write(tmp_path)
    assert run("import", *map(str, tmp_path.glob("*.dcm")), data=data).returncode == 0
    password = run("user", "add", "vera", "--role", "viewer", data=data).stdout.strip()
    with started(data, accounts=True) as guarded:
        browser.open(f"{guarded.url}/ohif/")
        browser.wait("document.querySelector('#password') !== null", LONG)
        filled_in(browser, name="vera", password=password)
        browser.wait("document.querySelector('#new') !== null", LONG)
        chosen = "correct horse battery"
        filled_in(browser, password=password, new=chosen, again=chosen)
        browser.wait("location.pathname === '/studies'", LONG)

        opened(browser, guarded.url, ohif_study.STUDY)
        browser.quiet(within=LONG)
        assert_sound(browser)

        assert run("user", "disable", "vera", data=data).returncode == 0
        time.sleep(1.5)
        browser.open(f"{guarded.url}/ohif/viewer?StudyInstanceUIDs={ohif_study.STUDY}")
        browser.wait("document.querySelector('#password') !== null", LONG)
