"""What a search gives back (PS3.18 10.6.3.3): the attributes of each level, pages, counts, order."""

from typing import Any

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient

from conformance.objects import plain, uid
from conformance.searching import Objects, ask, values
from conformance.stow import store


@pytest.mark.dicom("PS3.18 8.3.4.3")
@pytest.mark.row(24)
@pytest.mark.parametrize(
    "pairs",
    [
        [("includefield", "BitsStored"), ("includefield", "HighBit")],
        [("includefield", "00280101,00280102")],
        [("includefield", "BitsStored,00280102")],
    ],
)
def test_it_includes_asked_fields(http: httpx.Client, objects: Objects, pairs: list[tuple[str, str]]):
    found = ask(http, f"/studies/{uid('A')}/instances", *pairs).json()
    assert (values(found, "00280101"), values(found, "00280102")) == ([12] * 5, [11] * 5)


@pytest.mark.row(24)
def test_it_includes_a_field_within_a_sequence(http: httpx.Client, objects: Objects):
    path = "00400275.00401001"
    found = ask(http, f"/studies/{uid('A')}/series", ("Modality", "CT"), ("includefield", path)).json()
    assert found[0]["00400275"]["Value"][0]["00401001"]["Value"] == ["RP-1"]


@pytest.mark.row(25)
def test_it_includes_all_fields(http: httpx.Client, objects: Objects):
    found = ask(
        http, f"/studies/{uid('A')}/instances", ("includefield", "all"), ("InstanceNumber", "3")
    ).json()
    assert values(found, "00280010") == [32]
    study = ask(http, "/studies", ("PatientID", "CONF-A"), ("includefield", "all")).json()
    assert values(study, "00081030") == ["Conformance A"]


STUDY_ATTRIBUTES = [
    "00080020",
    "00080030",
    "00080050",
    "00080056",
    "00080061",
    "00080090",
    "00081190",
    "00100010",
    "00100020",
    "00100030",
    "00100040",
    "0020000D",
    "00200010",
    "00201206",
    "00201208",
]
SERIES_ATTRIBUTES = ["00080060", "0020000E", "00200011", "00201209", "00081190"]
INSTANCE_ATTRIBUTES = ["00080016", "00080018", "00081190", "00200013", "00280010", "00280011", "00280100"]


@pytest.mark.dicom("PS3.18 10.6.3.3")
@pytest.mark.row(26)
def test_it_returns_each_study_attribute_also_where_it_is_empty(client: DICOMwebClient, objects: Objects):
    found = client.search_for_studies(search_filters={"PatientID": "CONF-D"})
    assert set(STUDY_ATTRIBUTES) <= set(found[0])
    assert "Value" not in found[0]["00100040"]
    assert found[0]["00100010"]["Value"] == [{"Alphabetic": "Doe^John"}]


@pytest.mark.row(27)
def test_it_returns_the_numbers_of_related_series_and_instances(client: DICOMwebClient, objects: Objects):
    study = client.search_for_studies(search_filters={"PatientID": "CONF-A"})[0]
    assert (study["00201206"]["Value"], study["00201208"]["Value"]) == ([2], [5])
    assert sorted(study["00080061"]["Value"]) == ["CT", "MR"]
    series = client.search_for_series(study_instance_uid=uid("A"), search_filters={"Modality": "CT"})[0]
    assert series["00201209"]["Value"] == [3]


@pytest.mark.row(28)
def test_it_returns_each_series_and_instance_attribute(client: DICOMwebClient, objects: Objects):
    series = client.search_for_series(study_instance_uid=uid("A"))[0]
    assert set(SERIES_ATTRIBUTES) <= set(series)
    instance = client.search_for_instances(study_instance_uid=uid("A"))[0]
    assert set(INSTANCE_ATTRIBUTES) <= set(instance)


@pytest.mark.row(29)
def test_it_adds_attributes_of_higher_levels_to_lower_ones_only(client: DICOMwebClient, objects: Objects):
    instance = client.search_for_instances(search_filters={"SOPInstanceUID": objects["A/ct1"].instance_uid})[
        0
    ]
    assert {"00100020", "00080020", "0020000D", "00080060", "0020000E"} <= set(instance)
    series = client.search_for_series(search_filters={"SeriesInstanceUID": uid("A/ct")})[0]
    assert {"00100020", "0020000D"} <= set(series)
    assert "00080018" not in series
    study = client.search_for_studies(search_filters={"PatientID": "CONF-A"})[0]
    assert not {"0020000E", "00080018", "00200011"} & set(study)


@pytest.mark.dicom("PS3.18 8.3.4.4")
@pytest.mark.row(30)
def test_it_pages_by_limit_and_offset(client: DICOMwebClient, http: httpx.Client, objects: Objects):
    everything = values(client.search_for_instances(study_instance_uid=uid("A")), "00080018")
    page = client.search_for_instances(study_instance_uid=uid("A"), limit=2, offset=1)
    assert values(page, "00080018") == everything[1:3]
    assert ask(http, "/studies", ("limit", "0")).json() == []
    assert ask(http, "/studies", ("offset", "1000000")).json() == []
    assert ask(http, "/studies", ("limit", "-1")).status_code == 400
    rest = client.search_for_instances(study_instance_uid=uid("A"), limit=2, get_remaining=True)
    assert values(rest, "00080018") == everything


@pytest.mark.row(31)
def test_it_never_cuts_series_and_instances(client: DICOMwebClient, http: httpx.Client, objects: Objects):
    study = "PAGE"
    store(
        http,
        [plain(f"i{n}", study=study, series="s", pixels=False, InstanceNumber=n).data for n in range(1100)],
    )
    assert len(client.search_for_instances(study_instance_uid=uid(study))) == 1100


@pytest.mark.dicom("PS3.18 8.3.4.4.1")
@pytest.mark.row(32)
def test_pages_follow_one_another_without_gap_or_repetition(client: DICOMwebClient, objects: Objects):
    whole = values(client.search_for_studies(search_filters={"PatientID": "CONF-*"}), "0020000D")
    pages = [
        values(
            client.search_for_studies(search_filters={"PatientID": "CONF-*"}, limit=1, offset=n), "0020000D"
        )
        for n in range(len(whole))
    ]
    assert [page[0] for page in pages] == whole


@pytest.mark.dicom("PS3.18 8.3.4.4")
@pytest.mark.row(33)
def test_it_warns_when_more_results_remain(http: httpx.Client, objects: Objects):
    more = ask(http, "/studies", ("PatientID", "CONF-?"), ("limit", "3"))
    assert more.headers["Warning"].startswith("299 ")
    assert "additional results" in more.headers["Warning"]
    assert "Warning" not in ask(http, "/studies", ("PatientID", "CONF-?"), ("limit", "4")).headers


@pytest.mark.row(34)
def test_it_answers_an_empty_list_where_nothing_matches(http: httpx.Client, objects: Objects):
    response = ask(http, "/studies", ("PatientID", "NOBODY"))
    assert (response.status_code, response.json()) == (200, [])


@pytest.mark.row(35)
def test_it_answers_the_broadest_search(http: httpx.Client, objects: Objects):
    assert ask(http, "/instances", ("limit", "5")).status_code == 200
    assert len(ask(http, "/instances", ("limit", "5")).json()) == 5


@pytest.mark.row(36)
@pytest.mark.parametrize(
    ("path", "pairs", "expected"),
    [
        ("/studies/count", [("PatientID", "CONF-?")], 4),
        (f"/studies/{uid('A')}/series/count", [], 2),
        (f"/studies/{uid('A')}/instances/count", [("InstanceNumber", "1")], 2),
    ],
)
def test_it_counts_without_listing(
    http: httpx.Client, objects: Objects, path: str, pairs: list[tuple[str, str]], expected: int
):
    response = http.get(path, params=pairs, headers={"Accept": "application/json"})
    assert response.status_code == 200
    assert response.json() == {"count": expected}


@pytest.mark.row(36)
def test_a_page_tells_the_total_where_that_is_asked(http: httpx.Client, objects: Objects):
    response = ask(http, "/studies", ("PatientID", "CONF-?"), ("limit", "1"), ("total", "true"))
    assert (len(response.json()), response.headers["X-Total-Count"]) == (1, "4")


@pytest.mark.row(37)
def test_it_orders_as_asked(http: httpx.Client, objects: Objects):
    def ordered(order: str) -> list[Any]:
        return values(ask(http, "/studies", ("PatientID", "CONF-?"), ("orderby", order)).json(), "00100020")

    assert ordered("StudyDate") == ["CONF-A", "CONF-B", "CONF-C", "CONF-D"]
    assert ordered("-StudyDate") == ["CONF-D", "CONF-C", "CONF-B", "CONF-A"]
    assert ordered("PatientName,-StudyDate") == ["CONF-A", "CONF-D", "CONF-B", "CONF-C"]
