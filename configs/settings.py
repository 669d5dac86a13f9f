"""Every setting, read in one place: default.yaml < a file < environment variables < flags.

`default.yaml` holds each setting's default and its meaning; this module holds its type and its bounds.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

DEFAULT_FILE = Path(__file__).with_name("default.yaml")
HOME = DEFAULT_FILE.parent.parent
EMBEDDED = HOME / "models" / "default"
"""The model bundle that comes with the code."""
ENV_PREFIX = "POLICY_TOPICS_"
ENV_FILE = f"{ENV_PREFIX}CONFIG"

Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class SettingsError(ValueError):
    """A setting that cannot be used; the message names the key, the fault and where the key came from."""


def _unquoted_off(value: object) -> object:
    """YAML reads a bare `off` as false."""
    return "off" if value is False else value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EngineSettings(_Section):
    kind: Literal["auto", "openvino", "onnxruntime", "torch"]
    threads: Annotated[int, Field(ge=0)]
    batch_tokens: Positive


class ServeSettings(_Section):
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    timeout_seconds: Positive
    queue_tokens: Positive
    queue_seconds: Annotated[float, Field(gt=0)]
    retry_after_seconds: Positive
    max_body_bytes: Positive
    max_items: Positive
    max_item_characters: Positive
    max_document_characters: Positive
    keys: Annotated[Literal["auto", "off", "required"], BeforeValidator(_unquoted_off)]
    keys_file: Path | None
    requests_per_minute: Annotated[int, Field(ge=0)]
    cors_origins: tuple[str, ...]
    upload_memory_bytes: Positive
    upload_seconds: Positive
    log: Annotated[Literal["json", "off"], BeforeValidator(_unquoted_off)]
    trace_endpoint: Annotated[str, Field(pattern=r"^https?://.")] | None


class FeedbackSettings(_Section):
    enabled: bool
    url: Annotated[str, Field(pattern=r"^(sqlite:///[^:]|postgresql\+psycopg://.)")]
    queue_items: Positive
    queue: Path | None


class ArchiveSettings(_Section):
    part_rows: Positive
    document_characters: Positive
    timeout_seconds: Positive


class DataSettings(_Section):
    files: tuple[Path, ...]
    dev_files: tuple[Path, ...]
    test_files: tuple[Path, ...]
    behaviour_files: tuple[Path, ...]
    duplicate_similarity: Annotated[float, Field(gt=0, le=1)]
    dev_share: Share
    test_share: Share
    split_seed: Seed


class PretrainSettings(_Section):
    start: Path | None
    source_weights: dict[str, Share]
    vocabulary_size: Annotated[int, Field(ge=300)]
    layers: Positive
    hidden: Positive
    heads: Positive
    max_tokens: Positive
    sequence_tokens: Positive
    batch_sequences: Positive
    steps: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_share: Share
    weight_decay: Annotated[float, Field(ge=0)]
    masked_share: Annotated[float, Field(gt=0, lt=1)]
    held_out_share: Annotated[float, Field(gt=0, lt=1)]
    evaluate_every: Positive
    seed: Seed


class FinetuneSettings(_Section):
    backbone: str | None
    epochs: Positive
    patience: Positive
    batch_paragraphs: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_share: Share
    weight_decay: Annotated[float, Field(ge=0)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    max_tokens: Positive
    loss: Literal["asymmetric", "cross_entropy"]
    start_share: Annotated[float, Field(ge=0, lt=1)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]


class DistilSettings(_Section):
    corpus: Path | None
    paragraphs: Positive
    source_weights: dict[str, Share]
    teachers: tuple[Path, ...]
    seed: Seed


class ExportSettings(_Section):
    precision: Literal["auto", "bf16", "int8"]
    max_f1_loss: Share
    calibration_paragraphs: Positive


class Settings(BaseSettings):
    """All settings. Built by `load_settings`; frozen."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", env_parse_none_str="null", extra="forbid", frozen=True
    )

    bundle: Path | None
    registry: Path | None
    taxonomy: Path
    tracking: str | None
    engine: EngineSettings
    serve: ServeSettings
    feedback: FeedbackSettings
    archive: ArchiveSettings
    data: DataSettings
    pretrain: PretrainSettings
    finetune: FinetuneSettings
    distil: DistilSettings
    export: ExportSettings


def load_settings(file: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings.

    Args:
        file: a YAML file with the keys that differ from `default.yaml`; without it, the one that the
            environment variable POLICY_TOPICS_CONFIG names, if any.
        flags: dotted keys and their values, as given on a command line, e.g. `{"serve.port": 8080}`.

    Raises:
        SettingsError: an unknown key, a bad value or an unreadable file; the message names it.
    """
    if file is None and os.environ.get(ENV_FILE):
        file = Path(os.environ[ENV_FILE])
    layers = {"flag": _nested(flags or {}), "file": _read_yaml(file) if file else {}}
    defaults = _read_yaml(DEFAULT_FILE)
    for origin, layer in layers.items():
        _refuse_unknown(layer, defaults, str(file) if origin == "file" else "flags")
    _refuse_unknown(_environment_keys(), defaults, "the environment")
    _refuse_no_json(defaults)

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            in_file = InitSettingsSource(settings_cls, layers["file"])
            in_defaults = InitSettingsSource(settings_cls, defaults)
            return init_settings, env_settings, in_file, in_defaults

    return _validated(lambda: Layered(**layers["flag"]))


def override(settings: Settings, flags: Mapping[str, Any]) -> Settings:
    """Settings with some of them replaced, by dotted key.

    Raises:
        SettingsError: a bad value.
    """
    content = settings.model_dump()
    for key, value in flags.items():
        *section, name = key.split(".")
        (content[section[0]] if section else content)[name] = value
    return _validated(lambda: Settings.model_validate(content))


def _validated(read: Callable[[], Settings]) -> Settings:
    try:
        return read()
    except ValidationError as fault:
        faults = "\n".join(f"  {'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in fault.errors())
        raise SettingsError(f"settings that cannot be used:\n{faults}\nEach is explained in {DEFAULT_FILE}") from None
    except ValueError as fault:  # of a variable in small letters, which is read too
        raise SettingsError(f"settings that cannot be used: {fault}") from None


def resolve(path: Path) -> Path:
    """A path of the settings: as it stands from the working directory, else from the folder that holds configs/."""
    return path if path.is_absolute() or path.exists() else HOME / path


def resolve_database(url: str) -> str:
    """A database's URL of the settings, the file of an SQLite one found as `resolve` finds it."""
    prefix, _, file = url.partition("sqlite:///")
    return url if prefix or not file else f"sqlite:///{resolve(Path(file)).absolute()}"


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        raise SettingsError(f"{file}: cannot be read as YAML: {fault}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: must hold `key: value` lines, not a {type(content).__name__}")
    return content


def _nested(flags: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for dotted, value in flags.items():
        *sections, key = dotted.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
            if not isinstance(branch, dict):
                raise SettingsError(f"{section} is a section; set one of its keys, as in {dotted}, not itself")
        branch[key] = value
    return tree


def _environment_keys() -> dict[str, Any]:
    return _nested({_dotted(name): os.environ[name] for name in _variables()})


def _variables() -> list[str]:
    """The names of the environment's variables that are settings."""
    return [name for name in os.environ if name.startswith(ENV_PREFIX) and name != ENV_FILE]


def _dotted(name: str) -> str:
    return name.removeprefix(ENV_PREFIX).lower().replace("__", ".")


def _refuse_no_json(defaults: Mapping[str, Any]) -> None:
    """Raise on a variable of the environment that is no JSON where a list or a mapping is due."""
    for name in _variables():
        default: Any = defaults
        for key in _dotted(name).split("."):
            default = default.get(key) if isinstance(default, Mapping) else None
        if isinstance(default, list | Mapping):
            try:
                json.loads(os.environ[name])
            except ValueError:
                form = """'["a", "b"]' or '[1, 2]'""" if isinstance(default, list) else """'{"a": 1}'"""
                raise SettingsError(
                    f"{name}={os.environ[name]}: in an environment variable this setting is JSON; write it as {form}. "
                    "此环境变量须为 JSON。"
                ) from None


def _refuse_unknown(layer: Mapping[str, Any], known: Mapping[str, Any], origin: str, prefix: str = "") -> None:
    """Raise on the first key of `layer` that default.yaml does not have. `source_weights` has keys of its own."""
    for key, value in layer.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {prefix}{near[0]}?" if near else f"; known here: {', '.join(known)}"
            raise SettingsError(f"unknown setting {prefix}{key} (from {origin}){hint}")
        if isinstance(value, Mapping) and isinstance(known[key], Mapping) and key != "source_weights":
            _refuse_unknown(value, known[key], origin, f"{prefix}{key}.")
