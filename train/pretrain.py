"""Pre-training from scratch: raw policy text in, a plain Hugging Face encoder out.

Masked-language modelling (Devlin et al. 2019, arXiv:1810.04805) of whole words (Cui et al. 2019, arXiv:1906.08101) with
a small ModernBERT (Warner et al. 2024, arXiv:2412.13663) without dropout, its head on the masked positions only, which
trains 1.8 times as fast. It starts from word vectors of co-occurrence, since the text is too little to learn them by
gradient, or from an encoder that was trained before.

Masks and data order follow from the seed and the step alone, so a run that was stopped goes on exactly where its last
checkpoint stood.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import AutoConfig, ModernBertConfig, ModernBertForMaskedLM

from configs.settings import PretrainSettings, resolve
from policy_topics.durable import write_whole
from policy_topics.errors import TrainingError
from train.curve import draw_curve
from train.hardware import autocast, device
from train.packing import Ids, Packed, corpus_tokenizer, packed_sequences, token_id
from train.runs import claim
from train.stages import Stage, stages_of, write_stages
from train.static_vectors import static_vectors
from train.vocabulary import CLS, MASK, PAD, SEP, SPECIAL_TOKENS, as_transformers

_IGNORED = -100
_REPORT_EVERY = 20


@dataclass(frozen=True, slots=True)
class Step:
    """What is known after a step: `loss` is the mean over the steps since the last report, in nats a masked token."""

    step: int
    steps: int
    loss: float
    held_out_loss: float | None
    tokens_per_step: int
    tokens_per_second: float


def pretrain(corpus: Path, out: Path, settings: PretrainSettings, report: Callable[[Step], None]) -> Path:
    """Pre-train on a folder of text files; go on from the last checkpoint in `out` if there is one.

    Returns:
        The folder of the finished model and its tokenizer, `out/model`.

    Raises:
        TrainingError: no text in `corpus`, `out` holds a run with other settings, or the encoder to start from is not
            there or of another shape.
    """
    claim(out, {**settings.model_dump(mode="json"), "corpus": str(corpus)})
    tokenizer = corpus_tokenizer(corpus, out, settings)
    if settings.start:
        _refuse_another_shape(resolve(settings.start), _config(tokenizer, settings))
    stream, held_out = packed_sequences(corpus, out, tokenizer, settings)
    model = _model(tokenizer, stream.ids, settings, fresh=not (out / "checkpoint.pt").exists())
    optimizer = _optimizer(model, settings)
    step = _restore(out / "checkpoint.pt", model, optimizer)
    _forget_steps_after(step, out / "progress.jsonl")
    started, first_step, losses = time.perf_counter(), step, []
    model.train()
    while step < settings.steps:
        rate = settings.learning_rate * _schedule(step, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = stream[_rows(step, len(stream), settings)]
        ids, labels = mask(batch, tokenizer, settings.masked_share, np.random.default_rng((settings.seed, step)))
        loss = masked_loss(model, ids, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        step += 1
        due = step % settings.evaluate_every == 0 or step == settings.steps
        if due or step % _REPORT_EVERY == 0:
            seconds = time.perf_counter() - started
            tokens = (step - first_step) * batch.ids.size
            now = Step(
                step,
                settings.steps,
                float(np.mean(losses)),
                _held_out_loss(model, held_out, tokenizer, settings) if due else None,
                batch.ids.size,
                tokens / seconds,
            )
            losses = []
            _log(out / "progress.jsonl", now)
            report(now)
        if due:
            # After its line of progress, whose loss the stage is known by: a kill between the two repeats a few steps.
            _save(out / "checkpoint.pt", model, optimizer, step)
            draw_curve(out / "progress.jsonl", out / "curve.png")
    model.save_pretrained(out / "model")
    as_transformers(tokenizer, settings.max_tokens).save_pretrained(out / "model")
    before = stages_of(resolve(settings.start)) if settings.start else ()
    write_stages(out / "model", [*before, _stage(settings, tokenizer, stream, out / "progress.jsonl")])
    return out / "model"


def mask(
    batch: Packed, tokenizer: Tokenizer, share: float, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hide a share of the words, all tokens of each: 80 % as [MASK], 10 % as random tokens, 10 % as they are.

    Returns:
        Ids to read and ids to guess (-100 where nothing is to be guessed), both (sequences, tokens).
    """
    word = np.cumsum(~batch.inside, axis=1) - 1
    lot, way = (np.take_along_axis(rng.random(word.shape), word, axis=1) for _ in range(2))
    chosen = (lot < share) & (batch.ids >= len(SPECIAL_TOKENS))
    ids = np.where(chosen & (way < 0.8), token_id(tokenizer, MASK), batch.ids)
    anything = rng.integers(len(SPECIAL_TOKENS), tokenizer.get_vocab_size(), word.shape)
    ids = np.where(chosen & (way >= 0.9), anything, ids)
    labels = np.where(chosen, batch.ids, _IGNORED)
    return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(labels.astype(np.int64))


def masked_loss(model: ModernBertForMaskedLM, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the masked tokens; the head runs on those positions only."""
    ids, labels = ids.to(device()), labels.to(device())
    with autocast():
        hidden = model.model(input_ids=ids).last_hidden_state
        wanted = labels != _IGNORED
        logits = model.decoder(model.head(hidden[wanted]))
    return functional.cross_entropy(logits.float(), labels[wanted])


def _model(tokenizer: Tokenizer, stream: Ids, settings: PretrainSettings, fresh: bool) -> ModernBertForMaskedLM:
    """The model to train; `fresh`: with first weights worth having, since no checkpoint will replace them."""
    torch.manual_seed(settings.seed)
    config = _config(tokenizer, settings)
    if settings.start and fresh:
        model = ModernBertForMaskedLM.from_pretrained(resolve(settings.start), config=config, dtype=torch.float32)
    else:
        model = ModernBertForMaskedLM(config)
    if fresh and not settings.start:
        vectors = torch.from_numpy(static_vectors(stream, config.vocab_size, settings.hidden, settings.seed))
        embeddings = model.model.embeddings.tok_embeddings.weight.data
        seen = vectors.any(dim=1)
        embeddings[seen] = vectors[seen] * config.initializer_range
    model.to(device())  # type: ignore[arg-type]
    return model


def _config(tokenizer: Tokenizer, settings: PretrainSettings) -> ModernBertConfig:
    return ModernBertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=5 * settings.hidden // 2,
        max_position_embeddings=settings.max_tokens,
        layer_types=["full_attention"] * settings.layers,  # paragraphs are short: every layer sees all of them
        classifier_pooling="mean",
        pad_token_id=token_id(tokenizer, PAD),
        bos_token_id=token_id(tokenizer, CLS),
        cls_token_id=token_id(tokenizer, CLS),
        eos_token_id=token_id(tokenizer, SEP),
        sep_token_id=token_id(tokenizer, SEP),
    )


def _refuse_another_shape(start: Path, config: ModernBertConfig) -> None:
    """Weights of another shape would be loaded in part, or taken apart in another way, without a fault."""
    theirs = AutoConfig.from_pretrained(start, local_files_only=True)
    names = "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size"
    pairs = [(name, getattr(theirs, name, None), getattr(config, name)) for name in names]
    if differences := [f"{name} {their} (here {own})" for name, their, own in pairs if their != own]:
        raise TrainingError(
            f"pretrain.start: {start} is of another shape: {', '.join(differences)}; set pretrain.layers, hidden and "
            "heads as there, or start from another encoder"
        )


def _optimizer(model: ModernBertForMaskedLM, settings: PretrainSettings) -> torch.optim.AdamW:
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), fused=True)


def _schedule(step: int, settings: PretrainSettings) -> float:
    """Share of the peak learning rate: a linear rise, then a linear fall to nothing."""
    warm = max(1, math.ceil(settings.steps * settings.warmup_share))
    return min((step + 1) / warm, (settings.steps - step) / max(1, settings.steps - warm))


def _rows(step: int, sequences: int, settings: PretrainSettings) -> NDArray[np.int64]:
    """Which sequences make the batch of a step: every epoch in an order of its own."""
    positions = np.arange(step * settings.batch_sequences, (step + 1) * settings.batch_sequences)
    epochs = positions // sequences
    orders = {e: np.random.default_rng((settings.seed, int(e))).permutation(sequences) for e in np.unique(epochs)}
    return np.array([orders[e][p % sequences] for e, p in zip(epochs, positions, strict=True)])


@torch.no_grad()
def _held_out_loss(
    model: ModernBertForMaskedLM, held_out: Packed, tokenizer: Tokenizer, settings: PretrainSettings
) -> float:
    model.eval()  # type: ignore[no-untyped-call]
    losses = []
    for start in range(0, len(held_out), settings.batch_sequences):
        batch = held_out[start : start + settings.batch_sequences]
        ids, labels = mask(batch, tokenizer, settings.masked_share, np.random.default_rng((settings.seed, start)))
        losses.append(masked_loss(model, ids, labels).item())
    model.train()
    return float(np.mean(losses))


def _stage(settings: PretrainSettings, tokenizer: Tokenizer, stream: Packed, progress: Path) -> Stage:
    last = json.loads(progress.read_text("utf-8").splitlines()[-1])
    return Stage(
        tokens=settings.steps * settings.batch_sequences * stream.ids.shape[1],
        held_out_loss=round(last["held_out_loss"], 4),
        layers=settings.layers,
        hidden=settings.hidden,
        vocabulary=tokenizer.get_vocab_size(),
        learning_rate=settings.learning_rate,
    )


def _save(file: Path, model: ModernBertForMaskedLM, optimizer: torch.optim.AdamW, step: int) -> None:
    part = file.with_suffix(".part")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, part)
    part.replace(file)


def _restore(file: Path, model: ModernBertForMaskedLM, optimizer: torch.optim.AdamW) -> int:
    if not file.exists():
        return 0
    state = torch.load(file, map_location=device(), weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def _forget_steps_after(step: int, file: Path) -> None:
    """Take out of the progress what will be done again, and a line that a full disk cut short."""
    lines = file.read_text("utf-8").splitlines(keepends=True) if file.exists() else []
    whole = [line for line in lines if line.endswith("}\n")]
    write_whole(file, "".join(line for line in whole if json.loads(line)["step"] <= step))


def _log(file: Path, progress: Step) -> None:
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(progress)) + "\n")
