"""From labelled files to a bundle, on a tiny backbone: real training, export, calibration and measuring."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoModelForSequenceClassification

from cli import training
from configs.settings import HOME, EngineSettings, Settings, load_settings
from configs.taxonomy import load_taxonomy
from policy_topics.bundle import load_bundle
from policy_topics.classifier import Classifier
from policy_topics.errors import DataError, TrainingError
from policy_topics.registry import open_registry
from tests import tiny
from train import finetune as finetuning
from train import pipeline
from train.dataset import as_dataset, read
from train.evaluate import evaluate
from train.finetune import finetune
from train.pipeline import train
from train.tracking import Tracker
from train.verdict import verdict_of

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
            "data.duplicate_similarity": 1.0, "bundle": folder / "none", "registry": None,
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


_TRAIN = """
import sys
from pathlib import Path
from configs.settings import load_settings
from configs.taxonomy import load_taxonomy
from train.pipeline import train
from train.tracking import Tracker
from train.verdict import verdict_of

settings, out = load_settings(Path(sys.argv[1])), Path(sys.argv[2])
trained = train(settings, load_taxonomy(), out, out.with_name(f"{out.name}-work"), print)
print("nothing to write" if trained is None else trained.bundle.version)
"""


@pytest.fixture
def process(settings: Settings, tmp_path: Path):  # type: ignore[no-untyped-def]
    """A training in a process of its own, or in several; they see one core each."""
    content = settings.model_dump(mode="json")
    content["finetune"] |= {"epochs": 3, "patience": 3, "batch_paragraphs": 4}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(content), "utf-8")
    (tmp_path / "train_it.py").write_text(_TRAIN, "utf-8")

    def start(out: Path, *launcher: str) -> subprocess.Popen[str]:
        command = [sys.executable, *launcher, str(tmp_path / "train_it.py"), str(tmp_path / "my.yaml"), str(out)]
        environment = {**os.environ, "PYTHONPATH": str(HOME), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        return subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    return start


def end(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 0, out
    return out


def test_a_training_that_is_killed_goes_on_and_ends_in_the_same_bundle_as_one_that_is_not(  # type: ignore[no-untyped-def]
    process, tmp_path: Path
) -> None:
    """Twice the same training gives the same version, and so does one with a kill in it: same weights, same answers."""
    version = end(process(tmp_path / "whole" / "model")).split()[-1]
    killed = process(tmp_path / "killed" / "model")
    checkpoints = tmp_path / "killed" / "model-work" / "seed-1" / "checkpoints"
    for _ in range(20_000):
        if list(checkpoints.glob("checkpoint-*/trainer_state.json")) or killed.poll() is not None:
            break
        time.sleep(0.005)
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model").exists()
    said = end(process(tmp_path / "killed" / "model"))
    assert said.split()[-1] == version
    assert "step 1/" not in said  # and not from the beginning
    whole, resumed = (load_bundle(tmp_path / name / "model") for name in ("whole", "killed"))
    assert whole.manifest.files["model.safetensors"] == resumed.manifest.files["model.safetensors"]
    assert whole.manifest.files["metrics.json"] != resumed.manifest.files["metrics.json"]  # times differ
    assert [each.name for each in (tmp_path / "killed").iterdir()] == ["model"]


def test_two_processes_train_what_one_trains_and_one_of_them_writes(  # type: ignore[no-untyped-def]
    process, trained: Path, tmp_path: Path
) -> None:
    said = end(process(tmp_path / "model", "-m", "torch.distributed.run", "--nproc-per-node", "2"))
    assert said.count("nothing to write") == 1
    assert said.count("to train on") == 1
    assert "step 90/90" in said  # as many as one process takes: each reads half of a batch
    together, alone = (
        json.loads((folder / "metrics.json").read_text("utf-8"))["test"] for folder in (tmp_path / "model", trained)
    )
    assert together["micro_f1"] == pytest.approx(alone["micro_f1"], abs=0.1)


def test_a_second_training_into_the_same_folder_is_refused_while_the_first_runs(
    settings: Settings, tmp_path: Path
) -> None:
    with pipeline._alone(tmp_path / "work"), pytest.raises(TrainingError, match="another training runs in"):
        train(settings, TAXONOMY, tmp_path / "m", tmp_path / "work", lambda _: None)
    assert not (tmp_path / "m").exists()


def test_what_serves_is_where_a_training_starts(settings: Settings, trained: Path, tmp_path: Path) -> None:
    served = settings.model_copy(
        update={"bundle": trained, "finetune": settings.finetune.model_copy(update={"backbone": None})}
    )
    assert pipeline._warm_start(served).finetune.backbone == str(trained)
    with pytest.raises(TrainingError, match="give --backbone"):
        pipeline._warm_start(served.model_copy(update={"bundle": tmp_path}))


def test_a_retrained_bundle_is_judged_beside_what_serves_and_goes_into_the_registry(
    settings: Settings, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.gate.SLOWNESS", 100)  # a busy machine shall not fail this test
    monkeypatch.setattr("train.gate.BEHAVIOUR_FALL", 1)  # nor what a tiny model makes of real texts
    again = settings.model_copy(
        update={
            "bundle": trained,
            "registry": tmp_path / "registry",
            "finetune": settings.finetune.model_copy(update={"backbone": None, "epochs": 1, "learning_rate": 1e-5}),
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


def test_where_there_is_no_terminal_lines_say_where_a_training_stands(settings: Settings, tmp_path: Path) -> None:
    data = [as_dataset(read(files, TAXONOMY), TAXONOMY) for files in (settings.data.files, settings.data.dev_files)]
    said: list[str] = []
    finetune(*data, TAXONOMY, settings.finetune.model_copy(update={"epochs": 1}), tmp_path, say=said.append)
    assert any(re.fullmatch(r"seed 1: step \d+/15, loss \d\.\d{4}, ETA \d:\d\d:\d\d", line) for line in said)
    assert any(re.fullmatch(r"seed 1: step 15/15, dev macro-F1 \d\.\d{4}", line) for line in said)


def test_a_training_is_tracked_where_the_settings_say_so(settings: Settings, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    quick = settings.model_copy(
        update={"tracking": str(tmp_path / "kept"), "finetune": settings.finetune.model_copy(update={"epochs": 1})}
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


def test_a_store_that_fails_later_does_not_stop_the_training(tmp_path: Path) -> None:
    said: list[str] = []
    tracker = Tracker(None, tmp_path, "m", said.append)
    tracker._client, tracker._run = object(), "x"  # has no method at all
    tracker.figures({"loss": 1.0})
    tracker.figures({"loss": 0.5})
    assert len(said) == 1
    assert "goes on without" in said[0]


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
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
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


def test_a_full_disk_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="make room and do the same again"), training._disk_with_room(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
