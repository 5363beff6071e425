"""The documents name every setting, command and address there is, and no conformance test that is gone."""

import argparse
import re
from pathlib import Path

import pytest
from starlette.routing import BaseRoute, Mount, Route

from conformance import statement, table
from dicomweb_box import cli, setting_sources, settings
from dicomweb_box.accounts.rights import Right
from dicomweb_box.dicomweb import aliases, qido, removal, stow, wado, wado_uri
from dicomweb_box.web.routes import routes as web_routes
from tests.accounts import rights_document

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def text(*names: str) -> str:
    return "\n".join((ROOT / name).read_text() for name in names)


def test_each_setting_is_described_with_its_default():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \| ", text("docs/settings.md"), re.MULTILINE))
    explained = setting_sources.explain(settings.Settings())
    assert list(rows) == [one.name for one in explained]
    for one in explained:
        assert one.default.split(" ")[0] in rows[one.name], one.name


def commands(parser: argparse.ArgumentParser, before: str = "") -> list[str]:
    """Each command's words."""
    subparsers = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not subparsers:
        return [before.strip()]
    chosen = subparsers[0].choices.items()
    return [words for name, below in chosen for words in commands(below, f"{before} {name}")]


@pytest.mark.parametrize("command", commands(cli.parser()))
def test_each_command_is_in_the_readme(command: str):
    assert f"dicomweb-box {command}" in text("README.md")


def paths(routes: list[BaseRoute]) -> list[str]:
    found = [route.path for route in routes if isinstance(route, Route)]
    return found + [path for route in routes if isinstance(route, Mount) for path in paths(route.routes)]


DICOMWEB = [*wado.ROUTES, *stow.ROUTES, *qido.ROUTES, *removal.ROUTES, *aliases.ROUTES, *wado_uri.ROUTES]


@pytest.mark.parametrize("path", sorted({*paths(list(DICOMWEB)), *paths(web_routes())}))
def test_each_address_is_described(path: str):
    plain = path.replace(":path}", "}").removesuffix("/count")
    assert f"`{plain}`" in text("docs/urls.md")


def test_the_document_tells_which_rights_each_address_needs():
    assert rights_document.committed() == rights_document.generated(), f"run {rights_document.COMMAND}"


def test_the_conformance_statement_tells_what_is_accepted():
    assert statement.committed() == statement.generated(), f"run {statement.COMMAND}"


def test_each_right_is_explained():
    explained = re.findall(r"^\| `(\w+)` \| [^`]", text("docs/rights.md"), re.MULTILINE)
    assert explained == list(Right)


def test_the_committed_conformance_table_names_the_tests_there_are():
    assert table.committed(table.DOCUMENT.read_text()) == table.shown_by_row()


def test_each_row_is_shown_by_a_test():
    assert [row for row, names in table.shown_by_row().items() if not names] == []
    assert set(table.shown_by_row()) == set(table.ROWS)


@pytest.mark.parametrize(
    "document", sorted(str(p.relative_to(ROOT)) for p in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
)
def test_links_between_documents_lead_somewhere(document: str):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text(document)):
        assert ((ROOT / document).parent / target).exists(), target


@pytest.mark.parametrize("decision", sorted((DOCS / "decisions").glob("*.md")), ids=lambda path: path.name)
def test_a_decision_fits_on_a_page(decision: Path):
    said = decision.read_text()
    assert len(said.splitlines()) <= 40
    assert all(f"**{part}.**" in said for part in ("Context", "Choice", "Given up"))
