"""From labelled files to a bundle, on a tiny backbone: real training, export, calibration and measuring."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, Trainer, TrainerState

from cli import training
from configs.settings import HOME, EngineSettings, Settings, load_settings
from policy_topics.bundle import load_bundle
from policy_topics.classifier import Classifier
from policy_topics.errors import DataError, TrainingError
from policy_topics.registry import open_registry
from tests import tiny
from tests.little_training import TAXONOMY, rows_of, write
from train import pipeline
from train.dataset import as_dataset, read
from train.evaluate import evaluate
from train.finetune import finetune
from train.pipeline import train
from train.tracking import Tracker
from train.training_data import read_training_data
from train.verdict import verdict_of


def test_training_learns_what_the_paragraphs_teach(trained: Path, little: Settings) -> None:
    metrics = json.loads((trained / "metrics.json").read_text("utf-8"))
    assert metrics["test"]["micro_f1"] > 0.8
    predictions = Classifier.load(trained, little.engine).classify(["改善学校教师招生考试研究工作。"])
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


def test_evaluation_reads_the_same_figures_again(trained: Path, little: Settings) -> None:
    classifier = Classifier.load(trained, little.engine)
    again = evaluate(classifier, read(little.data.test_files, TAXONOMY))
    before = json.loads((trained / "metrics.json").read_text("utf-8"))["test"]
    assert again.macro_f1 == pytest.approx(before["macro_f1"])
    assert again.brier == pytest.approx(before["brier"], rel=1e-4)


def test_the_quantised_engine_stays_near_the_plain_model(trained: Path) -> None:
    (check, *_) = json.loads((trained / "metrics.json").read_text("utf-8"))["gates"]
    assert abs(check["reference_macro_f1"] - check["macro_f1"]) <= 0.2
    assert check["largest_probability_difference"] < 0.5


def test_what_serves_is_where_a_training_starts(little: Settings, trained: Path, tmp_path: Path) -> None:
    served = little.model_copy(
        update={"bundle": trained, "finetune": little.finetune.model_copy(update={"backbone": None})}
    )
    assert pipeline._warm_start(served).finetune.backbone == str(trained)
    with pytest.raises(TrainingError, match="give --backbone"):
        pipeline._warm_start(served.model_copy(update={"bundle": tmp_path}))


def test_a_retrained_bundle_is_judged_beside_what_serves_and_goes_into_the_registry(
    little: Settings, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.gate.SLOWNESS", 100)  # a busy machine shall not fail this test
    monkeypatch.setattr("train.gate.BEHAVIOUR_FALL", 1)  # nor what a tiny model makes of real texts
    again = little.model_copy(
        update={
            "bundle": trained,
            "registry": tmp_path / "registry",
            "finetune": little.finetune.model_copy(update={"backbone": None, "epochs": 1, "learning_rate": 1e-5}),
        }
    )
    result = train(again, TAXONOMY, tmp_path / "m", tmp_path / "w", lambda _: None)
    assert result is not None
    assert result.bundle.manifest.parent == load_bundle(trained).version
    assert result.verdict is not None
    assert (result.verdict.incumbent, result.verdict.passed) == (load_bundle(trained).version, True)
    registry = open_registry(again)
    assert [entry.version for entry in registry.versions()] == [result.bundle.version]
    assert registry.promoted() is None
    assert verdict_of(registry.path(result.bundle.version)) == verdict_of(tmp_path / "m") == result.verdict
    monkeypatch.setattr("train.gate.SLOWNESS", 0)
    refused = train(again, TAXONOMY, tmp_path / "n", tmp_path / "w", lambda _: None)
    assert refused is not None
    assert refused.verdict is not None
    assert not (refused.verdict.passed or refused.registered)
    assert len(registry.versions()) == 1


def test_new_files_are_trained_on_together_with_those_of_the_settings() -> None:
    settings = load_settings()
    new = HOME / "data" / "test.jsonl"
    together = training._with_flags(settings, [new, HOME / "data" / "train.jsonl"], None, None, None, None, None)
    assert together.data.files == (HOME / "data" / "train.jsonl", new)
    assert together.data.dev_files == (HOME / "data" / "dev.jsonl",)


def test_where_there_is_no_terminal_lines_say_where_a_training_stands(little: Settings, tmp_path: Path) -> None:
    data = [as_dataset(read(files, TAXONOMY), TAXONOMY) for files in (little.data.files, little.data.dev_files)]
    said: list[str] = []
    finetune(*data, TAXONOMY, little.finetune.model_copy(update={"epochs": 1}), tmp_path, say=said.append)
    assert any(re.fullmatch(r"seed 1: step \d+/15, loss \d\.\d{4}, ETA \d:\d\d:\d\d", line) for line in said)
    assert any(re.fullmatch(r"seed 1: step 15/15, dev macro-F1 \d\.\d{4}", line) for line in said)


def test_a_training_is_tracked_where_the_settings_say_so(little: Settings, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    quick = little.model_copy(
        update={
            "tracking": str(tmp_path / "kept"),
            "finetune": little.finetune.model_copy(update={"epochs": 1}),
        }
    )
    result = train(quick, TAXONOMY, tmp_path / "m", tmp_path / "w", lambda _: None)
    assert result is not None
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'kept' / 'mlflow.db'}")
    (experiment,) = (each for each in client.search_experiments() if each.name == "policy-topics")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["finetune.epochs"] == "1"
    assert run.data.metrics["test/macro_f1"] == pytest.approx(result.metrics["test"].macro_f1)
    assert run.data.tags["version"] == result.bundle.version
    assert client.get_metric_history(run.info.run_id, "seed-1/eval_macro_f1")
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_what_was_changed_before_a_training_went_on_does_not_end_its_tracking(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    said: list[str] = []
    store = str(tmp_path / "kept")
    Tracker(store, tmp_path, "m", said.append).parameters({"export.max_f1_loss": 0.005})
    again = Tracker(store, tmp_path, "m", said.append)
    again.parameters({"export.max_f1_loss": 0.01, "data.seed": 0})
    again.figures({"loss": 1.0})
    run = again._client.get_run(again._run)
    assert not said
    assert run.data.params == {"export.max_f1_loss": "0.005", "data.seed": "0"}
    assert run.data.metrics == {"loss": 1.0}


def test_a_store_that_fails_later_does_not_stop_the_training(tmp_path: Path) -> None:
    said: list[str] = []
    tracker = Tracker(None, tmp_path, "m", said.append)
    tracker._client, tracker._run = object(), "x"  # has no method at all
    tracker.figures({"loss": 1.0})
    tracker.figures({"loss": 0.5})
    assert len(said) == 1
    assert "goes on without" in said[0]


def test_several_seeds_give_several_models_the_best_first(little: Settings, tmp_path: Path) -> None:
    data = [as_dataset(read(files, TAXONOMY), TAXONOMY) for files in (little.data.files, little.data.dev_files)]
    two = little.finetune.model_copy(update={"epochs": 1, "seeds": (1, 2)})
    models = finetune(*data, TAXONOMY, two, tmp_path)
    assert {model.seed for model in models} == {1, 2}
    assert models[0].macro_f1 >= models[1].macro_f1


def test_a_share_of_the_weights_that_it_started_from_is_kept(little: Settings, tmp_path: Path) -> None:
    data = [as_dataset(read(files, TAXONOMY), TAXONOMY) for files in (little.data.files, little.data.dev_files)]

    def weights(name: str, **changes: Any) -> tuple[Path, dict[str, torch.Tensor]]:
        settings = little.finetune.model_copy(update={"epochs": 1, **changes})
        (model,) = finetune(*data, TAXONOMY, settings, tmp_path / name)
        return model.model, load_file(model.model / "model.safetensors")

    start, before = weights("start")
    _, after = weights("after", backbone=str(start))
    _, mixed = weights("mixed", backbone=str(start), start_share=0.25)
    assert not torch.equal(before["classifier.weight"], after["classifier.weight"])
    for name, weight in mixed.items():
        torch.testing.assert_close(weight, 0.25 * before[name] + 0.75 * after[name])


def test_the_card_names_what_it_was_fine_tuned_from(trained: Path, little: Settings) -> None:
    half = little.finetune.model_copy(update={"start_share": 0.5})
    of_bundle = pipeline._start(load_bundle(trained), half)
    assert of_bundle.startswith(f"`{trained.name} {load_bundle(trained).version}`, 50% of whose weights it keeps")
    of_folder = pipeline._start(None, little.finetune)
    assert of_folder == f"`{'/'.join(Path(str(little.finetune.backbone)).parts[-2:])}`"
    assert f"Fine-tuned from {of_folder} on\n" in (trained / "MODEL_CARD.md").read_text("utf-8")


def test_of_checkpoints_that_are_equally_good_the_last_is_kept(little: Settings, tmp_path: Path) -> None:
    kept: list[TrainerState] = []

    class Noted(Trainer):
        def train(self, *given: Any, **more: Any) -> Any:
            done = super().train(*given, **more)
            kept.append(self.state)
            return done

    data = [as_dataset(read(files, TAXONOMY), TAXONOMY) for files in (little.data.files, little.data.dev_files)]
    finetune(*data, TAXONOMY, little.finetune, tmp_path, trainer=Noted)
    (state,) = kept
    best = [each["step"] for each in state.log_history if each.get("eval_macro_f1") == state.best_metric]
    assert len(best) > 1
    assert state.best_global_step == best[-1]


def test_training_paragraphs_that_stand_in_the_test_set_are_left_out_and_named(
    little: Settings, tmp_path: Path
) -> None:
    leak = write(tmp_path / "leak.jsonl", [{**rows_of("测", 1)[0], "document": "another"}])
    data = little.data.model_copy(update={"files": (*little.data.files, leak)})
    quick = little.finetune.model_copy(update={"epochs": 1})
    said: list[str] = []
    result = train(
        little.model_copy(update={"data": data, "finetune": quick}),
        TAXONOMY, tmp_path / "model", tmp_path / "work", said.append,
    )  # fmt: skip
    assert [row.line.file for row in result.left_out] == [leak]
    assert any("leak.jsonl:1" in line for line in said)


def test_dev_paragraphs_that_stand_in_the_test_set_are_left_out_and_named(little: Settings, tmp_path: Path) -> None:
    same, near, of_one_document = rows_of("测", 1)
    leaks = write(
        tmp_path / "leaks.jsonl",
        [
            {**same, "document": "another"},
            {**near, "text": near["text"] + "（摘要）", "document": "a third"},
            {**of_one_document, "text": "公交客运线路延长到开发区。"},
        ],
    )
    changes = {"dev_files": (*little.data.dev_files, leaks), "duplicate_similarity": 0.7}
    said: list[str] = []
    data = read_training_data(little.data.model_copy(update=changes), TAXONOMY, said.append)
    assert data.held_out["dev"] == read(little.data.dev_files, TAXONOMY)
    assert data.held_out["test"] == read(little.data.test_files, TAXONOMY)
    assert said[1] == "left out of dev, for they stand in test too: " + ", ".join(f"{leaks}:{i}" for i in (1, 2, 3))


def test_an_unknown_topic_in_training_data_is_named_with_its_line(little: Settings, tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.jsonl", [{"text": "发展教育事业。", "labels": ["eduction"]}])
    data = little.data.model_copy(update={"files": (bad,)})
    with pytest.raises(DataError, match=r"bad\.jsonl:1.*eduction.*education"):
        train(little.model_copy(update={"data": data}), TAXONOMY, tmp_path / "m", tmp_path / "w", print)
    assert not (tmp_path / "m").exists()


def test_a_behaviour_test_of_an_unknown_topic_is_told_before_the_training(
    little: Settings, trained: Path, tmp_path: Path
) -> None:
    case = {"kind": "typical", "text": "推进高标准农田建设。", "topics": ["agricultur"]}
    data = little.data.model_copy(update={"behaviour_files": (write(tmp_path / "behaviour.jsonl", [case]),)})
    served = little.model_copy(update={"bundle": trained, "data": data})
    with pytest.raises(DataError, match=r"behaviour\.jsonl:1: agricultur: a topic that no bundle here knows"):
        train(served, TAXONOMY, tmp_path / "m", tmp_path / "w", print)
    assert not (tmp_path / "w").exists()


def test_a_backbone_that_is_not_there_is_named(
    little: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    nowhere = little.finetune.model_copy(update={"backbone": "no-such/bert"})
    with pytest.raises(TrainingError, match="no-such/bert"):
        train(little.model_copy(update={"finetune": nowhere}), TAXONOMY, tmp_path / "m", tmp_path / "w", print)


def test_an_existing_bundle_is_not_overwritten(little: Settings, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="exists"):
        train(little, TAXONOMY, trained, tmp_path / "w", print)


def test_a_model_that_loses_too_much_in_the_engine_is_refused(
    little: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train import export

    monkeypatch.setattr(export.PrecisionCheck, "loss", property(lambda self: 0.9))
    quick = little.finetune.model_copy(update={"epochs": 1})
    with pytest.raises(TrainingError, match=r"int8 loses 0\.9000, bf16 loses 0\.9000"):
        train(
            little.model_copy(update={"finetune": quick}),
            TAXONOMY,
            tmp_path / "m",
            tmp_path / "w",
            lambda _: None,
        )
    assert not (tmp_path / "m").exists()


def test_a_plain_bert_is_fine_tuned_and_exported_too(little: Settings, tmp_path: Path) -> None:
    bert = little.finetune.model_copy(update={"epochs": 1, "backbone": str(tiny.tiny_backbone(tmp_path / "b", True))})
    train(little.model_copy(update={"finetune": bert}), TAXONOMY, tmp_path / "m", tmp_path / "w", lambda _: None)
    assert json.loads((tmp_path / "m" / "config.json").read_text("utf-8"))["model_type"] == "bert"


def test_nothing_to_train_on_or_to_calibrate_on_is_said_before_training(little: Settings, tmp_path: Path) -> None:
    dev_is_test = little.data.model_copy(update={"dev_files": little.data.test_files})
    with pytest.raises(TrainingError, match="every dev paragraph stands in test"):
        train(little.model_copy(update={"data": dev_is_test}), TAXONOMY, tmp_path / "m", tmp_path / "w", print)
    only_leaks = little.data.model_copy(update={"files": little.data.dev_files})
    with pytest.raises(TrainingError, match="every training paragraph stands in dev or test"):
        train(little.model_copy(update={"data": only_leaks}), TAXONOMY, tmp_path / "m", tmp_path / "w", print)
    bare = write(tmp_path / "bare.jsonl", [{"text": "会议名单如下，共三十人出席。", "labels": []}])
    no_topic = little.data.model_copy(update={"dev_files": (bare,)})
    with pytest.raises(TrainingError, match="no dev paragraph carries a topic"):
        train(little.model_copy(update={"data": no_topic}), TAXONOMY, tmp_path / "m", tmp_path / "w", print)


def test_engine_settings_choose_the_engine(trained: Path) -> None:
    names = {Classifier.load(trained, EngineSettings(kind=kind, threads=1, batch_tokens=64)).engine.name.split()[0]
             for kind in ("openvino", "torch")}  # fmt: skip
    assert names == {"OpenVINO", "PyTorch"}
