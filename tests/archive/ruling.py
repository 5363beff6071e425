"""Rules that tests make and let run, and what is labelled then."""

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, SYSTEM
from dicomweb_box.archive import rule_runs, rules
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.labelling import Target
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.archive.rules import Wanted
from dicomweb_box.box import Box
from tests.builders import make_dataset, part10, pieces

CT = (("Modality", "CT"),)


async def keep(
    box: Box, *, of_study: str | None = None, source: str = "test", **attributes: object
) -> tuple[str, str, str]:
    """Store one instance; its study, series and instance."""
    dataset = make_dataset(study=of_study, **attributes)
    outcome = await store(box, await receive(box, pieces(part10(dataset))), source=source, actor=SYSTEM)
    assert isinstance(outcome, Stored)
    return outcome.study_uid, outcome.series_uid, outcome.instance_uid


async def make(box: Box, *pairs: tuple[str, str], level: rules.Target = "series", label: str = "x") -> str:
    wanted = Wanted(name=f"rule {label} {level} {pairs}"[:60], conditions=pairs, level=level, label=label)
    return await rules.make(box, wanted, scope=EVERYTHING, actor=ANONYMOUS)


async def catch_up(box: Box) -> int:
    """Do what the worker does until nothing is left; the number of its steps."""
    steps = 0
    while await rule_runs.step(box):
        steps += 1
        assert steps < 500
    return steps


async def labelled(box: Box, *, by_hand: bool = False) -> set[tuple[str, Target]]:
    rows = await box.database.fetch_all(
        "select label.name, study_uid, series_uid from label_member"
        f" join label on label.id = label_id where (rule_id = '') = {'true' if by_hand else 'false'}"
    )
    return {(row["name"], (row["study_uid"], row["series_uid"])) for row in rows}
