"""QIDO-RS: PS3.18 10.6, asked by dicomweb-client and, for what it cannot say, over plain HTTP."""

from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient

from conformance.objects import cast, encode, plain, uid
from conformance.searching import JSON, SEARCHED, Objects, ask, studies, values
from conformance.stow import store


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
