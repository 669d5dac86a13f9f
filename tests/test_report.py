"""The report of an evaluation: what it counts, and what it writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.taxonomy import load_taxonomy
from policy_topics.classifier import Classifier
from policy_topics.errors import DataError, TrainingError
from policy_topics.reference import reference_of
from train import baselines as simple
from train.analysis import confidence, confusions, outcomes, risk_coverage, slices, worst_errors
from train.baselines import Baseline, baselines, fasttext_scores, linear_scores
from train.card import model_card
from train.dataset import LabelledParagraph
from train.evaluate import Judgement, cross, documents, halves, own
from train.export import PrecisionCheck
from train.metrics import reliability
from train.report import Report, make_report, write_report

TAXONOMY = load_taxonomy()
SUBJECTS = {"education": "学校教师招生考试", "transport": "公路铁路公交客运", "energy": "电力煤炭油气储能"}
VERBS = "推进规范改善调查扩大减少清理公开研究检查"


def rows_of(each: int, name: str) -> list[LabelledParagraph]:
    """Paragraphs of three topics that their words tell apart."""
    return [
        LabelledParagraph(
            id=f"{name}-{topic}-{i}",
            text=f"{VERBS[k * 2 : k * 2 + 2]}{words[i % 8 :]}{words[: i % 8]}工作<{name}>，第{i}批。",
            labels=(topic,),
            document=f"{name}-{topic}-{i // 2}",
            date="2021-03-05" if i % 2 else None,
            genre="notice",
        )
        for topic, words in SUBJECTS.items()
        for i in range(each)
        for k in [i % 10]
    ]


def judged(probabilities: list[list[float]], threshold: float = 0.5) -> Judgement:
    values = np.array(probabilities, np.float32)
    return Judgement(values, values >= threshold)


@pytest.fixture(scope="module")
def rows() -> list[LabelledParagraph]:
    return [*rows_of(8, "评"), LabelledParagraph(id="none", text="会议名单如下，共三十人出席。", labels=())]


@pytest.fixture(scope="module")
def report(classifier: Classifier, rows: list[LabelledParagraph]) -> Report:
    learnt = linear_scores(rows_of(30, "练"), [row.text for row in rows], TAXONOMY)
    return make_report(classifier, rows, 1, [Baseline("linear", 90, learnt)], notes=["一句说明。A note."])


def test_a_model_is_surest_where_it_expects_the_best_f1() -> None:
    sure, wavering, nothing, unsure_nothing = confidence(judged([[0.99, 0.01], [0.6, 0.4], [0.02, 0.01], [0.45, 0.45]]))
    assert sure > wavering
    assert nothing > unsure_nothing
    assert unsure_nothing == pytest.approx(0.55**2, abs=1e-6)
    one, other = confidence(judged([[0.99, 0.01], [0.01, 0.99]]))
    assert one == other == pytest.approx(2 * 0.99 / (1 + 1), abs=1e-6)


def test_doubt_about_a_rare_topic_weighs_more() -> None:
    often = [[0.99, 0.01]] * 8
    *_, of_the_often, of_the_rare = confidence(judged([*often, [0.7, 0.99], [0.99, 0.7]]))
    assert of_the_rare < of_the_often


def test_quality_at_a_coverage_counts_the_surest_paragraphs_alone() -> None:
    right, wrong = [[0.95, 0.05]] * 8, [[0.6, 0.4]] * 2
    labels = np.array([[1, 0]] * 8 + [[0, 1]] * 2, bool)
    points = {round(point.coverage, 2): point for point in risk_coverage(judged(right + wrong), labels)}
    assert points[0.8].micro_f1 == 1.0
    assert points[0.8].paragraphs == 8
    assert points[1.0].micro_f1 == pytest.approx(0.8)


def test_a_confusion_is_a_missed_topic_and_another_one_given_instead() -> None:
    labels = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]], bool)
    given = np.array([[0, 1, 0], [0, 1, 0], [0, 1, 0], [1, 0, 1]], bool)
    (only,) = confusions(given, labels, ("a", "b", "c"))
    assert (only.missed, only.given, only.paragraphs) == ("a", "b", 2)
    counted = outcomes(given, labels)
    assert (counted.right, counted.missed, counted.added, counted.confused) == (0, 1, 1, 2)


def test_slices_part_paragraphs_by_genre_decade_length_and_number_of_labels() -> None:
    rows = [
        LabelledParagraph("1", "字" * 75, ("education",), date="1987-01", genre="law"),
        LabelledParagraph("2", "字" * 76, ("education", "energy"), date="二〇二四年", genre="law"),
        LabelledParagraph("3", "字" * 900, (), date="2021"),
    ]
    labels = np.array([[1, 0], [1, 1], [0, 0]], bool)
    found = slices(rows, labels, labels)
    names = {kind: [each.name for each in part] for kind, part in found.items()}
    assert names == {
        "genre": ["law", "—"],
        "decade": ["1980s", "2020s", "—"],
        "length": ["1–75", "76–125", "301+"],
        "labels": ["0", "1", "2"],
    }
    assert found["genre"][0].micro_f1 == found["genre"][0].exact == 1.0
    assert found["labels"][0].micro_f1 is None
    assert found["labels"][0].exact == 1.0


def test_the_worst_error_is_the_one_made_with_the_most_conviction() -> None:
    rows = [LabelledParagraph(name, name, (TAXONOMY.ids[0],)) for name in ("right", "doubtful", "sure")]
    probabilities = np.zeros((3, len(TAXONOMY.ids)), np.float32)
    probabilities[:, :2] = [[0.9, 0.1], [0.4, 0.6], [0.01, 0.99]]
    labels = np.arange(len(TAXONOMY.ids)) == np.zeros((3, 1))
    worst = worst_errors(rows, Judgement(probabilities, probabilities >= 0.5), labels, TAXONOMY, most=5)
    assert [each.id for each in worst] == ["sure", "doubtful"]
    assert list(worst[0].probabilities) == [TAXONOMY.ids[1], TAXONOMY.ids[0]]


def test_each_bin_of_the_reliability_diagram_says_what_is_so() -> None:
    outcome = np.array([True] * 3 + [False] + [False] * 6)
    low, high = reliability(np.array([0.75] * 4 + [0.1] * 6, np.float32), outcome)
    assert (low.size, low.outcome) == (6, 0.0)
    assert (high.size, high.outcome) == (4, 0.75)
    assert high.confidence == pytest.approx(0.75)


def test_cross_thresholds_are_set_on_documents_that_are_not_judged_by_them() -> None:
    rng = np.random.default_rng(3)
    labels = rng.random((120, 4)) < 0.3
    scores = (rng.normal(size=labels.shape) + 2 * labels).astype(np.float32)
    rows = [LabelledParagraph(str(i), "", (), document=str(i // 2)) for i in range(120)]
    half = halves(rows)
    assert half is not None
    assert (half[::2] == half[1::2]).all()  # documents are left whole
    before = cross(scores, labels, half)
    labels[half] = ~labels[half]
    after = cross(scores, labels, half)
    assert (after.probabilities[half] == before.probabilities[half]).all()
    assert (after.probabilities[~half] != before.probabilities[~half]).any()
    assert (own(scores, labels).probabilities[half] != before.probabilities[half]).any()


def test_a_paragraph_without_a_document_stands_alone() -> None:
    rows = [LabelledParagraph("x", "", (), "d"), LabelledParagraph("d", "", ()), LabelledParagraph("y", "", (), "d")]
    assert documents(rows).tolist() == [0, 1, 0]


def test_one_document_makes_no_two_halves_and_the_report_says_so(classifier: Classifier) -> None:
    (row, *_) = rows_of(1, "独")
    report = make_report(classifier, [row], 1, [Baseline("linear", 1, np.zeros((1, 33), np.float32))])
    assert report.cross is None
    assert report.compared == ()
    assert any("两半" in note and "halves" in note for note in report.notes)


def test_nothing_to_measure_on_is_an_error(classifier: Classifier) -> None:
    with pytest.raises(DataError, match="no paragraphs to measure on"):
        make_report(classifier, [], 1)


def test_the_report_is_one_page_that_needs_no_other_file(
    report: Report, rows: list[LabelledParagraph], tmp_path: Path
) -> None:
    write_report(report, TAXONOMY, tmp_path / "deep" / "report")
    assert {file.name for file in (tmp_path / "deep" / "report").iterdir()} == {"report.html", "report.json"}
    page = (tmp_path / "deep" / "report" / "report.html").read_text("utf-8")
    assert page.count('src="data:image/svg+xml;base64,') == 3
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    for heading in ("校准 Calibration", "风险与覆盖率 Risk and coverage", "混淆 Confusions", "最大的错误 Worst errors"):
        assert heading in page
    assert "一句说明。A note." in page
    assert rows[0].text not in page  # it has < and >, which a page must not take for its own
    assert rows[0].text.replace("<", "&lt;").replace(">", "&gt;") in page


def test_the_figures_are_there_for_programs_too(report: Report, tmp_path: Path) -> None:
    write_report(report, TAXONOMY, tmp_path)
    again = Report.model_validate_json((tmp_path / "report.json").read_bytes())
    assert again == report
    assert again.served.paragraphs == 25
    assert again.covered.coverage == 0.8
    assert again.cost.paragraphs_per_second > 0


def test_the_linear_model_beats_random_weights_and_the_bootstrap_knows(report: Report) -> None:
    (compared,) = report.compared
    assert compared.trained_on == 90
    assert compared.micro_f1 > 0.9
    assert compared.difference.micro_f1.high < 0


def test_what_a_bundle_keeps_quotes_no_paragraph(report: Report, rows: list[LabelledParagraph]) -> None:
    check = PrecisionCheck("int8", 0.8, 0.79, 0.01)
    both, files = {"dev": report, "test": report}, {"dev": "my/dev.jsonl", "test": "data/test.jsonl"}
    card = model_card("tiny", TAXONOMY, both, check, "machine", {"a.jsonl": 90}, files, "backbone")
    kept = json.dumps(report.figures(), ensure_ascii=False)
    assert all(row.text not in card and row.text not in kept and row.id not in kept for row in rows)
    assert "| `education` | 教育 |" in card
    for part in ("Surest 80%", "paragraphs/s", "| linear |", "Genre 体裁", "ECE", "### On test: data/test.jsonl"):
        assert part in card
    assert report.figures()["macro_f1"] == report.served.macro_f1
    assert report.figures()["topics"]["education"]["support"] == 8


def test_what_a_bundle_keeps_has_what_a_service_is_held_against(report: Report) -> None:
    reference = reference_of(json.loads(json.dumps({"dev": report.figures()})))
    assert reference is not None
    assert reference.paragraphs == report.served.paragraphs == sum(reference.confidence) + reference.without_topic
    assert reference.topics == {topic: each.predicted for topic, each in report.served.topics.items()}


def test_the_linear_model_scores_topics_that_it_never_saw_alike() -> None:
    scores = linear_scores(rows_of(4, "练"), ["学校教师", "公路铁路", "夜观天象"], TAXONOMY)
    assert [TAXONOMY.ids[i] for i in scores[:2].argmax(axis=1)] == ["education", "transport"]
    unseen = scores[:, [topic not in SUBJECTS for topic in TAXONOMY.ids]]
    assert (unseen == unseen[0, 0]).all()


def test_fasttext_learns_and_repeats() -> None:
    pytest.importorskip("fasttext")
    bare = LabelledParagraph("none", "名单如下三十人出席", ())
    once, again = (
        fasttext_scores([*rows_of(20, "练"), bare], ["学校教师招生", "电力煤炭油气"], TAXONOMY) for _ in range(2)
    )
    assert [TAXONOMY.ids[i] for i in once.argmax(axis=1)] == ["education", "energy"]
    assert np.isfinite(once).all()
    np.testing.assert_array_equal(once, again)


def test_fasttext_learns_more_slowly_where_its_numbers_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    fasttext = pytest.importorskip("fasttext")
    learn, rates = fasttext.train_supervised, []

    def overflowing(*arguments: Any, lr: float, **rest: Any) -> Any:
        rates.append(lr)
        if lr > 0.3:
            raise RuntimeError("Encountered NaN.")
        return learn(*arguments, lr=lr, **rest)

    monkeypatch.setattr(fasttext, "train_supervised", overflowing)
    assert fasttext_scores(rows_of(20, "练"), ["学校教师招生"], TAXONOMY).shape == (1, len(TAXONOMY.ids))
    assert rates == sorted(rates, reverse=True)
    assert len(rates) > 1


def test_without_fasttext_the_linear_model_is_left_and_the_way_to_install_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simple, "find_spec", lambda _: None)
    (only,) = baselines(rows_of(2, "练"), ["学校"], TAXONOMY)
    assert "SVC" in only.name
    with pytest.raises(TrainingError, match=r"\.venv/bin/pip install -c constraints\.txt -e '\.\[bench\]'"):
        fasttext_scores(rows_of(2, "练"), ["学校"], TAXONOMY)
