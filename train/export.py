"""From a fine-tuned model to a bundle: half-precision weights, the engine's file, calibration, and a check.

The engine's file is ONNX with quantisation nodes, which OpenVINO and ONNX Runtime both run.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from configs.settings import EngineSettings, ExportSettings
from configs.taxonomy import Taxonomy, save_taxonomy
from configs.tracking import switch_off_tracking
from policy_topics.bundle import ONNX_MODEL, Bundle, Provenance, load_bundle, write_manifest
from policy_topics.calibration import Calibration
from policy_topics.classifier import Classifier, pool
from policy_topics.engine import load_engine, reference_engine
from policy_topics.errors import TrainingError
from train.calibrate import Logits, fit_calibration
from train.dataset import LabelledParagraph
from train.metrics import Labels, f1_scores


@dataclass(frozen=True, slots=True)
class PrecisionCheck:
    """The engine's file beside the fp32 model on dev: macro-F1 of each, and the largest distance of a probability."""

    precision: str
    reference_macro_f1: float
    macro_f1: float
    largest_probability_difference: float

    @property
    def loss(self) -> float:
        return self.reference_macro_f1 - self.macro_f1


@dataclass(frozen=True, slots=True)
class Exported:
    bundle: Bundle
    checks: tuple[PrecisionCheck, ...]
    """Of every precision that was tried; the last is the bundle's."""


def export(
    model: Path,
    out: Path,
    provenance: Provenance,
    dev: Sequence[LabelledParagraph],
    taxonomy: Taxonomy,
    settings: ExportSettings,
) -> Exported:
    """Write the bundle to `out` (a new folder), calibrated on `dev`.

    With precision `auto` the first of int8 and bf16 that passes the check is taken.

    Raises:
        TrainingError: no precision passes the check.
    """
    checks: list[PrecisionCheck] = []
    labels = label_matrix(dev, taxonomy)
    for precision in ("int8", "bf16") if settings.precision == "auto" else (settings.precision,):
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as temporary:
            folder = Path(temporary) / "bundle"
            _write_model(model, folder, precision, [row.text for row in dev], settings, provenance.max_tokens)
            save_taxonomy(taxonomy, folder / "topics.yaml")
            calibration, check = _calibrate(folder, provenance, precision, dev, labels, taxonomy)
            calibration.save(folder / "calibration.json", taxonomy.ids)
            checks.append(check)
            if check.loss <= settings.max_f1_loss:
                write_manifest(folder, provenance, precision)
                folder.rename(out)
                return Exported(load_bundle(out), tuple(checks))
    losses = ", ".join(f"{check.precision} loses {check.loss:.4f}" for check in checks)
    raise TrainingError(f"no engine file is near enough to fp32 ({losses}; export.max_f1_loss: {settings.max_f1_loss})")


def label_matrix(rows: Sequence[LabelledParagraph], taxonomy: Taxonomy) -> Labels:
    """Which topics each row carries, (paragraphs, topics)."""
    return np.array([[topic in row.labels for topic in taxonomy.ids] for row in rows], np.bool_)


def paragraph_logits(classifier: Classifier, texts: Sequence[str]) -> Logits:
    """Logits of texts as `Classifier.decode` sees them, (paragraphs, topics)."""
    return np.array([pool(logits) for logits in classifier.logits(classifier.tokenise(texts))], np.float32)


def _calibrate(
    folder: Path,
    provenance: Provenance,
    precision: str,
    dev: Sequence[LabelledParagraph],
    labels: Labels,
    taxonomy: Taxonomy,
) -> tuple[Calibration, PrecisionCheck]:
    """Fit the calibration to what the engine answers, and hold the engine against the fp32 model."""
    ones = np.ones(len(taxonomy.ids), np.float32)
    Calibration(ones, ones * 0, ones * 0.5).save(folder / "calibration.json", taxonomy.ids)
    write_manifest(folder, provenance, precision)
    texts = [row.text for row in dev]
    bundle = load_bundle(folder)
    openvino = load_engine(bundle, EngineSettings(kind="openvino", threads=0, batch_tokens=4096))
    answers = {
        kind: paragraph_logits(Classifier(bundle, engine, 4096), texts)
        for kind, engine in (("torch", reference_engine(bundle)), ("openvino", openvino))
    }
    fitted = {kind: fit_calibration(logits, labels) for kind, logits in answers.items()}
    scores, probabilities = {}, {}
    for kind, logits in answers.items():
        probabilities[kind] = fitted["openvino"].probabilities(logits)
        own = fitted[kind].probabilities(logits) >= fitted[kind].threshold
        scores[kind] = float(f1_scores(own, labels)[labels.any(axis=0)].mean())
    distance = float(np.abs(probabilities["torch"] - probabilities["openvino"]).max())
    return fitted["openvino"], PrecisionCheck(precision, scores["torch"], scores["openvino"], distance)


def _write_model(
    model: Path, folder: Path, precision: str, texts: Sequence[str], settings: ExportSettings, max_tokens: int
) -> None:
    """The Hugging Face files, weights in fp16, and `model.onnx` beside them."""
    loaded = AutoModelForSequenceClassification.from_pretrained(model, dtype=torch.float32, attn_implementation="eager")
    tokenizer = AutoTokenizer.from_pretrained(model)
    loaded.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # is written for its owner alone
    onnx_file = folder / ONNX_MODEL
    to_onnx(loaded.float().eval(), onnx_file)  # the rounded weights: what the bundle's reader would get
    if precision == "int8":
        sample = texts[:: -(-len(texts) // settings.calibration_paragraphs)]
        encoded = tokenizer(list(sample), truncation=True, max_length=max_tokens, return_token_type_ids=False)
        _quantise(onnx_file, encoded["input_ids"])


class _Logits(torch.nn.Module):
    """Ids and mask in, logits out: what the engines are given."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def to_onnx(model: Any, file: Path) -> None:
    ids = torch.randint(5, model.config.vocab_size, (2, 16))
    mask = torch.ones_like(ids)
    mask[0, 8:] = 0  # tracing drops a mask that hides nothing
    axes = {0: "batch", 1: "tokens"}
    with warnings.catch_warnings():
        # The tracing exporter, on purpose: graphs of the newer one lack what the engines fuse attention by.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Logits(model),
            (ids, mask),
            str(file),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )


def _quantise(file: Path, inputs: Sequence[Sequence[int]]) -> None:
    """Static int8 of weights and activations (NNCF post-training quantisation, SmoothQuant).

    Products of two activations, which are those of attention, stay as they are: converting both sides there and back
    takes longer than the product in int8 saves, and costs accuracy.
    """
    switch_off_tracking()
    import nncf
    import onnx

    nncf.set_log_level(logging.ERROR)  # it names every product that is not quantised
    rows = [np.array([ids], np.int64) for ids in inputs]
    dataset = nncf.Dataset([{"input_ids": ids, "attention_mask": np.ones_like(ids)} for ids in rows])
    model = onnx.load(file)
    quantised = nncf.quantize(
        model,
        dataset,
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(rows),
        ignored_scope=nncf.IgnoredScope(names=_products_of_activations(model.graph)),
    )
    onnx.save(quantised, file)


def _products_of_activations(graph: Any) -> list[str]:
    weights = {each.name for each in graph.initializer}
    return [node.name for node in graph.node if node.op_type == "MatMul" and weights.isdisjoint(node.input)]
