"""One reading of Accept, tested with what clients really send."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomweb_box.dicom.media_types import (
    ANYTHING,
    Accepted,
    MediaType,
    Offer,
    choose,
    parse_accept,
    parse_media_type,
)
from dicomweb_box.errors import BadRequest, NotAcceptable

NATIVE, JPEG, JPEG_LS, J2K, RLE = (
    "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
)  # fmt: skip


def frames(stored: str, media_type: str) -> list[Offer]:
    """What a server offers for stored frames: as stored, then decoded, multipart before single."""
    offers = []
    for multipart in (True, False):
        if stored != NATIVE:
            offers.append(Offer(media_type=media_type, multipart=multipart, transfer_syntax=stored))
            offers.append(
                Offer(media_type="application/octet-stream", multipart=multipart, transfer_syntax=stored)
            )
        offers.append(
            Offer(media_type="application/octet-stream", multipart=multipart, transfer_syntax=NATIVE)
        )
    return offers


INSTANCE = [
    Offer(media_type="application/dicom", multipart=multipart, transfer_syntax=syntax)
    for multipart in (True, False)
    for syntax in (J2K, NATIVE)
]
STUDY = INSTANCE[:2]
JSON = Offer(media_type="application/dicom+json")
XML = Offer(media_type="application/dicom+xml")
XML_PARTS = Offer(media_type="application/dicom+xml", multipart=True)
METADATA = [JSON, XML_PARTS]
RENDERED = [Offer(media_type="image/jpeg"), Offer(media_type="image/png"), Offer(media_type="image/gif")]


def chosen(accept: str | list[str], offered: list[Offer], parameter: str | None = None) -> str:
    headers = [accept] if isinstance(accept, str) else accept
    return str(choose(parse_accept(headers, parameter), offered))


OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax='
DICOM = 'multipart/related; type="application/dicom"; transfer-syntax='


@pytest.mark.row(53)
@pytest.mark.dicom("PS3.18 8.7.8")
@pytest.mark.parametrize(
    ("client", "accept", "offered", "answer"),
    [
        ("OHIF list", "application/dicom+json", METADATA, str(JSON)),
        (
            "OHIF metadata",
            "application/dicom+json, multipart/related; type=application/octet-stream; transfer-syntax=*",
            METADATA,
            str(JSON),
        ),
        (
            "Cornerstone frames, native",
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
            frames(NATIVE, ""),
            OCTETS + NATIVE,
        ),
        (
            "Cornerstone frames, J2K",
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
            frames(J2K, "image/jp2"),
            OCTETS + J2K,
        ),
        (
            "Cornerstone, JPEG-LS and others",
            "multipart/related; type=image/jls; transfer-syntax=1.2.840.10008.1.2.4.80, "
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
            frames(JPEG_LS, "image/jls"),
            f'multipart/related; type="image/jls"; transfer-syntax={JPEG_LS}',
        ),
        (
            "dcmjs quoted",
            'multipart/related; type="application/octet-stream"; transfer-syntax="*"',
            frames(RLE, "image/dicom-rle"),
            OCTETS + RLE,
        ),
        (
            "dcmjs legacy names",
            'multipart/related; type="image/x-jls"; transfer-syntax=1.2.840.10008.1.2.4.80, '
            'multipart/related; type="image/x-dicom-rle"; transfer-syntax=1.2.840.10008.1.2.5',
            frames(RLE, "image/dicom-rle"),
            f'multipart/related; type="image/dicom-rle"; transfer-syntax={RLE}',
        ),
        (
            "dcmjs duplicates",
            'multipart/related; type="image/jpeg", multipart/related; type="image/jpeg"',
            frames(JPEG, "image/jpeg"),
            f'multipart/related; type="image/jpeg"; transfer-syntax={JPEG}',
        ),
        ("Python JSON", "application/dicom+json, application/json", METADATA, str(JSON)),
        ("Python frames", 'multipart/related; type="*/*"', frames(NATIVE, ""), OCTETS + NATIVE),
        (
            "Python instances",
            'multipart/related; type="application/dicom"; transfer-syntax=*',
            STUDY,
            DICOM + J2K,
        ),
        ("Python XML", 'multipart/related; type="application/dicom+xml"', METADATA, str(XML_PARTS)),
        ("Weasis instance", 'multipart/related;type="application/dicom"', INSTANCE, DICOM + NATIVE),
        (
            "Weasis with syntax",
            f'multipart/related;type="application/dicom";transfer-syntax={J2K};q=0.9,'
            f'multipart/related;type="application/dicom";transfer-syntax={NATIVE};q=0.5',
            STUDY,
            DICOM + J2K,
        ),
        ("Weasis STOW", "application/dicom+xml", [JSON, XML], str(XML)),
        (
            "Slim tiles, single part",
            "application/octet-stream; transfer-syntax=*",
            frames(J2K, "image/jp2"),
            "application/octet-stream; transfer-syntax=" + J2K,
        ),
        ("Slim label", "image/png", RENDERED, "image/png"),
        (
            "wsidicom probe",
            f'multipart/related; type="image/jp2"; transfer-syntax={J2K}',
            frames(J2K, "image/jp2"),
            f'multipart/related; type="image/jp2"; transfer-syntax={J2K}',
        ),
        ("Slicer, curl", "*/*", STUDY, DICOM + NATIVE),
        (
            "Firefox page",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            METADATA,
            str(JSON),
        ),
        (
            "Firefox image",
            "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
            RENDERED,
            "image/png",
        ),
        ("Java", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", METADATA, str(JSON)),
        ("Orthanc", "multipart/related; type=application/dicom; transfer-syntax=*", STUDY, DICOM + J2K),
        ("Orthanc old", "multipart/related;type=application/dicom", STUDY, DICOM + NATIVE),
        ("dcm4che", f'multipart/related;type="application/dicom";transfer-syntax={J2K}', STUDY, DICOM + J2K),
        ("single instance", "application/dicom", INSTANCE, f"application/dicom; transfer-syntax={NATIVE}"),
        (
            "single as stored",
            "application/dicom; transfer-syntax=*",
            INSTANCE,
            f"application/dicom; transfer-syntax={J2K}",
        ),
        (
            "parameter order",
            f"multipart/related; transfer-syntax={J2K}; type=application/dicom",
            STUDY,
            DICOM + J2K,
        ),
        (
            "all within the quotes",
            'multipart/related; type="application/dicom; transfer-syntax=*"',
            STUDY,
            DICOM + J2K,
        ),
        ("capitals", "MULTIPART/Related; Type=Application/DICOM; Transfer-Syntax=*", STUDY, DICOM + J2K),
        ("any part", "multipart/related", STUDY, DICOM + NATIVE),
        ("image/*", "image/*", RENDERED, "image/jpeg"),
        (
            "image/* parts",
            'multipart/related; type="image/*"',
            frames(JPEG, "image/jpeg"),
            f'multipart/related; type="image/jpeg"; transfer-syntax={JPEG}',
        ),
        ("an unknown one beside", "sausage, multipart/mixed, application/dicom+json", METADATA, str(JSON)),
    ],
)
def test_real_clients_get_what_they_mean(client: str, accept: str, offered: list[Offer], answer: str) -> None:
    assert chosen(accept, offered) == answer


@pytest.mark.dicom("PS3.18 8.7.8")
@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("image/png;q=0.5, image/jpeg;q=0.4", "image/png"),
        ("image/png;q=0.5, image/*;q=0.6", "image/jpeg"),
        ("image/*, image/jpeg;q=0", "image/png"),
        ("*/*;q=0.1, image/gif;q=0.2", "image/gif"),
        ("image/*, image/gif", "image/gif"),
        ("image/jpeg;q=high, image/png;q=0.9", "image/jpeg"),
        ("image/jpeg;q=nan, image/png", "image/jpeg"),
        ("image/jpeg;q=7, image/png;q=-3", "image/jpeg"),
        ("image/jpeg;level=1;q=0.3, image/png; q = 0.4", "image/png"),
    ],
)
def test_quality_comes_before_exactness_and_exactness_before_the_servers_order(
    accept: str, answer: str
) -> None:
    assert chosen(accept, RENDERED) == answer


@pytest.mark.row(56)
@pytest.mark.parametrize("headers", [[], [""], [" , "]])
def test_no_accept_means_the_default(headers: list[str]) -> None:
    assert parse_accept(headers) == (ANYTHING,)
    assert chosen(headers, METADATA) == str(JSON)
    assert chosen(headers, STUDY) == DICOM + NATIVE


def test_several_header_lines_are_one() -> None:
    assert chosen(["image/gif;q=0.2", "image/png"], RENDERED) == "image/png"


@pytest.mark.row(54)
@pytest.mark.dicom("PS3.18 8.3.3.1")
@pytest.mark.parametrize(
    ("parameter", "offered", "answer"),
    [
        ("image/png", RENDERED, "image/png"),
        ("application/dicom json", METADATA, str(JSON)),
        ("application/dicom+xml", [JSON, XML], str(XML)),
        ('multipart/related; type="application/dicom xml"', METADATA, str(XML_PARTS)),
        ("", RENDERED, "image/gif"),
    ],
)
def test_the_accept_parameter_beats_the_header(parameter: str, offered: list[Offer], answer: str) -> None:
    assert chosen("image/gif", offered, parameter) == answer


@pytest.mark.row(55)
@pytest.mark.parametrize(
    ("accept", "offered"),
    [
        ("image/png", METADATA),
        ("application/dicom", STUDY),
        (f'multipart/related; type="application/dicom"; transfer-syntax={RLE}', STUDY),
        ("application/dicom", [Offer(media_type="application/dicom", transfer_syntax=J2K)]),
        ("sausage", METADATA),
        ("*/*;q=0", METADATA),
    ],
)
def test_what_cannot_be_given_is_refused_with_what_can(accept: str, offered: list[Offer]) -> None:
    with pytest.raises(NotAcceptable) as refusal:
        chosen(accept, offered)

    assert refusal.value.offered == tuple(str(offer) for offer in offered)


ALL = [*frames(J2K, "image/jp2"), *INSTANCE, *METADATA, *RENDERED]


@given(st.text() | st.text(alphabet='abc/*;,="\\ q.01+-'))
def test_no_text_breaks_the_reading(text: str) -> None:
    for accepted in parse_accept([text]):
        assert 0 <= accepted.quality <= 1
    parse_accept([], text)


@given(
    st.lists(st.sampled_from(ALL), min_size=1, unique=True), st.randoms(), st.booleans(), st.integers(1, 1000)
)
def test_each_offer_is_chosen_when_asked_for_by_its_name(
    offered: list[Offer], rng: random.Random, quoted: bool, quality: int
) -> None:
    wanted = rng.choice(offered)
    parameters = [f"q={quality / 1000}"]
    if wanted.transfer_syntax:
        parameters.append(f"transfer-syntax={wanted.transfer_syntax}")
    if wanted.multipart:
        parameters.append(f'type="{wanted.media_type}"' if quoted else f"type={wanted.media_type}")
    rng.shuffle(parameters)
    name = "multipart/related" if wanted.multipart else wanted.media_type
    elements = [rng.choice(["; ", ";", " ;"]).join([name, *parameters]), "*/*;q=0.0001", "audio/ogg"]
    rng.shuffle(elements)

    assert chosen(elements, offered) == str(wanted)
    assert chosen(",".join(elements), offered) == str(wanted)


@given(st.permutations(ALL), st.sampled_from(ALL))
def test_an_offer_says_of_itself_how_it_is_asked_for(offered: list[Offer], wanted: Offer) -> None:
    assert chosen(str(wanted), offered) == str(wanted)


def test_a_part_is_labelled_with_its_transfer_syntax_unquoted() -> None:
    offer = Offer(media_type="image/jp2", multipart=True, transfer_syntax=J2K)

    assert offer.content_type == "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90"


@pytest.mark.parametrize(
    ("value", "media_type"),
    [
        (
            'Multipart/Related; Type="application/dicom"; Boundary=a',
            ("multipart/related", {"type": "application/dicom", "boundary": "a"}),
        ),
        ('multipart/related;boundary="a\\"b; c"', ("multipart/related", {"boundary": 'a"b; c'})),
        (
            "multipart/related; boundary=a:b=c; type=application/dicom",
            ("multipart/related", {"boundary": "a:b=c", "type": "application/dicom"}),
        ),
        (" application/dicom ;; charset=utf-8", ("application/dicom", {"charset": "utf-8"})),
        ("application/dicom", ("application/dicom", {})),
    ],
)
def test_a_content_type_is_read_with_its_parameters(
    value: str, media_type: tuple[str, dict[str, str]]
) -> None:
    assert parse_media_type(value) == MediaType(*media_type)


@pytest.mark.parametrize("value", ["", "dicom", ";", "a b/c"])
def test_what_is_no_content_type_is_refused(value: str) -> None:
    with pytest.raises(BadRequest):
        parse_media_type(value)


def test_equal_ranges_are_kept_once() -> None:
    assert parse_accept(["image/jpg, image/jpeg, image/jpeg"]) == (
        Accepted(media_type="image/jpeg", multipart=False),
    )
