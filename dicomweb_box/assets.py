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
    """A short digest of a static file's content, for its URL: another content, another address."""
    return hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:16]


def static_url(path: str) -> str:
    """Where the browser finds the static file; may be kept for ever."""
    return f"/static/{static_digest(path)}/{path}"
