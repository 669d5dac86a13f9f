"""Fine-tuning: labelled paragraphs and a Chinese BERT in, a multi-label classifier in Hugging Face form out."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_utils import get_last_checkpoint

from configs.settings import FinetuneSettings, resolve
from configs.taxonomy import Taxonomy
from policy_topics.errors import TrainingError
from train.calibrate import fit_thresholds
from train.hardware import device, has_bf16
from train.metrics import f1_scores
from train.runs import claim, write_json

_DONE = "dev.json"

_DROPOUTS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob"),  # BERT, RoBERTa, ELECTRA
    *("embedding_dropout", "attention_dropout", "mlp_dropout", "classifier_dropout"),  # ModernBERT
)


@dataclass(frozen=True, slots=True)
class Finetuned:
    """A fine-tuned model: its folder and its macro-F1 on dev, at the thresholds that suit dev best."""

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
) -> list[Finetuned]:
    """Fine-tune one model a seed, the best on dev first. What `out` already holds is not trained again.

    Args:
        train, dev: columns `text` and `labels`, see `train.dataset.as_dataset`.
        soft: paragraphs whose labels are probabilities. They are read once, spread over all epochs of `train`.

    Raises:
        TrainingError: the backbone cannot be opened, or `out` holds a run with other settings or data.
    """
    facts = {
        **settings.model_dump(mode="json", exclude={"seeds"}),
        "data": [_fingerprint(part) for part in (train, dev, soft) if part],
        "topics": list(taxonomy.ids),
        "weights": _weights_fingerprint(settings.backbone),
    }
    models = []
    for seed in settings.seeds:
        folder = out / f"seed-{seed}"
        claim(folder, facts)
        if not (folder / _DONE).exists():
            _finetune_seed(_epochs(train, soft, settings), dev, taxonomy, settings, seed, folder)
        result = json.loads((folder / _DONE).read_text("utf-8"))
        models.append(Finetuned(folder / "model", seed, result["macro_f1"]))
    return sorted(models, key=lambda model: -model.macro_f1)


def backbone_folder(backbone: str) -> Path:
    """Where a backbone given by folder is; a folder that does not exist for a hub name."""
    return resolve(Path(backbone))


def _epochs(train: Dataset, soft: Dataset | None, settings: FinetuneSettings) -> Dataset:
    """All that is read in one training: `train` once an epoch, `soft` once."""
    return concatenate_datasets([train] * settings.epochs + ([soft] if soft else []))


def _finetune_seed(
    train: Dataset, dev: Dataset, taxonomy: Taxonomy, settings: FinetuneSettings, seed: int, folder: Path
) -> None:
    torch.manual_seed(seed)  # of the head's first weights
    tokenizer, model = _backbone(taxonomy, settings)
    trainer = Trainer(
        model=model,
        args=_arguments(settings, seed, folder / "checkpoints", len(train)),
        train_dataset=_tokenise(train, tokenizer, settings.max_tokens),
        eval_dataset=_tokenise(dev, tokenizer, settings.max_tokens),
        data_collator=DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8),
        compute_loss_func=_loss(np.array(train["labels"], np.float32), settings.positive_weight_power),
        compute_metrics=_macro_f1,
        callbacks=[EarlyStoppingCallback(settings.patience)],
    )
    checkpoints = folder / "checkpoints"
    trainer.train(resume_from_checkpoint=_last_checkpoint(checkpoints))
    model.save_pretrained(folder / "model")  # the best: the trainer has put its weights back
    tokenizer.save_pretrained(folder / "model")
    done = {"macro_f1": trainer.state.best_metric, "history": trainer.state.log_history}
    write_json(folder / _DONE, done)
    shutil.rmtree(checkpoints)


def _last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint. The trainer writes `trainer_state.json` last: without it one is cut off."""
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / "trainer_state.json").exists():
            shutil.rmtree(checkpoint)
    return get_last_checkpoint(str(folder)) if folder.is_dir() else None  # type: ignore[no-untyped-call]


def _fingerprint(data: Dataset) -> str:
    rows = zip(data["text"], data["labels"], strict=True)
    return hashlib.sha256(json.dumps(sorted(map(list, rows)), ensure_ascii=False).encode()).hexdigest()


def _weights_fingerprint(backbone: str) -> str:
    """Hash of a local backbone's weights: the folder may hold others by the time that a training goes on."""
    digest = hashlib.sha256()
    for file in sorted(backbone_folder(backbone).glob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _backbone(taxonomy: Taxonomy, settings: FinetuneSettings) -> tuple[PreTrainedTokenizerBase, Any]:
    """The tokenizer and the encoder, with a new head unless its topics are the taxonomy's."""
    local = backbone_folder(settings.backbone)
    source = str(local) if local.is_dir() else settings.backbone
    ids = taxonomy.ids
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        before = AutoConfig.from_pretrained(source).id2label or {}
        config = AutoConfig.from_pretrained(
            source,
            num_labels=len(ids),
            id2label=dict(enumerate(ids)),
            label2id={topic: i for i, topic in enumerate(ids)},
            problem_type="multi_label_classification",
        )
        for name in _DROPOUTS:
            if hasattr(config, name):
                setattr(config, name, settings.dropout)
        model = AutoModelForSequenceClassification.from_pretrained(
            source, config=config, dtype=torch.float32, ignore_mismatched_sizes=True
        )
        if tuple(before.values()) != ids:
            model._init_weights(model.classifier)
    except (OSError, ValueError) as fault:
        raise TrainingError(
            f"backbone {settings.backbone!r} cannot be opened: {fault}\n"
            "Give the folder of a Hugging Face BERT, or a hub name on a machine that reaches the hub."
        ) from fault
    return tokenizer, model


def _arguments(settings: FinetuneSettings, seed: int, folder: Path, paragraphs: int) -> TrainingArguments:
    steps_per_epoch = max(1, paragraphs // settings.batch_paragraphs // settings.epochs)
    return TrainingArguments(
        output_dir=str(folder),
        seed=seed,
        num_train_epochs=1,  # the data holds every epoch
        per_device_train_batch_size=settings.batch_paragraphs,
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
        logging_steps=steps_per_epoch,
        load_best_model_at_end=True,
        restore_callback_states_from_checkpoint=True,  # the patience that is left
        metric_for_best_model="macro_f1",
        disable_tqdm=not sys.stderr.isatty(),
        report_to="none",
    )


def _tokenise(data: Dataset, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> Dataset:
    def encode(rows: dict[str, list[Any]]) -> dict[str, Any]:
        encoded = tokenizer(rows["text"], truncation=True, max_length=max_tokens, return_token_type_ids=False)
        return {**encoded, "labels": rows["labels"]}

    return data.map(encode, batched=True, remove_columns=data.column_names)


def _loss(labels: np.ndarray, power: float) -> Callable[..., torch.Tensor]:
    """Binary cross-entropy; with `power` over 0 the positives of rare topics weigh more."""
    positives = np.maximum(labels.sum(axis=0), 1)
    weight = torch.from_numpy(((len(labels) - positives).clip(1) / positives) ** power).float()

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        logits = outputs.logits.float()
        return functional.binary_cross_entropy_with_logits(logits, labels.float(), pos_weight=weight.to(logits.device))

    return loss


def _macro_f1(prediction: EvalPrediction) -> dict[str, float]:
    probabilities = 1 / (1 + np.exp(-np.asarray(prediction.predictions)))
    probabilities = probabilities.astype(np.float32)
    labels = np.asarray(prediction.label_ids) > 0.5
    f1 = f1_scores(probabilities >= fit_thresholds(probabilities, labels), labels)
    return {"macro_f1": float(f1[labels.any(axis=0)].mean())}
