"""The gate: what is refused, what is let through, and what the verdict says of it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer
from numpy.typing import NDArray

from cli.gate import REFUSED, gate
from configs.settings import EMBEDDED, HOME, Settings, load_settings
from configs.taxonomy import Taxonomy, load_taxonomy
from policy_topics.bundle import load_bundle
from policy_topics.classifier import Classifier
from policy_topics.errors import DataError, TrainingError
from policy_topics.registry import Registry
from train import gate as gating
from train.behaviour import read_trials, run
from train.dataset import LabelledParagraph
from train.evaluate import Judgement
from train.gate import judge
from train.verdict import Verdict, verdict_file, verdict_of, write_verdict

FULL = load_taxonomy()
FOUR = Taxonomy(version=1, topics=FULL.topics[:4])
LABELS = np.random.default_rng(1).random((600, 4)) < 0.3
LABELS[:, 0] |= ~LABELS.any(axis=1)


def wrong(share: float, seed: int = 2) -> NDArray[np.bool_]:
    """Topics given, a share of them wrongly."""
    return LABELS ^ (np.random.default_rng(seed).random(LABELS.shape) < share)


def rows(labels: NDArray[np.bool_], taxonomy: Taxonomy) -> list[LabelledParagraph]:
    return [
        LabelledParagraph(str(i), f"第{i}段", tuple(t for t, on in zip(taxonomy.ids, row, strict=True) if on))
        for i, row in enumerate(labels)
    ]


@dataclass
class Model:
    """What stands for a bundle: the topics that it gives, how surely, how fast, and the trials that it fails."""

    given: NDArray[np.bool_]
    taxonomy: Taxonomy = FOUR
    surety: float = 0.9
    seconds: float = 1.0
    fails: set[int] = field(default_factory=set)

    @property
    def bundle(self) -> SimpleNamespace:
        return SimpleNamespace(taxonomy=self.taxonomy, name="stub", version="0" * 12)

    def judgement(self) -> Judgement:
        probabilities = np.where(self.given, self.surety, 1 - self.surety).astype(np.float32)
        return Judgement(probabilities, self.given)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Judge a model beside another, with forty behaviour tests."""
    case = {"kind": "invariance", "text": "甲地招聘教师。", "like": "乙地招聘教师。"}
    file = tmp_path / "behaviour.jsonl"
    file.write_text((json.dumps(case) + "\n") * 40, "utf-8")
    settings = load_settings(flags={"data.behaviour_files": [file]})

    def call(candidate: Model, incumbent: Model, labels: NDArray[np.bool_] = LABELS) -> Verdict:
        models = {"candidate": candidate, "incumbent": incumbent}
        monkeypatch.setattr(gating.Classifier, "load", lambda path, engine: models[path.name])
        monkeypatch.setattr(gating, "served", lambda model, rows: (model.judgement(), None))
        monkeypatch.setattr(gating, "_seconds", lambda ours, theirs, texts: (ours.seconds, theirs.seconds))
        monkeypatch.setattr(
            gating, "run", lambda model, trials, topics: [i not in model.fails for i in range(len(trials))]
        )
        return judge(Path("candidate"), Path("incumbent"), rows(labels, candidate.taxonomy), settings)

    return call


def refused(verdict: Verdict) -> list[str]:
    return [rule.name for rule in verdict.rules if not rule.passed]


def test_an_equal_model_and_a_better_one_pass(judged: Any) -> None:
    assert judged(Model(wrong(0.1)), Model(wrong(0.1))).passed
    better = judged(Model(wrong(0.1)), Model(wrong(0.2, 3)))
    assert better.passed
    assert better.macro_f1.low > 0
    assert better.reasons == ()


def test_what_is_worse_by_chance_alone_passes(judged: Any) -> None:
    verdict = judged(Model(wrong(0.1, 5)), Model(wrong(0.1)))
    assert verdict.macro_f1.point < 0 < verdict.macro_f1.high
    assert verdict.passed


def test_a_worse_model_is_refused_with_figures(judged: Any) -> None:
    verdict = judged(Model(wrong(0.2, 3)), Model(wrong(0.1)))
    assert not verdict.passed
    assert "macro-F1" in refused(verdict)
    assert f"{verdict.macro_f1.point:+.4f}" in verdict.reasons[0]


def test_one_topic_that_falls_is_enough_though_the_others_rise(judged: Any) -> None:
    given = wrong(0.02, 3)
    given[:, 2] = wrong(0.25, 4)[:, 2]
    verdict = judged(Model(given), Model(wrong(0.1)))
    assert refused(verdict) == ["F1 of each topic 各主题 F1"]
    assert FOUR.ids[2] in verdict.reasons[0]
    assert verdict.macro_f1.point > 0


def test_a_topic_that_five_documents_carry_is_refused_when_it_is_lost_and_one_of_fewer_is_named(judged: Any) -> None:
    def lost(documents: int) -> Verdict:
        labels = LABELS.copy()
        labels[documents:, 2] = False
        labels[:documents, 2] = True
        given = labels.copy()
        given[:, 2] = False
        return judged(Model(given), Model(labels), labels)  # type: ignore[no-any-return]

    assert "F1 of each topic 各主题 F1" in refused(lost(5))
    few = lost(4)
    assert few.unmeasured_topics == (FOUR.ids[2],)
    assert FOUR.ids[2] not in few.topics
    assert "F1 of each topic 各主题 F1" not in refused(few)


def test_worse_calibration_is_refused(judged: Any) -> None:
    assert refused(judged(Model(wrong(0.1), surety=0.6), Model(wrong(0.1)))) == ["ECE 校准误差"]


def test_a_slower_model_is_refused_and_a_little_slower_one_is_not(judged: Any) -> None:
    assert refused(judged(Model(wrong(0.1), seconds=1.5), Model(wrong(0.1)))) == ["time 耗时"]
    assert judged(Model(wrong(0.1), seconds=1.2), Model(wrong(0.1))).passed


def test_behaviour_tests_that_the_incumbent_passes_are_held_against_it_beyond_one_in_twenty(judged: Any) -> None:
    verdict = judged(Model(wrong(0.1), fails={1, 2, 3}), Model(wrong(0.1)))
    assert refused(verdict) == ["behaviour 行为: invariance"]
    assert verdict.behaviour_failed == ("behaviour.jsonl:2", "behaviour.jsonl:3", "behaviour.jsonl:4")
    assert judged(Model(wrong(0.1), fails={1, 2}), Model(wrong(0.1))).passed
    assert judged(Model(wrong(0.1), fails={1, 2, 3}), Model(wrong(0.1), fails={1, 2, 3})).passed


def test_behaviour_tests_of_a_topic_that_only_one_knows_are_named_as_not_tried(judged: Any, tmp_path: Path) -> None:
    five = Taxonomy(version=2, topics=FULL.topics[:5])
    labels, given = (np.hstack([each, np.zeros((600, 1), bool)]) for each in (LABELS, wrong(0.1)))
    add_behaviour(tmp_path, FULL.ids[4])
    verdict = judged(Model(given, five), Model(wrong(0.1)), labels)
    assert verdict.behaviour_skipped == ("behaviour.jsonl:41",)
    assert verdict.passed


def test_a_behaviour_test_of_a_topic_that_neither_knows_is_a_fault_of_its_line(judged: Any, tmp_path: Path) -> None:
    add_behaviour(tmp_path, "agricultur")
    with pytest.raises(DataError, match=r"behaviour\.jsonl:41: agricultur: .*data\.behaviour_files"):
        judged(Model(wrong(0.1)), Model(wrong(0.1)))


def add_behaviour(folder: Path, topic: str) -> None:
    """One more behaviour test, of this topic."""
    case = {"kind": "direction", "text": "召开会议。", "add": "研究新建学校。", "topic": topic}
    with (folder / "behaviour.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(case) + "\n")


def test_a_new_topic_is_judged_on_its_own_and_is_no_ground_for_refusal(judged: Any) -> None:
    five = Taxonomy(version=2, topics=(FULL.topics[4], *FOUR.topics))
    new = np.random.default_rng(7).random((600, 1)) < 0.2
    bad = np.hstack([~new, wrong(0.1)])
    verdict = judged(Model(bad, five), Model(wrong(0.1)), np.hstack([new, LABELS]))
    assert verdict.passed
    assert verdict.new_topics[FULL.ids[4]].f1 == 0
    assert set(verdict.topics) == set(FOUR.ids)
    assert verdict.macro_f1.point == 0


def test_topics_are_compared_by_id_whatever_their_order_and_lost_ones_are_named(judged: Any) -> None:
    three = Taxonomy(version=2, topics=tuple(reversed(FOUR.topics[:3])))
    verdict = judged(Model(wrong(0.1)[:, 2::-1], three), Model(wrong(0.1)), LABELS[:, 2::-1])
    assert (verdict.macro_f1.point, verdict.ece.point) == (0, 0)
    assert verdict.lost_topics == (FOUR.ids[3],)


def test_a_topic_that_no_test_paragraph_carries_is_named(judged: Any) -> None:
    labels = LABELS.copy()
    labels[:, 1] = False
    verdict = judged(Model(wrong(0.1)), Model(wrong(0.1)), labels)
    assert verdict.unmeasured_topics == (FOUR.ids[1],)
    assert FOUR.ids[1] not in verdict.topics


@pytest.fixture
def settings(tmp_path: Path, tiny_bundle: Path) -> Settings:
    file = tmp_path / "test.jsonl"
    texts = ["推进高标准农田建设，守住耕地。", "改造老旧小区，更换供水管网。", "新建幼儿园三所，招聘教师。"]
    labels = ["agriculture", "urban", "education"]
    lines = [json.dumps({"text": t, "labels": [k]}) + "\n" for t, k in zip(texts, labels, strict=True)]
    file.write_text("".join(lines), "utf-8")
    return load_settings(
        flags={"bundle": tiny_bundle, "registry": None, "data.test_files": [file], "engine.threads": 1}
    )


def test_real_bundles_are_judged_and_a_bundle_passes_beside_itself(
    settings: Settings, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gating, "SLOWNESS", 100)  # a busy machine shall not fail this test
    lines = (HOME / "data" / "test.jsonl").read_text("utf-8").splitlines()[:20]
    some = [
        LabelledParagraph(str(i), row["text"], tuple(row["labels"])) for i, row in enumerate(map(json.loads, lines))
    ]
    verdict = judge(tiny_bundle, tiny_bundle, some, settings)
    assert verdict.passed
    assert (verdict.macro_f1.low, verdict.macro_f1.high) == (0, 0)
    assert {rule.name.split(": ")[-1] for rule in verdict.rules} >= {"typical", "dirt", "invariance", "direction"}
    assert all(seconds > 0 for seconds in verdict.seconds)


def test_a_refusal_has_an_exit_code_of_its_own_and_a_verdict_beside_the_bundle(
    settings: Settings, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    candidate = Path(shutil.copytree(tiny_bundle, tmp_path / "mine"))
    monkeypatch.setattr(gating, "SLOWNESS", 0.0)
    with pytest.raises(typer.Exit) as ended:
        gate(SimpleNamespace(obj=settings), candidate)  # type: ignore[arg-type]
    assert ended.value.exit_code == REFUSED == 3
    assert "拒绝 refused" in capfd.readouterr().out
    verdict = verdict_of(candidate)
    assert verdict is not None
    assert not verdict.passed
    assert verdict_file(candidate) == tmp_path / "mine.verdict.json"
    assert load_bundle(candidate).version == verdict.candidate


def test_judging_again_is_known_of_the_copy_in_the_registry_too(
    settings: Settings, tiny_bundle: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = Path(shutil.copytree(tiny_bundle, tmp_path / "mine"))
    kept = registry.path(registry.add(candidate))
    monkeypatch.setattr(gating, "SLOWNESS", 0.0)
    with pytest.raises(typer.Exit):
        gate(SimpleNamespace(obj=settings.model_copy(update={"registry": registry.folder})), candidate)  # type: ignore[arg-type]
    verdict = verdict_of(kept)
    assert verdict is not None
    assert not verdict.passed
    assert verdict == verdict_of(candidate)


def test_a_verdict_is_of_one_bundle_and_no_other(
    settings: Settings, tiny_bundle: Path, judged: Any, tmp_path: Path
) -> None:
    assert verdict_of(tmp_path / "nothing") is None
    verdict = judged(Model(wrong(0.1)), Model(wrong(0.1)))
    bundle = tmp_path / "other"
    bundle.mkdir()
    (bundle / "manifest.json").write_text('{"version": "ffffffffffff"}', "utf-8")
    write_verdict(verdict, bundle)
    assert verdict_of(bundle) is None
    write_verdict(verdict.model_copy(update={"candidate": "f" * 12}), bundle)
    assert verdict_of(bundle) is not None
    verdict_file(bundle).write_text("{", "utf-8")
    with pytest.raises(TrainingError, match=r"other\.verdict\.json: cannot be read"):
        verdict_of(bundle)


def test_a_line_that_is_no_behaviour_test_is_named(tmp_path: Path) -> None:
    file = tmp_path / "behaviour.jsonl"
    file.write_text('{"kind": "typical", "text": "一", "topics": ["education"]}\n{"kind": "guess"}\n', "utf-8")
    with pytest.raises(DataError, match=r"behaviour\.jsonl:2: is no behaviour test: .*guess"):
        read_trials([file], FULL.ids)
    with pytest.raises(DataError, match="cannot be read"):
        read_trials([tmp_path / "none.jsonl"], FULL.ids)


def test_our_behaviour_tests_name_every_topic_and_most_of_them_hold_on_the_embedded_model() -> None:
    settings = load_settings(flags={"engine.threads": 1})
    trials = read_trials((HOME / file for file in settings.data.behaviour_files), FULL.ids)
    assert {topic for trial in trials if trial.kind == "typical" for topic in trial.topics} == set(FULL.ids)
    held = run(Classifier.load(EMBEDDED, settings.engine), trials, FULL.ids)
    for kind in ("typical", "dirt", "invariance", "direction"):
        of_kind = [holds for trial, holds in zip(trials, held, strict=True) if trial.kind == kind]
        assert len(of_kind) >= 12
        assert np.mean(of_kind) >= 0.85
