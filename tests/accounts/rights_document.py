"""docs/rights.md tells the table of what each address needs: `python -m tests.accounts.rights_document`."""

from collections.abc import Iterator
from pathlib import Path

from dicomweb_box.accounts.rights import Right
from dicomweb_box.asgi.rights_table import NEEDED, Needed

DOCUMENT = Path(__file__).parents[2] / "docs" / "rights.md"
BEGIN, END = "<!-- addresses -->\n", "<!-- /addresses -->\n"
COMMAND = "python -m tests.accounts.rights_document"


def generated() -> str:
    """The tables of all addresses, by the rights that they need."""
    return "\n".join(_sections())


def committed() -> str:
    """What the document says now."""
    return DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]


def write() -> None:
    """Put it there."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(before + BEGIN + generated() + END + rest.partition(END)[2])


def _sections() -> Iterator[str]:
    by_need: dict[Needed, dict[str, list[str]]] = {}
    for asked, needed in NEEDED.items():
        method, path = asked.split(" ")
        by_need.setdefault(needed, {}).setdefault(path.replace(":path}", "}"), []).append(method)
    for needed, paths in by_need.items():
        yield f"\n**{_words(needed)}**\n"
        yield "| address | method |\n|---|---|"
        for path, methods in paths.items():
            yield f"| `{path}` | {', '.join(methods)} |"
    yield ""


def _words(needed: Needed) -> str:
    if needed is None:
        return "Open to everybody"
    if not needed:
        return "Whoever has logged in, or has a token"
    return " and ".join(f"`{right}`" for right in Right if right in needed)


if __name__ == "__main__":
    write()
