"""What became of one instance that was offered for storage."""

from dataclasses import dataclass

from dicomweb_box.errors import FailureReason


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """One instance that the archive now holds and serves."""

    study_uid: str
    series_uid: str
    instance_uid: str
    sop_class_uid: str
    already: bool = False
    """The same data set was held before; no second row was made."""
    replaced: bool = False
    """Other bytes were served under this UID before; they are kept as an earlier version."""
    warnings: tuple[str, ...] = ()
    """Sentences without patient data about what in the data set could not be indexed."""
    coerced: tuple[str, ...] = ()
    """Sentences without patient data about what the archive replaced or supplied (PS3.18 10.5.2)."""
    discarded: tuple[str, ...] = ()
    """Sentences without patient data about attributes that were sent and are not stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """One instance that is not served; `held` ones are kept for a person's decision."""

    reason: FailureReason
    message: str
    study_uid: str | None = None
    sop_class_uid: str | None = None
    instance_uid: str | None = None
    sha256: str | None = None
    """Hexadecimal digest of what arrived, so that the sender can tell which part is meant."""
    held: bool = False
    foreign: bool = False
    """It does not look like DICOM at all: nothing of a study is missing."""


Outcome = Stored | Refused
