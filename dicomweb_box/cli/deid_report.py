"""What a run of the command that de-identifies says: counts, rules and changes, and never a value."""

import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dicomweb_box.cli.policies import rules_told
from dicomweb_box.cli.running import print_json, progress
from dicomweb_box.errors import BadSetting

if TYPE_CHECKING:
    from dicomweb_box.deid.changes import Compared
    from dicomweb_box.deid.engine import Deidentified
    from dicomweb_box.deid.likeness import Patients
    from dicomweb_box.deid.policy import Policy
    from dicomweb_box.deid.redacted import Codec


@dataclass(kw_only=True)
class Report:
    """What became of the files of one run, or what would become of them."""

    policy: str
    version: str
    edition: str
    options: list[str]
    pixels: str
    reason: str
    project: str | None
    rules: list[dict[str, str]]
    dry_run: bool
    key_id: str | None = None
    """Tells the project's key from others, and nothing of it."""
    written: int = 0
    would_be_written: int = 0
    redacted: dict[str, int] = field(default_factory=dict)
    """By rule, instances whose pixels were made black."""
    studies: list[dict[str, Any]] = field(default_factory=list)
    """Of a dry run: what would change in each."""
    k_anonymity: dict[str, Any] | None = None
    held_back: list[dict[str, str]] = field(default_factory=list)

    @property
    def too_few(self) -> bool:
        """Whether fewer patients look alike than was asked for."""
        return bool(self.k_anonymity and self.k_anonymity["smaller"])

    @contextmanager
    def holding_back(self, path: Path) -> Iterator[None]:
        """Note why a file is held back, whatever goes wrong with it."""
        from dicomweb_box.deid.doubt import Doubt

        try:
            yield
        except Doubt as doubt:
            self.held_back.append({"file": str(path), "reason": doubt.reason})
        except Exception as error:  # noqa: BLE001  (whatever went wrong: it is not written; no value is told)
            self.held_back.append({"file": str(path), "reason": f"it failed with {type(error).__name__}"})

    def heed(self, found: "Deidentified") -> None:
        """Count what was redacted."""
        if found.rule:
            self.redacted[found.rule] = self.redacted.get(found.rule, 0) + 1

    def begin_again(self) -> None:
        """Forget what was found without writing."""
        self.held_back.clear()
        self.redacted.clear()

    def tell(self, *, as_json: bool) -> None:
        """Print it."""
        if as_json:
            print_json(asdict(self))
            return
        print(f"would be written {self.would_be_written}" if self.dry_run else f"written {self.written}")
        for rule, count in self.redacted.items():
            print(f"  {count} × redacted by the rule {rule}")
        for study in self.studies:
            print(
                f"study {study['study']}, {study['instances']} instances, the first of them {study['first']}"
            )
            for one in study["changes"]:
                print(f"  {one['count']} × {one['change']} {one['tag']} {one['name']}: {one['rule']}")
        if self.k_anonymity is not None:
            self._tell_likeness(self.k_anonymity)
        print(f"held back {len(self.held_back)}")
        for reason, count in Counter(one["reason"] for one in self.held_back).most_common():
            print(f"  {count} × {reason}")

    def _tell_likeness(self, found: dict[str, Any]) -> None:
        print(
            f"k-anonymity {found['k']} by what stays, {found['threshold']} asked for; it guarantees nothing"
        )
        for one in found["smaller"]:
            print(f"  {one['patients']} alike by {', '.join(one['attributes']) or 'nothing that stays'}")
        if self.too_few and not self.dry_run:
            print("nothing was written")


def new_report(policy: "Policy", asked: dict[str, Any]) -> Report:
    """The report of a run that begins."""
    from dicomweb_box.deid.table import table

    if asked["k_anonymity"] is not None and asked["k_anonymity"] < 2:
        raise BadSetting("--k-anonymity takes a number of patients from 2")
    return Report(
        policy=policy.name,
        version=policy.version,
        edition=table().edition,
        options=sorted(policy.options),
        pixels=policy.pixels,
        reason=policy.reason,
        project=asked["project"],
        rules=rules_told(policy),
        dry_run=asked["dry_run"],
    )


@dataclass(kw_only=True)
class _Study:
    first: Path
    instances: int = 0
    changes: Counter[tuple[int, str]] = field(default_factory=Counter)


def examine(
    report: Report, policy: "Policy", files: list[Path], codec: "Codec | None", threshold: int | None
) -> None:
    """Find out what would change and who would look alike; nothing is written, no project's key is used."""
    from dicomweb_box.deid.files import examined_file
    from dicomweb_box.deid.likeness import Patients
    from dicomweb_box.deid.pseudonyms import Keyed
    from dicomweb_box.deid.redacted import made_here

    forgotten, studies, patients = Keyed(secrets.token_bytes(32)), dict[bytes, _Study](), Patients()
    seen: set[str] = set()
    with progress("Examining", len(files)) as advance:
        for path in files:
            with report.holding_back(path):
                found, instance = examined_file(path, policy, forgotten, codec or made_here)
                _refuse_second(found.instance_uid, seen)
                report.would_be_written += 1
                report.heed(found)
                _count(studies, instance, path)
                patients.add(instance)
            advance()
    if report.dry_run:
        report.studies = [_told(policy, number, one) for number, one in enumerate(studies.values(), 1)]
    if threshold is not None:
        report.k_anonymity = _likeness(patients, threshold)


def _refuse_second(instance_uid: str, seen: set[str]) -> None:
    from dicomweb_box.deid.doubt import Doubt

    if instance_uid in seen:
        raise Doubt("another instance of this run has the same SOP Instance UID")
    seen.add(instance_uid)


def _count(studies: dict[bytes, _Study], instance: "Compared", path: Path) -> None:
    study = studies.setdefault(instance.before.get((0x0020000D,), b""), _Study(first=path))
    study.instances += 1
    study.changes.update(instance.changes())


def _told(policy: "Policy", number: int, study: _Study) -> dict[str, Any]:
    changes = [
        {
            "tag": f"({tag >> 16:04X},{tag & 0xFFFF:04X})",
            "name": _keyword(tag),
            "change": change,
            "count": count,
            "rule": _rule(policy, tag, change),
        }
        for (tag, change), count in sorted(study.changes.items())
    ]
    return {
        "study": number,
        "instances": study.instances,
        "first": str(study.first),
        "changes": changes,
    }


def _rule(policy: "Policy", tag: int, change: str) -> str:
    from dicomweb_box.deid.rules import explained

    return "PS3.15 E.1.1" if change == "added" else explained(policy, tag).rule


def _keyword(tag: int) -> str:
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(tag)


def _likeness(patients: "Patients", threshold: int) -> dict[str, Any]:
    classes = patients.classes()
    return {
        "threshold": threshold,
        "k": classes[0][0] if classes else 0,
        "patients": sum(size for size, _ in classes),
        "smaller": [
            {"patients": size, "attributes": [_keyword(tag) for tag in tags]}
            for size, tags in classes
            if size < threshold
        ],
    }
