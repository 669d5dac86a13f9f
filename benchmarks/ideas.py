"""What ideas for fine-tuning are worth: each beside fine-tuning with none, on the same paragraphs, three seeds each.

    python -m benchmarks.ideas --train TRAIN.jsonl --dev DEV.jsonl --backbone FOLDER --work FOLDER [--rows 2500]
    python -m benchmarks.ideas --work FOLDER --only-table

Figures are of the fp32 model, each half of dev's documents judged with calibration and thresholds set on the other
half; mean and standard deviation over the seeds, also of the difference to plain with the same seed: there the data's
order and the head's first weights are the same. All ideas get their first seed before any gets its second. FOLDER keeps
what is done, so a run that was cut off goes on; `--only-table` says what is there.

The paragraph before as context is not among the ideas: labelled paragraphs are a sample of their documents, so few have
it beside them, and a paragraph is to be judged by its own words alone.
"""

from __future__ import annotations

import argparse
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional
from transformers import Trainer

from benchmarks.ablation import read_data, run
from configs.settings import HOME, load_settings, override
from configs.taxonomy import load_taxonomy
from train.dataset import data_fingerprint
from train.hardware import quiet
from train.losses import for_trainer
from train.metrics import Metrics
from train.runs import claim, write_json

SEEDS = (1, 2, 3)
PLAIN = "plain"

LAYER_DECAY = 0.8
"""Of the learning rate from one layer to the one below it."""
EFFECTIVE_BETA = 0.999
"""Cui et al. 2019 try 0.9 to 0.9999."""
POSITIVE_POWER = 0.5
"""Of how many negatives there are to each positive: the square root."""
RDROP_WEIGHT = 1.0
"""Alpha of Wu et al. 2021, who take 0.1 to 1 for classification."""


class Plain(Trainer):
    """As the trainer is, but dev is read at the end alone: nothing is chosen by it here, and the time is better spent.

    Subclasses change one thing each.
    """

    def __init__(self, **parts: Any) -> None:
        arguments = parts["args"]
        arguments.eval_steps = arguments.save_steps = -(-len(parts["train_dataset"]) // arguments.train_batch_size)
        super().__init__(**parts)


class EffectiveNumbers(Plain):
    """Topics weigh by the inverse of their effective number of paragraphs, (1 - beta^n) / (1 - beta).

    Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples"; a topic's weight is that of its own
    term of the loss. A paragraph counts as often as it is read.
    """

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        weights = 1 / (1 - EFFECTIVE_BETA ** _positives(parts))
        on_device = torch.from_numpy(weights / weights.mean()).float().to(self.args.device)
        self.compute_loss_func = for_trainer(partial(functional.binary_cross_entropy_with_logits, weight=on_device))


class PositiveWeights(Plain):
    """The positives of a topic weigh more, the rarer they are: by a power of how many negatives there are to each."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        positives = _positives(parts)
        weights = ((len(parts["train_dataset"]) - positives).clip(1) / positives) ** POSITIVE_POWER
        on_device = torch.from_numpy(weights).float().to(self.args.device)
        self.compute_loss_func = for_trainer(partial(functional.binary_cross_entropy_with_logits, pos_weight=on_device))


def _positives(parts: Mapping[str, Any]) -> NDArray[np.float64]:
    """How many paragraphs of a trainer's data carry each topic, one at least."""
    positives: NDArray[np.float64] = np.array(parts["train_dataset"]["labels"]).sum(axis=0).clip(1)
    return positives


class LayerwiseDecay(Plain):
    """The learning rate falls from the head to the embeddings, layer by layer (Howard and Ruder 2018)."""

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        optimizer = super().create_optimizer(model)
        trained: Any = self.model
        names = {parameter: name for name, parameter in trained.named_parameters()}
        layers = trained.config.num_hidden_layers
        optimizer.param_groups[:] = [
            {**group, "params": [each], "lr": group["lr"] * LAYER_DECAY ** below_head(names[each], layers)}
            for group in optimizer.param_groups
            for each in group["params"]
        ]
        return optimizer


class FirstToken(Plain):
    """The head reads the first token, not the mean of all. ModernBERT alone has the choice."""

    def __init__(self, **parts: Any) -> None:
        parts["model"].config.classifier_pooling = "cls"
        super().__init__(**parts)


class RDrop(Plain):
    """Each paragraph is read twice, and what two dropouts make of it may not differ much.

    Wu et al. 2021, "R-Drop: Regularized Dropout for Neural Networks", of Bernoulli distributions, one a topic. Half of
    their loss, so that it is as large as the others'.
    """

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        twice = {name: torch.cat([each, each]) for name, each in inputs.items()}
        loss, outputs = super().compute_loss(model, twice, True, num_items_in_batch)
        one, other = outputs.logits.float().chunk(2)
        both_ways = ((one.sigmoid() - other.sigmoid()) * (one - other)).mean()  # KL(p, q) + KL(q, p)
        loss = loss + RDROP_WEIGHT / 4 * both_ways
        return (loss, outputs) if return_outputs else loss


@dataclass(frozen=True, slots=True)
class Idea:
    """One change of the training: a trainer of its own, or settings of `finetune`."""

    trainer: type[Plain] = Plain
    keys: Mapping[str, Any] = field(default_factory=dict)


IDEAS = {
    PLAIN: Idea(),
    "positive weights": Idea(PositiveWeights),
    "effective numbers": Idea(EffectiveNumbers),
    "asymmetric loss": Idea(keys={"loss": "asymmetric"}),
    "layer-wise decay": Idea(LayerwiseDecay),
    "256 tokens": Idea(keys={"max_tokens": 256}),
    "512 tokens": Idea(keys={"max_tokens": 512}),
    "first token": Idea(FirstToken),
    "R-Drop": Idea(RDrop),
}


def below_head(parameter: str, layers: int) -> int:
    """How far below the head a weight of this name is: 0 for the head's own, `layers` + 1 for the embeddings'."""
    if found := re.search(r"\blayers?\.(\d+)\.", parameter):
        return layers - int(found[1])
    return layers + 1 if "embeddings." in parameter else 0


def table(work: Path) -> Table:
    """What is done so far."""
    figures = {name: _figures(work, name) for name in IDEAS}
    columns = ("idea", "seeds", "micro-F1", "to plain", "macro-F1", "to plain")
    made = Table(*columns, title="ideas of fine-tuning", title_justify="left")
    for name, seeds in figures.items():
        if seeds:
            both = {seed: (each, figures[PLAIN][seed]) for seed, each in seeds.items() if seed in figures[PLAIN]}
            cells = []
            for key in ("micro_f1", "macro_f1"):
                cells.append(_spread([getattr(each, key) for each in seeds.values()]))
                away = [getattr(ours, key) - getattr(plain, key) for ours, plain in both.values()]
                cells.append(_spread(away, "+") if away and name != PLAIN else "")
            made.add_row(name, str(len(seeds)), *cells)
    return made


def _spread(values: Sequence[float], sign: str = "") -> str:
    spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.4f}{spread}"


def _figures(work: Path, name: str) -> dict[int, Metrics]:
    files = {seed: _file(work, name, seed) for seed in SEEDS}
    return {seed: Metrics.model_validate_json(file.read_bytes()) for seed, file in files.items() if file.exists()}


def _file(work: Path, name: str, seed: int) -> Path:
    return work / f"{name.replace(' ', '-')}-{seed}.json"


def _measure(arguments: argparse.Namespace, console: Console) -> None:
    """Train and judge what is not done yet."""
    taxonomy = load_taxonomy()
    keys = {"backbone": str(arguments.backbone.absolute()), "epochs": arguments.epochs}
    keys |= {"batch_paragraphs": arguments.batch, "learning_rate": arguments.learning_rate, "loss": "cross_entropy"}
    settings = load_settings(flags={f"finetune.{key}": value for key, value in keys.items()})
    train, dev = read_data(arguments.train, arguments.dev, arguments.rows, settings, taxonomy)
    claim(arguments.work, {**keys, "train": data_fingerprint(train), "dev": data_fingerprint(dev)})
    for seed in SEEDS:
        for name in arguments.ideas:
            file, idea = _file(arguments.work, name, seed), IDEAS[name]
            if file.exists():
                continue
            own = override(
                settings, {f"finetune.{key}": value for key, value in {**idea.keys, "seeds": [seed]}.items()}
            )
            folder, begin = file.with_suffix(""), time.monotonic()
            (figures,) = run(own, train, dev, taxonomy, folder, idea.trainer)
            write_json(file, figures.model_dump(mode="json"))
            shutil.rmtree(folder)
            taken = f"{time.monotonic() - begin:.0f} s"
            console.print(f"{name}, seed {seed}: {figures.micro_f1:.4f}/{figures.macro_f1:.4f} in {taken}")


def main() -> None:
    arguments = _arguments()
    quiet()
    console = Console(width=120)
    if not arguments.only_table:
        _measure(arguments, console)
    console.print(table(arguments.work))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, nargs="+", default=[HOME / "data" / "train.jsonl"])
    parser.add_argument("--dev", type=Path, nargs="+", default=[HOME / "data" / "dev.jsonl"])
    parser.add_argument("--backbone", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--ideas", nargs="+", choices=IDEAS, default=list(IDEAS), metavar="IDEA")
    parser.add_argument("--rows", type=int, default=2500, help="of the training paragraphs; 0 = all")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--only-table", action="store_true", help="train nothing, print what is done")
    arguments = parser.parse_args()
    if not (arguments.only_table or arguments.backbone):
        parser.error("--backbone is needed to train; --only-table prints what is done")
    return arguments


if __name__ == "__main__":
    main()
