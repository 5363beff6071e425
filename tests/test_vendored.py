"""Vendored scripts are what their list says."""

import base64
import hashlib
import re

from dicomweb_box.assets import STATIC

VENDOR = STATIC / "vendor"
ROW = re.compile(r"^\| `([\w.-]+\.js)` \| .* \| `(sha384-[\w+/=]+)` \|$", re.MULTILINE)


def test_every_vendored_script_is_listed_with_the_hash_of_its_content() -> None:
    listed = dict(ROW.findall((VENDOR / "VENDORED.md").read_text()))
    found = {
        path.name: "sha384-" + base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()
        for path in VENDOR.glob("*.js")
    }

    assert listed == found
    assert len(found) >= 2


def test_every_vendored_script_has_its_licence_beside_it() -> None:
    named = re.findall(r"`(LICENSE\.\w+)`", (VENDOR / "VENDORED.md").read_text())

    assert set(named) == {path.name for path in VENDOR.glob("LICENSE.*")}
