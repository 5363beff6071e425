"""Labels by hand, and how they are found again."""

import orjson
import pytest

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, SYSTEM, Actor, Scope
from dicomweb_box.archive import given_labels, labelling, labels, reindex, remove
from dicomweb_box.archive.given_labels import Given
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.labelling import Changed, Target
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.archive.query import Page, count, search
from dicomweb_box.box import Box
from dicomweb_box.dicom.attributes import Level
from dicomweb_box.dicom.matching import from_parameters
from dicomweb_box.errors import BadRequest, Conflict, Forbidden, NotFound
from tests.builders import make_instance, pieces

CAROL = Actor(name="carol", kind="user")
PRIVATE = ("4D530010", "DICOMWEB_BOX")


async def keep(box: Box, source: str = "test", **attributes: object) -> Target:
    """Store one instance; its study and series."""
    received = await receive(box, pieces(make_instance(**attributes)))
    outcome = await store(box, received, source=source, actor=SYSTEM)
    assert isinstance(outcome, Stored)
    return outcome.study_uid, outcome.series_uid


async def change(box: Box, *targets: Target, scope: Scope = EVERYTHING, **what: list[str]) -> Changed:
    return await labelling.change(box, targets, **what, scope=scope, actor=CAROL)


async def given(box: Box, study: str, scope: Scope = EVERYTHING) -> dict[Target, list[Given]]:
    return await given_labels.of_studies(box, [study], scope=scope, actor=ANONYMOUS)


async def named(box: Box, study: str) -> dict[Target, list[str]]:
    return {target: [one.name for one in held] for target, held in (await given(box, study)).items()}


async def ask(
    box: Box, level: Level, *pairs: tuple[str, str], scope: Scope = EVERYTHING, **path: str
) -> Page:
    query, warnings = from_parameters(level, pairs, path)
    assert warnings == []
    page = await search(box, query, scope=scope, actor=ANONYMOUS)
    if "limit" not in dict(pairs):
        assert await count(box, query, scope=scope, actor=ANONYMOUS) == len(page.rows)
    return page


async def found(
    box: Box, level: Level, *pairs: tuple[str, str], scope: Scope = EVERYTHING, **path: str
) -> set[str]:
    page = await ask(box, level, *pairs, scope=scope, **path)
    tag = {"study": "0020000D", "series": "0020000E", "instance": "00080018"}[level]
    return {orjson.loads(row)[tag]["Value"][0] for row in page.rows}


async def test_a_label_is_given_and_taken_by_hand_with_who_and_when(box: Box) -> None:
    study, series = await keep(box)

    assert await change(box, (study, ""), (study, series), add=["Research", "to do"]) == Changed(
        added=4, removed=0, kept=0
    )
    assert await named(box, study) == {
        (study, ""): ["Research", "to do"],
        (study, series): ["Research", "to do"],
    }
    first = (await given(box, study))[study, ""][0]
    assert (first.by_hand, first.actor, first.rules) == (True, "carol", ())
    assert first.at <= box.clock().isoformat()

    assert await change(box, (study, ""), remove=["research"]) == Changed(added=0, removed=1, kept=0)
    assert await named(box, study) == {(study, ""): ["to do"], (study, series): ["Research", "to do"]}


async def test_names_are_one_whatever_their_case_and_shown_as_first_written(box: Box) -> None:
    study, _ = await keep(box)
    await change(box, (study, ""), add=["  Großer   Fall "])

    again = await change(box, (study, ""), add=["GROSSER FALL"])

    assert again == Changed(added=0, removed=0, kept=0)
    assert [label.name for label in await labels.every(box, scope=EVERYTHING, actor=CAROL)] == ["Großer Fall"]


@pytest.mark.parametrize("name", ["", "   ", "a\\b", "a\x00b", "a" * 65])
async def test_what_is_no_name_is_refused(box: Box, name: str) -> None:
    study, _ = await keep(box)

    with pytest.raises(BadRequest):
        await change(box, (study, ""), add=[name])


async def test_a_change_is_told_in_the_feed_and_what_changes_nothing_is_not(box: Box) -> None:
    study, series = await keep(box)
    await change(box, (study, ""), (study, series), add=["a", "b"])
    await change(box, (study, ""), add=["a"])
    await change(box, (study, series), remove=["a", "unknown"])

    rows = await box.database.fetch_all(
        "select study_uid, series_uid, actor from change where kind = 'labelled' order by id"
    )

    assert [tuple(row) for row in rows] == [
        (study, None, "carol"),
        (study, series, "carol"),
        (study, series, "carol"),
    ]


async def test_what_is_not_there_or_not_visible_gets_no_label(box: Box) -> None:
    study, series = await keep(box, source="a")
    narrow = Scope(sources=frozenset(("b",)))

    for target, scope in (
        (("1.2.3", ""), EVERYTHING),
        ((study, "1.2.3"), EVERYTHING),
        ((study, series), narrow),
        ((study, ""), narrow),
    ):
        with pytest.raises(NotFound):
            await change(box, (study, series), target, scope=scope, add=["x"])
    assert await named(box, study) == {}


async def test_labels_are_renamed_and_deleted_with_all_they_were_given_to(box: Box) -> None:
    study, series = await keep(box)
    await change(box, (study, ""), (study, series), add=["old", "other"])
    old = next(one for one in await labels.every(box, scope=EVERYTHING, actor=CAROL) if one.name == "old")
    assert (old.studies, old.series) == (1, 1)

    await labels.rename(box, old.id, "OLD", scope=EVERYTHING, actor=CAROL)
    with pytest.raises(Conflict):
        await labels.rename(box, old.id, "Other", scope=EVERYTHING, actor=CAROL)
    with pytest.raises(NotFound):
        await labels.rename(box, "nothing", "new", scope=EVERYTHING, actor=CAROL)
    assert (await labels.label(box, old.id, scope=EVERYTHING, actor=CAROL)).name == "OLD"

    await labels.delete(box, old.id, scope=EVERYTHING, actor=CAROL)
    assert await named(box, study) == {(study, ""): ["other"], (study, series): ["other"]}
    with pytest.raises(NotFound):
        await labels.delete(box, old.id, scope=EVERYTHING, actor=CAROL)


async def test_labels_outlive_a_rebuilt_index(box: Box) -> None:
    study, series = await keep(box)
    await change(box, (study, ""), add=["study's"])
    await change(box, (study, series), add=["series'"])

    await reindex.reindex(box)

    assert await named(box, study) == {(study, ""): ["study's"], (study, series): ["series'"]}
    assert await found(box, "series", ("Labels", "series'")) == {series}


async def test_labels_go_with_the_last_instance_of_what_had_them(box: Box) -> None:
    study, series = await keep(box)
    _, other = await keep(box, study=study)
    await keep(box, study=study, series=series)
    await change(box, (study, ""), (study, series), (study, other), add=["x"])
    instances = await box.database.fetch_all(
        "select instance_uid from instance join series on series.id = instance.series_id"
        " where series.series_uid = :series",
        {"series": series},
    )

    async def held() -> set[Target]:
        rows = await box.database.fetch_all("select study_uid, series_uid from label_member")
        return {(row["study_uid"], row["series_uid"]) for row in rows}

    await remove.remove(box, study, series, instances[0]["instance_uid"], scope=EVERYTHING, actor=CAROL)
    assert await held() == {(study, ""), (study, series), (study, other)}
    await remove.remove(box, study, series, scope=EVERYTHING, actor=CAROL)
    assert await held() == {(study, ""), (study, other)}
    await remove.remove(box, study, scope=EVERYTHING, actor=CAROL)
    assert await held() == set()


@pytest.mark.dicom("PS3.4 C.2.2.2")
async def test_labels_are_matched_at_each_level(box: Box) -> None:
    study, first = await keep(box)
    _, second = await keep(box, study=study)
    other, third = await keep(box)
    bare, fourth = await keep(box)
    await change(box, (study, first), add=["Hip", "research 1"])
    await change(box, (other, ""), add=["research 2"])

    # A study by its own and its series' labels, a series by its own and its study's.
    assert await found(box, "study", ("Labels", "hip")) == {study}
    assert await found(box, "study", ("Labels", "research*")) == {study, other}
    assert await found(box, "series", ("Labels", "research*")) == {first, third}
    assert await found(box, "series", ("Labels", "hip\\research 2")) == {first, third}
    assert await found(box, "study", ("Labels", "hip,research 2"), ("multiplevaluematching", "true")) == {
        study,
        other,
    }
    assert await found(box, "study", ("Labels", "hi"), ("limit", "5")) == set()
    assert await found(box, "study", ("Labels", '""'), ("emptyvaluematching", "true")) == {bare}
    assert await found(box, "series", ("Labels", '""'), ("emptyvaluematching", "true")) == {second, fourth}
    # With other keys, within a study, as the private attribute with its creator.
    assert await found(box, "study", ("4D531001", "HIP"), PRIVATE) == {study}
    assert await found(box, "study", ("Labels", "research*"), ("StudyInstanceUID", other)) == {other}
    assert await found(box, "study", ("Labels", "research*"), ("PatientID", "nobody")) == set()
    assert await found(box, "series", ("Labels", "hip"), study=study) == {first}
    assert len(await found(box, "instance", ("Labels", "research*"))) == 2
    assert len(await found(box, "instance", ("Labels", "hip"), study=study)) == 1


@pytest.mark.parametrize("many", [0, 3000])
async def test_labels_are_matched_whether_few_or_many_have_them(
    box: Box, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicomweb_box.archive.labelled._MANY", many)
    kept = [await keep(box, StudyDate=f"202601{day:02}") for day in range(1, 7)]
    await change(box, *((study, "") for study, _ in kept[::2]), add=["even"])

    page = await ask(box, "study", ("Labels", "even"), ("limit", "2"))

    assert [orjson.loads(row)["0020000D"]["Value"][0] for row in page.rows] == [kept[4][0], kept[2][0]]
    assert page.more
    assert await found(box, "series", ("Labels", "even")) == {series for _, series in kept[::2]}


async def test_labels_are_returned_where_they_are_asked_for(box: Box) -> None:
    study, series = await keep(box)
    await keep(box, study=study)
    await change(box, (study, ""), add=["Of study"])
    await change(box, (study, series), add=["of series"])

    async def rows(level: Level, *pairs: tuple[str, str], **path: str) -> list[list[str] | None]:
        answers = [orjson.loads(row) for row in (await ask(box, level, *pairs, **path)).rows]
        assert all(list(answer) == sorted(answer) for answer in answers)
        for answer in answers:
            assert ("4D531001" in answer) == ("4D530010" in answer)
        return [answer["4D531001"].get("Value") if "4D531001" in answer else None for answer in answers]

    assert await rows("study") == [None]
    for asked in (("includefield", "Labels"), ("includefield", "4D531001"), ("includefield", "all")):
        assert await rows("study", asked, PRIVATE) == [["of series", "Of study"]]
    both = [["of series", "Of study"], ["Of study"]]
    assert sorted(await rows("series", ("includefield", "Labels"), study=study), key=str) == sorted(
        both, key=str
    )
    assert sorted(await rows("instance", ("includefield", "Labels")), key=str) == sorted(both, key=str)
    assert await rows("series", ("Labels", "of series")) == [both[0]]


async def test_labels_of_what_a_scope_hides_are_neither_matched_nor_told(box: Box) -> None:
    study, seen = await keep(box, source="a")
    _, hidden = await keep(box, study=study, source="b")
    other, _ = await keep(box, source="b")
    await change(box, (study, hidden), (other, ""), add=["secret"])
    await change(box, (study, seen), (study, ""), add=["open"])
    scope = Scope(sources=frozenset(("a",)))

    assert await found(box, "study", ("Labels", "secret"), scope=scope) == set()
    assert await found(box, "study", ("Labels", "open"), scope=scope) == {study}
    assert await found(box, "series", ("Labels", "*e*"), scope=scope) == {seen}
    page = await ask(box, "study", ("includefield", "Labels"), scope=scope)
    assert [orjson.loads(row)["4D531001"]["Value"] for row in page.rows] == [["open"]]
    assert set(await given(box, study, scope)) == {(study, ""), (study, seen)}
    counted = await labels.every(box, scope=scope, actor=CAROL)
    assert [(one.name, one.studies, one.series) for one in counted] == [("open", 1, 1)]
    whole = await labels.every(box, scope=EVERYTHING, actor=CAROL)
    assert [(one.name, one.studies, one.series) for one in whole] == [("open", 1, 1), ("secret", 1, 1)]
    assert await labels.names(box, scope=scope, actor=CAROL) == ["open"]
    with pytest.raises(Forbidden):
        await labels.make(box, "third", scope=scope, actor=CAROL)
    with pytest.raises(Forbidden):
        await labels.delete(box, whole[0].id, scope=scope, actor=CAROL)
    with pytest.raises(NotFound):
        await labels.label(box, whole[1].id, scope=scope, actor=CAROL)


async def test_who_sees_some_series_labels_those_where_a_study_is_named(box: Box) -> None:
    study, mine = await keep(box, "a")
    _, theirs = await keep(box, "b", study=study)
    await change(box, (study, ""), add=["of the study"])
    scope = Scope(sources=frozenset(("a",)))

    added = await change(box, (study, ""), add=["new"], remove=["of the study"], scope=scope)

    assert added == Changed(added=1, removed=0, kept=1)
    assert await named(box, study) == {(study, ""): ["of the study"], (study, mine): ["new"]}
    assert await change(box, (study, ""), remove=["new"], scope=scope) == Changed(added=0, removed=1, kept=0)
    with pytest.raises(NotFound):
        await change(box, (study, theirs), add=["new"], scope=scope)
    whole = Scope(studies=frozenset((study,)))
    assert await change(box, (study, ""), remove=["of the study"], scope=whole) == Changed(
        added=0, removed=1, kept=0
    )


async def test_what_has_a_label_of_the_scope_is_seen_until_it_is_taken_away(box: Box) -> None:
    study, series = await keep(box)
    await keep(box, study=study)
    scope = Scope(labels=(frozenset(("trial",)),))
    assert await found(box, "series", scope=scope) == set()

    await change(box, (study, series), add=["Trial"])
    assert await found(box, "series", scope=scope) == {series}
    assert await labels.names(box, scope=scope, actor=CAROL) == ["Trial"]

    await change(box, (study, series), remove=["Trial"])
    assert await found(box, "series", scope=scope) == set()
    assert await labels.names(box, scope=scope, actor=CAROL) == []
