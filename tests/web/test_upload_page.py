"""The pages of uploads, and the form that works without scripts."""

from pathlib import Path

import httpx
import pytest

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING
from dicomweb_box.archive import given_labels, labels, upload_settling
from dicomweb_box.box import Box
from tests.builders import make_instance, new_uid
from tests.web.pages import Page, assert_well_made
from tests.web.uploading import JSON, announced, begun, sent, session_of, zipped


async def read(client: httpx.AsyncClient, path: str, status: int = 200) -> Page:
    answer = await client.get(path)
    assert answer.status_code == status
    page = Page(answer.text)
    assert_well_made(page)
    return page


def said(page: Page) -> str:
    return " ".join(page.one("main").text.split())


async def test_an_upload_is_begun_by_a_form_and_named_for_the_moment(client: httpx.AsyncClient) -> None:
    assert "Nothing was uploaded yet" in said(await read(client, "/upload"))

    answer = await client.post("/upload", data={"name": ""})
    assert answer.status_code == 303
    page = await read(client, answer.headers["location"])

    assert page.one("h1").text.startswith("Upload of 20")
    assert page.one("title").text.startswith("Upload")
    assert page.one("h1").text in said(await read(client, "/upload"))


async def test_a_name_that_is_none_is_said_beside_its_field(client: httpx.AsyncClient) -> None:
    answer = await client.post("/upload", data={"name": "a" * 201})
    told = await client.post("/upload", json={"name": "a\x07b"}, headers=JSON)

    assert answer.status_code == 422
    page = Page(answer.text)
    assert_well_made(page)
    [field] = [one for one in page.elements["input"] if one.attributes.get("aria-invalid")]
    assert field.attributes["value"] == "a" * 201
    assert (told.status_code, list(told.json())) == (400, ["error"])


async def test_sessions_are_listed_newest_first_in_pages(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dicomweb_box.web import upload

    monkeypatch.setattr(upload, "PAGE_SIZE", 2)
    for name in ("one", "two", "three"):
        await begun(client, name)

    first = await read(client, "/upload")
    [older] = [one.attributes["href"] for one in first.elements["a"] if one.attributes.get("rel") == "next"]
    second = await read(client, older)
    told = (await client.get("/upload.json")).json()
    rest = (await client.get(told["next"])).json()

    assert [row.text.split()[0] for row in first.elements["tr"] if "tbody" in row.inside] == ["three", "two"]
    assert [row.text.split()[0] for row in second.elements["tr"] if "tbody" in row.inside] == ["one"]
    assert [one["name"] for one in (*told["sessions"], *rest["sessions"])] == ["three", "two", "one"]


async def test_files_are_sent_by_a_form_without_scripts(client: httpx.AsyncClient, box: Box) -> None:
    study = new_uid()
    session = await begun(client)
    new, twin = make_instance(study=study), make_instance(study=study)

    answer = await client.post(
        session,
        files=[
            ("files", ("a/eins ü.dcm", new)),
            ("files", ("twin.dcm", twin)),
            ("files", ("again.dcm", twin)),
            ("files", ('quo"te.txt', b"these are words, no instance at all")),
            ("files", ("DICOMDIR", b"any")),
            ("files", ("cut.dcm", new[:-20])),
            ("files", ("empty.dcm", b"")),
            ("files", ("", b"")),
            ("files", ("more.zip", zipped(x_dot_dcm=make_instance()))),
        ],
    )
    assert (answer.status_code, answer.headers["location"]) == (303, session)
    await upload_settling.settle_arrived(box)

    page = await read(client, session)
    rows = {row.text.split("\n")[1].strip(): row.text for row in page.elements["tr"] if "tbody" in row.inside}
    became = {name: " ".join(text.split()) for name, text in rows.items()}
    assert "new" in became["a/eins ü.dcm"]
    assert "was here already" in became["again.dcm"]
    assert "left out" in became['quo"te.txt']
    assert "left out" in became["DICOMDIR"]
    assert "refused" in became["cut.dcm"]
    assert "the file is empty" in became["empty.dcm"]
    assert "archive, unpacked" in became["more.zip"]
    assert f"/studies/{study}" in page.addresses()
    shown = await session_of(client, session)
    assert [shown[name] for name in ("files", "stored", "already", "skipped", "refused")] == [8, 3, 1, 2, 2]
    assert not [path for path in (box.settings.data / "uploads").rglob("*") if path.is_file()]


async def test_a_program_gets_the_outcomes_of_a_form_as_json(client: httpx.AsyncClient) -> None:
    session = await begun(client)

    answer = await client.post(session, files=[("files", ("a.dcm", make_instance()))], headers=JSON)

    assert [(one["path"], one["state"]) for one in answer.json()["files"]] == [("a.dcm", "stored")]


async def test_a_form_sent_twice_stores_once_and_a_changed_file_again(client: httpx.AsyncClient) -> None:
    session = await begun(client)
    instance = new_uid()
    first, other = (make_instance(instance=instance, PatientID=name) for name in ("P1", "P2"))

    for data in (first, first, other):
        await client.post(session, files=[("files", ("a.dcm", data))], headers=JSON)

    shown = await session_of(client, session)
    assert [shown[name] for name in ("files", "stored", "already", "refused")] == [2, 2, 0, 0]


async def test_a_form_that_breaks_off_keeps_what_was_complete(client: httpx.AsyncClient, box: Box) -> None:
    session = await begun(client)
    one, two = make_instance(), make_instance()
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n'
    body = head % b"one.dcm" + one + b"\r\n" + head % b"two.dcm" + two[:200]

    answer = await client.post(
        session, content=body, headers={"Content-Type": "multipart/form-data; boundary=x", **JSON}
    )

    assert answer.status_code == 400
    shown = await session_of(client, session)
    assert [shown[name] for name in ("files", "stored")] == [1, 1]
    assert not [path for path in (box.settings.data / "uploads").rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "multipart/related; boundary=x", ""])
async def test_a_body_that_is_no_form_of_files_is_refused(client: httpx.AsyncClient, kind: str) -> None:
    session = await begun(client)

    answer = await client.post(session, content=b"x", headers={"Content-Type": kind, **JSON})

    assert answer.status_code in (400, 415)
    assert list(answer.json()) == ["error"]


async def test_refused_files_are_listed_with_their_reasons(client: httpx.AsyncClient) -> None:
    session = await begun(client)
    await sent(client, session, "good.dcm", make_instance())
    await sent(client, session, "bad<b>.dcm", make_instance()[:-20])

    page = await read(client, f"{session}?state=refused")

    assert "bad<b>.dcm" in said(page)
    assert "good.dcm" not in said(page)
    assert page.elements["b"] == []


async def test_the_page_asks_again_only_while_something_is_on_its_way(client: httpx.AsyncClient) -> None:
    session = await begun(client)
    data = make_instance()
    htmx = {"HX-Request": "true"}

    idle = (await client.get(session, headers=htmx)).text
    await announced(client, session, "a.dcm", len(data))
    active = (await client.get(session, headers=htmx)).text
    await sent(client, session, "a.dcm", data)
    done = (await client.get(session, headers=htmx)).text

    assert ["every 3s" in text for text in (idle, active, done)] == [False, True, False]
    assert all("<html" not in text for text in (idle, active, done))
    assert "1 announced file has no outcome yet" in " ".join(active.replace("\n", " ").split())


async def test_the_record_is_removed_after_a_page_that_says_what_that_means(
    client: httpx.AsyncClient,
) -> None:
    study = new_uid()
    session = await begun(client)
    await sent(client, session, "a.dcm", make_instance(study=study))

    page = await read(client, f"{session}/remove")
    assert "stay" in said(page)
    answer = await client.post(f"{session}/remove")

    assert (answer.status_code, answer.headers["location"]) == (303, "/upload")
    await read(client, session, 404)
    await read(client, f"/studies/{study}")


async def test_every_link_of_the_pages_leads_somewhere(client: httpx.AsyncClient, box: Box) -> None:
    session = await begun(client)
    await sent(client, session, "a.dcm", make_instance())
    await announced(client, session, "b.dcm", 10)

    for path in ("/upload", session, f"{session}/remove"):
        for address in (await read(client, path)).addresses():
            if not address.startswith("#"):
                answer = await client.get(address, headers={"Accept": "*/*"})
                assert answer.status_code in (200, 405), address


async def test_partial_files_lie_in_the_data_folder_alone(client: httpx.AsyncClient, box: Box) -> None:
    session = await begun(client)
    file = await announced(client, session, "../../outside.dcm", 1000)
    await client.patch(file["address"], content=b"x" * 10, headers={"Upload-Offset": "0"})

    assert not Path(box.settings.data.parent, "outside.dcm").exists()


async def test_labels_given_at_the_beginning_are_put_on_what_it_brings(
    client: httpx.AsyncClient, box: Box
) -> None:
    study, inside = new_uid(), new_uid()
    answer = await client.post(
        "/upload", data={"name": "Labelled", "labels": " Teaching ,to check,"}, headers=JSON
    )
    session = answer.headers["location"]
    await sent(client, session, "a.dcm", make_instance(study=study))
    await sent(client, session, "b.dcm", make_instance(study=study))
    await sent(client, session, "c.zip", zipped(c_dot_dcm=make_instance(study=inside)))
    await upload_settling.settle_arrived(box)

    assert answer.json()["labels"] == ["Teaching", "to check"]
    for uid in (study, inside):
        given = await given_labels.of_studies(box, [uid], scope=EVERYTHING, actor=ANONYMOUS)
        assert [one.name for one in given[uid, ""]] == ["Teaching", "to check"]
        assert all(one.by_hand for one in given[uid, ""])
    assert "Teaching" in said(await read(client, session))


async def test_a_label_deleted_meanwhile_is_not_given(client: httpx.AsyncClient, box: Box) -> None:
    answer = await client.post("/upload", json={"labels": ["Passing"]}, headers=JSON)
    [made] = await labels.every(box, scope=EVERYTHING, actor=ANONYMOUS)
    await labels.delete(box, made.id, scope=EVERYTHING, actor=ANONYMOUS)

    file = await sent(client, answer.headers["location"], "a.dcm", make_instance())

    assert file["state"] == "stored"


@pytest.mark.parametrize("given", ["a" * 65, "back\\slash", ",".join(str(one) for one in range(21))])
async def test_labels_that_cannot_be_are_said_beside_their_field(
    client: httpx.AsyncClient, given: str
) -> None:
    answer = await client.post("/upload", data={"labels": given})

    assert answer.status_code == 422
    page = Page(answer.text)
    assert_well_made(page)
    [field] = [one for one in page.elements["input"] if one.attributes.get("aria-invalid")]
    assert field.attributes["id"] == "labels"
