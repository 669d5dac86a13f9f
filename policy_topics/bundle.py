"""The model bundle: a folder with a model, what is needed to use it, and a manifest that vouches for all of it.

It is a plain Hugging Face sequence-classification folder (`config.json`, `model.safetensors`, `tokenizer.json`) with
these beside it: the engine's files, `topics.yaml`, `calibration.json`, `metrics.json`, `MODEL_CARD.md` and
`manifest.json`. Nothing in it is executable and nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from configs.taxonomy import Taxonomy, TaxonomyError, faults_of, load_taxonomy
from policy_topics.calibration import Calibration, load_calibration
from policy_topics.errors import BundleError
from policy_topics.fingerprint import text_fingerprint

MANIFEST = "manifest.json"
ONNX_MODEL = "model.onnx"
FORMAT: Final = 2
MEASURED = frozenset({"metrics.json", "MODEL_CARD.md"})
"""Files with what was measured of a bundle. Times are among it, which differ from one making to the next."""
REQUIRED = ("config.json", "tokenizer.json", "model.safetensors", ONNX_MODEL, "topics.yaml", "calibration.json")


class Manifest(BaseModel):
    """What a bundle says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1, 2] = FORMAT
    name: str
    version: str = ""
    """Twelve digits of the hash of the rest of the manifest, so of every file but those `MEASURED`: the same training
    twice gives the same version. In format 1 of those, too."""
    taxonomy: int
    max_tokens: int
    """Longest window in tokens, special tokens included: what the model has seen in training."""
    precision: str
    """Of the engine's file: fp32, bf16 or int8."""
    text_fingerprint: str
    """Hash of how cleaning and segmentation behaved in training."""
    data_fingerprint: str
    """Hash of the labelled paragraphs that it was trained on."""
    libraries: dict[str, str]
    parent: str | None
    """Version of the bundle whose weights the training started from, if any."""
    files: dict[str, str]
    """sha256 of every other file, by path inside the bundle."""

    @field_validator("files")
    @classmethod
    def _stay_inside(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{name}: leads out of the bundle; whoever made it may mean harm, do not use it")
        return files

    def content_version(self) -> str:
        """What `version` must be."""
        left_out = MEASURED if self.format > 1 else frozenset()
        of_files = {name: digest for name, digest in self.files.items() if name not in left_out}
        rest = self.model_copy(update={"files": of_files}).model_dump_json(exclude={"version"})
        return hashlib.sha256(rest.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a bundle is called and what it was made from; see `Manifest` for the fields."""

    name: str
    max_tokens: int
    data_fingerprint: str
    parent: str | None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose manifest has been verified."""

    path: Path
    manifest: Manifest
    taxonomy: Taxonomy
    calibration: Calibration

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    def metrics(self) -> dict[str, Any]:
        """Its `metrics.json`: figures by split, and of the gates; empty where it has none."""
        return read_metrics(self.path)


def read_metrics(path: Path) -> dict[str, Any]:
    """The `metrics.json` of a bundle's folder, which is not verified; empty where it has none."""
    file = path / "metrics.json"
    return dict(json.loads(file.read_text("utf-8"))) if file.is_file() else {}


def load_bundle(path: Path) -> Bundle:
    """Open a bundle after checking that it is whole, unchanged and made for this version of the code.

    Raises:
        BundleError: naming the file and the fix.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise BundleError(f"{path}: no model bundle here ({MANIFEST} is missing); train one or set `bundle`")
    try:
        manifest = Manifest.model_validate_json(file.read_bytes())
    except ValidationError as fault:
        raise BundleError(f"{file}: not a manifest of format 1 or {FORMAT}: {faults_of(fault)}") from fault
    _verify_files(path, manifest)
    if manifest.text_fingerprint != text_fingerprint():
        raise BundleError(
            f"{path}: was trained on text cleaned by other rules than this version's, so its answers would drift; "
            "train it again with this version, or use the version that made it"
        )
    try:
        taxonomy = load_taxonomy(path / "topics.yaml")
    except TaxonomyError as fault:
        raise BundleError(str(fault)) from fault
    if taxonomy.version != manifest.taxonomy:
        raise BundleError(
            f"{path}: its topics.yaml is version {taxonomy.version}, its manifest says {manifest.taxonomy}; "
            "put back the topics.yaml that it was trained with"
        )
    _verify_outputs(path, taxonomy)
    if manifest.version != manifest.content_version():
        raise BundleError(f"{file}: was edited after it was written; fetch the bundle again")
    return Bundle(path, manifest, taxonomy, load_calibration(path / "calibration.json", taxonomy.ids))


def write_manifest(path: Path, provenance: Provenance, precision: str) -> Manifest:
    """Vouch for a folder's files as they stand now, and write its `manifest.json`."""
    files = {f.relative_to(path).as_posix(): _sha256(f) for f in _files(path)}
    manifest = Manifest(
        name=provenance.name,
        taxonomy=load_taxonomy(path / "topics.yaml").version,
        max_tokens=provenance.max_tokens,
        precision=precision,
        text_fingerprint=text_fingerprint(),
        data_fingerprint=provenance.data_fingerprint,
        libraries=_library_versions(),
        parent=provenance.parent,
        files=dict(sorted(files.items())),
    )
    manifest = manifest.model_copy(update={"version": manifest.content_version()})
    (path / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", "utf-8")
    return manifest


def _verify_files(path: Path, manifest: Manifest) -> None:
    if missing := [name for name in REQUIRED if name not in manifest.files]:
        raise BundleError(f"{path}: its manifest has no {', '.join(missing)}; it is not a whole bundle")
    for name, expected in manifest.files.items():
        file = path / name
        if not file.is_file():
            raise BundleError(f"{path}: {name} is missing; fetch the bundle again")
        if _sha256(file) != expected:
            raise BundleError(f"{path}: {name} is not the file that the manifest vouches for; fetch the bundle again")
    unknown = sorted(f.relative_to(path).as_posix() for f in _files(path))
    if extra := [name for name in unknown if name not in manifest.files]:
        raise BundleError(f"{path}: files that the manifest does not know: {', '.join(extra)}; remove them")


def _verify_outputs(path: Path, taxonomy: Taxonomy) -> None:
    """The model's outputs must be the taxonomy's topics in their order: else it would name wrong topics."""
    try:
        labels = json.loads((path / "config.json").read_text("utf-8"))["id2label"]
        outputs = tuple(labels[str(i)] for i in range(len(labels)))
    except (ValueError, KeyError, TypeError) as fault:
        raise BundleError(f"{path}: config.json does not name the model's outputs (id2label): {fault!r}") from fault
    if outputs != taxonomy.ids:
        raise BundleError(
            f"{path}: the model's outputs (id2label in config.json) are not the topics of its topics.yaml in their "
            "order; put back the topics.yaml that it was trained with"
        )


def _files(path: Path) -> list[Path]:
    return [f for f in path.rglob("*") if f.is_file() and f.name != MANIFEST and not f.name.startswith(".")]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _library_versions() -> dict[str, str]:
    versions = {}
    for library in ("torch", "transformers", "tokenizers", "openvino", "nncf", "onnx", "opencc"):
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return versions
