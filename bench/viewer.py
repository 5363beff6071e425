"""`python -m bench.viewer`: how smoothly Chromium scrolls through a CT of 500 slices, on this machine.

Every slice is drawn once while it is fetched for the first time, then again: warm in the server, and warm in
the browser. A figure is the frames drawn in a second, one wheel notch for each that is there.
"""

import argparse
import shutil
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from bench import objects
from conformance.objects import multipart
from conformance.server import started

SLICES = 500
_FIRST = 9_000_000
_STORED_AT_ONCE = 25
# In the page: one notch, then the next as soon as the frame is drawn; when each was.
_SCROLL = """
async (way) => {
  const pane = document.querySelector(".pane");
  const canvas = pane.querySelector("canvas");
  const times = [performance.now()];
  const last = way > 0 ? pane.ownerDocument.querySelector("#slider").max - 1 : 0;
  await new Promise((done) => {
    const watch = new MutationObserver(() => {
      if (pane.dataset.drawn !== pane.dataset.position) return;
      times.push(performance.now());
      if (Number(pane.dataset.drawn) === last) { watch.disconnect(); done(); return; }
      notch();
    });
    const notch = () => canvas.dispatchEvent(new WheelEvent("wheel", {deltaY: 100 * way, cancelable: true}));
    watch.observe(pane, {attributes: true, attributeFilter: ["data-drawn"]});
    notch();
  });
  return times;
}
"""


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.viewer", description=__doc__)
    options.add_argument("--slices", type=int, default=SLICES, help=f"slices of the CT (default {SLICES})")
    count = options.parse_args().slices
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as folder, started(Path(folder) / "data") as server:
        study = fill(server.dicomweb, count)
        _measure(chromium, f"{server.url}/studies/{study}/viewer", count)


def fill(dicomweb: str, count: int) -> str:
    """Store a CT of `count` slices; its Study Instance UID."""
    made = [
        objects.make(objects.ct(), study=_FIRST, series=_FIRST, instance=_FIRST + number)
        for number in range(count)
    ]
    for at in range(0, count, _STORED_AT_ONCE):
        answer = httpx.post(
            f"{dicomweb}/studies",
            content=multipart([one.data for one in made[at : at + _STORED_AT_ONCE]]),
            headers={
                "Content-Type": 'multipart/related; type="application/dicom"; boundary=conformance-part',
                "Accept": "application/dicom+json",
            },
            timeout=120,
        )
        answer.raise_for_status()
    return made[0].study_uid


def _measure(chromium: str, address: str, count: int) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        print(f"| {count} slices of 512×512 | frames/s | median ms | 95th | longest |\n|---|--:|--:|--:|--:|")
        for name in ("first time", "warm in the server"):
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.set_default_timeout(300_000)
            page.goto(address)
            page.locator(".pane[data-drawn='0']").wait_for()
            _print(name, page.evaluate(_SCROLL, 1))
            if name == "warm in the server":
                _print("warm in the browser", page.evaluate(_SCROLL, -1))
            page.close()
        browser.close()


def _print(name: str, times: list[Any]) -> None:
    took = sorted(after - before for before, after in pairwise(times))
    rate = 1000 * len(took) / (times[-1] - times[0])
    figures = (rate, took[len(took) // 2], took[len(took) * 95 // 100], took[-1])
    print(f"| {name} | {' | '.join(f'{one:.0f}' for one in figures)} |")


if __name__ == "__main__":
    main()
