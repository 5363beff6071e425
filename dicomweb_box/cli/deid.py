"""The command that de-identifies files."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dicomweb_box import settings
from dicomweb_box.cli.deid_report import Report, examine, new_report
from dicomweb_box.cli.grammar import command
from dicomweb_box.cli.policies import explain, policy_named
from dicomweb_box.cli.pseudonyms import Source, check_project, key_id, pseudonyms_of
from dicomweb_box.cli.running import FAILED, progress
from dicomweb_box.errors import BadSetting

if TYPE_CHECKING:
    from dicomweb_box.deid.engine import Deidentified
    from dicomweb_box.deid.policy import Policy
    from dicomweb_box.deid.redacted import Codec


def deidentify(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Write de-identified copies of files; 1 if any was held back, or too few patients look alike."""
    policy = _policy(chosen, asked)
    if asked["explain"]:
        return explain(policy, asked["explain"])
    if not asked["paths"] or (not asked["out"] and not asked["dry_run"]):
        raise BadSetting("name files or folders, and with --out the folder to write to")
    if policy.keeps and (asked["project"] or asked["k_anonymity"]):
        raise BadSetting("the policy keep changes nothing: it takes neither --project nor --k-anonymity")
    check_project(chosen, asked["project"])
    out = Path(asked["out"]) if asked["out"] else None
    files = [file for path in asked["paths"] for file in _files(Path(path), out)]
    report = new_report(policy, asked)
    with _codec(chosen, policy) as codec:
        if asked["dry_run"] or asked["k_anonymity"]:
            examine(report, policy, files, codec, asked["k_anonymity"])
        if out and not asked["dry_run"] and not report.too_few:
            report.begin_again()
            with pseudonyms_of(chosen, asked["project"], policy) as source:
                _run(report, policy, files, out, source, codec)
            report.key_id = key_id(chosen, asked["project"])
    report.tell(as_json=asked["json"])
    return FAILED if report.held_back or report.too_few else 0


def _policy(chosen: settings.Settings, asked: dict[str, Any]) -> "Policy":
    found = policy_named(chosen, asked["policy"], asked["reason"])
    if asked["options"]:
        found = replace(found, options=found.options | frozenset(asked["options"]))
    return _with_pixels(found, asked)


def _with_pixels(found: "Policy", asked: dict[str, Any]) -> "Policy":
    from dicomweb_box.deid.pixel_rules import read_rules

    reason, rules = asked["allow_pixels"], asked["pixel_rules"] or []
    if found.keeps:
        if asked["pixels"] or rules or reason is not None:
            raise BadSetting("the policy keep changes nothing: it takes no --pixels")
        return found
    pixels = asked["pixels"] or ("allow" if reason is not None else found.pixels)
    if reason is not None and pixels != "allow":
        raise BadSetting(f"--allow-pixels and --pixels {pixels} exclude each other")
    if rules and pixels != "redact":
        raise BadSetting("--pixel-rules goes with --pixels redact")
    if reason is None and pixels == found.pixels == "allow":
        reason = found.reason
    if pixels == "allow" and reason is None:
        raise BadSetting("to allow pixels that may show who the patient is takes --allow-pixels REASON")
    return replace(
        found, pixels=pixels, reason=reason or "", pixel_rules=read_rules([Path(path) for path in rules])
    )


@contextmanager
def _codec(chosen: settings.Settings, policy: "Policy") -> "Iterator[Codec | None]":
    """What decodes pixels that are to be redacted, in processes of their own."""
    if policy.pixels != "redact":
        yield None
        return
    from dicomweb_box.archive.decoder_pool import DecoderPool

    with closing(DecoderPool(seconds=chosen.decode_timeout, most=chosen.decode_memory)) as pool:
        yield pool.made


def _files(path: Path, out: Path | None) -> Iterator[Path]:
    if not path.exists():
        raise BadSetting(f"{path} is not there")
    if out and (out.resolve() == path.resolve() or path.resolve() in out.resolve().parents):
        raise BadSetting("--out is within what is to be de-identified")
    if path.is_dir():
        yield from sorted(one for one in path.rglob("*") if one.is_file())
    elif not path.is_file():
        raise BadSetting(f"{path} is neither a file nor a folder")
    elif out and out.resolve() == path.resolve().parent:
        raise BadSetting("--out is the folder of what is to be de-identified")
    else:
        yield path


def _run(
    report: Report, policy: "Policy", files: list[Path], out: Path, source: Source, codec: "Codec | None"
) -> None:
    from dicomweb_box.deid.files import swept

    out.mkdir(parents=True, exist_ok=True)
    swept(out)
    written: set[str] = set()
    with progress("De-identifying", len(files)) as advance:
        for path in files:
            with report.holding_back(path):
                report.heed(_one(policy, path, out, source, written, codec))
                report.written += 1
            advance()


def _one(
    policy: "Policy", path: Path, out: Path, source: Source, written: set[str], codec: "Codec | None"
) -> "Deidentified":
    """Write one instance."""
    from dicomweb_box.deid.doubt import Doubt
    from dicomweb_box.deid.files import deidentified_file
    from dicomweb_box.deid.redacted import made_here

    pseudonyms, enter = source(path)

    def target(instance_uid: str) -> Path:
        if instance_uid in written:
            raise Doubt("another instance of this run has the same SOP Instance UID")
        enter()
        written.add(instance_uid)
        return out / f"{instance_uid}.dcm"

    return deidentified_file(path, target, policy, pseudonyms, codec or made_here)


def grammar(commands: Any) -> None:
    """Add the command."""
    one = command(commands, "deidentify", deidentify, "write de-identified copies of DICOM files")
    one.add_argument("paths", nargs="*", metavar="IN", help="files and folders")
    one.add_argument(
        "--policy", default="basic", metavar="NAME",
        help="basic (default), research, keep, one of the folder policies of the data, or a file in TOML",
    )  # fmt: skip
    one.add_argument(
        "--option", dest="options", action="append", metavar="OPTION",
        help="an option of PS3.15 Table E.1-1 beside those of the policy, such as retain-uids; repeatable",
    )  # fmt: skip
    one.add_argument(
        "--project", metavar="NAME", help="whose key makes the pseudonyms; without it, one that is forgotten"
    )
    one.add_argument("--out", metavar="DIR", help="folder to write to")
    one.add_argument(
        "--pixels",
        choices=("refuse", "redact", "allow"),
        help="what becomes of instances whose pixels may show who the patient is: held back (refuse), made "
        "black where a rule says it (redact), or let go (allow)",
    )
    one.add_argument(
        "--pixel-rules",
        action="append",
        metavar="FILE",
        help="rules in TOML that say where pixels are to be made black; repeatable",
    )
    one.add_argument(
        "--allow-pixels", metavar="REASON",
        help="let instances go whose pixels may show who the patient is, and say why",
    )  # fmt: skip
    one.add_argument(
        "--reason",
        metavar="REASON",
        help="why identities are kept; the policy keep takes it, and no other one",
    )
    one.add_argument(
        "--dry-run", action="store_true",
        help="write nothing: say for each study what would change, by attribute and never by value",
    )  # fmt: skip
    one.add_argument(
        "--k-anonymity", type=int, metavar="N",
        help="write nothing where fewer than N patients look alike by what they keep (sex, age, dates …)",
    )  # fmt: skip
    one.add_argument("--explain", metavar="TAG", help="say what the policy does with an attribute, and why")
    one.add_argument("--json", action="store_true", help="print the report as JSON")
