"""The figures as a table, for the terminal and for docs/performance.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.works import Target

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"


@dataclass(kw_only=True)
class Figures:
    """What one server came to in one work, a value for each round."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    size: int = 0
    failed: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    unit: str
    target: Target
    of: Mapping[str, Figures]


def table(rows: Sequence[Row], servers: Sequence[str]) -> str:
    """Markdown: for each work each server's rate and CPU, then how the first compares with the second."""
    heads = [f"{server} | CPU ms" for server in servers]
    compare = ["ratio"] if len(servers) > 1 else []
    lines = ["| work | " + " | ".join([*heads, *compare, "aim", "met"]) + " |"]
    lines.append("|---|" + "--:|--:|" * len(servers) + "--:|" * len(compare) + "---|---|")
    for row in rows:
        cells = [cell for server in servers for cell in _cells(row.of.get(server, Figures()), row.unit)]
        ratio = _ratio(row, servers)
        lines.append(
            "| " + " | ".join([row.name, *cells, *([f"{ratio:.1f}×" if ratio else "–"] if compare else []),
                               _aim(row.target), _met(row, servers, ratio)]) + " |"
        )  # fmt: skip
    return "\n".join(lines)


def write(text: str) -> None:
    """Puts `text` between the marks of docs/performance.md."""
    document = DOCUMENT.read_text()
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def _cells(figures: Figures, unit: str) -> list[str]:
    if not figures.rates:
        return [figures.failed or "–", "–"]
    return [_number(median(figures.rates)) + unit, f"{median(figures.cpu):.2f}" if figures.cpu else "–"]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _ratio(row: Row, servers: Sequence[str]) -> float | None:
    """The median over rounds of the ratio within a round."""
    if len(servers) < 2:
        return None
    first, second = (row.of.get(server, Figures()).rates for server in servers[:2])
    ratios = [a / b for a, b in zip(first, second, strict=False) if b]
    return median(ratios) if ratios else None


def _aim(target: Target) -> str:
    parts = [
        f"≥ {target.ratio:g}×" if target.ratio else "",
        f"≤ {target.cpu:.3g} ms" if target.cpu else "",
        f"≤ {target.most:g}" if target.most else "",
    ]
    return ", ".join(part for part in parts if part)


def _met(row: Row, servers: Sequence[str], ratio: float | None) -> str:
    figures = row.of.get(servers[0], Figures())
    if not figures.rates:
        return "no"
    missed = []
    if row.target.cpu and figures.cpu and median(figures.cpu) > row.target.cpu:
        missed.append(f"CPU {median(figures.cpu) / row.target.cpu:.1f}×")
    if row.target.most and median(figures.rates) > row.target.most:
        missed.append(f"{median(figures.rates) / row.target.most:.1f}×")
    if row.target.ratio and ratio and ratio < row.target.ratio:
        missed.append(f"ratio {ratio:.1f}")
    return "no: " + ", ".join(missed) if missed else "yes"
