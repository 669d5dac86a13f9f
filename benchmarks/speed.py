"""Speed of the bundle beside a BERT of 12 layers of 768, on the same texts, in one run.

    python -m benchmarks.speed [--texts TEXTS.jsonl] [--bundle FOLDER] [--rounds 3]

The BERT has the shape of the Chinese BERTs of the model hubs and a token for each character; its weights are random,
which takes as long as any. It runs

- as it is commonly run: transformers and PyTorch in fp32, 32 texts a batch in the order given, cut at 512 tokens;
- as the bundle runs, with its batches and in OpenVINO, in fp32 and in bf16 (where the processor has it).

`times as long` is measured against the bundle, round by round. Every figure is from text to probabilities. All have the
same threads and take turns, so that a slow minute of the machine slows each of them; the first round warms up and is
not counted.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification

from configs.settings import EngineSettings, load_settings, resolve
from configs.taxonomy import Taxonomy, load_taxonomy, save_taxonomy
from policy_topics.bundle import ONNX_MODEL, Provenance, load_bundle, write_manifest
from policy_topics.calibration import Calibration
from policy_topics.classifier import Classifier
from policy_topics.engine import engine_threads, load_engine
from policy_topics.registry import served_bundle
from train.cost import processor
from train.export import to_onnx
from train.vocabulary import CLS, SEP, SPECIAL_TOKENS, UNK, as_transformers

Classify = Callable[[Sequence[str]], object]

_VOCABULARY = 21128  # of bert-base-chinese
_MAX_TOKENS = 512
_BATCH = 32


def character_tokenizer() -> Tokenizer:
    """A token for each Han character, and for common numbers, as in the vocabulary of bert-base-chinese."""
    plain = [chr(code) for code in range(0x21, 0x7F)]
    numbers = map(str, (*range(10, 100), *range(1900, 2050)))
    inner = (f"##{sign}" for sign in plain if sign.isalnum())
    pieces = [*SPECIAL_TOKENS, *plain, *numbers, *inner, *"，。、；：？！“”（）《》…—"]
    pieces += [chr(code) for code in range(0x4E00, 0x4E00 + _VOCABULARY - len(pieces))]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNK))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing((SEP, vocabulary[SEP]), (CLS, vocabulary[CLS]))
    return tokenizer


def bert(taxonomy: Taxonomy) -> BertForSequenceClassification:
    """The BERT, with random weights and a head for the taxonomy."""
    config = BertConfig(
        vocab_size=_VOCABULARY,
        max_position_embeddings=_MAX_TOKENS,
        id2label=dict(enumerate(taxonomy.ids)),
        problem_type="multi_label_classification",
    )
    model = BertForSequenceClassification(config)
    model.train(False)
    return model


def commonly_run(model: BertForSequenceClassification, threads: int) -> Classify:
    """Batches in the order given, through transformers and PyTorch."""
    tokenizer: Any = as_transformers(character_tokenizer(), _MAX_TOKENS)
    torch.set_num_threads(threads)

    def classify(texts: Sequence[str]) -> list[torch.Tensor]:
        found = []
        with torch.inference_mode():
            for start in range(0, len(texts), _BATCH):
                batch = list(texts[start : start + _BATCH])
                inputs = tokenizer(batch, padding=True, truncation=True, return_tensors="pt")
                found.append(model(**inputs).logits.sigmoid())
        return found

    return classify


def as_bundle(model: BertForSequenceClassification, folder: Path, taxonomy: Taxonomy, precision: str) -> Path:
    """Write the BERT to a folder as a bundle. Its attention is the plain one from then on: engines fuse that."""
    model.set_attn_implementation("eager")
    to_onnx(model, folder / ONNX_MODEL)
    model.save_pretrained(folder)
    as_transformers(character_tokenizer(), _MAX_TOKENS).save_pretrained(folder)
    save_taxonomy(taxonomy, folder / "topics.yaml")
    ones = np.ones(len(taxonomy.ids), np.float32)
    Calibration(ones, ones * 0, ones * 0.5).save(folder / "calibration.json", taxonomy.ids)
    write_manifest(folder, Provenance("bert", _MAX_TOKENS, "none", parent=None), precision)
    return folder


def bert_classifiers(taxonomy: Taxonomy, settings: EngineSettings, threads: int) -> dict[str, Classify]:
    """Each way to run the BERT."""
    ways: dict[str, Classify] = {f"BERT 12×768, PyTorch fp32, {_BATCH} a batch": commonly_run(bert(taxonomy), threads)}
    with tempfile.TemporaryDirectory() as folder:
        bundle = load_bundle(as_bundle(bert(taxonomy), Path(folder), taxonomy, "fp32"))
        for precision in ("fp32", "bf16"):
            ready = replace(bundle, manifest=bundle.manifest.model_copy(update={"precision": precision}))
            engine = load_engine(ready, settings.model_copy(update={"kind": "openvino"}))
            ways[f"BERT 12×768, {engine.name}, our batches"] = Classifier(ready, engine, settings.batch_tokens).classify
    return ways


def seconds(ways: dict[str, Classify], texts: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Seconds that each way takes for all texts, by round; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, classify in ways.items():
            start = time.perf_counter()
            classify(texts)
            if number:
                taken[name].append(time.perf_counter() - start)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, default=resolve(Path("data/test.jsonl")))
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    settings = load_settings()
    threads = engine_threads(settings.engine)
    lines = arguments.texts.read_text("utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines if line.strip()]
    classifier = Classifier.load(arguments.bundle or served_bundle(settings), settings.engine)
    ours = f"{classifier.bundle.name} {classifier.bundle.version}, {classifier.engine.name}"
    ways = {ours: classifier.classify} | bert_classifiers(load_taxonomy(), settings.engine, threads)
    taken = seconds(ways, texts, arguments.rounds)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "openvino"))
    console = Console(width=120)
    console.print(f"{processor()}, {threads} threads of {platform.system()} on {platform.machine()}; {libraries}")
    console.print(f"{len(texts)} paragraphs of {np.mean([len(t) for t in texts]):.0f} characters in the mean")
    table = Table(title=f"median of {arguments.rounds} rounds (least–most)", title_justify="left")
    for column in ("model", "paragraphs/s", "times as long"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, times in taken.items():
        speeds = [len(texts) / each for each in times]
        ratios = [each / own for each, own in zip(times, taken[ours], strict=True)]
        table.add_row(name, _spread(speeds), _spread(ratios))
    console.print(table)


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f}–{max(values):.1f})"


if __name__ == "__main__":
    main()
