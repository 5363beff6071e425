"""Uploading as people do it: by choosing and dropping, with breaks, and without scripts."""

import hashlib
import io
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import expect

from conformance.server import Server
from tests.browser.checks import overflows, violations
from tests.builders import make_dataset, make_instance, new_uid, part10


def begin(page: Any, name: str) -> str:
    """Begins an upload; the address of its page."""
    page.goto("/upload")
    page.get_by_label("Name of the upload").fill(name)
    page.get_by_role("button", name="Begin an upload").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.wait_for_load_state()  # with what hears of files that are chosen
    return str(page.url).rstrip("/")


def told(server: Server, address: str) -> dict[str, Any]:
    path = address.removeprefix(server.url)
    return dict(httpx.get(f"{server.url}{path}.json", timeout=60).json())


def until(page: Any, true: Callable[[], object], within: float = 90) -> None:
    """Returns as soon as something is so; meanwhile the page's routes are answered."""
    last = time.monotonic() + within
    while not true():
        assert time.monotonic() < last, "it did not come to pass"
        page.wait_for_timeout(100)


def settled(page: Any, server: Server, address: str, files: int) -> dict[str, Any]:
    """What the server says once so many files have an outcome."""
    until(page, lambda: told(server, address)["settled"] >= files)
    session = told(server, address)
    assert session["settled"] == files, session
    return session


def files_of(server: Server, address: str) -> list[dict[str, Any]]:
    path = address.removeprefix(server.url)
    return list(httpx.get(f"{server.url}{path}/files.json", timeout=60).json()["files"])


def large(study: str, mebibytes: int) -> bytes:
    """An instance of so many MiB and a little more."""
    ds = make_dataset(study=study, Rows=1024, Columns=512, NumberOfFrames=mebibytes)
    ds.PixelData = b"".join(hashlib.sha256(bytes([n % 256])).digest() for n in range(1024)) * 32 * mebibytes
    return part10(ds)


def test_chosen_files_are_sent_with_progress_and_told_apart(
    page: Any, server: Server, tmp_path: Path
) -> None:
    study = new_uid()
    one = make_instance(study=study, PatientName="Upload^Ursula")
    (tmp_path / "one.dcm").write_bytes(one)
    (tmp_path / "twin.dcm").write_bytes(one)
    (tmp_path / "cut.dcm").write_bytes(make_instance()[:-20])
    (tmp_path / "words.txt").write_text("Nothing of DICOM is in these words.")
    address = begin(page, "Chosen")

    page.get_by_label("Files or zip archives").set_input_files(sorted(tmp_path.glob("*.*")))

    page.locator("#sending-words", has_text="4 of 4 files").wait_for()
    page.get_by_label("Files that could not be sent").get_by_text("cut.dcm").wait_for()
    page.get_by_role("link", name="Upload, Ursula").wait_for()
    assert violations(page) == []
    assert not overflows(page)
    session = settled(page, server, address, 4)
    assert [session[name] for name in ("stored", "already", "skipped", "refused")] == [1, 1, 1, 1]
    page.get_by_role("link", name="Upload, Ursula").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Upload, Ursula")


def test_a_folder_is_sent_with_all_that_is_in_it(page: Any, server: Server, tmp_path: Path) -> None:
    study = new_uid()
    folder = tmp_path / "CD" / "DICOM" / "deep"
    folder.mkdir(parents=True)
    for number in range(30):
        (folder / f"IM{number:03d}").write_bytes(make_instance(study=study))
    (tmp_path / "CD" / "DICOMDIR").write_bytes(b"directory")
    (tmp_path / "CD" / "Thumbs.db").write_bytes(b"pictures")
    address = begin(page, "Folder")

    page.get_by_label("A folder with all that is in it").set_input_files(tmp_path / "CD")

    session = settled(page, server, address, 32)
    assert [session[name] for name in ("stored", "skipped", "refused")] == [30, 2, 0]
    assert "CD/DICOM/deep/IM000" in {one["path"] for one in files_of(server, address)}


def test_a_zip_archive_is_unpacked_and_the_page_shows_it(page: Any, server: Server) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number in range(5):
            archive.writestr(f"{number}.dcm", make_instance(PatientName="Zip^Zoe"))
    begin(page, "Archive")

    page.get_by_label("Files or zip archives").set_input_files(
        [{"name": "all.zip", "mimeType": "application/zip", "buffer": made.getvalue()}]
    )

    expect(page.get_by_text("archive, unpacked")).to_be_visible()
    expect(page.get_by_text("5 new, 0 already here")).to_be_visible()
    expect(page.get_by_role("link", name="Zip, Zoe").first).to_be_visible()


def test_what_is_dropped_is_sent(page: Any, server: Server) -> None:
    data = make_instance()
    address = begin(page, "Dropped")
    transfer = page.evaluate_handle(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "dropped.dcm", {lastModified: 1}));
            return transfer;
        }""",
        list(data),
    )

    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})

    assert settled(page, server, address, 1)["stored"] == 1


def test_what_was_chosen_before_the_script_came_is_sent(page: Any, server: Server) -> None:
    address = begin(page, "Early")
    held: list[Any] = []
    page.route(re.compile(r"/upload\.js$"), lambda route: held.append(route))
    page.goto(address, wait_until="commit")
    files = page.get_by_label("Files or zip archives")
    files.set_input_files({"name": "early.dcm", "mimeType": "application/dicom", "buffer": make_instance()})
    until(page, lambda: held)

    for one in held:
        one.continue_()

    assert settled(page, server, address, 1)["stored"] == 1


def test_it_goes_on_after_a_reload_where_it_stopped(page: Any, server: Server, tmp_path: Path) -> None:
    study = new_uid()
    (tmp_path / "small.dcm").write_bytes(make_instance(study=study))
    (tmp_path / "large.dcm").write_bytes(large(study, 20))
    sent: list[str | None] = []
    address = begin(page, "Reload")
    # The second chunk of the large file never gets through.
    page.route(
        re.compile("/files/"),
        lambda route: (
            route.abort() if route.request.headers.get("upload-offset") == str(8 << 20) else route.continue_()
        ),
    )

    page.get_by_label("Files or zip archives").set_input_files(sorted(tmp_path.iterdir()))
    settled(page, server, address, 1)
    until(page, lambda: all(one["received"] for one in files_of(server, address)))
    page.excused.append("ERR_FAILED")  # the chunk that is broken off on purpose
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    page.unroute_all()
    page.route(
        re.compile("/files/"),
        lambda route: (sent.append(route.request.headers.get("upload-offset")), route.continue_()),
    )
    expect(page.get_by_text("1 announced file has no outcome yet")).to_be_visible()
    page.get_by_label("Files or zip archives").set_input_files(sorted(tmp_path.iterdir()))

    session = settled(page, server, address, 2)
    assert (session["files"], session["stored"], session["refused"]) == (2, 2, 0)
    assert sent == [str(8 << 20), str(16 << 20)]
    page.locator("#sending-words", has_text="2 of 2 files").wait_for()


def test_it_is_paused_and_goes_on(page: Any, server: Server, tmp_path: Path) -> None:
    (tmp_path / "large.dcm").write_bytes(large(new_uid(), 20))
    address = begin(page, "Pause")
    page.excused.append("ERR_ABORTED")  # of the chunk that is under way
    asked: list[str | None] = []

    def first_only(route: Any) -> None:
        """Lets the first chunk through; what comes after it stays under way."""
        asked.append(route.request.headers.get("upload-offset"))
        if asked[-1] == "0":
            route.continue_()

    page.route(re.compile("/files/"), first_only)

    page.get_by_label("Files or zip archives").set_input_files(tmp_path / "large.dcm")
    until(page, lambda: str(8 << 20) in asked)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    assert violations(page) == []
    page.wait_for_timeout(500)
    assert asked == ["0", str(8 << 20)]  # while it is paused nothing more is sent
    assert told(server, address)["settled"] == 0
    page.unroute_all()
    page.get_by_role("button", name="Go on").click()

    assert settled(page, server, address, 1)["stored"] == 1


def test_what_could_not_be_sent_is_tried_again(page: Any, server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(make_instance())
    address = begin(page, "Retry")
    page.route(
        re.compile("/files/"),
        lambda route: route.fulfill(status=400, json={"error": "The bytes were turned around on their way."}),
    )

    page.get_by_label("Files or zip archives").set_input_files(tmp_path / "a.dcm")
    page.excused.append("status of 400")
    # It tries several times before it says so.
    page.get_by_text("The bytes were turned around on their way.").wait_for(timeout=120_000)
    page.unroute_all()
    page.get_by_role("button", name="Try the failed ones again").click()

    assert settled(page, server, address, 1)["stored"] == 1
    page.locator("#sending-words", has_text="1 of 1 files").wait_for()


def test_digests_are_made_in_plain_http_too(page: Any, server: Server) -> None:
    begin(page, "Digests")
    for data in (b"", b"abc", b"x" * 55, b"x" * 56, b"x" * 64, b"x" * 119, b"ab" * 100_000):
        made = page.evaluate(
            """bytes => new Promise((resolve, reject) => {
                const worker = new Worker(document.getElementById("drop").dataset.hasher, {type: "module"});
                worker.onmessage = ({data}) => data.error ? reject(data.error)
                    : resolve(Array.from(new Uint8Array(data.digest)));
                worker.postMessage({number: 1, blob: new Blob([new Uint8Array(bytes)]), plain: true});
            })""",
            list(data),
        )
        assert bytes(made) == hashlib.sha256(data).digest()


def test_files_are_sent_without_scripts(plain_page: Any, server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(make_instance(PatientName="Plain^Paula"))
    (tmp_path / "b.txt").write_text("Nothing of DICOM is in these words.")
    begin(plain_page, "Plain")

    plain_page.get_by_label("Files or zip archives").set_input_files(sorted(tmp_path.iterdir()))
    plain_page.get_by_role("button", name="Send").click()

    expect(plain_page.get_by_role("link", name="Plain, Paula").first).to_be_visible()
    rows = plain_page.get_by_label("Table of files").get_by_role("row")
    expect(rows.filter(has_text="a.dcm").filter(has_text="new")).to_have_count(1)
    expect(rows.filter(has_text="b.txt").filter(has_text="left out")).to_have_count(1)
    assert not overflows(plain_page)


def test_the_list_of_uploads_is_accessible(page: Any) -> None:
    begin(page, "A long name for an upload of everything from the old disk of the second floor")
    page.goto("/upload")
    assert violations(page) == []
    assert not overflows(page)
    page.get_by_role("link", name="A long name").first.click()
    page.get_by_role("link", name="Remove this record").click()
    page.wait_for_url("**/remove")
    assert violations(page) == []
    page.get_by_role("button", name="Remove the record").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Upload")
