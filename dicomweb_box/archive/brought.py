"""What one uploaded file brought: an instance, or those of an archive, each counted."""

from dataclasses import dataclass, field
from pathlib import Path

from dicomweb_box.archive.importing import Candidate, Imported, Refusal
from dicomweb_box.archive.outcomes import Outcome, Refused
from dicomweb_box.archive.upload_results import Result
from dicomweb_box.archive.uploads import File, State
from dicomweb_box.errors import FailureReason

MOST_REFUSALS = 1000
"""Refused members of one archive that are named; all are counted."""

_OTHER_ARCHIVES = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
_CLOSED_WITHIN = (".zip", *_OTHER_ARCHIVES)


@dataclass(kw_only=True)
class Brought(Imported):
    """What became of everything in one file."""

    path: str
    studies: set[str] = field(default_factory=set)
    refused_count: int = 0
    message: str = ""
    is_archive: bool = False
    full: bool = False
    """The storage was full: nothing is final."""

    def note(self, candidate: Candidate, outcome: Outcome) -> None:
        """Count one outcome."""
        name = candidate.member.filename if candidate.member is not None else ""
        if isinstance(outcome, Refused):
            self._refuse(name, outcome)
            return
        self.studies.add(outcome.study_uid)
        self.message = "" if name else " ".join(outcome.warnings)
        super().note(candidate, outcome)

    def of_one(self, file: File, outcome: Outcome, *, at: str, sha256: str) -> Result:
        """The result of a file that came whole and is one object."""
        self.note(Candidate(path=Path()), outcome)
        return self.result(file, at=at, sha256=sha256)

    def result(self, file: File, *, at: str, sha256: str | None = None, done: bool = True) -> Result:
        """What is known now; `done`: that is all."""
        return Result(
            file_id=file.id,
            session_id=file.session_id,
            state=self._state() if done else "arrived",
            message="" if self.is_archive else self.message or self._nothing(),
            stored=self.stored,
            already=self.already,
            skipped=self.skipped,
            refused=self.refused_count,
            studies=frozenset(self.studies),
            refusals=tuple(one for one in self.refused if one.name),
            chunk_sha256=sha256,
            at=at,
        )

    def _refuse(self, name: str, outcome: Refused) -> None:
        self.full = self.full or outcome.reason is FailureReason.OUT_OF_RESOURCES
        message = outcome.message
        if outcome.foreign:
            kind = (name or self.path).lower()
            if not kind.endswith(_CLOSED_WITHIN if name else _OTHER_ARCHIVES):
                self.skipped += 1
                self.message = "not DICOM"
                return
            what = "an archive within an archive" if name else "an archive of this kind"
            message = f"{what} is not opened: send its files, or a zip archive of them"
        self.message = message
        self.refused_count += 1
        if len(self.refused) < MOST_REFUSALS:
            self.refused.append(Refusal(name=name, reason=f"{int(outcome.reason):04X}", message=message))

    def _state(self) -> State:
        if self.is_archive:
            return "unpacked"
        if self.refused_count:
            return "refused"
        if self.stored:
            return "stored"
        return "already" if self.already else "skipped"

    def _nothing(self) -> str:
        counts = (self.stored, self.already, self.skipped, self.refused_count)
        return "" if any(counts) else "the archive is empty"
