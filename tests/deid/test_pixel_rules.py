"""Rules for pixels: what a file of them may say."""

from pathlib import Path

import pytest

from dicomweb_box.deid.pixel_rules import Rectangle, built_in, read_rules
from dicomweb_box.errors import BadSetting

RULE = """
[[rule]]
name = "header"
manufacturer = ["Acme", "Acme Ltd"]
model = "Sono 1"
rows = 480
columns = 640
blank = [{ left = 0, top = 0, width = 640, height = 20 }]
"""


def test_a_rule_means_who_says_all_that_it_says(tmp_path: Path):
    (tmp_path / "rules").write_text(RULE)
    rules = read_rules([tmp_path / "rules"])
    said = {"manufacturer": "ACME LTD ", "model": "sono 1", "modality": "US"}
    assert [rule.name for rule in rules.matching(said, 480, 640)] == ["header"]
    assert rules.rules[0].blank == (Rectangle(0, 0, 640, 20),)
    assert not rules.matching(said | {"manufacturer": "Acme Ltd 2"}, 480, 640)
    assert not rules.matching({"manufacturer": "Acme"}, 480, 640)
    assert not rules.matching(said, 480, 641)


def test_what_is_built_in_follows_from_the_standard():
    assert [rule.name for rule in built_in().rules] == ["ultrasound regions"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("[[rule]]", "[rule]", "something else than tables"),
        ("[[rule]]", "[[rule", "no TOML"),
        ('name = "header"', "", "has no name"),
        ('model = "Sono 1"', 'modell = "Sono 1"', "header has modell"),
        ('model = "Sono 1"', "model = 1", "neither a text nor"),
        ("rows = 480", "", "needs the rows and columns"),
        ("rows = 480", "rows = true", "no number from 1"),
        ("rows = 480", "rows = 19", "beyond the frame"),
        ("top = 0", "top = -1", "begins before"),
        ("height = 20", "height = 0", "is empty"),
        ("height = 20", "height = 1.5", "no whole number"),
        (", height = 20", "", "other sides"),
        ("blank = [{ left = 0, top = 0, width = 640, height = 20 }]", "blank = []", "neither rectangles"),
        ("blank = [{ left = 0, top = 0, width = 640, height = 20 }]", "", "neither rectangles"),
    ],
)
def test_what_a_rule_cannot_say_is_told(tmp_path: Path, old: str, new: str, why: str):
    (tmp_path / "rules").write_text(RULE.replace(old, new))
    with pytest.raises(BadSetting, match=why):
        read_rules([tmp_path / "rules"])


def test_a_rule_needs_more_than_a_size_and_a_name_of_its_own(tmp_path: Path):
    bare = RULE.replace('manufacturer = ["Acme", "Acme Ltd"]\nmodel = "Sono 1"\n', "")
    for text, why in ((bare, "names no manufacturer"), (RULE + RULE, "two rules")):
        (tmp_path / "rules").write_text(text)
        with pytest.raises(BadSetting, match=why):
            read_rules([tmp_path / "rules"])
    with pytest.raises(BadSetting, match="cannot be read"):
        read_rules([tmp_path / "nowhere"])
