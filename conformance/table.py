"""The conformance table: which test shows which capability; names from the source, results from a run."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "docs" / "conformance.md"

# Each row that this version answers for, in the numbering of the matrix the project is built against.
ROWS: dict[int, str] = {
    1: "Search for studies",
    2: "Search for the series of a study",
    3: "Search for the instances of a series",
    4: "Search for the instances of a study",
    5: "Search for series of all studies",
    6: "Search for instances of all studies",
    7: "Series and instances by their own UID: redirects",
    8: "JSON answers as `application/dicom+json`, without parameters",
    9: "XML answers as `multipart/related` of `application/dicom+xml`",
    10: "Answers as `text/csv`",
    11: "All study keys of Table 10.6.1-5",
    12: "All series keys, Request Attributes Sequence included",
    13: "All instance keys",
    14: "Matching by any other attribute: within a study or series, or declared",
    15: "Private attributes in matching and `includefield`",
    16: "Sequence keys by dotted path",
    17: "Ranges of dates and times, also combined",
    18: "Wildcards",
    19: "Lists of UIDs: comma, backslash, repeated parameter",
    20: "`multiplevaluematching` and comma lists",
    21: "`emptyvaluematching`",
    22: "`fuzzymatching` of person names",
    23: "Person names without regard to case and accents, in every component group",
    24: "`includefield` by tag, keyword, path, list, repetition",
    25: "`includefield=all`",
    26: "Study attributes of Table 10.6.3-3, the empty ones too",
    27: "Numbers of related series and instances",
    28: "Series and instance attributes of Tables 10.6.3-4 and 10.6.3-5",
    29: "Attributes of higher levels in answers of lower ones, never the reverse",
    30: "`limit` and `offset`",
    31: "Series and instances are not cut; studies say when they are",
    32: "One stable order across pages",
    33: "`Warning: 299` when more results remain",
    34: "Nothing found: 200 and an empty list",
    35: "No search is too broad: a page of it is answered",
    36: "Counting without listing",
    37: "`orderby`",
    38: "Unknown parameters are ignored with a warning",
    39: "Entity tag and 304 on searches within a study",
    40: "Available Transfer Syntax UID of instances",
    41: "A store or a removal is visible to the next search",
    42: "Retrieve URL and Instance Availability",
    43: "One indexed query for each search",
    44: "Retrieve a study or a series as `multipart/related`",
    45: "Retrieve an instance as `multipart/related`",
    46: "Retrieve an instance as a single part",
    47: "A study, a series, an instance as `application/zip`",
    48: "Explicit VR Little Endian unless asked otherwise",
    49: "`transfer-syntax=*`: the bytes as stored",
    50: "Several transfer syntaxes with q-values",
    51: "Transcoding to JPEG, JPEG-LS, JPEG 2000, HTJ2K, RLE and JPEG XL",
    52: "Deflated, Big Endian and Implicit VR sources",
    53: "The whole grammar of Accept",
    54: "The `accept` query parameter beats the header",
    55: "406 names what could be given",
    56: "Without Accept the default media type",
    57: "Metadata of study, series and instance in JSON",
    58: "Metadata of study, series and instance in XML",
    59: "Metadata prepared when stored",
    60: "Metadata follow corrections of patient and study",
    61: "Large values by BulkDataURI, none dropped",
    62: "Values of text and numbers inline",
    63: "NaN, infinities, and DS and IS that are no numbers",
    64: "BulkDataURI relative to the metadata",
    65: "Bulk data by attribute path, sequences included; single part and multipart",
    66: "All bulk data of a study, a series, an instance",
    67: "All pixel data of a study, a series, an instance",
    68: "Ranges wherever a body is a run of a file",
    69: "Frames by list",
    70: "A frame as a single part",
    71: "Frame media types by transfer syntax",
    72: "`transfer-syntax` in each part's Content-Type",
    73: "One frame per part, without fragment delimiters",
    74: "Any frame without reading the others",
    75: "All frames, and ranges of them",
    76: "A frame of a video: 406 that says what can be had",
    77: "Enclosed documents as what they are, and as octets",
    78: "Colours of decoded frames: RGB where they were compressed, else as the metadata says",
    79: "Rendered studies and series: every instance",
    80: "Rendered instances and frames",
    81: "Rendered as JPEG, PNG, GIF, WebP, MP4, HTML, plain text, XML, PDF",
    82: "`viewport`",
    83: "`window`",
    84: "`quality`",
    85: "`annotation`",
    86: "`iccprofile`",
    87: "Modality and VOI transformations, functional groups, padding, overlays",
    88: "Presentation States rendered with the images they are for",
    89: "Thumbnails at every level",
    90: "Some instances unreadable: 206, the rest delivered",
    91: "Strong entity tags, 304, `private, no-cache`",
    92: "Compressed JSON",
    93: "Every character set becomes UTF-8",
    94: "Pages of allowed origins may ask and read everything, errors too",
    95: "No upper size: bodies are streamed",
    96: "WADO-URI: an instance as DICOM",
    97: "WADO-URI: pictures by size, region, window, frame and quality",
    98: "WADO-URI: transfer syntax; `anonymize` refused",
    99: "Store to `/studies` and `/studies/{study}`",
    100: "Store a single part",
    101: "Store JSON metadata and bulk data",
    102: "Store XML metadata and bulk data",
    103: "Store pictures, films and PDFs: the Image Pixel macro derived, a study joined",
    104: "The Store Instances Response Module in JSON and XML",
    105: "200, 202, 409, 400, 415",
    106: "Every part is reported, the unreadable too",
    107: "Failure reasons of the standard",
    108: "Warning reasons; what was replaced is kept in the instance",
    109: "The same instance again: success if equal, reported if not",
    111: "Stores of any size, chunked, streamed",
    112: "Multipart bodies as senders really write them",
    113: "What is stored is kept, usable or not",
    115: "Uploads in chunks with digests, which go on where they stopped",
    116: "Delete a study, a series, an instance",
    117: "Reject and restore; 410 Gone meanwhile",
    123: "Retrieve Capabilities, in WADL and JSON",
    132: "An OpenAPI document, equal to what is answered",
    134: "Accounts, tokens, and a part of the archive for each: in searches, counts and objects",
}


def shown_by_row() -> dict[int, list[str]]:
    """The names of the tests that show each row, in the order of files and lines."""
    shown: dict[int, list[str]] = {row: [] for row in ROWS}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for row in _rows(node):
                    shown.setdefault(row, []).append(f"{path.stem}::{node.name}")
    return shown


def render(results: Mapping[str, str]) -> str:
    """The document, `results` being the outcome of each test of `shown_by_row` by its name."""
    lines = [
        "# Conformance",
        "",
        "A started server, asked by dicomweb-client and over plain sockets; its answers are compared with",
        "what pydicom reads in the same files. Written by `make conformance`; `tests/test_docs.py` compares",
        "the names in it with the tests there are.",
        "",
        "| row | capability | shown by | result |",
        "|---|---|---|---|",
    ]
    for row, names in sorted(shown_by_row().items()):
        names_shown = "<br>".join(f"`{name}`" for name in names)
        result = _result([results.get(name, "not run") for name in names])
        lines.append(f"| {row} | {ROWS.get(row, '')} | {names_shown} | {result} |")
    return "\n".join(lines) + "\n"


def committed(document: str) -> dict[int, list[str]]:
    """The rows and test names that a rendered document speaks of."""
    found: dict[int, list[str]] = {}
    for line in document.splitlines():
        if row := re.match(r"\| (\d+) \| [^|]*(?:`[^`]*`[^|]*)* \| ([^|]*) \| [^|]* \|$", line):
            found[int(row[1])] = re.findall(r"`([^`]+)`", row[2])
    return found


def _rows(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[int]:
    """The numbers of its `@pytest.mark.row(…)`."""
    calls = [
        d
        for d in function.decorator_list
        if isinstance(d, ast.Call) and ast.unparse(d.func) == "pytest.mark.row"
    ]
    return [argument.value for call in calls for argument in call.args if isinstance(argument, ast.Constant)]


def _result(outcomes: list[str]) -> str:
    if not outcomes:
        return "not shown"
    worst = ("failed", "not run", "skipped", "passed")
    return min(outcomes, key=lambda outcome: worst.index(outcome))
