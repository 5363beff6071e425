"""The OHIF viewer: installed from a package of one known content, served with a policy of its own."""

import base64
import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import httpx
import pytest

from dicomweb_box.box import Box
from dicomweb_box.errors import BadSetting
from dicomweb_box.web import ohif_files
from dicomweb_box.web.ohif_files import NotInstallable
from tests.web.pages import Page
from tests.web.test_studies_page import keep

PAGE = (
    b'<html><head><script>window.PUBLIC_URL="/"</script><script src="/app-config.js"></script>'
    b'<script type="module" src="/init-service-worker.js"></script>'
    b'<link href="/app.bundle.css"></head></html>'
)
BUNDLE = "app.bundle.0123456789abcdef.js"
WORKER = "compute.bundle.0123456789abcdef.js"
FILES = {
    "package/package.json": b"{}",
    "package/dist/index.html": PAGE,
    f"package/dist/{BUNDLE}": b'__webpack_require__.p = "/";\n' + b"//" * 2000,
    f"package/dist/{WORKER}": b'__webpack_require__.p = "/";\n',
    "package/dist/app.bundle.css": b"src:url(/a34f9d1faa5f3315.woff2)",
    "package/dist/assets/icon.png": b"\x89PNG",
    "package/dist/app.bundle.js.map": b"{}",
    "package/dist/sw.js": b"importScripts('https://elsewhere.invalid/')",
    "package/dist/ort/ort.js": b"",
}


def packed(path: Path, files: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in others:
            tar.addfile(info)
    return path


def expect(monkeypatch: pytest.MonkeyPatch, package: Path) -> None:
    digest = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    monkeypatch.setattr(ohif_files, "INTEGRITY", f"sha512-{digest}")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = packed(tmp_path / "viewer.tgz", FILES)
    expect(monkeypatch, made)
    return made


def test_only_what_a_browser_asks_for_is_installed(tmp_path: Path, package: Path) -> None:
    count = ohif_files.install(tmp_path / "data", package)

    place = ohif_files.folder(tmp_path / "data")
    found = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert {name.removesuffix(".gz") for name in found} == {
        "index.html", BUNDLE, WORKER, "app.bundle.css", "assets/icon.png",
    }  # fmt: skip
    assert count == 5
    assert [path.name for path in place.parent.iterdir()] == [ohif_files.VERSION]


def test_another_package_is_refused_and_what_was_there_stays(
    tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ohif_files.install(tmp_path / "data", package)
    other = packed(tmp_path / "other.tgz", {"package/dist/index.html": b"evil"})

    with pytest.raises(NotInstallable, match="SHA-512"):
        ohif_files.install(tmp_path / "data", other)

    page = (ohif_files.folder(tmp_path / "data") / "index.html").read_bytes()
    assert b"evil" not in page
    assert page.startswith(b"<html>")


def test_it_can_be_installed_again(tmp_path: Path, package: Path) -> None:
    first = ohif_files.install(tmp_path / "data", package)

    assert ohif_files.install(tmp_path / "data", package) == first
    assert [path.name for path in (tmp_path / "data" / "ohif").iterdir()] == [ohif_files.VERSION]


def link(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    ("files", "others", "said"),
    [
        ({"package/dist/../../../x": b""}, (), "neither file nor folder"),
        ({"/package/dist/x": b""}, (), "neither file nor folder"),
        ({}, (link("package/dist/x"),), "neither file nor folder"),
        ({"package/x": b""}, (), "index.html is missing"),
        ({"package/dist/index.html": b"x" * 2000}, (), "larger than any viewer"),
    ],
)
def test_a_package_that_would_write_elsewhere_or_too_much_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, bytes],
    others: tuple[tarfile.TarInfo, ...],
    said: str,
) -> None:
    made = packed(tmp_path / "viewer.tgz", files, *others)
    expect(monkeypatch, made)
    monkeypatch.setattr(ohif_files, "_MOST_BYTES", 1000)

    with pytest.raises(NotInstallable, match=said):
        ohif_files.install(tmp_path / "data", made)

    assert list((tmp_path / "data" / "ohif").iterdir()) == []


def test_what_is_no_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "viewer.tgz"
    made.write_bytes(gzip.compress(b"no archive at all"))
    expect(monkeypatch, made)

    with pytest.raises(NotInstallable, match="cannot be unpacked"):
        ohif_files.install(tmp_path / "data", made)


def test_without_npm_a_file_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BadSetting, match="--from"):
        ohif_files.install(tmp_path / "data")


def test_npm_is_asked_for_the_one_version(
    tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f'#!/bin/sh\n[ "$2" = "@ohif/app@3.13.2" ] && /bin/cp {package} ohif-app.tgz\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent))

    assert ohif_files.install(tmp_path / "data") == 5


def test_what_npm_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error 404' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NotInstallable, match="npm error 404"):
        ohif_files.install(tmp_path / "data")


async def test_where_it_is_not_installed_the_way_to_it_is_said(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box)

    answer = await client.get("/ohif/viewer")

    assert answer.status_code == 404
    assert "dicomweb-box ohif install" in answer.text
    assert not any(
        "/ohif" in address for address in Page((await client.get(f"/studies/{study}")).text).addresses()
    )


async def test_once_installed_each_study_leads_to_it(
    box: Box, client: httpx.AsyncClient, package: Path
) -> None:
    study = await keep(box)
    await client.get("/ohif/")  # it was looked for before
    ohif_files.install(box.settings.data, package)

    page = Page((await client.get(f"/studies/{study}")).text)

    (address,) = [one for one in page.addresses() if "/ohif" in one]
    assert address == f"/ohif/viewer?StudyInstanceUIDs={study}"
    assert (await client.get(address)).status_code == 200


async def test_its_page_answers_for_the_addresses_of_its_script(
    box: Box, client: httpx.AsyncClient, package: Path
) -> None:
    ohif_files.install(box.settings.data, package)

    pages = [await client.get(path) for path in ("/ohif/", "/ohif/viewer?StudyInstanceUIDs=1.2", "/ohif/a/b")]

    assert {page.text for page in pages} == {
        '<html><head><script src="/ohif/app-config.js"></script>'
        '<link href="/ohif/app.bundle.css"></head></html>'
    }
    assert pages[0].headers["content-type"] == "text/html; charset=utf-8"
    assert pages[0].headers["cache-control"] == "no-cache"
    entrance = await client.get("/ohif")
    assert (entrance.status_code, entrance.headers["location"]) == (308, "/ohif/")


@pytest.mark.parametrize(
    "path", ["nothing.js", "../index.db", "%2e%2e/%2e%2e/index.db", "sw.js", "ort/ort.js"]
)
async def test_nothing_but_its_files_is_served(
    box: Box, client: httpx.AsyncClient, package: Path, path: str
) -> None:
    ohif_files.install(box.settings.data, package)

    assert (await client.get(f"/ohif/{path}")).status_code == 404


async def test_files_named_for_their_content_are_kept_for_ever_and_compressed(
    box: Box, client: httpx.AsyncClient, package: Path
) -> None:
    ohif_files.install(box.settings.data, package)

    small = await client.get(f"/ohif/{BUNDLE}")
    plain = await client.get(f"/ohif/{BUNDLE}", headers={"Accept-Encoding": "identity"})
    style = await client.get("/ohif/app.bundle.css")
    again = await client.get("/ohif/app.bundle.css", headers={"If-None-Match": style.headers["etag"]})

    assert "immutable" in small.headers["cache-control"]
    assert small.headers["content-encoding"] == "gzip"
    assert int(small.headers["content-length"]) < len(plain.content)
    assert small.text == plain.text
    assert small.text.startswith('__webpack_require__.p = "/ohif/";')
    assert small.headers["etag"] != plain.headers["etag"]
    assert style.text == "src:url(/ohif/a34f9d1faa5f3315.woff2)"
    assert (style.headers["cache-control"], again.status_code) == ("no-cache", 304)


async def test_it_is_set_up_for_this_box(box: Box, client: httpx.AsyncClient, package: Path) -> None:
    ohif_files.install(box.settings.data, package)

    answer = await client.get("/ohif/app-config.js")
    again = await client.get("/ohif/app-config.js", headers={"If-None-Match": answer.headers["etag"]})

    assert answer.headers["content-type"].startswith("text/javascript")
    assert 'window.location.origin + "/dicom-web"' in answer.text
    assert again.status_code == 304


async def test_its_policy_lets_no_inline_script_run_and_nothing_leave_this_site(
    box: Box, client: httpx.AsyncClient, package: Path
) -> None:
    ohif_files.install(box.settings.data, package)

    for name in ("", BUNDLE, "app-config.js", WORKER):
        policy = (await client.get(f"/ohif/{name}")).headers["content-security-policy"]
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == "'self' 'unsafe-eval'"
        assert "http" not in policy
        assert "*" not in policy
