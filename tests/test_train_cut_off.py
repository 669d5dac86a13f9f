"""A training that is killed, fails, or runs in several processes ends in the bundle of one that is left alone."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from datasets import Dataset
from safetensors import SafetensorError
from safetensors.torch import load_file

from cli import training
from configs.settings import HOME, Settings
from policy_topics.bundle import load_bundle
from policy_topics.errors import TrainingError
from tests.little_training import TAXONOMY
from train import finetune as finetuning
from train import pipeline
from train.dataset import as_dataset, read
from train.finetune import finetune
from train.pipeline import train


@pytest.fixture
def rows(little: Settings) -> list[Dataset]:
    """The little training's paragraphs: to learn from, and dev."""
    return [as_dataset(read(files, TAXONOMY), TAXONOMY) for files in (little.data.files, little.data.dev_files)]


def test_a_training_that_was_cut_off_goes_on_and_ends_the_same(
    little: Settings, rows: list[Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = little.finetune.model_copy(update={"epochs": 3})
    (whole,) = finetune(*rows, TAXONOMY, short, tmp_path / "whole")

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(finetuning.EarlyStoppingCallback, "on_save", die)
        finetune(*rows, TAXONOMY, short, tmp_path / "cut")
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
        (resumed,) = finetune(*rows, TAXONOMY, short, tmp_path / "cut")
    assert begun[0] == int(last.name.split("-")[1])  # and not 0
    assert resumed.macro_f1 == pytest.approx(whole.macro_f1, abs=1e-6)


def test_a_training_that_is_cut_off_after_it_stopped_early_reads_no_more(
    little: Settings, rows: list[Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Steps so small that the second epoch is as good as the first, and no better: it stops after two of four.
    own = little.finetune.model_copy(update={"epochs": 4, "patience": 1, "learning_rate": 1e-9})
    (whole,) = finetune(*rows, TAXONOMY, own, tmp_path / "whole")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(finetuning, "write_json", full)
        finetune(*rows, TAXONOMY, own, tmp_path / "cut")
    with monkeypatch.context() as patch:
        patch.setattr(finetuning.Trainer, "training_step", full)  # no step is left to be done
        (resumed,) = finetune(*rows, TAXONOMY, own, tmp_path / "cut")
    assert resumed.macro_f1 == whole.macro_f1
    one, other = (load_file(each.model / "model.safetensors") for each in (whole, resumed))
    assert all(torch.equal(weight, other[name]) for name, weight in one.items())


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
def process(little: Settings, tmp_path: Path):  # type: ignore[no-untyped-def]
    """A training in a process of its own, or in several; they see one core each."""
    content = little.model_dump(mode="json")
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
    little: Settings, tmp_path: Path
) -> None:
    with pipeline._alone(tmp_path / "work"), pytest.raises(TrainingError, match="another training runs in"):
        train(little, TAXONOMY, tmp_path / "m", tmp_path / "work", lambda _: None)
    assert not (tmp_path / "m").exists()


def test_a_training_goes_on_only_with_its_rows_in_their_order_and_as_many_processes(
    little: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the steps that are left would read some paragraphs again, and others never."""
    rows, dev = (as_dataset(read(files, TAXONOMY), TAXONOMY) for files in (little.data.files, little.data.dev_files))
    quick = little.finetune.model_copy(update={"epochs": 1})
    finetune(rows, dev, TAXONOMY, quick, tmp_path)
    with pytest.raises(TrainingError, match=r"other settings or data \(data\)"):
        finetune(rows.select(range(len(rows))[::-1]), dev, TAXONOMY, quick, tmp_path)
    monkeypatch.setattr("train.processes.count", lambda: 2)
    with pytest.raises(TrainingError, match=r"other settings or data \(processes\)"):
        finetune(rows, dev, TAXONOMY, quick, tmp_path)


def test_a_training_whose_end_fails_leaves_no_bundle_says_what_is_kept_and_goes_on(
    little: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = little.model_copy(update={"finetune": little.finetune.model_copy(update={"epochs": 1})})

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("Encountered NaN.")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="NaN") as failure:
        patch.setattr("train.pipeline.baselines", fail)
        train(quick, TAXONOMY, tmp_path / "m", tmp_path / "w", lambda _: None)
    (note,) = failure.value.__notes__
    assert f"kept in {tmp_path / 'w'}; the same command goes on" in note
    assert not (tmp_path / "m").exists()
    said: list[str] = []
    train(quick, TAXONOMY, tmp_path / "m", tmp_path / "w", said.append)
    assert load_bundle(tmp_path / "m").manifest.name == "m"
    assert not [line for line in said if "step" in line]  # nothing is fine-tuned again


@pytest.mark.parametrize(
    "fault",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
        RuntimeError("basic_ios::clear: iostream error"),
    ],
    ids=["system", "safetensors", "torch", "torch, small file"],
)
def test_a_full_disk_is_said_with_what_to_do(fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_HARDLY_ANY_ROOM", 2**63)
    with pytest.raises(TrainingError, match="make room and do the same again"), training._disk_with_room(tmp_path):
        raise fault


def test_a_file_that_torch_cannot_write_though_there_is_room_is_another_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_HARDLY_ANY_ROOM", 0)
    with pytest.raises(RuntimeError, match="inline_container"), training._disk_with_room(tmp_path):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")


_FILL = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from cli.training import _disk_with_room
from policy_topics.errors import TrainingError

disk = Path(sys.argv[1])
for save in (save_file, torch.save):
    for numbers in (2_000, 1_000_000):
        try:
            with _disk_with_room(disk):
                for i in range(200):
                    save({"weight": torch.zeros(numbers)}, disk / f"{i}.model")
        except TrainingError as fault:
            print("told:", type(fault.__cause__).__name__)
        for file in disk.iterdir():
            file.unlink()
"""


def test_a_disk_that_is_filled_by_saving_a_model_is_told_from_other_faults(tmp_path: Path) -> None:
    """On a disk of 1 MB, where the system lets a user have one."""
    little_disk = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = 'mount -t tmpfs -o size=1m none "$1"'
    if shutil.which("unshare") is None or subprocess.run([*little_disk, mount, "sh", tmp_path], check=False).returncode:
        pytest.skip("no disk of one's own to fill")
    command = [*little_disk, f'{mount} && "$2" -c "$3" "$1"', "sh", tmp_path, sys.executable, _FILL]
    done = subprocess.run(command, cwd=HOME, check=False, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["told: SafetensorError"] * 2 + ["told: RuntimeError"] * 2, done.stderr
