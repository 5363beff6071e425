"""Tests wait for what they read: whoever reads too early fails on a busy machine alone."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
READS = {"all", "all_inner_texts", "all_text_contents", "count", "input_value"} | {
    f"is_{state}" for state in ("checked", "disabled", "editable", "enabled", "hidden", "visible")
}
"""Methods of Playwright's locators that tell what is so at once."""
ASSERTED = {"get_attribute", "inner_html", "inner_text", "text_content", "title"}
"""Those that wait for an element, be it one of the page before."""
REQUESTS = {"get", "post", "put", "patch", "delete", "head", "options", "request", "Client", "AsyncClient"}


def test_a_page_is_read_by_what_waits_or_right_after_it() -> None:
    wrong = [
        f"{path.name}:{line}"
        for path in sorted((TESTS / "browser").glob("*.py"))
        for line in too_early(path.read_text())
    ]

    assert wrong == [], "write expect(…).to_have_…, or expect(…) on the line before"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("assert rows.count() == 2", True),
        ("expect(rows).to_have_count(2)\nnames = rows.all_inner_texts()", False),
        ("page.get_by_role('button').click()\nnames = rows.all_inner_texts()", True),
        ("assert page.url.endswith('/studies')", True),
        ("while not page.get_by_text('done').is_visible(): page.reload()", True),
        ("secret = page.locator('#secret').inner_text()", False),
        ("assert heading.inner_text() == 'Studies'", True),
        ("assert ['a', 'a'].count('a') == 2", False),
    ],
)
def test_it_is_known_what_reads_too_early(line: str, found: bool) -> None:
    assert bool(list(too_early(line))) is found


def too_early(source: str) -> Iterator[int]:
    """Lines of statements that read a page at once, though none that waits stands right before them."""
    for node in ast.walk(ast.parse(source)):
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if not isinstance(statements, list):
                continue
            for before, statement in pairwise([None, *statements]):
                if _reads(statement) and not (before and ast.unparse(before).startswith("expect(")):
                    yield statement.lineno


def _reads(statement: ast.stmt) -> bool:
    asserts = isinstance(statement, ast.Assert)
    for node in _own(statement):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name, bare = node.func.attr, not node.args
            if (bare and name in READS) or (asserts and name in ASSERTED):
                return True
        if asserts and isinstance(node, ast.Attribute) and ast.unparse(node) == "page.url":
            return True
    return False


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """The node and what is in it, but for the statements within."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt):
            yield from _own(child)


def test_no_request_to_a_server_is_given_up_after_the_five_seconds_of_httpx() -> None:
    wrong = [
        f"{path.relative_to(TESTS.parent)}:{node.lineno}"
        for folder in (TESTS, TESTS.parent / "conformance")
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _is_hasty(node)
    ]

    assert wrong == [], "say timeout=60"


def _is_hasty(call: ast.Call) -> bool:
    name, given = ast.unparse(call.func), {one.arg for one in call.keywords}
    # A transport of an application in this process takes the time that it takes.
    return name in {f"httpx.{one}" for one in REQUESTS} and not given & {"timeout", "transport"}
