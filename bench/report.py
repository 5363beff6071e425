"""The figures as a table, for the terminal and for docs/performance.md."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.machine import STATED, Machine
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


def table(rows: Sequence[Row], servers: Sequence[str], machine: Machine) -> str:
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
                               _aim(row.target, machine), _met(row, servers, ratio, machine)]) + " |"
        )  # fmt: skip
    return "\n".join(lines)


def describe_machine(machine: Machine, others: float) -> str:
    """What the aims are multiplied with, and how much of the machine others had."""
    low, high = machine.spread
    return textwrap.fill(
        "The aims are those of another machine. A few operations that took known times there took"
        f" {machine.factor:.2f} times as long here, measured between the rounds of this run ({low:.2f} to"
        f" {high:.2f} in nine of ten rounds; the last table), while others than this measurement used"
        f" {others:.0%} of the processors. Behind an arrow stands the aim times this factor, or a codec as"
        " measured here and the rest times the factor. A row is judged by that; `yes, by the factor`: the"
        " aim as stated is not met.",
        width=130,
    )


def write(text: str) -> None:
    """Puts `text` between the marks of docs/performance.md."""
    document = DOCUMENT.read_text()
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def _cells(figures: Figures, unit: str) -> list[str]:
    if not figures.rates:
        return [figures.failed or "–", "–"]
    failed = f" ({figures.failed})" if figures.failed else ""
    return [
        _number(median(figures.rates)) + unit + failed,
        f"{median(figures.cpu):.2f}" if figures.cpu else "–",
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _ratio(row: Row, servers: Sequence[str]) -> float | None:
    """The median over rounds of the ratio within a round."""
    if len(servers) < 2:
        return None
    first, second = (row.of.get(server, Figures()).rates for server in servers[:2])
    ratios = [a / b for a, b in zip(first, second, strict=False) if b]
    return median(ratios) if ratios else None


def _limits(target: Target, machine: Machine) -> tuple[float, float] | None:
    """CPU milliseconds that are aimed at, and what the same comes to on this machine."""
    if target.cpu is None:
        return None
    if target.codec is None:
        return target.cpu, target.cpu * machine.factor
    return (
        STATED[target.codec] + target.cpu,
        machine.cost(target.codec) + target.cpu * machine.factor,
    )


def _aim(target: Target, machine: Machine) -> str:
    """The aim as it is stated; behind the arrow as it is judged."""
    parts = [f"≥ {target.ratio:g}×"] if target.ratio else []
    if limits := _limits(target, machine):
        beside = f"{target.codec} + {target.cpu:g} = " if target.codec else ""
        parts.append(f"≤ {beside}{limits[0]:.3g} → {limits[1]:.3g} ms")
    if target.most:
        parts.append(f"≤ {target.most:g} → {target.most * machine.factor:.3g} ms")
    return ", ".join(parts)


def _met(row: Row, servers: Sequence[str], ratio: float | None, machine: Machine) -> str:
    figures = row.of.get(servers[0], Figures())
    if not figures.rates:
        return "no"
    missed = []
    limits = _limits(row.target, machine)
    if limits and figures.cpu and median(figures.cpu) > limits[1]:
        missed.append(f"CPU {median(figures.cpu) / limits[1]:.2f}×")
    if row.target.most and median(figures.rates) > row.target.most * machine.factor:
        missed.append(f"{median(figures.rates) / (row.target.most * machine.factor):.2f}×")
    if row.target.ratio and ratio and ratio < row.target.ratio:
        missed.append(f"ratio {ratio:.1f}")
    return "no: " + ", ".join(missed) if missed else _outright(row.target, figures, limits)


def _outright(target: Target, figures: Figures, limits: tuple[float, float] | None) -> str:
    """Whether a met aim is met without the machine's factor too."""
    over = limits and figures.cpu and median(figures.cpu) > limits[0]
    late = target.most and median(figures.rates) > target.most
    return "yes, by the factor" if over or late else "yes"
