"""Distillation: an ensemble's word on unlabelled paragraphs, and an encoder that learns from it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from configs.settings import Settings, load_settings
from configs.taxonomy import load_taxonomy
from policy_topics.errors import TrainingError
from train import distil
from train.dataset import LabelledParagraph, as_dataset
from train.distil import ensemble, sample_paragraphs, soft_paragraphs
from train.finetune import finetune

TAXONOMY = load_taxonomy()
SCHOOL = "全市新建改建中小学十二所，新增学位八千个，招聘教师三百名，学校食堂全部公开菜单和价格，家长可以进校陪餐。"
POWER = "全年完成电网投资六亿元，新建变电站三座，煤电机组改造四台，储能装机翻了一番，夏季高峰没有拉闸限电的情况。"


OTHERS = {"education": "学校招聘教师，中小学学位增加。", "energy": "电网投资增加，煤电机组和储能装机完成改造。"}


def rows(split: str, each: int) -> list[LabelledParagraph]:
    texts = OTHERS if split == "校" else {"education": SCHOOL, "energy": POWER}
    return [
        LabelledParagraph(f"{split}-{topic}-{i}", f"{text}{split}第{i}期。", (topic,), document=f"{split}{topic}{i}")
        for topic, text in texts.items()
        for i in range(each)
    ]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    lines = [f"第{i}号简报：{words}" for i in range(30) for words in (SCHOOL[4:], POWER[4:])]
    (folder / "news.txt").write_text("\n".join([*lines, *lines, "太短。"]), "utf-8")
    return folder


def settings_for(corpus: Path | None, **changes: object) -> Settings:
    flags = {f"distil.{key}": value for key, value in {"corpus": corpus, "paragraphs": 20, **changes}.items()}
    return load_settings(flags={**flags, "engine.threads": 1})


def test_paragraphs_of_the_corpus_come_once_and_the_same_every_time(corpus: Path) -> None:
    settings = settings_for(corpus).distil
    texts = sample_paragraphs(settings, [])
    assert len(texts) == len(set(texts)) == 20
    assert texts == sample_paragraphs(settings, [])
    assert set(texts) != set(sample_paragraphs(settings_for(corpus, seed=1).distil, []))
    assert "太短。" not in texts


def test_what_is_held_out_is_not_learnt_from(corpus: Path) -> None:
    held_out = [LabelledParagraph("1", SCHOOL, ("education",))]
    texts = sample_paragraphs(settings_for(corpus).distil, held_out)
    assert texts
    assert all("电网" in text for text in texts)


def test_the_ensemble_says_how_probable_each_topic_is() -> None:
    said = ensemble([SCHOOL, POWER], rows("练", 8), rows("校", 4), TAXONOMY, [], load_settings().engine)
    assert said.shape == (2, len(TAXONOMY.ids))
    education, energy = (TAXONOMY.ids.index(topic) for topic in ("education", "energy"))
    assert said[0, education] > 0.5 > said[0, energy]
    assert said[1, energy] > 0.5 > said[1, education]


def test_a_bundle_can_be_a_teacher(tiny_bundle: Path) -> None:
    alone = ensemble([SCHOOL], rows("练", 8), rows("校", 4), TAXONOMY, [], load_settings().engine)
    engine = load_settings(flags={"engine.threads": 1}).engine
    both = ensemble([SCHOOL], rows("练", 8), rows("校", 4), TAXONOMY, [tiny_bundle], engine)
    assert not np.allclose(alone, both)


def test_a_teacher_of_other_topics_is_named_before_anything_is_read(corpus: Path, tiny_bundle: Path) -> None:
    other = TAXONOMY.model_copy(update={"version": 2, "topics": TAXONOMY.topics[1:]})
    (corpus / "news.txt").unlink()
    settings = settings_for(corpus, teachers=[str(tiny_bundle)])
    with pytest.raises(TrainingError, match=f"{tiny_bundle} has other topics than the taxonomy"):
        soft_paragraphs(rows("练", 8), rows("校", 4), [], other, settings, corpus / "soft")


def test_the_linear_model_counts_as_one_of_the_teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    dev, topics = rows("校", 4), len(TAXONOMY.ids)
    scores = {name: np.full((len(dev) + 1, topics), said, np.float32) for name, said in [("a", 1.0), ("b", 2.0)]}
    monkeypatch.setattr(distil, "_log_odds", lambda scores, labels: scores)
    monkeypatch.setattr(distil, "linear_scores", lambda *_: np.full((len(dev) + 1, topics), 6.0, np.float32))
    monkeypatch.setattr(distil, "_scores", lambda teacher, *_: scores[teacher.name])
    given: list[np.ndarray] = []
    fitted = distil.fit_calibration
    monkeypatch.setattr(
        distil, "fit_calibration", lambda logits, labels: given.append(logits) or fitted(logits, labels)
    )
    ensemble([SCHOOL], rows("练", 8), dev, TAXONOMY, [Path("a"), Path("b")], load_settings().engine)
    assert np.unique(given[-1]).tolist() == [3.0]


def test_soft_paragraphs_are_kept_for_a_training_that_goes_on(corpus: Path, tmp_path: Path) -> None:
    settings = settings_for(corpus)
    first = soft_paragraphs(rows("练", 8), rows("校", 4), [], TAXONOMY, settings, tmp_path / "soft")
    (corpus / "news.txt").unlink()
    again = soft_paragraphs(rows("练", 8), rows("校", 4), [], TAXONOMY, settings, tmp_path / "soft")
    assert first is not None
    assert again is not None
    assert first.to_list() == again.to_list()
    with pytest.raises(TrainingError, match="other settings or data"):
        soft_paragraphs(rows("练", 7), rows("校", 4), [], TAXONOMY, settings, tmp_path / "soft")


def test_soft_paragraphs_are_not_read_as_those_of_other_topics(corpus: Path, tmp_path: Path) -> None:
    data = rows("练", 8), rows("校", 4), list[LabelledParagraph]()
    soft_paragraphs(*data, TAXONOMY, settings_for(corpus), tmp_path / "soft")
    moved = TAXONOMY.model_copy(update={"version": 2, "topics": TAXONOMY.topics[::-1]})
    with pytest.raises(TrainingError, match=r"other settings or data \(topics\)"):
        soft_paragraphs(*data, moved, settings_for(corpus), tmp_path / "soft")


def test_without_a_corpus_nothing_is_distilled(tmp_path: Path) -> None:
    assert soft_paragraphs(rows("练", 2), rows("校", 2), [], TAXONOMY, settings_for(None), tmp_path) is None


def test_a_corpus_without_paragraphs_is_named(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("太短。\n", "utf-8")
    with pytest.raises(TrainingError, match=r"no line of 40 to 480 characters"):
        sample_paragraphs(settings_for(tmp_path).distil, [])


def test_an_encoder_learns_from_probabilities(corpus: Path, tmp_path: Path, tiny_backbone: Path) -> None:
    soft = soft_paragraphs(rows("练", 8), rows("校", 4), [], TAXONOMY, settings_for(corpus), tmp_path / "soft")
    few = as_dataset(rows("练", 1), TAXONOMY)
    dev = as_dataset(rows("校", 4), TAXONOMY)
    quick = load_settings(
        flags={
            "finetune.backbone": str(tiny_backbone), "finetune.epochs": 2, "finetune.max_tokens": 48,
            "finetune.batch_paragraphs": 4,
        }
    ).finetune  # fmt: skip
    (model,) = finetune(few, dev, TAXONOMY, quick, tmp_path / "run", soft)
    history = json.loads((tmp_path / "run" / "seed-1" / "dev.json").read_text("utf-8"))["history"]
    steps = max(entry["step"] for entry in history)
    assert steps == (2 * len(few) + 20) // 4
    assert model.model.is_dir()
