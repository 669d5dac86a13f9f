"""From labelled files to a bundle, on a tiny backbone: real training, export, calibration and measuring."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForSequenceClassification

from configs.settings import EngineSettings, Settings, load_settings
from configs.taxonomy import load_taxonomy
from policy_topics.bundle import load_bundle
from policy_topics.classifier import Classifier
from policy_topics.errors import DataError, TrainingError
from tests import tiny
from train import finetune as finetuning
from train.dataset import as_dataset, read
from train.evaluate import evaluate
from train.finetune import finetune
from train.pipeline import train

TAXONOMY = load_taxonomy()
SUBJECTS = {"education": "学校教师招生考试", "transport": "公路铁路公交客运", "energy": "电力煤炭油气储能"}


def write(file: Path, rows: Sequence[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return file


def rows_of(split: str, each: int) -> list[dict[str, Any]]:
    """Paragraphs that differ, of three topics that their words tell apart."""
    verbs = ["推进", "规范", "改善", "调查", "扩大", "减少", "清理", "公开", "研究", "检查"]
    return [
        {
            "text": f"{verb}{words[k:]}{words[:k]}{verbs[k]}工作，{split}第{i}批。",
            "labels": [topic],
            "document": f"{split}-{i}",
        }
        for topic, words in SUBJECTS.items()
        for i in range(each)
        for verb, k in [(verbs[i % 10], i * 7 % 8)]
    ]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> Settings:
    folder = tmp_path_factory.mktemp("data")
    files = {
        split: write(folder / f"{split}.jsonl", rows_of(split, n)) for split, n in (("练", 40), ("校", 12), ("测", 12))
    }
    return load_settings(
        flags={
            "data.files": [files["练"]], "data.dev_files": [files["校"]], "data.test_files": [files["测"]],
            "data.duplicate_similarity": 1.0,
            "finetune.backbone": str(tiny_backbone), "finetune.epochs": 6, "finetune.learning_rate": 3e-3,
            "finetune.max_tokens": 48, "finetune.dropout": 0.0, "finetune.patience": 6, "finetune.batch_paragraphs": 8,
            "export.max_f1_loss": 0.2, "export.calibration_paragraphs": 20, "engine.threads": 1,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(settings, TAXONOMY, folder / "model", folder / "work", say=lambda _: None)
    return folder / "model"


def test_training_learns_what_the_paragraphs_teach(trained: Path, settings: Settings) -> None:
    metrics = json.loads((trained / "metrics.json").read_text("utf-8"))
    assert metrics["test"]["micro_f1"] > 0.8
    predictions = Classifier.load(trained, settings.engine).classify(["改善学校教师招生考试研究工作。"])
    assert predictions[0].primary == "education"


def test_the_bundle_is_plain_hugging_face_with_a_manifest_a_card_and_figures(trained: Path) -> None:
    bundle = load_bundle(trained)
    assert bundle.manifest.precision in {"int8", "bf16"}
    assert AutoModelForSequenceClassification.from_pretrained(trained).config.id2label[0] == TAXONOMY.ids[0]
    card = (trained / "MODEL_CARD.md").read_text("utf-8")
    assert f"| `education` | {TAXONOMY['education'].zh} |" in card
    assert "| TF-IDF (char 1–3) + LinearSVC |" in card
    figures = bundle.metrics()["dev"]
    assert {"micro_f1", "topics", "cross", "risk_coverage", "slices", "compared", "cost"} <= figures.keys()
    assert all(row["text"] not in card and row["text"] not in str(bundle.metrics()) for row in rows_of("校", 12))
    assert not list(trained.rglob("*.bin")) + list(trained.rglob("*.pt")) + list(trained.rglob("*.pkl"))


def test_evaluation_reads_the_same_figures_again(trained: Path, settings: Settings) -> None:
    classifier = Classifier.load(trained, settings.engine)
    again = evaluate(classifier, read(settings.data.test_files, TAXONOMY))
    before = json.loads((trained / "metrics.json").read_text("utf-8"))["test"]
    assert again.macro_f1 == pytest.approx(before["macro_f1"])
    assert again.brier == pytest.approx(before["brier"], rel=1e-4)


def test_the_quantised_engine_stays_near_the_plain_model(trained: Path) -> None:
    (gate, *_) = json.loads((trained / "metrics.json").read_text("utf-8"))["gates"]
    assert abs(gate["reference_macro_f1"] - gate["macro_f1"]) <= 0.2
    assert gate["largest_probability_difference"] < 0.5


def test_a_training_that_was_cut_off_goes_on_and_ends_the_same(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {split: as_dataset(read(files, TAXONOMY), TAXONOMY) for split, files in
            (("train", settings.data.files), ("dev", settings.data.dev_files))}  # fmt: skip
    short = settings.finetune.model_copy(update={"epochs": 3})
    (whole,) = finetune(rows["train"], rows["dev"], TAXONOMY, short, tmp_path / "whole")

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(finetuning.EarlyStoppingCallback, "on_save", die)
        finetune(rows["train"], rows["dev"], TAXONOMY, short, tmp_path / "cut")
    last = max((tmp_path / "cut").rglob("checkpoint-*"), key=lambda folder: int(folder.name.split("-")[1]))
    half = last.with_name("checkpoint-99999")  # what a kill in the middle of saving leaves
    half.mkdir()
    begun: list[int] = []
    with monkeypatch.context() as patch:
        begin = finetuning.EarlyStoppingCallback.on_step_begin
        patch.setattr(
            finetuning.EarlyStoppingCallback,
            "on_step_begin",
            lambda *a, **k: begun.append(a[2].global_step) or begin(*a, **k),
        )
        (resumed,) = finetune(rows["train"], rows["dev"], TAXONOMY, short, tmp_path / "cut")
    assert begun[0] == int(last.name.split("-")[1])  # and not 0
    assert resumed.macro_f1 == pytest.approx(whole.macro_f1, abs=1e-6)


def test_several_seeds_give_several_models_the_best_first(settings: Settings, tmp_path: Path) -> None:
    data = [as_dataset(read(files, TAXONOMY), TAXONOMY) for files in (settings.data.files, settings.data.dev_files)]
    two = settings.finetune.model_copy(update={"epochs": 1, "seeds": (1, 2)})
    models = finetune(*data, TAXONOMY, two, tmp_path)
    assert {model.seed for model in models} == {1, 2}
    assert models[0].macro_f1 >= models[1].macro_f1


def test_training_paragraphs_that_stand_in_the_test_set_are_left_out_and_named(
    settings: Settings, tmp_path: Path
) -> None:
    leak = write(tmp_path / "leak.jsonl", [{**rows_of("测", 1)[0], "document": "another"}])
    data = settings.data.model_copy(update={"files": (*settings.data.files, leak)})
    quick = settings.finetune.model_copy(update={"epochs": 1})
    said: list[str] = []
    result = train(
        settings.model_copy(update={"data": data, "finetune": quick}),
        TAXONOMY, tmp_path / "model", tmp_path / "work", said.append,
    )  # fmt: skip
    assert [row.line.file for row in result.left_out] == [leak]
    assert any("leak.jsonl:1" in line for line in said)


def test_an_unknown_topic_in_training_data_is_named_with_its_line(settings: Settings, tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.jsonl", [{"text": "发展教育事业。", "labels": ["eduction"]}])
    data = settings.data.model_copy(update={"files": (bad,)})
    with pytest.raises(DataError, match=r"bad\.jsonl:1.*eduction.*education"):
        train(settings.model_copy(update={"data": data}), TAXONOMY, tmp_path / "m", tmp_path / "w", print)
    assert not (tmp_path / "m").exists()


def test_a_backbone_that_is_not_there_is_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    nowhere = settings.finetune.model_copy(update={"backbone": "no-such/bert"})
    with pytest.raises(TrainingError, match="no-such/bert"):
        train(settings.model_copy(update={"finetune": nowhere}), TAXONOMY, tmp_path / "m", tmp_path / "w", print)


def test_an_existing_bundle_is_not_overwritten(settings: Settings, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="exists"):
        train(settings, TAXONOMY, trained, tmp_path / "w", print)


def test_a_model_that_loses_too_much_in_the_engine_is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train import export

    monkeypatch.setattr(export.Gate, "loss", property(lambda self: 0.9))
    quick = settings.finetune.model_copy(update={"epochs": 1})
    with pytest.raises(TrainingError, match=r"int8 loses 0\.9000, bf16 loses 0\.9000"):
        train(settings.model_copy(update={"finetune": quick}), TAXONOMY, tmp_path / "m", tmp_path / "w", lambda _: None)
    assert not (tmp_path / "m").exists()


def test_a_plain_bert_is_fine_tuned_and_exported_too(settings: Settings, tmp_path: Path) -> None:
    bert = settings.finetune.model_copy(update={"epochs": 1, "backbone": str(tiny.tiny_backbone(tmp_path / "b", True))})
    train(settings.model_copy(update={"finetune": bert}), TAXONOMY, tmp_path / "m", tmp_path / "w", lambda _: None)
    assert json.loads((tmp_path / "m" / "config.json").read_text("utf-8"))["model_type"] == "bert"


def test_a_training_whose_end_fails_leaves_no_bundle_and_goes_on(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = settings.model_copy(update={"finetune": settings.finetune.model_copy(update={"epochs": 1})})

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr("train.pipeline.make_report", fail)
        train(quick, TAXONOMY, tmp_path / "m", tmp_path / "w", lambda _: None)
    assert not (tmp_path / "m").exists()
    train(quick, TAXONOMY, tmp_path / "m", tmp_path / "w", lambda _: None)
    assert load_bundle(tmp_path / "m").manifest.name == "m"


def test_nothing_to_train_on_or_to_calibrate_on_is_said_before_training(settings: Settings, tmp_path: Path) -> None:
    only_leaks = settings.data.model_copy(update={"files": settings.data.dev_files})
    with pytest.raises(TrainingError, match="every training paragraph stands in dev or test"):
        train(settings.model_copy(update={"data": only_leaks}), TAXONOMY, tmp_path / "m", tmp_path / "w", print)
    bare = write(tmp_path / "bare.jsonl", [{"text": "会议名单如下，共三十人出席。", "labels": []}])
    no_topic = settings.data.model_copy(update={"dev_files": (bare,)})
    with pytest.raises(TrainingError, match="no dev paragraph carries a topic"):
        train(settings.model_copy(update={"data": no_topic}), TAXONOMY, tmp_path / "m", tmp_path / "w", print)


def test_loss_weights_raise_the_cost_of_missing_a_rare_topic() -> None:
    import numpy as np
    import torch
    from transformers.modeling_outputs import SequenceClassifierOutput

    labels = np.array([[1, 0]] * 9 + [[1, 1]], np.float32)
    missed = SequenceClassifierOutput(logits=torch.tensor([[5.0, -5.0]]))
    plain, weighted = (finetuning._loss(labels, power)(missed, torch.ones(1, 2)) for power in (0.0, 0.5))
    assert weighted > 2 * plain


def test_engine_settings_choose_the_engine(trained: Path) -> None:
    names = {Classifier.load(trained, EngineSettings(kind=kind, threads=1, batch_tokens=64)).engine.name.split()[0]
             for kind in ("openvino", "torch")}  # fmt: skip
    assert names == {"OpenVINO", "PyTorch"}
