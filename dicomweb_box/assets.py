"""Where templates and static files lie: inside an installed package, or beside it in a checkout."""

import functools
import hashlib
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
# Beside this very file, never by the package's name: an editable install leaves a stale copy elsewhere.
_ROOT = _PACKAGE / "_assets" if (_PACKAGE / "_assets").is_dir() else _PACKAGE.parent

TEMPLATES = _ROOT / "templates"
STATIC = _ROOT / "static"


@functools.cache
def static_digest(path: str) -> str:
    """A short digest of a static file's content, for its URL: another content, another address.

    The files of a folder share one, of all of them: its scripts import one another by relative addresses.
    """
    file = STATIC / path
    if file.parent == STATIC:
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return _folder_digest(file.parent)


@functools.cache
def _folder_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(one for one in folder.iterdir() if one.is_file()):
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def static_url(path: str) -> str:
    """Where the browser finds the static file; may be kept for ever."""
    return f"/static/{static_digest(path)}/{path}"
