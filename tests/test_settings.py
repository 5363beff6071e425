"""Settings: where a value comes from, what is refused, what is shown."""

from pathlib import Path

import pytest

from dicomweb_box.errors import BadSetting
from dicomweb_box.setting_sources import explain, load
from dicomweb_box.settings import KNOBS, Settings


def shown(settings: Settings, name: str) -> tuple[str, str]:
    one = next(one for one in explain(settings) if one.name == name)
    return one.value, one.origin


def test_flags_beat_environment_beats_file_beats_defaults(tmp_path: Path) -> None:
    (tmp_path / "box.toml").write_text('port = 1\nworkers = 1\nae_title = "FILE"\n')
    environment = {"DICOMWEB_BOX_PORT": "2", "DICOMWEB_BOX_WORKERS": "2"}

    settings = load({"data": tmp_path, "port": 3, "host": None}, environment)

    assert (settings.port, settings.workers, settings.ae_title, settings.host) == (3, 2, "FILE", "127.0.0.1")
    assert shown(settings, "port") == ("3", "flag")
    assert shown(settings, "workers") == ("2", "environment (DICOMWEB_BOX_WORKERS)")
    assert shown(settings, "ae_title") == ("FILE", f"file ({tmp_path / 'box.toml'})")
    assert shown(settings, "host") == ("127.0.0.1", "default")


def test_a_named_file_is_read_instead_and_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("port = 9")

    assert load({}, {"DICOMWEB_BOX_CONFIG": str(tmp_path / "other.toml")}).port == 9
    with pytest.raises(BadSetting, match=r"gone\.toml is not there"):
        load({"config": str(tmp_path / "gone.toml")}, {})


@pytest.mark.parametrize(
    ("flags", "environment", "said"),
    [
        ({"prot": 1}, {}, "'prot'; the nearest known one is 'port'"),
        (
            {},
            {"DICOMWEB_BOX_WORKER": "1"},
            "'DICOMWEB_BOX_WORKER'; the nearest known one is 'DICOMWEB_BOX_WORKERS'",
        ),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    flags: dict[str, object], environment: dict[str, str], said: str
) -> None:
    with pytest.raises(BadSetting) as caught:
        load(flags, environment)

    assert said in str(caught.value)


def test_an_unknown_key_of_the_file_is_refused_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "box.toml").write_text("duplicate = 'replace'")

    with pytest.raises(BadSetting, match=r"'duplicate' in .*; the nearest known one is 'duplicates'"):
        load({"data": tmp_path}, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "eighty"),
        ("port", 65536),
        ("port", True),
        ("workers", 0),
        ("duplicates", "sometimes"),
        ("ae_title", "A" * 17),
        ("ae_title", "A\\B"),
        ("insecure_http", "perhaps"),
        ("bulk_threshold", "many"),
        ("cache_size", "1 TiBs"),
        ("database_url", "mysql://x"),
        ("blob_url", "ftp://x"),
        ("public_url", "box.example"),
        ("cors_origins", "box.example"),
        ("host", ""),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_its_name(name: str, value: object) -> None:
    with pytest.raises(BadSetting, match=f"setting '{name}' \\(flag\\)"):
        load({name: value}, {})


def test_values_are_read_alike_from_text_and_toml(tmp_path: Path) -> None:
    (tmp_path / "box.toml").write_text(
        'cors_origins = ["https://a.example", "https://b.example/"]\ncache_size = 5'
    )

    from_file = load({"data": tmp_path}, {})
    from_text = load(
        {"data": tmp_path},
        {
            "DICOMWEB_BOX_CORS_ORIGINS": "https://a.example,https://b.example",
            "DICOMWEB_BOX_CACHE_SIZE": "64 MiB",
        },
    )

    assert from_file.cors_origins == from_text.cors_origins == ("https://a.example", "https://b.example")
    assert (from_file.cache_size, from_text.cache_size) == (5, 64 << 20)


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "box.toml").write_text("port: 1")

    with pytest.raises(BadSetting, match="cannot be read"):
        load({"data": tmp_path}, {})


def test_secrets_are_masked_where_they_are_shown() -> None:
    settings = load(
        {"database_url": "postgresql://box:hushhush@db.example/box?sslpassword=hushhush"},
        {"AWS_SECRET_ACCESS_KEY": "hushhush"},
    )

    value, _ = shown(settings, "database_url")

    assert value == "postgresql://box:***@db.example/box?***"
    assert not any("hushhush" in one.value for one in explain(settings))
    assert "hushhush" not in repr(settings).replace(str(settings.database_url), "")


def test_only_a_providers_own_variables_are_handed_down() -> None:
    settings = load({}, {"AWS_REGION": "eu-west-1", "HOME": "/home/box"})

    assert settings.provider == {"AWS_REGION": "eu-west-1"}


def test_index_and_blobs_lie_in_the_data_folder_by_default(tmp_path: Path) -> None:
    settings = load({"data": tmp_path}, {})

    assert settings.database_address == f"sqlite:///{tmp_path}/index.db"
    assert settings.blob_address == f"{tmp_path}/blobs"


def test_every_setting_says_what_it_means() -> None:
    assert all(knob.metadata["meaning"] for knob in KNOBS)
