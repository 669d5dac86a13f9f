"""What each idea of the training is worth: the same labelled paragraphs, fine-tuned in several ways, a few seeds each.

    python -m benchmarks.ablation --train TRAIN.jsonl --dev DEV.jsonl --work FOLDER \
        --variant 'no pre-training' finetune.backbone=random:runs/backbone/model \
        --variant 'pre-trained' finetune.backbone=runs/backbone/model \
        --variant 'and distilled' finetune.backbone=runs/backbone/model distil.corpus=CORPUS

A variant is a name and settings; `random:FOLDER` is the encoder of that folder with random weights. `--rows` takes only
so many training paragraphs, the same for all variants. Figures are of the fp32 model, each half of the documents judged
with calibration and thresholds set on the other half; mean and standard deviation over the seeds. FOLDER keeps what is
done, so a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml
from rich.console import Console
from rich.table import Table
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer, Trainer

from configs.settings import Settings, load_settings, override, resolve
from configs.taxonomy import Taxonomy, load_taxonomy
from train.calibrate import Logits
from train.dataset import LabelledParagraph, as_dataset, read
from train.distil import soft_paragraphs
from train.evaluate import cross, halves
from train.export import label_matrix
from train.finetune import finetune
from train.hardware import quiet
from train.metrics import Metrics, measure
from train.split import without_leaks

_RANDOM = "random:"


def main() -> None:
    arguments = _arguments()
    quiet()
    settings, taxonomy = load_settings(arguments.config), load_taxonomy()
    train, dev = read_data(arguments.train, arguments.dev, arguments.rows, settings, taxonomy)
    console = Console(width=120)
    table = Table(title=f"{len(train)} paragraphs, {arguments.seeds} seeds, {len(dev)} dev", title_justify="left")
    for column in ("variant", "micro-F1", "macro-F1", "top-1", "ECE"):
        table.add_column(column, justify="left" if column == "variant" else "right")
    for name, *assignments in arguments.variant:
        own = _settings(settings, assignments, arguments)
        figures = run(own, train, dev, taxonomy, arguments.work / name.replace(" ", "-"))
        columns = zip(*((m.micro_f1, m.macro_f1, m.top1_hit, m.ece) for m in figures), strict=True)
        table.add_row(name, *(f"{np.mean(c):.4f} ± {np.std(c):.4f}" for c in columns))
        console.print(f"{name}: " + ", ".join(f"{m.micro_f1:.4f}/{m.macro_f1:.4f}" for m in figures))
    console.print(table)


def read_data(
    train: Sequence[Path], dev: Sequence[Path], rows: int, settings: Settings, taxonomy: Taxonomy
) -> tuple[list[LabelledParagraph], list[LabelledParagraph]]:
    """Paragraphs to train on, so many of them and the same ones every time (0: all), and dev's."""
    judged = read(dev, taxonomy)
    learnt, _ = without_leaks(read(train, taxonomy), judged, settings.data.duplicate_similarity)
    return random.Random(0).sample(learnt, rows) if rows else learnt, judged


def run(
    settings: Settings,
    train: Sequence[LabelledParagraph],
    dev: Sequence[LabelledParagraph],
    taxonomy: Taxonomy,
    work: Path,
    trainer: type[Trainer] = Trainer,
) -> list[Metrics]:
    """Fine-tune once a seed and judge dev."""
    soft = soft_paragraphs(train, dev, [], taxonomy, settings, work / "soft")
    own = settings.finetune
    if own.backbone and own.backbone.startswith(_RANDOM):
        own = own.model_copy(update={"backbone": str(_random(own.backbone.removeprefix(_RANDOM), work / "random"))})
    models = finetune(
        as_dataset(train, taxonomy), as_dataset(dev, taxonomy), taxonomy, own, work, soft, trainer=trainer
    )
    labels, half = label_matrix(dev, taxonomy), halves(dev)
    assert half is not None, "dev needs two documents at least"
    figures = []
    for model in models:
        judged = cross(_logits(model.model, [row.text for row in dev], own.max_tokens), labels, half)
        figures.append(measure(judged.probabilities, judged.given, labels, taxonomy.ids))
    return figures


@torch.inference_mode()
def _logits(model: Path, texts: Sequence[str], max_tokens: int) -> Logits:
    tokenizer = AutoTokenizer.from_pretrained(model)
    loaded = AutoModelForSequenceClassification.from_pretrained(model).eval()
    order = np.argsort([len(text) for text in texts])  # texts of like lengths together: little padding
    logits = np.zeros((len(texts), loaded.config.num_labels), np.float32)
    for batch in np.array_split(order, -(-len(order) // 32)):
        encoded = tokenizer(
            [texts[i] for i in batch],
            truncation=True,
            max_length=max_tokens,
            padding=True,
            return_tensors="pt",
            return_token_type_ids=False,
        )
        logits[batch] = loaded(**encoded).logits.float().numpy()
    return logits


def _random(like: str, folder: Path) -> Path:
    source = resolve(Path(like))
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(source))  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


def _settings(settings: Settings, assignments: Sequence[str], arguments: argparse.Namespace) -> Settings:
    flags = {key: yaml.safe_load(value) for key, value in (each.split("=", 1) for each in assignments)}
    return override(settings, {"finetune.seeds": list(range(1, arguments.seeds + 1)), **flags})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, action="append", required=True)
    parser.add_argument("--dev", type=Path, action="append", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--variant", nargs="+", action="append", required=True, metavar=("NAME", "KEY=VALUE"))
    parser.add_argument("--config", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
