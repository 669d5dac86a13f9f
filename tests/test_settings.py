"""Settings: one place, four layers, and a clear word about what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.settings import DEFAULT_FILE, Settings, SettingsError, load_settings


@pytest.fixture
def my_file(tmp_path: Path) -> Path:
    file = tmp_path / "my.yaml"
    file.write_text("serve: {port: 4000, host: 0.0.0.0}\n", "utf-8")
    return file


def test_a_file_beats_the_defaults_and_leaves_the_rest(my_file: Path) -> None:
    settings = load_settings(my_file)
    assert settings.serve.port == 4000
    assert settings.serve.max_items == load_settings().serve.max_items


def test_the_environment_beats_a_file(my_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY_TOPICS_SERVE__PORT", "5000")
    settings = load_settings(my_file)
    assert (settings.serve.port, settings.serve.host) == (5000, "0.0.0.0")


def test_a_flag_beats_the_environment(my_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY_TOPICS_SERVE__PORT", "5000")
    assert load_settings(my_file, {"serve.port": 6000}).serve.port == 6000


def test_the_environment_can_name_the_file(my_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY_TOPICS_CONFIG", str(my_file))
    assert load_settings().serve.port == 4000


def test_an_unknown_key_in_a_file_is_named_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("serve: {prot: 4000}\n", "utf-8")
    with pytest.raises(SettingsError, match=r"serve\.prot \(from .*my\.yaml\); did you mean serve\.port\?"):
        load_settings(file)


def test_an_unknown_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY_TOPICS_SERVE__PROT", "1")
    with pytest.raises(SettingsError, match=r"serve\.prot \(from the environment\)"):
        load_settings()


def test_a_list_in_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY_TOPICS_SERVE__CORS_ORIGINS", '["https://portal.example"]')
    assert load_settings().serve.cors_origins == ("https://portal.example",)


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("SERVE__CORS_ORIGINS", "[https://portal.example]", '["a", "b"]'),
        ("FINETUNE__SEEDS", "1,2,3", "[1, 2]"),
        ("PRETRAIN__SOURCE_WEIGHTS", "news: 1", '{"a": 1}'),
        ("SERVE", "off", '{"a": 1}'),
    ],
)
def test_one_that_is_not_is_named_and_shown_as_it_should_be(
    name: str, value: str, right: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"POLICY_TOPICS_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"POLICY_TOPICS_{name}={value}: ")
    assert f"'{right}'" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("serve.port", 0),
        ("serve.port", "many"),
        ("engine.kind", "abacus"),
        ("finetune.dropout", 1.5),
        ("finetune.seeds", []),
        ("pretrain.source_weights", {"news": 2}),
        ("serve", 3),
    ],
)
def test_a_bad_value_is_named_with_its_key(key: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=key):
        load_settings(flags={key: value})


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("- port\n", "utf-8")
    with pytest.raises(SettingsError, match=r"my\.yaml.*not a list"):
        load_settings(file)


def test_settings_cannot_be_changed_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().serve.port = 1  # type: ignore[misc]


def test_every_setting_stands_in_the_default_file_with_a_comment() -> None:
    defaults = yaml.safe_load(DEFAULT_FILE.read_text("utf-8"))
    assert set(defaults) == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if hasattr(section, "model_fields"):
            assert set(defaults[name]) == set(section.model_fields)
    lines = DEFAULT_FILE.read_text("utf-8").splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        key_alone = line.rstrip().endswith(":")
        assert not line.strip() or key_alone or "#" in line or before.strip().startswith("#"), f"no comment: {line}"
