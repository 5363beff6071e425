"""The command that de-identifies files."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dicomweb_box import settings
from dicomweb_box.cli.grammar import command
from dicomweb_box.cli.policies import explain, policy_named, rules_told
from dicomweb_box.cli.pseudonyms import Source, pseudonyms_of
from dicomweb_box.cli.running import FAILED, print_json, progress
from dicomweb_box.errors import BadSetting

if TYPE_CHECKING:
    from dicomweb_box.deid.policy import Policy
    from dicomweb_box.deid.redacted import Codec


@dataclass(kw_only=True)
class Report:
    """What became of the files of one run."""

    policy: str
    version: str
    edition: str
    options: list[str]
    pixels: str
    reason: str
    project: str | None
    rules: list[dict[str, str]]
    written: int = 0
    redacted: dict[str, int] = field(default_factory=dict)
    """By rule, instances whose pixels were made black."""
    held_back: list[dict[str, str]] = field(default_factory=list)


def deidentify(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Write de-identified copies of files; 1 if any was held back."""
    policy = _policy(chosen, asked)
    if asked["explain"]:
        return explain(policy, asked["explain"])
    if not asked["paths"] or not asked["out"]:
        raise BadSetting("name files or folders, and with --out the folder to write to")
    with pseudonyms_of(chosen, asked["project"], policy) as source:
        files = list(_files([Path(path) for path in asked["paths"]], Path(asked["out"])))
        with _codec(chosen, policy) as codec:
            report = _run(policy, files, Path(asked["out"]), source, asked["project"], codec)
    if asked["json"]:
        print_json(report.__dict__)
    else:
        _print(report)
    return FAILED if report.held_back else 0


def _policy(chosen: settings.Settings, asked: dict[str, Any]) -> "Policy":
    found = policy_named(chosen, asked["policy"])
    if asked["options"]:
        found = replace(found, options=found.options | frozenset(asked["options"]))
    return _with_pixels(found, asked)


def _with_pixels(found: "Policy", asked: dict[str, Any]) -> "Policy":
    from dicomweb_box.deid.pixel_rules import read_rules

    reason, rules = asked["allow_pixels"], asked["pixel_rules"] or []
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


def _files(paths: list[Path], out: Path) -> Iterator[Path]:
    for path in paths:
        if not path.exists():
            raise BadSetting(f"{path} is not there")
        if out.resolve() == path.resolve() or path.resolve() in out.resolve().parents:
            raise BadSetting("--out is within what is to be de-identified")
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file())
        elif not path.is_file():
            raise BadSetting(f"{path} is neither a file nor a folder")
        elif out.resolve() == path.resolve().parent:
            raise BadSetting("--out is the folder of what is to be de-identified")
        else:
            yield path


def _run(
    policy: "Policy", files: list[Path], out: Path, source: Source, project: str | None, codec: "Codec | None"
) -> Report:
    from dicomweb_box.deid.doubt import Doubt
    from dicomweb_box.deid.files import swept
    from dicomweb_box.deid.table import table

    report = Report(
        policy=policy.name,
        version=policy.version,
        edition=table().edition,
        options=sorted(policy.options),
        pixels=policy.pixels,
        reason=policy.reason,
        project=project,
        rules=rules_told(policy),
    )
    out.mkdir(parents=True, exist_ok=True)
    swept(out)
    written: set[str] = set()
    with progress("De-identifying", len(files)) as advance:
        for path in files:
            try:
                rule = _one(policy, path, out, source, written, codec)
                report.written += 1
                if rule:
                    report.redacted[rule] = report.redacted.get(rule, 0) + 1
            except Doubt as doubt:
                report.held_back.append({"file": str(path), "reason": doubt.reason})
            except Exception as error:  # noqa: BLE001  (whatever went wrong: it is not written; no value is told)
                report.held_back.append(
                    {"file": str(path), "reason": f"it failed with {type(error).__name__}"}
                )
            advance()
    return report


def _one(
    policy: "Policy", path: Path, out: Path, source: Source, written: set[str], codec: "Codec | None"
) -> str:
    """Write one instance; the rule by which its pixels were redacted."""
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

    return deidentified_file(path, target, policy, pseudonyms, codec or made_here).rule


def _print(report: Report) -> None:
    print(f"written {report.written}")
    for rule, count in report.redacted.items():
        print(f"  {count} × redacted by the rule {rule}")
    print(f"held back {len(report.held_back)}")
    for reason, count in Counter(one["reason"] for one in report.held_back).most_common():
        print(f"  {count} × {reason}")


def grammar(commands: Any) -> None:
    """Add the command."""
    one = command(commands, "deidentify", deidentify, "write de-identified copies of DICOM files")
    one.add_argument("paths", nargs="*", metavar="IN", help="files and folders")
    one.add_argument(
        "--policy", default="basic", metavar="NAME",
        help="basic (default), research, one of the folder policies of the data, or a file in TOML",
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
    one.add_argument("--explain", metavar="TAG", help="say what the policy does with an attribute, and why")
    one.add_argument("--json", action="store_true", help="print the report as JSON")
