"""The benchmark of fine-tuning ideas: each changes the one thing that it says, and what is done is not done again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, TrainingArguments

from benchmarks import ideas
from configs.settings import Settings
from policy_topics.errors import TrainingError
from tests.little_training import rows_of, write
from train.metrics import Metrics

LABELS = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])


def trainer(kind: type[ideas.Plain], backbone: Path, folder: Path, dropout: float = 0.0) -> ideas.Plain:
    torch.manual_seed(0)  # of the head
    model = AutoModelForSequenceClassification.from_pretrained(
        backbone, embedding_dropout=dropout, attention_dropout=dropout, mlp_dropout=dropout, num_labels=3,
        ignore_mismatched_sizes=True,
    )  # fmt: skip
    arguments = TrainingArguments(
        output_dir=str(folder), learning_rate=1e-3, per_device_train_batch_size=1, eval_strategy="steps",
        use_cpu=True, report_to="none",
    )  # fmt: skip
    data = Dataset.from_dict({"input_ids": [[2, 9, 3], [2, 10, 3]], "labels": LABELS.tolist()})

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        return functional.binary_cross_entropy_with_logits(outputs.logits, labels)

    return kind(model=model, args=arguments, train_dataset=data, eval_dataset=data, compute_loss_func=loss)


def loss_of(trained: ideas.Plain, logits: torch.Tensor, labels: torch.Tensor = LABELS) -> float:
    assert trained.compute_loss_func is not None
    return float(trained.compute_loss_func(SimpleNamespace(logits=logits), labels))


def read_once(trained: ideas.Plain) -> float:
    torch.manual_seed(0)
    batch = {"input_ids": torch.tensor([[2, 9, 3], [2, 10, 3]]), "attention_mask": torch.ones(2, 3), "labels": LABELS}
    assert trained.model is not None
    trained.model.train()
    return float(trained.compute_loss(trained.model, batch).detach())


def test_dev_is_read_at_the_end_alone(tiny_backbone: Path, tmp_path: Path) -> None:
    assert trainer(ideas.Plain, tiny_backbone, tmp_path).args.eval_steps == 2


def test_effective_numbers_make_rare_topics_count_more_and_all_together_the_same(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    trained = trainer(ideas.EffectiveNumbers, tiny_backbone, tmp_path)
    frequent, rare = torch.zeros(2, 3), torch.zeros(2, 3)
    frequent[:, 0], rare[:, 1] = -5.0, -5.0
    labels = torch.ones(2, 3)
    assert loss_of(trained, rare, labels) > loss_of(trained, frequent, labels)
    assert loss_of(trained, torch.zeros(2, 3)) == pytest.approx(float(torch.log(torch.tensor(2.0))), rel=1e-4)


def test_positives_of_rare_topics_weigh_more(tiny_backbone: Path, tmp_path: Path) -> None:
    trained = trainer(ideas.PositiveWeights, tiny_backbone, tmp_path)
    missed = torch.full((1, 3), -5.0)
    frequent, rare, nothing = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]]), torch.zeros(1, 3)
    assert loss_of(trained, missed, rare) > 1.3 * loss_of(trained, missed, frequent)
    plain = functional.binary_cross_entropy_with_logits(missed, nothing)
    assert loss_of(trained, missed, nothing) == pytest.approx(float(plain))  # negatives weigh as they did


def test_the_learning_rate_falls_layer_by_layer_and_every_weight_has_one(tiny_backbone: Path, tmp_path: Path) -> None:
    trained = trainer(ideas.LayerwiseDecay, tiny_backbone, tmp_path)
    groups = trained.create_optimizer().param_groups
    assert trained.model is not None
    assert sum(len(group["params"]) for group in groups) == len(list(trained.model.parameters()))
    rates = sorted({round(group["lr"], 9) for group in groups}, reverse=True)
    assert rates == [1e-3, 8e-4, 6.4e-4, 5.12e-4]  # head, two layers, embeddings
    assert {group["weight_decay"] for group in groups} == {0.0}


@pytest.mark.parametrize(
    ("parameter", "height"),
    [
        ("classifier.weight", 0),
        ("model.final_norm.weight", 0),
        ("model.layers.3.attn.Wqkv.weight", 1),
        ("model.layers.0.mlp.Wi.weight", 4),
        ("bert.encoder.layer.2.output.dense.bias", 2),
        ("model.embeddings.tok_embeddings.weight", 5),
    ],
)
def test_how_far_a_weight_is_below_the_head(parameter: str, height: int) -> None:
    assert ideas.below_head(parameter, layers=4) == height


def test_the_first_token_alone_is_read(tiny_backbone: Path, tmp_path: Path) -> None:
    trained = trainer(ideas.FirstToken, tiny_backbone, tmp_path)
    trained.model.save_pretrained(tmp_path / "model")  # type: ignore[union-attr, operator]
    assert json.loads((tmp_path / "model" / "config.json").read_text("utf-8"))["classifier_pooling"] == "cls"


def test_r_drop_costs_nothing_where_both_readings_agree_and_something_where_they_do_not(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    plain, same, other = (
        read_once(trainer(kind, tiny_backbone, tmp_path, dropout))
        for kind, dropout in ((ideas.Plain, 0.0), (ideas.RDrop, 0.0), (ideas.RDrop, 0.5))
    )
    assert same == pytest.approx(plain, rel=1e-5)
    assert other > same


def small(folder: Path, backbone: Path, *more: str) -> list[str]:
    """A command line on little data."""
    for name, split, each in (("train", "练", 10), ("dev", "校", 6)):
        write(folder / f"{name}.jsonl", rows_of(split, each))
    data = [f"--train={folder / 'train.jsonl'}", f"--dev={folder / 'dev.jsonl'}", "--rows=0", f"--backbone={backbone}"]
    return ["ideas", *data, f"--work={folder / 'work'}", "--epochs=1", *more]


def test_ideas_train_with_the_trainer_that_they_name(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ideas, "SEEDS", (1,))
    read: list[int] = []
    once = ideas.RDrop.compute_loss
    monkeypatch.setattr(ideas.RDrop, "compute_loss", lambda self, *a, **k: read.append(1) or once(self, *a, **k))
    monkeypatch.setattr(sys, "argv", small(tmp_path, tiny_backbone, "--ideas", "R-Drop"))
    ideas.main()
    assert read
    assert "│ R-Drop │ 1     │" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"run.json", "R-Drop-1.json"}  # no model is kept


def test_first_seeds_come_first_and_what_is_done_is_not_done_again(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[tuple[str, int]] = []

    def run(settings: Settings, train: Any, dev: Any, taxonomy: Any, work: Path, trainer: type) -> list[Metrics]:
        work.mkdir()
        (seed,) = settings.finetune.seeds
        done.append((trainer.__name__, seed))
        better = 0.01 * seed if trainer is ideas.RDrop else 0.0
        f1 = {"micro_f1": 0.5 + better, "macro_f1": 0.4}
        return [Metrics(paragraphs=1, top1_hit=0, ece=0, ece_top1=0, brier=0, topics={}, **f1)]

    monkeypatch.setattr(ideas, "run", run)
    command = small(tmp_path, tiny_backbone, "--ideas", "plain", "R-Drop")
    monkeypatch.setattr(sys, "argv", command)
    ideas.main()
    assert done == [(kind, seed) for seed in (1, 2, 3) for kind in ("Plain", "RDrop")]
    (tmp_path / "work" / "R-Drop-2.json").unlink()
    ideas.main()
    assert done[6:] == [("RDrop", 2)]
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["ideas", f"--work={tmp_path / 'work'}", "--only-table"])
    ideas.main()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [row for row in cells if row] == [
        ["plain", "3", "0.5000 ± 0.0000", "", "0.4000 ± 0.0000", ""],
        ["R-Drop", "3", "0.5200 ± 0.0100", "+0.0200 ± 0.0100", "0.4000 ± 0.0000", "+0.0000 ± 0.0000"],
    ]
    monkeypatch.setattr(sys, "argv", [*command, "--learning-rate=1"])
    with pytest.raises(TrainingError, match=r"other settings or data \(learning_rate\)"):
        ideas.main()
