"""The pictures of docs/pages, of synthetic names: `python -m tests.browser.pictures` makes them anew."""

import io
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pydicom
from PIL import Image
from pydicom.data import get_testdata_file

from conformance.server import ROOT, Server, command, environment, started
from tests.browser.conftest import FLAGS, NARROW, store_in
from tests.browser.populated import pages, populate, route_of
from tests.builders import new_uid

FOLDER: Final = ROOT / "docs" / "pages"
PASSWORD: Final = "correct horse battery staple"
INSTANCE: Final = "/studies/{study_uid}/series/{series_uid}/instances/{instance_uid}"
PEOPLE: Final = (
    ("Abel^Anna", "A-1001", "Knee right", "MR", "MR_small.dcm"),
    ("Brandt^Boris", "B-2002", "Chest routine", "CT", "CT_small.dcm"),
    ("Cerny^Clara", "C-3003", "Abdomen with contrast", "CT", "CT_small.dcm"),
    ("Diaz^Diego", "D-4004", "Hand two views", "CR", "CT_small.dcm"),
    ("Eriksen^Eva", "E-5005", "Heart", "US", "CT_small.dcm"),
    ("Fischer^Frida", "F-7007", "Thorax", "CT", "CT_small.dcm"),
)
WIDE: Final = {
    "studies": "/studies", "study": "/studies/{study_uid}", "viewer": "/studies/{study_uid}/viewer",
    "attributes": INSTANCE, "patients": "/patients", "series": "/series", "upload": "/upload/{session}",
    "labels": "/labels", "rule": "/rules/{rule_id}", "correct": "/studies/{study_uid}/correct",
    "reject": "/studies/{study_uid}/reject", "rejected": "/rejected", "held": "/held/{instance_uid}/{sha256}",
    "disagreements": "/disagreements", "status": "/status", "users": "/users", "user": "/users/{id}",
    "role": "/roles/{name}", "tokens": "/tokens", "query": "/query", "worklist": "/worklist",
    "peer": "/peers/{name}", "transfers": "/transfers", "audit": "/audit",
}  # fmt: skip
PHONE: Final = {
    "studies-phone": "/studies", "study-phone": "/studies/{study_uid}",
    "viewer-phone": "/studies/{study_uid}/viewer", "menu-phone": "/studies",
}  # fmt: skip


def main() -> None:
    """Fill a server, log in as its administrator, and take every picture."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with started(data) as server:
            places = filled(server)
        first = said("user", "add", "alice", "--role", "administrator", data=data)
        with started(data, accounts=True) as server, browser() as running:
            take(running, server, places, first)


def filled(server: Server) -> dict[str, str]:
    """The address of a page of each route."""
    populate(server)
    for number, person in enumerate(PEOPLE):
        store_in(server, *instances(number, *person))
    found = {route_of(urlsplit(address).path) or "": address for address in reversed(pages(server))}
    newest = httpx.get(f"{server.dicomweb}/studies", params={"PatientID": "F-7007"}, timeout=60).json()
    study = newest[0]["0020000D"]["Value"][0]
    return {
        route: re.sub(r"/studies/[\d.]+", f"/studies/{study}", address)
        if "instance" not in route
        else address
        for route, address in found.items()
    }


def instances(
    number: int, name: str, patient: str, description: str, modality: str, file: str
) -> Iterator[bytes]:
    """Four instances of a study of somebody who does not exist."""
    dataset = pydicom.dcmread(str(get_testdata_file(file, download=False)))
    dataset.PatientName, dataset.PatientID, dataset.StudyDescription = name, patient, description
    dataset.AccessionNumber, dataset.Modality = f"ACC{number}", modality
    dataset.StudyDate = f"202611{number + 10}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = new_uid(), new_uid()
    for instance in range(1, 5):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = new_uid()
        dataset.InstanceNumber = instance
        out = io.BytesIO()
        dataset.save_as(out)
        yield out.getvalue()


def said(*words: str, data: Path) -> str:
    """What a command prints."""
    arguments = command(*words, "--data", str(data))
    run = subprocess.run(
        arguments, capture_output=True, text=True, env=environment(), timeout=300, check=True
    )
    return run.stdout.strip()


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        yield running
        running.close()


def take(running: Any, server: Server, places: dict[str, str], first: str) -> None:
    """All pictures, the page of the log-in first."""
    context = running.new_context(base_url=server.url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto("/login")
    keep(page, "login")
    enter(page, first)
    for name, route in WIDE.items():
        show(page, places[route])
        keep(page, name)
    page.goto(f"/shares/new?study={urlsplit(places['/studies/{study_uid}']).path.rpartition('/')[2]}")
    keep(page, "share")
    page.emulate_media(color_scheme="dark")
    show(page, "/studies")
    keep(page, "studies-dark")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(NARROW)
    for name, route in PHONE.items():
        show(page, places[route])
        if name == "menu-phone":
            page.locator("details.menu summary").click()
        keep(page, name)


def enter(page: Any, first: str) -> None:
    """Log in, and choose the password that is asked for."""
    page.get_by_label("Name").fill("alice")
    page.get_by_label("Password").fill(first)
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Present password").fill(first)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Change the password").click()
    page.wait_for_url("**/studies")


def show(page: Any, address: str) -> None:
    """The page, with its pictures drawn."""
    page.goto(address)
    if address.endswith("/viewer"):
        page.locator(".pane[data-drawn='0']").wait_for()
    page.wait_for_function("Array.from(document.images).every(image => image.complete)")


def keep(page: Any, name: str) -> None:
    """The window as it is, three quarters of its size, in 128 colours."""
    whole = Image.open(io.BytesIO(page.screenshot()))
    if whole.width > NARROW["width"]:
        whole = whole.resize((whole.width * 3 // 4, whole.height * 3 // 4), Image.Resampling.LANCZOS)
    whole.convert("RGB").quantize(128).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
