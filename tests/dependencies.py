"""What is locked, with licences: `python -m tests.dependencies` writes docs/dependencies.md anew."""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "dependencies.md"
LOCKS = {
    "requirements.lock": "program",
    "requirements-dev.lock": "tests",
    "requirements-tools.lock": "tools",
}
"""Each lock, and what uses what it names."""

# What lets a hospital, a company and a university use and pass on the program, unchanged parts included.
ALLOWED = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CNRI-Python", "ISC", "MIT",
        "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "ZPL-2.1", "Zlib",
    }
)  # fmt: skip

_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Zope Public License": "ZPL-2.1",
}
_ROW = re.compile(r"^\| ([\w.-]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
_PIN = re.compile(r"^([\w.-]+)==([^\s;]+)", re.MULTILINE)
_HEAD = """# Dependencies

Every release that is locked, by `make lock`, with its licence. Written by `python -m tests.dependencies`,
compared with the locks and with what is installed by `make test`, which also refuses a licence
that is not in its list. The hashes stand in the lock files. *program*: what `dicomweb-box`
needs to run; *tests*: `make test` besides; *tools*: `make audit` and `make lock`. Vendored scripts stand in
[static/vendor](../static/vendor/VENDORED.md).

| name | version | licence | for |
|---|---|---|---|
"""


@dataclass(frozen=True, kw_only=True)
class Locked:
    """One package as the locks name it."""

    name: str
    versions: tuple[str, ...]
    uses: tuple[str, ...]
    licence: str


def locked(known: dict[str, str] | None = None) -> list[Locked]:
    """Every locked package; its licence as installed here, else as `known`, else "unknown"."""
    known = known if known is not None else {row.name: row.licence for row in listed()}
    found: dict[str, tuple[set[str], dict[str, None]]] = {}
    for lock, use in LOCKS.items():
        if (ROOT / lock).is_file():
            for name, version in _PIN.findall((ROOT / lock).read_text()):
                versions, uses = found.setdefault(name.lower(), (set(), {}))
                versions.add(version)
                uses[use] = None
    return [
        Locked(
            name=name,
            versions=tuple(sorted(versions)),
            uses=("program",) if "program" in uses else tuple(uses),
            licence=installed_licence(name) or known.get(name, "unknown"),
        )
        for name, (versions, uses) in sorted(found.items())
    ]


def installed_licence(name: str, path: Iterable[str] = sys.path) -> str | None:
    """The licence that the installed package names, as an SPDX expression where that can be told."""
    for one in metadata.distributions(name=name, path=list(path)):
        said = one.metadata
        classified = [
            _CLASSIFIERS[label]
            for each in said.get_all("Classifier") or []
            if each.startswith("License ::") and (label := each.rsplit(" :: ")[-1]) in _CLASSIFIERS
        ]
        free = (str(said.get("License") or "").strip().splitlines() or [""])[0]
        return str(said.get("License-Expression") or " OR ".join(dict.fromkeys(classified)) or free) or None
    return None


def listed() -> list[Locked]:
    """The packages in the document."""
    said = DOCUMENT.read_text() if DOCUMENT.is_file() else ""
    return [
        Locked(
            name=name,
            versions=tuple(versions.split(", ")),
            licence=licence,
            uses=tuple(uses.split(", ")),
        )
        for name, versions, licence, uses in _ROW.findall(said)
        if name != "name"
    ]


def rendered(packages: Iterable[Locked]) -> str:
    """The document."""
    rows = (
        f"| {one.name} | {', '.join(one.versions)} | {one.licence} | {', '.join(one.uses)} |\n"
        for one in packages
    )
    return _HEAD + "".join(rows)


def licences(expression: str) -> set[str]:
    """The licences that an expression names; of alternatives any one will do."""
    return {part for part in re.split(r"\s+(?:AND|OR|WITH)\s+|[()]", expression) if part.strip()}


if __name__ == "__main__":
    extra = dict(pair.split("=", 1) for pair in sys.argv[1:])
    known = {row.name: row.licence for row in listed()} | extra
    DOCUMENT.write_text(rendered(locked(known)))
