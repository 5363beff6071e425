"""What tests of the viewer do and look at."""

import time
from typing import Any

DRAWN = "n => document.querySelector('.pane')?.dataset.drawn === String(n)"
SECONDS = 60


def open_viewer(page: Any, study: str, query: str = "") -> Any:
    page.goto(f"/studies/{study}/viewer{query}")
    return page.locator(".pane").first.locator("canvas")


def drawn(page: Any, position: int) -> None:
    until(page, DRAWN, position)


def until(page: Any, condition: str, given: Any = None) -> None:
    """Waits until the page says so; by the debugger, as its own policy allows no scripts out of texts."""
    last = time.monotonic() + SECONDS
    while not page.evaluate(condition, given):
        assert time.monotonic() < last, condition
        page.wait_for_timeout(20)


def middle(canvas: Any, across: float = 0.5, down: float = 0.5) -> tuple[float, float]:
    box = canvas.bounding_box()
    return box["x"] + box["width"] * across, box["y"] + box["height"] * down


def grey(page: Any, across: float = 0.5, down: float = 0.5, pane: int = 0) -> int:
    """The level of the canvas at a place, as it is drawn."""
    found: int = page.evaluate(
        "([n, x, y]) => { const c = document.querySelectorAll('.pane canvas')[n]; return c"
        ".getContext('2d').getImageData(Math.floor(c.width * x), Math.floor(c.height * y), 1, 1).data[0]; }",
        [pane, across, down],
    )
    return found
