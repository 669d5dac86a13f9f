"""Fine-tuning: labelled paragraphs and a Chinese BERT in, a multi-label classifier in Hugging Face form out."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from safetensors.torch import load_model
from torch import nn
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedTokenizerBase,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import SAFE_WEIGHTS_NAME

from configs.settings import FinetuneSettings
from configs.taxonomy import Taxonomy
from policy_topics.errors import TrainingError
from train import processes
from train.backbone import open_backbone, weights_fingerprint
from train.calibrate import fit_calibration
from train.hardware import device, has_bf16
from train.losses import LOSSES, for_trainer
from train.metrics import f1_scores
from train.progress import Figures, Progress, Say
from train.runs import claim, write_json

_DONE = "dev.json"

_LINES = 50
"""How often a training says where it stands."""


@dataclass(frozen=True, slots=True)
class Finetuned:
    """A fine-tuned model: its folder and its macro-F1 on dev, calibrated on dev."""

    model: Path
    seed: int
    macro_f1: float


def finetune(
    train: Dataset,
    dev: Dataset,
    taxonomy: Taxonomy,
    settings: FinetuneSettings,
    out: Path,
    soft: Dataset | None = None,
    say: Say = lambda _: None,
    figures: Figures = lambda *_: None,
    trainer: type[Trainer] = Trainer,
) -> list[Finetuned]:
    """Fine-tune one model a seed, the best on dev first. What `out` already holds is not trained again.

    Where several processes run this together, each reads its share of every step.

    Args:
        train, dev: columns `text` and `labels`, see `train.dataset.as_dataset`.
        soft: paragraphs whose labels are probabilities. They are read once, spread over all epochs of `train`.
        say: told where the training stands, a line at a time.
        figures: given the loss and the figures on dev, step by step.
        trainer: what trains: one of another class is how ideas are tried, see `benchmarks.ideas`.

    Raises:
        TrainingError: the backbone cannot be opened, or lacks topics of whose weights a share is to be kept; or `out`
            holds a run with other settings or data, the order of its rows included, or of another number of processes.
    """
    if settings.backbone is None:
        raise TrainingError("nothing to start from; set finetune.backbone")
    facts = {
        **settings.model_dump(mode="json", exclude={"seeds"}),
        "data": [_fingerprint(part) for part in (train, dev, soft) if part],
        "topics": list(taxonomy.ids),
        "weights": weights_fingerprint(settings.backbone),
        "processes": processes.count(),  # a step's paragraphs are dealt to so many
    }
    models = []
    for seed in settings.seeds:
        folder = out / f"seed-{seed}"
        with processes.first_before_others():
            claim(folder, facts)
            done = (folder / _DONE).exists()
        if not done:
            with Progress(seed, say, figures) as progress:
                read = _epochs(train, soft, settings)
                _finetune_seed(read, dev, taxonomy, settings, seed, folder, progress, trainer)
        result = json.loads((folder / _DONE).read_text("utf-8"))
        models.append(Finetuned(folder / "model", seed, result["macro_f1"]))
    return sorted(models, key=lambda model: -model.macro_f1)


def _epochs(train: Dataset, soft: Dataset | None, settings: FinetuneSettings) -> Dataset:
    """All that is read in one training: `train` once an epoch, `soft` once."""
    return concatenate_datasets([train] * settings.epochs + ([soft] if soft else []))


def _finetune_seed(
    train: Dataset,
    dev: Dataset,
    taxonomy: Taxonomy,
    settings: FinetuneSettings,
    seed: int,
    folder: Path,
    progress: Progress,
    kind: type[Trainer],
) -> None:
    torch.manual_seed(seed)  # of what the head has to begin anew
    tokenizer, model = open_backbone(settings, taxonomy)
    start = {name: weight.detach().clone() for name, weight in model.named_parameters() if settings.start_share}
    trainer = kind(
        model=model,
        args=_arguments(settings, seed, folder / "checkpoints", len(train)),
        train_dataset=_tokenise(train, tokenizer, settings.max_tokens),
        eval_dataset=_tokenise(dev, tokenizer, settings.max_tokens),
        data_collator=DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8),
        compute_loss_func=for_trainer(LOSSES[settings.loss]),
        compute_metrics=_macro_f1,
        callbacks=[EarlyStoppingCallback(settings.patience), _LastOfEquals(), progress],
    )
    for theirs in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(theirs)
    checkpoints = folder / "checkpoints"
    with processes.first_before_others():
        last = _last_checkpoint(checkpoints)
    if not (last and _put_back_if_stopped(trainer, model, Path(last), settings.patience)):
        trainer.train(resume_from_checkpoint=last)  # at its end the trainer puts the best weights back
    macro_f1 = trainer.state.best_metric
    if start:
        _keep(start, settings.start_share, model)
        macro_f1 = trainer.evaluate()["eval_macro_f1"]
    if processes.is_first():
        model.save_pretrained(folder / "model")
        tokenizer.save_pretrained(folder / "model")
        done = {"macro_f1": macro_f1, "history": trainer.state.log_history}
        write_json(folder / _DONE, done)
        shutil.rmtree(checkpoints)
    processes.wait()


@torch.no_grad()
def _keep(start: Mapping[str, torch.Tensor], share: float, model: nn.Module) -> None:
    """Mix the weights that a model started from into its own, by this share of each.

    Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", in whose terms alpha is 1 - share.
    """
    for name, weight in model.named_parameters():
        weight.lerp_(start[name].to(weight.device), share)


class _LastOfEquals(TrainerCallback):
    """Of checkpoints that are equally good on dev the last is the best: the trainer would keep the first, which may not
    have learnt yet what dev does not ask."""

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        if given["metrics"].get(f"eval_{args.metric_for_best_model}") == state.best_metric:
            state.best_global_step = state.global_step


def _put_back_if_stopped(trainer: Trainer, model: nn.Module, last: Path, patience: int) -> bool:
    """Put back the state and the best weights of a training that was cut off after it had stopped early, and say
    whether it was one: the trainer, told to go on, would read another epoch."""
    state = TrainerState.load_from_json(str(last / TRAINER_STATE_NAME))
    waited = state.stateful_callbacks["EarlyStoppingCallback"]["attributes"]["early_stopping_patience_counter"]
    if waited < patience:
        return False
    trainer.state = state
    load_model(model, str(Path(state.best_model_checkpoint) / SAFE_WEIGHTS_NAME))
    return True


def _last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint. The trainer writes `trainer_state.json` last: without it one is cut off."""
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / "trainer_state.json").exists():
            shutil.rmtree(checkpoint)
    return get_last_checkpoint(str(folder)) if folder.is_dir() else None  # type: ignore[no-untyped-call]


def _fingerprint(data: Dataset) -> str:
    """Hash of texts and labels in their order: a training that goes on skips the first so many of a permutation."""
    rows = list(zip(data["text"], data["labels"], strict=True))
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


def _arguments(settings: FinetuneSettings, seed: int, folder: Path, paragraphs: int) -> TrainingArguments:
    steps = max(1, paragraphs // settings.batch_paragraphs)
    steps_per_epoch = max(1, steps // settings.epochs)
    return TrainingArguments(
        output_dir=str(folder),
        seed=seed,
        num_train_epochs=1,  # the data holds every epoch
        per_device_train_batch_size=-(-settings.batch_paragraphs // processes.count()),
        per_device_eval_batch_size=64,
        train_sampling_strategy="group_by_length",
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_share,
        weight_decay=settings.weight_decay,
        bf16=has_bf16(),
        use_cpu=device().type == "cpu",
        eval_strategy="steps",
        eval_steps=steps_per_epoch,
        save_strategy="steps",
        save_steps=steps_per_epoch,
        save_total_limit=1,
        logging_strategy="steps",
        logging_steps=max(1, steps // _LINES),
        average_tokens_across_devices=False,  # our loss is a mean already
        load_best_model_at_end=True,
        restore_callback_states_from_checkpoint=True,  # the patience that is left
        metric_for_best_model="macro_f1",
        disable_tqdm=True,
        report_to="none",
    )


def _tokenise(data: Dataset, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> Dataset:
    def encode(rows: dict[str, list[Any]]) -> dict[str, Any]:
        encoded = tokenizer(rows["text"], truncation=True, max_length=max_tokens, return_token_type_ids=False)
        return {**encoded, "labels": rows["labels"]}

    return data.map(encode, batched=True, remove_columns=data.column_names)


def _macro_f1(prediction: EvalPrediction) -> dict[str, float]:
    """Of what a bundle would give: calibrated, for a loss may leave the raw sigmoid far from that."""
    logits = np.asarray(prediction.predictions, np.float32)
    labels = np.asarray(prediction.label_ids) > 0.5
    calibration = fit_calibration(logits, labels)
    f1 = f1_scores(calibration.probabilities(logits) >= calibration.threshold, labels)
    return {"macro_f1": float(f1[labels.any(axis=0)].mean())}
