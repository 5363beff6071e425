"""What holds for every page in a browser."""

from pathlib import Path
from typing import Any

import axe_playwright_python

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Colours that are still changing have no contrast to be judged.
STILL = """() => Promise.all(document.getAnimations()
    .filter((one) => one.effect.getComputedTiming().endTime < Infinity)
    .map((one) => one.finished.catch(() => 0)))"""


# A part that is replaced meanwhile can seem wrong though neither state of it is: it is looked at again.
LOOK = """async (rules) => {
    for (let left = 10; ; left--) {
        let changed = false;
        const watch = new MutationObserver(() => { changed = true; });
        watch.observe(document, {subtree: true, childList: true, characterData: true});
        const {violations} = await axe.run(document, {runOnly: {type: "tag", values: rules}});
        watch.disconnect();
        if (!changed || !violations.length || !left) return violations;
    }
}"""


def violations(page: Any) -> list[str]:
    """What axe-core finds wrong with the page as it is now, each with the elements it is about."""
    assert page.scripts, "axe-core would wait for ever where the page's scripts are switched off"
    page.wait_for_load_state()
    page.evaluate(STILL)
    page.evaluate(AXE)  # by the debugger: the page's own policy allows no foreign script
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes']][:4]}"
        for one in page.evaluate(LOOK, RULES)
    ]


def overflows(page: Any) -> bool:
    """Whether the page is wider than its window, so that one would have to scroll sideways."""
    page.wait_for_load_state()  # with its style sheets
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
