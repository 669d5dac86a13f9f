"""A bundle loads when it is whole and unchanged, and else says what is wrong with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from configs.taxonomy import load_taxonomy, save_taxonomy
from policy_topics.bundle import Provenance, load_bundle, write_manifest
from policy_topics.errors import BundleError


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


def test_a_whole_bundle_loads(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    assert bundle.name == "tiny"
    assert len(bundle.calibration.threshold) == len(bundle.taxonomy.ids)


def test_the_same_files_have_the_same_version(bundle: Path, tiny_bundle: Path) -> None:
    assert load_bundle(bundle).version == load_bundle(tiny_bundle).version


def test_what_was_measured_does_not_change_the_version_and_is_vouched_for_all_the_same(bundle: Path) -> None:
    before = load_bundle(bundle).version
    (bundle / "metrics.json").write_text('{"seconds": 1.5}', "utf-8")
    write_manifest(bundle, Provenance("tiny", 48, "none", None), "fp32")
    assert load_bundle(bundle).version == before
    (bundle / "metrics.json").write_text('{"seconds": 0.5}', "utf-8")
    with pytest.raises(BundleError, match=r"metrics\.json is not the file"):
        load_bundle(bundle)


def test_a_bundle_of_format_1_whose_version_is_of_every_file_still_loads(bundle: Path) -> None:
    (bundle / "metrics.json").write_text("{}", "utf-8")
    manifest = write_manifest(bundle, Provenance("tiny", 48, "none", None), "fp32").model_copy(update={"format": 1})
    old = manifest.model_copy(update={"version": manifest.content_version()})
    assert old.version != manifest.version
    (bundle / "manifest.json").write_text(old.model_dump_json(), "utf-8")
    assert load_bundle(bundle).version == old.version


@pytest.mark.parametrize(
    "name", ["model.safetensors", "model.onnx", "tokenizer.json", "calibration.json", "topics.yaml", "config.json"]
)
def test_one_changed_byte_is_noticed(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match=name):
        load_bundle(bundle)


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        load_bundle(bundle)


def test_a_file_that_nobody_vouches_for_is_named(bundle: Path) -> None:
    (bundle / "extra.bin").write_bytes(b"?")
    with pytest.raises(BundleError, match=r"extra\.bin"):
        load_bundle(bundle)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no model bundle here"):
        load_bundle(tmp_path)


def _edit_manifest(bundle: Path, **changes: object) -> None:
    file = bundle / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **changes}), "utf-8")


def test_a_taxonomy_version_that_does_not_match_is_refused(bundle: Path) -> None:
    _edit_manifest(bundle, taxonomy=99)
    with pytest.raises(BundleError, match="version 1, its manifest says 99"):
        load_bundle(bundle)


def test_an_edited_manifest_is_noticed(bundle: Path) -> None:
    _edit_manifest(bundle, max_tokens=4096)
    with pytest.raises(BundleError, match="was edited"):
        load_bundle(bundle)


def test_a_manifest_that_leaves_out_a_needed_file_is_refused(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()
    write_manifest(bundle, Provenance("tiny", 48, "none", None), "fp32")
    with pytest.raises(BundleError, match=r"has no model\.onnx"):
        load_bundle(bundle)


def test_topics_in_another_order_than_the_models_outputs_are_refused(bundle: Path) -> None:
    taxonomy = load_taxonomy(bundle / "topics.yaml")
    save_taxonomy(taxonomy.model_copy(update={"topics": taxonomy.topics[::-1]}), bundle / "topics.yaml")
    write_manifest(bundle, Provenance("tiny", 48, "none", None), "fp32")
    with pytest.raises(BundleError, match="id2label"):
        load_bundle(bundle)


def test_a_bundle_trained_on_text_cleaned_otherwise_is_refused(bundle: Path) -> None:
    _edit_manifest(bundle, text_fingerprint="0" * 64)
    with pytest.raises(BundleError, match="cleaned by other rules"):
        load_bundle(bundle)


@pytest.mark.parametrize("changes", [{"format": 3}, {"unheard_of": 1}, {"files": "all"}])
def test_a_manifest_of_another_form_is_refused(bundle: Path, changes: dict[str, object]) -> None:
    _edit_manifest(bundle, **changes)
    with pytest.raises(BundleError, match=next(iter(changes))):
        load_bundle(bundle)


@pytest.mark.parametrize("name", ["../payload", "models/../../payload", "/etc/passwd"])
def test_a_manifest_whose_files_lead_out_of_the_bundle_is_refused(bundle: Path, name: str) -> None:
    files = json.loads((bundle / "manifest.json").read_text("utf-8"))["files"]
    _edit_manifest(bundle, files={**files, name: "0" * 64})
    with pytest.raises(BundleError, match=f"{name}: .*leads out of the bundle"):
        load_bundle(bundle)


def test_a_calibration_of_other_topics_is_refused(bundle: Path) -> None:
    file = bundle / "calibration.json"
    content = json.loads(file.read_text("utf-8"))
    content["astrology"] = content.pop("education")
    file.write_text(json.dumps(content), "utf-8")
    write_manifest(bundle, Provenance("tiny", 48, "none", None), "fp32")
    with pytest.raises(BundleError, match="astrology, education"):
        load_bundle(bundle)
