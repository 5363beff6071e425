"""QIDO-RS: PS3.18 10.6, asked by dicomweb-client and, for what it cannot say, over plain HTTP."""

from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient

from conformance.objects import Object, cast, encode, plain, uid
from conformance.stow import store

JSON = "application/dicom+json"
Objects = dict[str, Object]
SEARCHED = {"CONF-A", "CONF-B", "CONF-C", "CONF-D"}


def values(found: list[dict[str, Any]], tag: str) -> list[Any]:
    """The first value of `tag` in each result, None where it has none."""
    return [(result.get(tag, {}).get("Value") or [None])[0] for result in found]


def studies(client: DICOMwebClient, **filters: str) -> set[str]:
    """The searching studies (by PatientID) that match `filters`."""
    return set(values(client.search_for_studies(search_filters=filters), "00100020")) & SEARCHED


def ask(http: httpx.Client, path: str, *pairs: tuple[str, str]) -> httpx.Response:
    """A search, its parameters as given and in order."""
    return http.get(path, params=list(pairs), headers={"Accept": JSON})


@pytest.mark.dicom("PS3.18 10.6")
@pytest.mark.row(1)
def test_it_searches_for_studies(client: DICOMwebClient, objects: Objects):
    assert set(values(client.search_for_studies(), "00100020")) >= SEARCHED


@pytest.mark.row(2)
def test_it_searches_for_the_series_of_a_study(client: DICOMwebClient, objects: Objects):
    found = client.search_for_series(study_instance_uid=uid("A"))
    assert set(values(found, "0020000E")) == {uid("A/ct"), uid("A/mr")}


@pytest.mark.row(3)
def test_it_searches_for_the_instances_of_a_series(client: DICOMwebClient, objects: Objects):
    found = client.search_for_instances(study_instance_uid=uid("A"), series_instance_uid=uid("A/ct"))
    assert set(values(found, "00080018")) == {objects[f"A/ct{n}"].instance_uid for n in (1, 2, 3)}


@pytest.mark.row(4)
def test_it_searches_for_the_instances_of_a_study(client: DICOMwebClient, objects: Objects):
    found = client.search_for_instances(study_instance_uid=uid("A"))
    assert set(values(found, "00080018")) == {
        o.instance_uid for name, o in objects.items() if name.startswith("A/")
    }


@pytest.mark.row(5)
def test_it_searches_for_series_of_all_studies(client: DICOMwebClient, objects: Objects):
    found = client.search_for_series(search_filters={"SeriesInstanceUID": uid("A/mr")})
    assert values(found, "0020000D") == [uid("A")]


@pytest.mark.row(6)
def test_it_searches_for_instances_of_all_studies(client: DICOMwebClient, objects: Objects):
    wanted = objects["B/mr"]
    found = client.search_for_instances(search_filters={"SOPInstanceUID": wanted.instance_uid})
    assert [values(found, tag) for tag in ("0020000D", "0020000E")] == [
        [wanted.study_uid],
        [wanted.series_uid],
    ]


@pytest.mark.dicom("PS3.18 8.7.3")
@pytest.mark.row(8)
@pytest.mark.parametrize("accept", ["application/dicom+json", "*/*", "application/json", None])
def test_it_answers_in_json_without_media_type_parameters(
    http: httpx.Client, objects: Objects, accept: str | None
):
    request = http.build_request("GET", "/studies", params={"PatientID": "CONF-A"})
    del request.headers["Accept"]
    if accept:
        request.headers["Accept"] = accept
    response = http.send(request)
    assert response.status_code == 200
    assert response.headers["Content-Type"] in {
        JSON,
        "application/json" if accept == "application/json" else JSON,
    }
    assert len(response.json()) == 1


@pytest.mark.dicom("PS3.18 10.6.1.2.2")
@pytest.mark.row(11)
@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("StudyDate", "20240102", {"CONF-A"}),
        ("StudyTime", "101112.5", {"CONF-A"}),
        ("StudyTime", "0800", {"CONF-B"}),
        ("AccessionNumber", "ACC-B", {"CONF-B"}),
        ("ModalitiesInStudy", "US", {"CONF-C"}),
        ("ModalitiesInStudy", "MR", {"CONF-A", "CONF-B"}),
        ("ReferringPhysicianName", "Smith^Ann", {"CONF-A", "CONF-C", "CONF-D"}),
        ("PatientName", "Doe^Jane", {"CONF-A"}),
        ("PatientID", "CONF-D", {"CONF-D"}),
        ("StudyInstanceUID", uid("B"), {"CONF-B"}),
        ("StudyID", "ID-A", {"CONF-A"}),
        ("00100020", "CONF-A", {"CONF-A"}),
    ],
)
def test_it_matches_each_study_key(
    client: DICOMwebClient, objects: Objects, keyword: str, value: str, expected: set[str]
):
    assert studies(client, **{keyword: value}) == expected


@pytest.mark.row(12)
@pytest.mark.parametrize(
    ("keyword", "value", "series"),
    [
        ("Modality", "CT", {"A/ct"}),
        ("SeriesInstanceUID", uid("A/mr"), {"A/mr"}),
        ("SeriesNumber", "2", {"A/mr"}),
        ("PerformedProcedureStepStartDate", "20240102", {"A/ct"}),
        ("PerformedProcedureStepStartTime", "1012", {"A/ct"}),
        ("RequestAttributesSequence.ScheduledProcedureStepID", "SPS-1", {"A/ct"}),
        ("RequestAttributesSequence.RequestedProcedureID", "RP-1", {"A/ct"}),
        ("00400275.00400009", "SPS-2", set()),
    ],
)
def test_it_matches_each_series_key(
    client: DICOMwebClient, objects: Objects, keyword: str, value: str, series: set[str]
):
    filters = {"PatientID": "CONF-A", keyword: value}
    assert set(values(client.search_for_series(search_filters=filters), "0020000E")) == {
        uid(s) for s in series
    }
    below = client.search_for_series(study_instance_uid=uid("A"), search_filters={keyword: value})
    assert set(values(below, "0020000E")) == {uid(s) for s in series}


@pytest.mark.row(13)
@pytest.mark.parametrize(
    ("keyword", "value", "names"),
    [
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2", {"A/ct1", "A/ct2", "A/ct3"}),
        ("SOPInstanceUID", cast()["A/ct2"].instance_uid, {"A/ct2"}),
        ("InstanceNumber", "1", {"A/ct1", "A/mr1"}),
    ],
)
def test_it_matches_each_instance_key(
    client: DICOMwebClient, objects: Objects, keyword: str, value: str, names: set[str]
):
    found = client.search_for_instances(search_filters={"PatientID": "CONF-A", keyword: value})
    assert set(values(found, "00080018")) == {objects[name].instance_uid for name in names}


@pytest.mark.row(14)
def test_it_matches_any_attribute_of_an_instance_within_a_study(client: DICOMwebClient, objects: Objects):
    found = client.search_for_instances(study_instance_uid=uid("A"), search_filters={"BitsStored": "12"})
    assert len(found) == 5
    assert client.search_for_instances(study_instance_uid=uid("A"), search_filters={"BitsStored": "16"}) == []


@pytest.mark.row(15)
def test_it_matches_and_returns_private_attributes(http: httpx.Client, objects: Objects):
    path = f"/studies/{uid('BULK')}/instances"
    found = ask(http, path, ("00111001", "private word"), ("includefield", "00111001")).json()
    assert values(found, "00080018") == [objects["BULK/private"].instance_uid]
    assert values(found, "00111001") == ["private word"]


@pytest.mark.dicom("PS3.18 8.3.4.1")
@pytest.mark.row(16)
@pytest.mark.parametrize(
    "path", ["ReferencedStudySequence.ReferencedSeriesSequence.ReferencedSOPInstanceUID"]
)
def test_it_matches_sequence_keys_by_dotted_path(http: httpx.Client, objects: Objects, path: str):
    found = ask(http, f"/studies/{uid('BULK')}/instances", (path, uid("inner"))).json()
    assert values(found, "00080018") == [objects["BULK/private"].instance_uid]
    assert ask(http, f"/studies/{uid('BULK')}/instances", (path, uid("other"))).json() == []


@pytest.mark.dicom("PS3.4 C.2.2.2.5")
@pytest.mark.row(17)
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"StudyDate": "20240102-20240215"}, {"CONF-A", "CONF-B"}),
        ({"StudyDate": "20240301-"}, {"CONF-C", "CONF-D"}),
        ({"StudyDate": "-20240102"}, {"CONF-A"}),
        ({"StudyTime": "0700-0900"}, {"CONF-B"}),
        ({"StudyDate": "20240102-20240301", "StudyTime": "0900-2300"}, {"CONF-A", "CONF-B"}),
        ({"StudyDate": "20240102-20240301", "StudyTime": "110000-235958"}, {"CONF-B"}),
    ],
)
def test_it_matches_ranges_of_dates_and_times(
    client: DICOMwebClient, objects: Objects, filters: dict[str, str], expected: set[str]
):
    # With both a date and a time range the two are one range from the first to the last moment (C.2.2.2.5.3).
    assert studies(client, **filters, PatientID="CONF-?") == expected


@pytest.mark.dicom("PS3.4 C.2.2.2.4")
@pytest.mark.row(18)
@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("PatientName", "Doe*", {"CONF-A", "CONF-D"}),
        ("PatientName", "*oe^J*", {"CONF-A", "CONF-D"}),
        ("PatientName", "Doe^J?ne", {"CONF-A"}),
        ("PatientID", "CONF-?", SEARCHED),
        ("AccessionNumber", "*-B", {"CONF-B"}),
        ("StudyDescription", "*ormance A", {"CONF-A"}),
        ("PatientID", "*", SEARCHED),
    ],
)
def test_it_matches_wildcards(
    client: DICOMwebClient, objects: Objects, keyword: str, value: str, expected: set[str]
):
    assert studies(client, **{keyword: value}) == expected


@pytest.mark.dicom("PS3.4 C.2.2.2.2")
@pytest.mark.row(19)
@pytest.mark.parametrize("separator", [",", "\\", "\\\\"])
def test_it_matches_lists_of_uids(http: httpx.Client, objects: Objects, separator: str):
    found = ask(http, "/studies", ("StudyInstanceUID", separator.join((uid("A"), uid("C"))))).json()
    assert set(values(found, "0020000D")) == {uid("A"), uid("C")}


@pytest.mark.row(19)
def test_it_matches_repeated_uid_parameters(http: httpx.Client, objects: Objects):
    found = ask(http, "/studies", ("StudyInstanceUID", uid("A")), ("StudyInstanceUID", uid("C"))).json()
    assert set(values(found, "0020000D")) == {uid("A"), uid("C")}


@pytest.mark.dicom("PS3.18 8.3.4.6")
@pytest.mark.row(20)
@pytest.mark.parametrize(
    "pairs",
    [
        [("ModalitiesInStudy", "CT,US")],
        [("PatientID", "CONF-A\\CONF-C"), ("multiplevaluematching", "true")],
        [("PatientID", "CONF-A,CONF-C"), ("multiplevaluematching", "true")],
    ],
)
def test_it_matches_several_values(http: httpx.Client, objects: Objects, pairs: list[tuple[str, str]]):
    response = ask(http, "/studies", *pairs)
    assert set(values(response.json(), "00100020")) & SEARCHED == {"CONF-A", "CONF-C"}


@pytest.mark.dicom("PS3.18 8.3.4.5")
@pytest.mark.row(21)
def test_it_matches_empty_values(http: httpx.Client, objects: Objects):
    pairs = [("AccessionNumber", '""'), ("PatientID", "CONF-?"), ("emptyvaluematching", "true")]
    response = ask(http, "/studies", *pairs)
    assert values(response.json(), "00100020") == ["CONF-C"]
    assert "not supported" not in response.headers.get("Warning", "")


@pytest.mark.dicom("PS3.18 8.3.4.2")
@pytest.mark.row(22)
@pytest.mark.parametrize("name", ["jane doe", "doe", "DOE JAN", "Doe^Jayn"])
def test_it_matches_names_fuzzily(client: DICOMwebClient, objects: Objects, name: str):
    found = client.search_for_studies(fuzzymatching=True, search_filters={"PatientName": name})
    assert "CONF-A" in values(found, "00100020")
    assert "CONF-B" not in values(found, "00100020")


@pytest.mark.dicom("PS3.4 C.2.2.2.1")
@pytest.mark.row(23)
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DOE^JANE", {"CONF-A"}),
        ("muller^jurgen", {"CONF-B"}),
        ("MÜLLER*", {"CONF-B"}),
        ("yamada^tarou", {"CONF-C"}),
        ("山田^太郎", {"CONF-C"}),
        ("*太郎*", {"CONF-C"}),
        ("やまだ*", {"CONF-C"}),
    ],
)
def test_it_matches_names_without_case_and_accents_in_every_group(
    client: DICOMwebClient, objects: Objects, name: str, expected: set[str]
):
    assert studies(client, PatientName=name) == expected


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


@pytest.mark.dicom("PS3.18 8.3.4")
@pytest.mark.row(38)
def test_it_ignores_unknown_parameters_with_a_warning(http: httpx.Client, objects: Objects):
    response = ask(http, "/studies", ("PatientID", "CONF-A"), ("NoSuchAttribute", "1"))
    assert values(response.json(), "00100020") == ["CONF-A"]
    assert response.headers["Warning"].startswith("299 ")


@pytest.mark.row(38)
def test_it_refuses_unknown_parameters_where_that_is_asked(http: httpx.Client, objects: Objects):
    response = ask(http, "/studies", ("NoSuchAttribute", "1"), ("strict", "1"))
    assert response.status_code == 400
    assert "NoSuchAttribute" in response.json()["error"]


@pytest.mark.row(39)
def test_it_answers_304_to_an_unchanged_search_within_a_study(http: httpx.Client, objects: Objects):
    path = f"/studies/{uid('A')}/instances"
    first = ask(http, path)
    again = http.get(path, headers={"Accept": JSON, "If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.row(40)
def test_it_names_the_transfer_syntax_of_instances(client: DICOMwebClient, objects: Objects):
    wanted = objects["ENC/rle"].instance_uid
    found = client.search_for_instances(
        study_instance_uid=uid("ENC"), search_filters={"SOPInstanceUID": wanted}
    )
    assert found[0]["00083002"]["Value"] == ["1.2.840.10008.1.2.5"]


@pytest.mark.row(41, 116)
def test_a_search_sees_what_was_just_stored_and_removed(
    client: DICOMwebClient, http: httpx.Client, objects: Objects
):
    for n in range(10):
        made = plain("only", study=f"SEEN{n}", series="s")
        store(http, [made.data])
        assert len(client.search_for_studies(search_filters={"PatientID": f"CONF-SEEN{n}"})) == 1
        client.delete_study(made.study_uid)
        assert client.search_for_studies(search_filters={"PatientID": f"CONF-SEEN{n}"}) == []


@pytest.mark.row(42)
def test_its_retrieve_urls_can_be_retrieved(client: DICOMwebClient, http: httpx.Client, objects: Objects):
    study = client.search_for_studies(search_filters={"PatientID": "CONF-A"})[0]
    series = client.search_for_series(study_instance_uid=uid("A"))[0]
    instance = client.search_for_instances(study_instance_uid=uid("A"))[0]
    assert study["00080056"]["Value"] == ["ONLINE"]
    for result in (study, series, instance):
        # A URL, absolute or relative to the one that was asked (PS3.5 6.2, UR).
        address = urljoin(str(http.base_url), result["00081190"]["Value"][0])
        assert http.get(address + "/metadata").status_code == 200


@pytest.mark.row(43)
def test_a_search_costs_the_same_for_a_page_of_any_size(client: DICOMwebClient, objects: Objects):
    # How many statements a search runs is counted in tests/archive; here only that a page is a page.
    assert len(client.search_for_studies(limit=1)) == 1


@pytest.mark.row(23, 93)
def test_names_come_back_in_every_component_group(client: DICOMwebClient, objects: Objects):
    found = client.search_for_studies(search_filters={"PatientID": "CONF-C"})[0]
    assert found["00100010"]["Value"] == [
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]


@pytest.mark.row(27)
def test_counters_follow_a_second_store_and_a_removal(client: DICOMwebClient, http: httpx.Client):
    objects = [plain(f"i{n}", study="COUNT", series=f"s{n % 2}", InstanceNumber=n) for n in range(4)]
    store(http, [o.data for o in objects])
    store(http, [encode(objects[0].dataset)])

    def counted() -> tuple[Any, Any]:
        study = client.search_for_studies(search_filters={"PatientID": "CONF-COUNT"})[0]
        return study["00201206"]["Value"][0], study["00201208"]["Value"][0]

    assert counted() == (2, 4)
    client.delete_series(objects[1].study_uid, objects[1].series_uid)
    assert counted() == (1, 2)
