"""Lists of studies and series as people look through them."""

from dataclasses import replace
from typing import Any

import pytest

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, SYSTEM, Scope
from dicomweb_box.archive import browse, browse_filters, browse_words_postgresql, corrections, labelling
from dicomweb_box.archive.browse import Ask, Listed, Total
from dicomweb_box.archive.browse_filters import Filters
from dicomweb_box.archive.browse_order import sorts
from dicomweb_box.archive.browse_words import words_of
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.archive.reindex import reindex
from dicomweb_box.archive.remove import remove
from dicomweb_box.box import Box
from dicomweb_box.errors import BadQuery
from tests.builders import make_instance, new_uid, pieces

ANYBODY = ["doe", "muller", "yamada"]
ALL = {"scope": EVERYTHING, "actor": ANONYMOUS}


async def keep(box: Box, *, source: str = "test", **attributes: Any) -> str:
    received = await receive(box, pieces(make_instance(**attributes)))
    outcome = await store(box, received, source=source, actor=SYSTEM)
    assert isinstance(outcome, Stored)
    return outcome.study_uid


async def asked(box: Box, level: str = "study", scope: Scope = EVERYTHING, **about: Any) -> Listed:
    if "q" in about:
        about["words"] = words_of(about.pop("q"))
    return await browse.listed(box, Ask(level=level, **about), scope=scope, actor=ANONYMOUS)


async def found(box: Box, **about: Any) -> list[str]:
    return [entry.study_uid for entry in (await asked(box, **about)).entries]


@pytest.fixture
async def cast(box: Box) -> dict[str, str]:
    """Studies by what is special about them."""
    return {
        "doe": await keep(
            box, PatientName="Doe^Jane", PatientID="P-1", StudyDate="20260103",
            StudyDescription="Knee left", AccessionNumber="ACC100", BodyPartExamined="KNEE",
        ),
        "muller": await keep(
            box, source="other", PatientName="Müller^Jürgen", PatientID="P-2", StudyDate="20260102",
            StudyDescription="Schädel", AccessionNumber="ACC200", Modality="MR",
            SpecificCharacterSet="ISO_IR 192",
        ),
        "yamada": await keep(
            box, PatientName="Yamada^Tarou=山田^太郎", PatientID="X9", StudyDate="20260101",
            StudyDescription="Chest", AccessionNumber="ACC300", SpecificCharacterSet="ISO_IR 192",
        ),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "who"),
    [
        ("jane", ["doe"]),
        ("Doe, Jane", ["doe"]),
        ("JANE knee", ["doe"]),
        ("left acc1 p-1", ["doe"]),
        ("muller", ["muller"]),
        ("MÜLLER schadel", ["muller"]),
        ("山田", ["yamada"]),
        ("ta", ["yamada"]),
        ("x9", ["yamada"]),
        ("acc", ANYBODY),
        ("e", ANYBODY),
        ("jane schadel", []),
        ("nobody", []),
        ("%", []),
        ("_", []),
        ('"', []),
        ("*", ANYBODY),
    ],
)
@pytest.mark.parametrize("few", [browse.FEW, 0])
async def test_each_word_is_somewhere_in_name_id_accession_number_or_description(
    box: Box, cast: dict[str, str], typed: str, who: list[str], few: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(browse, "FEW", few)

    assert await found(box, q=typed) == [cast[name] for name in who]


@pytest.mark.parametrize("led", [1, 100])
@pytest.mark.parametrize(
    ("typed", "who"),
    [
        ("acc30 e", ["yamada"]),
        ("acc ta", ["yamada"]),
        ("acc 太 0", ["yamada"]),
        ("acc x q", []),
        ("acc", ANYBODY),
    ],
)
async def test_short_words_beside_long_ones_are_found_however_many_hold_the_long(
    box: Box, cast: dict[str, str], typed: str, who: list[str], led: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(browse_words_postgresql, "_LED", led)

    assert await found(box, q=typed) == [cast[name] for name in who]


async def test_words_are_found_after_a_rebuilt_index_and_no_more_after_removal(
    box: Box, cast: dict[str, str]
):
    await reindex(box)
    assert await found(box, q="schädel") == [cast["muller"]]

    await remove(box, cast["muller"], **ALL)

    assert await found(box, q="schädel") == []


async def test_words_follow_what_most_instances_say(box: Box):
    study = await keep(box, PatientName="Wrong^Name")
    for _ in range(2):
        await keep(box, study=study, PatientName="Right^Name")

    assert await found(box, q="right") == [study]
    assert await found(box, q="wrong") == []


@pytest.mark.parametrize("few", [browse.FEW, 0])
@pytest.mark.parametrize(
    ("about", "who"),
    [
        ({"keys": (("PatientName", "doe*"),)}, ["doe"]),
        ({"keys": (("PatientName", "*ller*"),)}, ["muller"]),
        ({"keys": (("PatientName", "Doe^J?ne"),)}, ["doe"]),
        ({"keys": (("PatientID", "P-1"),)}, ["doe"]),
        ({"keys": (("PatientID", "P-*"), ("StudyDate", "20260102-"))}, ["doe", "muller"]),
        ({"keys": (("StudyDate", "20260102"),)}, ["muller"]),
        ({"keys": (("ModalitiesInStudy", "MR"),)}, ["muller"]),
        ({"keys": (("ModalitiesInStudy", "CT,MR"), ("AccessionNumber", "ACC200"))}, ["muller"]),
        ({"filters": Filters(body_part="KNEE")}, ["doe"]),
        ({"filters": Filters(source="other")}, ["muller"]),
        ({"filters": Filters(source="nowhere")}, []),
        ({"filters": Filters(patient=("", "X9"))}, ["yamada"]),
        ({"filters": Filters(patient=("Hospital", "X9"))}, []),
        ({"filters": Filters(source="test"), "q": "chest"}, ["yamada"]),
    ],
)
async def test_keys_and_filters_narrow_the_list(
    box: Box,
    cast: dict[str, str],
    about: dict[str, Any],
    who: list[str],
    few: int,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(browse, "FEW", few)

    assert await found(box, **about) == [cast[name] for name in who]


async def test_series_are_listed_within_their_studies(box: Box, cast: dict[str, str]):
    study = cast["doe"]
    second = new_uid()
    same = {"PatientName": "Doe^Jane", "PatientID": "P-1", "StudyDate": "20260103"}
    same |= {"StudyDescription": "Knee left", "AccessionNumber": "ACC100"}
    await keep(box, study=study, series=second, SeriesNumber=7, Modality="PR", **same)

    every = await asked(box, "series")
    only = await asked(box, "series", keys=(("Modality", "PR"),), q="jane")

    assert [one.study_uid for one in every.entries] == [study, study, cast["muller"], cast["yamada"]]
    assert [one.series_uid for one in only.entries] == [second]
    assert only.entries[0].modalities == ("PR",)
    knee = await asked(box, "series", keys=(("BodyPartExamined", "KNEE"),))
    assert [one.body_part for one in knee.entries] == ["KNEE"]
    other = await asked(box, "series", filters=Filters(source="other"))
    assert [one.study_uid for one in other.entries] == [cast["muller"]]


@pytest.mark.parametrize("level", ["study", "series"])
@pytest.mark.parametrize("falling", ["", "-"])
async def test_pages_of_each_order_hold_every_row_once_forwards_and_backwards(
    box: Box, level: str, falling: str
):
    for number in range(7):
        await keep(
            box,
            PatientName=f"Doe^{number % 2}",
            PatientID=f"P{number % 3}",
            StudyDate=f"2026010{1 + number % 2}",
            StudyTime="1015" if number % 3 else "",
            SeriesNumber=None if number % 2 else number,
        )
    for name in sorts(level):
        ask = Ask(level=level, order=f"{falling}{name}", limit=100)
        every = [
            entry.series_uid or entry.study_uid for entry in (await browse.listed(box, ask, **ALL)).entries
        ]
        assert len(every) == len(set(every)) == 7

        forwards, pages = [], []
        page = await browse.listed(box, replace(ask, limit=2), **ALL)
        while True:
            pages.append(page)
            forwards += [entry.series_uid or entry.study_uid for entry in page.entries]
            if not page.behind:
                break
            page = await browse.listed(box, replace(ask, limit=2, place=page.entries[-1].place), **ALL)
        back = await browse.listed(
            box, replace(ask, limit=2, place=page.entries[0].place, backwards=True), **ALL
        )

        assert forwards == every
        assert [one.before for one in pages] == [False, True, True, True]
        assert back.entries == pages[-2].entries
        assert (back.before, back.behind) == (True, True)


async def test_a_page_goes_on_where_it_ended_whatever_is_stored_or_removed_meanwhile(box: Box):
    studies = [await keep(box, StudyDate=f"202601{day:02}") for day in range(1, 7)]
    first = await asked(box, limit=2)

    await keep(box, StudyDate="20260201")
    await remove(box, first.entries[-1].study_uid, **ALL)
    second = await asked(box, limit=2, place=first.entries[-1].place)

    assert [one.study_uid for one in second.entries] == [studies[3], studies[2]]


async def test_dates_sizes_and_names_sort_as_people_mean_them(box: Box):
    small = await keep(box, PatientName="Zed^A", StudyDate="20260102")
    large = await keep(box, PatientName="Abe^B", StudyDate="20260101", PixelData=bytes(4000))

    assert await found(box) == [small, large]
    assert await found(box, order="StudyDate") == [large, small]
    assert await found(box, order="PatientName") == [large, small]
    assert await found(box, order="-size") == [large, small]
    assert await found(box, order="size") == [small, large]
    with pytest.raises(BadQuery, match="orderby"):
        await found(box, order="StudyDescription")


async def test_the_total_is_told_where_it_is_cheap(box: Box, monkeypatch: pytest.MonkeyPatch):
    for number in range(5):
        await keep(box, StudyDate=f"2026010{number + 1}", PatientName=f"Doe^{number}", PatientID="same")

    async def total(**about: Any) -> Total | None:
        return (await asked(box, limit=2, **about)).total

    assert await total() == Total(count=5)
    assert await total(keys=(("StudyDate", "20260102-20260104"),)) == Total(count=3)
    assert await total(q="doe") == Total(count=5)
    assert await total(q="doe", filters=Filters(source="test")) == Total(count=5)
    assert await total(filters=Filters(patient=("", "same"))) == Total(count=5)
    monkeypatch.setattr(browse, "FEW", 3)
    assert await total(q="doe") == Total(count=3, more=True)
    assert await total(filters=Filters(source="test")) == Total(count=3, more=True)
    assert await total(q="doe", filters=Filters(source="test")) is None
    assert await total(keys=(("StudyDate", "20260101-20260102"),), q="doe") == Total(count=2)


async def test_a_partial_scope_sees_its_own_series_alone(box: Box):
    study, mine = new_uid(), new_uid()
    await keep(box, study=study, series=mine, source="mine", Modality="CT", BodyPartExamined="KNEE")
    await keep(box, study=study, source="theirs", Modality="MR", BodyPartExamined="HEAD")
    await keep(box, source="theirs")
    scope = Scope(sources=frozenset(("mine",)))

    (entry,) = (await asked(box, scope=scope)).entries
    series = (await asked(box, "series", scope=scope)).entries

    assert (entry.modalities, entry.series_count, entry.instance_count) == (("CT",), 1, 1)
    assert entry.size == series[0].size
    assert [one.series_uid for one in series] == [mine]
    assert (await asked(box, scope=scope, filters=Filters(source="theirs"))).entries == ()
    assert (await asked(box, scope=scope, filters=Filters(body_part="HEAD"))).entries == ()
    assert (await asked(box, scope=scope, q="doe")).entries[0].study_uid == study
    choices = await browse_filters.choices(box, scope=scope, actor=ANONYMOUS)
    assert (choices.modalities, choices.body_parts, choices.sources) == (("CT",), ("KNEE",), ("mine",))


@pytest.mark.parametrize("few", [3000, 0])
async def test_a_scope_of_labels_sees_what_has_one_of_each_set(
    box: Box, few: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("dicomweb_box.archive.scope_labels.FEW", few)
    study, mine, other = new_uid(), new_uid(), new_uid()
    await keep(box, study=study, series=mine, Modality="CT", BodyPartExamined="KNEE")
    await keep(box, study=study, Modality="MR", BodyPartExamined="HEAD")
    await keep(box, study=other)
    await labelling.change(box, [(study, mine), (other, "")], add=["Mine"], **ALL)
    await labelling.change(box, [(study, "")], add=["Two"], **ALL)
    scope = Scope(labels=(frozenset(("mine",)), frozenset(("TWO", "three"))))

    (entry,) = (await asked(box, scope=scope)).entries
    series = (await asked(box, "series", scope=scope)).entries

    assert (entry.study_uid, entry.modalities, entry.series_count) == (study, ("CT",), 1)
    assert [one.series_uid for one in series] == [mine]
    assert (await asked(box, scope=Scope(labels=(frozenset(("three",)),)))).entries == ()
    one = Scope(labels=(frozenset(("mine",)),))
    assert {one.study_uid for one in (await asked(box, scope=one, q="doe")).entries} == {study, other}


async def test_choices_are_what_is_there(box: Box, cast: dict[str, str]):
    choices = await browse_filters.choices(box, **ALL)

    assert choices.modalities == ("CT", "MR")
    assert choices.body_parts == ("KNEE",)
    assert choices.sources == ("other", "test")


async def test_a_corrected_study_is_found_by_what_it_was_corrected_to(box: Box):
    study = await keep(box, PatientName="Wrong^Name")
    name = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Right^Name"}]}}

    done = await corrections.correct(box, [study], name, reason="mistyped", **ALL)
    assert (await found(box, q="right"), await found(box, q="wrong")) == ([study], [])

    await corrections.undo(box, done, **ALL)
    assert (await found(box, q="right"), await found(box, q="wrong")) == ([], [study])
