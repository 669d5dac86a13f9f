"""Pre-training from scratch, on a corpus of a few hundred lines."""

from __future__ import annotations

import errno
import json
import lzma
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForMaskedLM, AutoTokenizer

from configs.settings import PretrainSettings, load_settings
from policy_topics.errors import TrainingError
from tests.tiny import TEXTS
from train import pretrain as module
from train.corpus import read_corpus
from train.packing import Packed, corpus_tokenizer, inside_words
from train.pretrain import Step, mask, pretrain
from train.stages import stages_of


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    lines = [f"{text[:-1]}，共{number}项。" for number in range(80) for text in TEXTS]
    (folder / "reports.txt").write_text("\n\n".join(lines), "utf-8")
    with lzma.open(folder / "news.txt.xz", "wt", encoding="utf-8") as stream:
        stream.write("會議強調，要加強疫情防控。\n\n" * 5)
    return folder


def settings(**changes: Any) -> PretrainSettings:
    small = {
        "source_weights": {}, "vocabulary_size": 400, "layers": 1, "hidden": 32, "heads": 2, "max_tokens": 32,
        "sequence_tokens": 32, "batch_sequences": 4, "steps": 30, "held_out_share": 0.1, "evaluate_every": 10,
        "learning_rate": 5e-3,
    }  # fmt: skip
    return load_settings().pretrain.model_copy(update={**small, **changes})


def test_the_loss_falls_and_the_result_is_a_plain_bert(corpus: Path, tmp_path: Path) -> None:
    seen: list[Step] = []
    model = pretrain(corpus, tmp_path / "run", settings(steps=60), seen.append)
    assert seen[-1].step == 60
    assert seen[-1].held_out_loss is not None
    assert seen[-1].loss < seen[0].loss
    tokenizer = AutoTokenizer.from_pretrained(model)
    inputs = tokenizer("会议强调", return_tensors="pt")
    assert AutoModelForMaskedLM.from_pretrained(model)(**inputs).logits.shape[-1] == len(tokenizer)


def test_a_run_that_was_cut_off_ends_with_the_same_weights(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pretrain(corpus, tmp_path / "whole", settings(), lambda _: None)
    (tmp_path / "cut").mkdir()
    # A vocabulary comes out a little different each time.
    for prepared in ("tokenizer.json", "train.npy", "train.inside.npy", "held_out.npy", "held_out.inside.npy"):
        shutil.copy(tmp_path / "whole" / prepared, tmp_path / "cut")

    save = module._save

    def save_and_die(*state: Any) -> None:
        save(*state)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        pretrain(corpus, tmp_path / "cut", settings(), lambda _: None)
    monkeypatch.setattr(module, "_save", save)
    steps: list[int] = []
    schedule = module._schedule
    monkeypatch.setattr(module, "_schedule", lambda step, own: steps.append(step) or schedule(step, own))
    resumed = pretrain(corpus, tmp_path / "cut", settings(), lambda _: None)
    assert steps == list(range(10, 30))  # and not from 0

    one, other = (AutoModelForMaskedLM.from_pretrained(folder).state_dict() for folder in (whole, resumed))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_run_that_was_cut_off_at_its_last_look_at_what_is_held_out_ends_as_any(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out_loss, looks = module._held_out_loss, iter(range(9))

    def die_at_the_last(*given: Any) -> float:
        if next(looks) == 2:
            raise KeyboardInterrupt
        return held_out_loss(*given)

    monkeypatch.setattr(module, "_held_out_loss", die_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        pretrain(corpus, tmp_path / "run", settings(), lambda _: None)
    (stage,) = stages_of(pretrain(corpus, tmp_path / "run", settings(), lambda _: None))
    assert stage.held_out_loss > 0


def test_a_run_is_not_gone_on_with_under_other_settings(corpus: Path, tmp_path: Path) -> None:
    pretrain(corpus, tmp_path / "run", settings(steps=2), lambda _: None)
    with pytest.raises(TrainingError, match="other settings or data \\(learning_rate\\)"):
        pretrain(corpus, tmp_path / "run", settings(steps=2, learning_rate=1e-3), lambda _: None)


def test_a_folder_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no \.txt"):
        pretrain(tmp_path, tmp_path / "run", settings(), lambda _: None)


def test_too_little_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("会议强调，要加强疫情防控。\n" * 40, "utf-8")
    with pytest.raises(TrainingError, match="too little text to hold out"):
        pretrain(tmp_path, tmp_path / "run", settings(held_out_share=0.0001, vocabulary_size=300), lambda _: None)


@pytest.fixture(scope="module")
def tokenizer(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return corpus_tokenizer(corpus, tmp_path_factory.mktemp("vocabulary"), settings())


def test_masks_hide_the_wanted_share_and_no_special_token(tokenizer: Tokenizer) -> None:
    batch = np.random.default_rng(0).integers(0, tokenizer.get_vocab_size(), (200, 64)).astype(np.int32)
    packed = Packed(batch, np.zeros(batch.shape, np.bool_))
    ids, labels = mask(packed, tokenizer, 0.2, np.random.default_rng(1))
    guessed = labels.numpy() >= 0
    assert guessed.mean() == pytest.approx(0.2, abs=0.02)
    assert (batch[guessed] >= 5).all()
    assert (ids.numpy()[~guessed] == batch[~guessed]).all()
    assert (ids.numpy()[guessed] == tokenizer.token_to_id("[MASK]")).mean() == pytest.approx(0.8, abs=0.03)


def test_a_word_is_masked_whole(tokenizer: Tokenizer) -> None:
    rng = np.random.default_rng(0)
    inside = rng.random((50, 64)) < 0.4
    inside[:, 0] = False
    batch = Packed(rng.integers(5, tokenizer.get_vocab_size(), inside.shape).astype(np.int32), inside)
    _, labels = mask(batch, tokenizer, 0.2, np.random.default_rng(1))
    guessed = labels.numpy() >= 0
    assert (guessed[:, 1:] == guessed[:, :-1])[inside[:, 1:]].all()
    assert guessed.mean() == pytest.approx(0.2, abs=0.03)


def test_words_are_those_of_the_segmenter() -> None:
    text = "全国政协委员提出意见。"
    starts = [0, 2, 4, 5, 6, 8, 10]  # 全国|政协|委|员|提出|意见|。
    assert inside_words(text, starts).tolist() == [False, True, False, True, False, False, False]


def test_a_run_can_start_from_an_encoder_and_keeps_its_vocabulary(corpus: Path, tmp_path: Path) -> None:
    first: list[Step] = []
    second: list[Step] = []
    encoder = pretrain(corpus, tmp_path / "first", settings(steps=60), first.append)
    pretrain(corpus, tmp_path / "second", settings(steps=10, start=encoder, learning_rate=1e-4), second.append)
    assert second[-1].loss < first[0].loss
    one, other = (AutoTokenizer.from_pretrained(tmp_path / run / "model").get_vocab() for run in ("first", "second"))
    assert one == other


def test_texts_are_read_whole_though_the_encoder_to_start_from_cuts_them(corpus: Path, tmp_path: Path) -> None:
    encoder = pretrain(corpus, tmp_path / "first", settings(steps=10), lambda _: None)
    cutting = Tokenizer.from_file(str(encoder / "tokenizer.json"))
    cutting.enable_truncation(4)
    cutting.save(str(encoder / "tokenizer.json"))
    pretrain(corpus, tmp_path / "second", settings(steps=10, start=encoder), lambda _: None)
    one, other = (np.load(tmp_path / run / "train.npy") for run in ("first", "second"))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("other", "named"), [({"heads": 4}, "num_attention_heads"), ({"layers": 2}, "num_hidden_layers")]
)
def test_an_encoder_of_another_shape_is_refused(
    corpus: Path, tmp_path: Path, other: dict[str, int], named: str
) -> None:
    encoder = pretrain(corpus, tmp_path / "first", settings(steps=10), lambda _: None)
    with pytest.raises(TrainingError, match=named):
        pretrain(corpus, tmp_path / "second", settings(steps=10, start=encoder, **other), lambda _: None)


def test_an_encoder_to_start_from_that_is_not_there_is_named(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nowhere"):
        pretrain(corpus, tmp_path / "run", settings(start=tmp_path / "nowhere"), lambda _: None)


def test_corpus_text_is_clean_and_weighted_by_source(corpus: Path) -> None:
    everything = [text.text for text in read_corpus(corpus, {}, 0.1)]
    assert "会议强调，要加强疫情防控。" in everything
    fewer = [text.text for text in read_corpus(corpus, {"news": 0.0, "reports": 0.5}, 0.1)]
    assert "会议强调，要加强疫情防控。" not in fewer
    assert len(fewer) == pytest.approx(200, abs=50)


def test_progress_is_written_down(corpus: Path, tmp_path: Path) -> None:
    pretrain(corpus, tmp_path / "run", settings(steps=20), lambda _: None)
    rows = [json.loads(line) for line in (tmp_path / "run" / "progress.jsonl").read_text("utf-8").splitlines()]
    assert [row["step"] for row in rows] == [10, 20]
    assert all(row["held_out_loss"] for row in rows)
    assert (tmp_path / "run" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_progress_tells_each_step_once_though_a_full_disk_cut_a_line_and_steps_are_done_again(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path, now: Step) -> None:
        log(file, now)
        if now.step == 20:
            file.write_text(file.read_text("utf-8")[:-30], "utf-8")
            raise OSError(errno.ENOSPC, "No space left on device")

    log = module._log
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(module, "_log", full)
        pretrain(corpus, tmp_path / "run", settings(), lambda _: None)
    pretrain(corpus, tmp_path / "run", settings(), lambda _: None)
    rows = [json.loads(line) for line in (tmp_path / "run" / "progress.jsonl").read_text("utf-8").splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30]


def test_spaces_that_scraping_left_inside_words_do_not_change_the_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("会 议　强\n调").ids == tokenizer.encode("会议强调").ids
    assert tokenizer.encode("共 12 项").ids == tokenizer.encode("共12项").ids
