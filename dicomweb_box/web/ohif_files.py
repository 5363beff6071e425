"""Installing the OHIF viewer: its built files, from a package of one known content, into the data folder."""

import base64
import gzip
import hashlib
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from dicomweb_box.errors import BadSetting, BoxError

VERSION = "3.13.2"
PACKAGE = f"@ohif/app@{VERSION}"
INTEGRITY = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
AT = "/ohif/"
"""Where the viewer is served; the package is built for "/"."""

_DIST = ("package", "dist")
_MOST_BYTES = 512 << 20
_MOST_FILES = 5000
_FETCH_SECONDS = 600
# Source maps; the runtime of an assistant whose model would come from another site, which our
# Content-Security-Policy refuses, as it does the service worker's code; what only other set-ups of it need.
_LEFT_OUT_FOLDERS = frozenset({"ort", "customizations"})
_LEFT_OUT_FILES = frozenset({
    "sw.js", "init-service-worker.js", "app-config.js", "google.js", "serve.json", "_headers", "_redirects",
    "silent-refresh.html", "oidc-client.min.js", "es6-shim.min.js", "polyfill.min.js",
})  # fmt: skip
_COMPRESSED = frozenset({".js", ".css", ".html", ".json", ".svg", ".wasm", ".jsonc"})

_BUNDLE_ROOT = (b'__webpack_require__.p = "/";', f'__webpack_require__.p = "{AT}";'.encode())
_IMPORT_ROOT = (b"'/dicom-microscopy-viewer/", f"'{AT}dicom-microscopy-viewer/".encode())
_STYLE_ROOT = (b"url(/", f"url({AT}".encode())
_INLINE_SCRIPT = re.compile(rb"<script>.*?</script>", re.DOTALL)
_WORKER_SCRIPT = re.compile(rb"<script[^>]*init-service-worker[^>]*></script>")
_LINKED = re.compile(rb'(src|href|content)="/(?!/)')


class NotInstallable(BoxError):
    """The viewer could not be fetched or is not what it should be."""


def folder(data: Path) -> Path:
    """Where the files of this version lie, once installed."""
    return data / "ohif" / VERSION


def install(data: Path, package: Path | None = None) -> int:
    """Put the viewer's files into the data folder; gives how many.

    Taken from `package`, or fetched by `npm pack`. Raises BadSetting where there is no npm, NotInstallable
    where the package is not the one known here. What was installed
    before stays until the new files are complete.
    """
    place = folder(data)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".install-", dir=place.parent) as scratch:
        archive = package if package is not None else _fetched(Path(scratch))
        _verify(archive)
        made = Path(scratch, "dist")
        count = _unpack(archive, made)
        if place.exists():
            place.rename(Path(scratch, "before"))
        made.rename(place)
    return count


def _fetched(scratch: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise BadSetting("npm is not installed here; name a package file with --from")
    command = [npm, "pack", PACKAGE, "--ignore-scripts", "--silent", "--pack-destination", str(scratch)]
    try:
        # The command is ours but for the path that npm was found at.
        done = subprocess.run(  # noqa: S603
            command, cwd=scratch, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotInstallable(f"npm did not fetch {PACKAGE} within {_FETCH_SECONDS} seconds") from None
    found = next(scratch.glob("*.tgz"), None)
    if done.returncode != 0 or found is None:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NotInstallable(f"npm could not fetch {PACKAGE}: {said}")
    return found


def _verify(archive: Path) -> None:
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    if "sha512-" + base64.b64encode(digest).decode() != INTEGRITY:
        raise NotInstallable(f"{archive.name} is not the package {PACKAGE}: its SHA-512 is another")


def _unpack(archive: Path, place: Path) -> int:
    count = 0
    for path, content in _contents(archive):
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        content = relocated(path, content)
        target.write_bytes(content)
        if path.suffix in _COMPRESSED:
            target.with_name(target.name + ".gz").write_bytes(gzip.compress(content, 6, mtime=0))
        count += 1
    if not (place / "index.html").is_file():
        raise NotInstallable(f"{archive.name} holds no viewer: dist/index.html is missing")
    return count


def _contents(archive: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Path below dist and content of each file that is wanted; NotInstallable for what no package holds."""
    total = count = 0
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                total, count = total + member.size, count + 1
                if total > _MOST_BYTES or count > _MOST_FILES:
                    raise NotInstallable(f"{archive.name} is larger than any viewer")
                path = _wanted(member, archive.name)
                file = tar.extractfile(member) if path is not None else None
                if path is not None and file is not None:
                    yield path, file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise NotInstallable(f"{archive.name} cannot be unpacked: {error}") from error


def _wanted(member: tarfile.TarInfo, archive: str) -> PurePosixPath | None:
    """The member's path below dist; None where it is not wanted."""
    path = PurePosixPath(member.name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in member.name
        or not (member.isfile() or member.isdir())
    ):
        raise NotInstallable(f"{archive} holds something that is neither file nor folder within it")
    if path.parts[:2] != _DIST or not member.isfile():
        return None
    below = PurePosixPath(*path.parts[2:])
    if below.suffix == ".map" or below.parts[0] in _LEFT_OUT_FOLDERS or str(below) in _LEFT_OUT_FILES:
        return None
    return below


def relocated(path: PurePosixPath, content: bytes) -> bytes:
    """The file as it is served below `AT`.

    The page's two inline scripts go: app-config.js says what they said, and no policy need allow them.
    """
    if path.suffix == ".js":
        return content.replace(*_BUNDLE_ROOT).replace(*_IMPORT_ROOT)
    if path.suffix == ".css":
        return content.replace(*_STYLE_ROOT)
    if str(path) == "index.html":
        content = _WORKER_SCRIPT.sub(b"", _INLINE_SCRIPT.sub(b"", content))
        return _LINKED.sub(rf'\1="{AT}'.encode(), content)
    if str(path) == "manifest.json":
        return content.replace(b'"/', f'"{AT}'.encode())
    return content
