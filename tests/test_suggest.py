"""`data suggest`: paragraphs that the model is unsure of, unlike each other, and not labelled yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cli import suggest
from cli.main import app
from policy_topics.bundle import load_bundle
from policy_topics.feedback.corrections import text_sha256
from policy_topics.feedback.store import Store
from serve.feedback.queue import Queue
from tests.test_feedback_store import correction
from train.suggest import POOL, Pool, Unlabelled, doubt, reason

THRESHOLDS = np.array([0.5, 0.2], np.float32)


def unlabelled(text: str, *probabilities: float) -> Unlabelled:
    return Unlabelled(text, text, "a.txt", np.array(probabilities, np.float32))


def texts(paragraphs: list[Unlabelled]) -> list[str]:
    return [paragraph.text for paragraph in paragraphs]


class TestDoubt:
    def test_it_is_largest_at_the_threshold_and_none_where_the_answer_is_certain(self) -> None:
        for first, second in ((0.0, 0.0), (1.0, 1.0)):
            assert doubt(np.array([first, second], np.float32), THRESHOLDS) == pytest.approx([0, 0])
        just_over = doubt(np.array([0.5, 0.2], np.float32), THRESHOLDS)
        assert just_over == pytest.approx([-0.5, -0.5])
        just_under = doubt(np.array([0.4999, 0.1999], np.float32), THRESHOLDS)
        assert just_under == pytest.approx([0.5, 0.5], abs=1e-3)

    def test_thresholds_at_the_ends_are_no_fault(self) -> None:
        ends = np.array([0.0, 1.0], np.float32)
        assert np.isfinite(doubt(np.array([0.0, 1.0], np.float32), ends)).all()


class TestChoosing:
    def test_the_least_sure_come_before_the_sure(self) -> None:
        pool = Pool(THRESHOLDS, 2)
        for text, probability in (("甲", 0.01), ("乙", 0.48), ("丙", 0.99), ("丁", 0.55)):
            pool.add(unlabelled(text, probability, 0.0))
        assert set(texts(pool.choose())) == {"乙", "丁"}

    def test_what_is_alike_is_taken_once(self) -> None:
        """Ten spellings of one doubt, and one of another: a list by doubt alone would have none of the other."""
        pool = Pool(THRESHOLDS, 2)
        for number in range(10):
            pool.add(unlabelled(f"推进高标准农田建设，第{number}批项目已经开工。", 0.49, 0.0))
        pool.add(unlabelled("开通县际客运班线，改造汽车站。", 0.0, 0.17))
        chosen = texts(pool.choose())
        assert len(chosen) == 2
        assert "开通县际客运班线，改造汽车站。" in chosen

    def test_the_same_text_is_chosen_once(self) -> None:
        pool = Pool(THRESHOLDS, 3)
        for _ in range(3):
            pool.add(unlabelled("推进高标准农田建设。", 0.49, 0.0))
        assert (len(pool.choose()), pool.added) == (1, 3)

    def test_only_the_least_sure_of_many_are_kept(self) -> None:
        pool = Pool(THRESHOLDS, 1)
        for number in range(POOL * 3):
            pool.add(unlabelled(f"第{number}段", number / (POOL * 6), 0.0))
        for number in range(POOL * 3):
            pool.add(unlabelled(f"第{number}段", number / (POOL * 6), 0.0))
        assert len(pool._kept) == len(pool._texts) == POOL
        assert texts(pool.choose()) == [f"第{POOL * 3 - 1}段"]

    def test_the_same_archive_gives_the_same_queue(self) -> None:
        random = np.random.default_rng(5)
        rows = [unlabelled(f"第{n}段：{n * 7919}", *random.random(2)) for n in range(60)]
        chosen = []
        for _ in range(2):
            pool = Pool(THRESHOLDS, 9)
            for row in rows:
                pool.add(row)
            chosen.append(texts(pool.choose()))
        assert chosen[0] == chosen[1]
        assert len(set(chosen[0])) == 9

    def test_the_reason_names_what_the_model_is_unsure_of(self) -> None:
        assert reason(unlabelled("甲", 0.45, 0.01), THRESHOLDS, ["教育 education", "能源 energy"]) == (
            "拿不准 unsure: 教育 education 0.45（阈值 threshold 0.50）"
        )


class TestCommand:
    @pytest.fixture(autouse=True)
    def _own_data(self, tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Settings of the test's own; nothing is labelled but what it says."""
        (tmp_path / "labelled.jsonl").write_text('{"text": "已經標註的段落。", "labels": []}\n', "utf-8")
        settings = {
            "BUNDLE": tiny_bundle,
            "ENGINE__THREADS": 1,
            "FEEDBACK__URL": f"sqlite:///{tmp_path / 'feedback.db'}",
            "DATA__FILES": json.dumps([str(tmp_path / "labelled.jsonl")]),
            "DATA__DEV_FILES": "[]",
            "DATA__TEST_FILES": "[]",
        }
        for name, value in settings.items():
            monkeypatch.setenv(f"POLICY_TOPICS_{name}", str(value))
        (tmp_path / "hashes.jsonl").touch()
        monkeypatch.setattr(suggest, "PUBLIC_LABELS", tmp_path / "hashes.jsonl")

    @pytest.fixture
    def archive(self, tmp_path: Path) -> Path:
        folder = tmp_path / "archive"
        folder.mkdir()
        (folder / "纪要.txt").write_text("推进高标准农田建设。\n\n已经标注的段落。\n\n改造县乡公路。", "utf-8")
        rows = [{"id": "r1", "text": "扩大普惠托育服务供给。", "document": "报告"}, {"id": "r2", "text": "……"}]
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return folder

    def run(self, *arguments: str | Path) -> Result:
        return CliRunner().invoke(app, ["data", "suggest", *map(str, arguments)])

    def queue(self, file: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()]

    def test_it_leaves_out_what_is_labelled_or_corrected(
        self, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "queue.jsonl"
        result = self.run(archive, "--out", out)
        assert result.exit_code == 0, result.output
        assert {row["text"] for row in self.queue(out)} == {
            "推进高标准农田建设。", "改造县乡公路。", "扩大普惠托育服务供给。",
        }  # fmt: skip
        assert "1 段已标注" in result.output
        store = Store(f"sqlite:///{tmp_path / 'feedback.db'}")
        store.add([[correction(text="改造縣鄉公路。")]])
        hashes = tmp_path / "public.jsonl"
        hashes.write_text(json.dumps({"sha256": text_sha256("推进高标准农田建设。"), "labels": []}) + "\n", "utf-8")
        monkeypatch.setattr(suggest, "PUBLIC_LABELS", hashes)
        assert self.run(archive, "--out", out, "--force").exit_code == 0
        assert [row["text"] for row in self.queue(out)] == ["扩大普惠托育服务供给。"]

    def test_a_line_has_what_a_person_needs_to_label_it_and_the_service_reads_it(
        self, archive: Path, tmp_path: Path, tiny_bundle: Path
    ) -> None:
        out = tmp_path / "queue.jsonl"
        assert self.run(archive, "--out", out, "--count", "2").exit_code == 0
        rows = self.queue(out)
        assert len(rows) == 2
        for row in rows:
            assert set(row) == {"id", "text", "document", "topics", "reason", "model"}
            assert row["model"] == load_bundle(tiny_bundle).version
            assert row["document"] in {"archive/纪要.txt", "报告"}
            assert row["reason"].startswith("拿不准 unsure: ")
            probabilities = [topic["probability"] for topic in row["topics"]]
            assert probabilities == sorted(probabilities, reverse=True)
        assert Queue(out).left(Store(f"sqlite:///{tmp_path / 'none.db'}")) == rows

    def test_the_output_of_score_is_an_archive_too(self, archive: Path, tmp_path: Path) -> None:
        scored = CliRunner().invoke(app, ["score", str(archive), str(tmp_path / "scored")])
        assert scored.exit_code == 0, scored.output
        assert self.run(tmp_path / "scored" / "paragraphs", "--out", tmp_path / "queue.jsonl").exit_code == 0
        rows = {row["text"]: row for row in self.queue(tmp_path / "queue.jsonl")}
        assert rows["扩大普惠托育服务供给。"]["id"] == "r1"
        assert rows["扩大普惠托育服务供给。"]["document"] == "报告"

    def test_what_cannot_be_read_is_named_with_exit_code_1_and_the_rest_is_used(
        self, archive: Path, tmp_path: Path
    ) -> None:
        (archive / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing more")
        result = self.run(archive, "--out", tmp_path / "queue.jsonl")
        assert result.exit_code == 1
        assert "archive/broken.pdf: " in result.output
        assert len(self.queue(tmp_path / "queue.jsonl")) == 3

    def test_it_overwrites_only_when_forced_and_does_not_read_its_own_queue(self, archive: Path) -> None:
        out = archive / "queue.jsonl"
        assert self.run(archive, "--out", out).exit_code == 0
        before = out.read_text("utf-8")
        assert self.run(archive, "--out", out).exit_code == 2
        assert self.run(archive, "--out", out, "--force").exit_code == 0
        assert out.read_text("utf-8") == before
