"""`data from-feedback`: corrections settled into training data, with an account of each."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from configs.taxonomy import load_taxonomy
from policy_topics.errors import FeedbackError
from policy_topics.feedback.corrections import Correction
from policy_topics.feedback.store import Store
from tests.test_feedback_store import correction
from train.dataset import read
from train.from_feedback import import_corrections
from train.importing import Imported

TAXONOMY = load_taxonomy()
ROAD = "改造县乡公路，建设客运站。"


def settled(*corrections: Correction) -> Imported:
    return import_corrections(corrections, "the store", TAXONOMY)


def labels(imported: Imported) -> list[list[str]]:
    return [row["labels"] for row in imported.rows]


class TestSettling:
    def test_a_correction_becomes_a_paragraph_to_train_on(self) -> None:
        one = correction(("agriculture", "energy"))
        imported = settled(one)
        assert imported.rows == (
            {"text": one.text, "labels": ["agriculture", "energy"], "id": one.id, "document": "纪要.docx",
             "source": "feedback"},
        )  # fmt: skip
        (source,) = imported.report.sources
        assert (source.place, source.records, source.taken) == ("the store", 1, 1)

    def test_a_paragraph_may_have_no_topic(self) -> None:
        assert labels(settled(correction(()))) == [[]]

    def test_spellings_of_one_text_are_one_paragraph(self) -> None:
        one, again = correction(text="推进高标准农田建设"), correction(text="推進高標準農田(tián)建設")
        imported = settled(one, again)
        assert len(imported.rows) == 1
        assert [merged.place.split()[0] for merged in imported.report.merged] == [one.id]

    def test_the_last_word_of_a_person_counts(self) -> None:
        first, road, last = correction(("energy",), who="a"), correction(("transport",), ROAD), correction(who="a")
        imported = settled(first, road, last)
        assert labels(imported) == [["transport"], ["agriculture"]]
        (merged,) = imported.report.merged
        assert (merged.place.split()[0], merged.into.split()[0]) == (first.id, last.id)
        assert "said otherwise later: [energy] before" in merged.notes[0]

    def test_without_names_the_last_word_of_all_counts(self) -> None:
        assert labels(settled(correction(("energy",)), correction(("health",)))) == [["health"]]

    def test_of_several_people_the_majority_counts(self) -> None:
        people = [correction(who="a"), correction(("energy",), who="b"), correction(who="c")]
        imported = settled(*people)
        assert labels(imported) == [["agriculture"]]
        assert imported.report.taken[0].notes == ("2 of 3 people say so",)
        outvoted = next(merged for merged in imported.report.merged if merged.place.startswith(people[1].id))
        assert "outvoted: [energy], and 2 of 3 people say [agriculture]" in outvoted.notes[0]

    def test_nobody_votes_twice(self) -> None:
        votes = [correction(("energy",), who="a"), correction(("energy",), who="a"), correction(who="b")]
        assert not settled(*votes).rows

    def test_a_tie_is_refused_with_every_id(self) -> None:
        before, one, other = correction((), who="b"), correction(who="a"), correction(("energy",), who="b")
        imported = settled(before, one, other, correction(("transport",), ROAD))
        assert labels(imported) == [["transport"]]
        reasons = {refused.place.split()[0]: refused.reasons[0] for refused in imported.report.refused}
        assert set(reasons) == {before.id, one.id, other.id}
        assert f"[agriculture] here, [energy] at {other.id} (b, " in reasons[one.id]
        assert f"[agriculture] at {one.id} (a, " in reasons[other.id]
        assert other.id in reasons[before.id]

    def test_another_order_of_the_same_topics_is_no_conflict(self) -> None:
        pair, turned = ("agriculture", "energy"), ("energy", "agriculture")
        people = [correction(pair, who="a"), correction(turned, who="b"), correction(pair, who="c")]
        imported = settled(*people)
        assert labels(imported) == [list(pair)]
        assert any("another order: [energy, agriculture]" in n for m in imported.report.merged for n in m.notes)
        assert labels(settled(*people[:2])) == [list(turned)]  # as many for one as for the other: the later one

    def test_topics_that_are_no_more_are_refused(self) -> None:
        imported = settled(correction(("gone_topic",)), correction(("transport",), ROAD))
        assert labels(imported) == [["transport"]]
        assert '"gone_topic"' in imported.report.refused[0].reasons[0]

    @pytest.mark.parametrize("who", ["a", None])
    def test_what_a_person_took_back_does_not_count_although_their_last_word_is_refused(self, who: str | None) -> None:
        before, last = correction(("energy",), who=who), correction(("gone_topic",), who=who)
        imported = settled(before, correction(("transport",), ROAD, who=who), last)
        assert labels(imported) == [["transport"]]
        reasons = {refused.place.split()[0]: refused.reasons[0] for refused in imported.report.refused}
        assert set(reasons) == {before.id, last.id}
        assert f"said otherwise later, at {last.id}" in reasons[before.id]

    def test_others_have_their_say_where_the_last_word_of_one_is_refused(self) -> None:
        people = [correction(("energy",), who="a"), correction(who="b"), correction(("gone_topic",), who="a")]
        assert labels(settled(*people)) == [["agriculture"]]

    def test_a_later_word_mends_one_that_was_refused(self) -> None:
        assert labels(settled(correction(("gone_topic",), who="a"), correction(who="a"))) == [["agriculture"]]


class TestCommand:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store(f"sqlite:///{tmp_path / 'feedback.db'}")

    def run(self, store: Store, *arguments: str | Path) -> Result:
        return CliRunner().invoke(app, ["data", "from-feedback", *map(str, arguments), "--url", store.name])

    def test_what_it_writes_is_what_training_reads(self, store: Store, tmp_path: Path) -> None:
        store.add([[correction(), correction(("transport",), ROAD)]])
        result = self.run(store, tmp_path / "new.jsonl")
        assert result.exit_code == 0, result.output
        assert [row.labels for row in read([tmp_path / "new.jsonl"], TAXONOMY)] == [("agriculture",), ("transport",)]
        assert "2 收 taken" in result.stdout

    def test_conflicts_are_named_with_exit_code_1_and_the_others_written(self, store: Store, tmp_path: Path) -> None:
        one, other = correction(who="a"), correction(("energy",), who="b")
        store.add([[one, other, correction(("transport",), ROAD)]])
        result = self.run(store, tmp_path / "new.jsonl", "--report", tmp_path / "report.json")
        assert result.exit_code == 1
        assert one.id in result.stdout and other.id in result.stdout
        assert len(read([tmp_path / "new.jsonl"], TAXONOMY)) == 1
        report = json.loads((tmp_path / "report.json").read_text("utf-8"))
        assert (len(report["taken"]), len(report["refused"])) == (1, 2)

    def test_it_takes_corrections_from_a_day_on(self, store: Store, tmp_path: Path) -> None:
        days = [datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2)]
        store.add([[correction(time=days[0]), correction(("transport",), ROAD, time=days[1])]])
        assert self.run(store, tmp_path / "new.jsonl", "--since", "2026-03-02").exit_code == 0
        assert [row.labels for row in read([tmp_path / "new.jsonl"], TAXONOMY)] == [("transport",)]

    def test_it_overwrites_only_when_forced(self, store: Store, tmp_path: Path) -> None:
        store.add([[correction()]])
        (tmp_path / "new.jsonl").write_text("mine", "utf-8")
        assert self.run(store, tmp_path / "new.jsonl").exit_code == 2
        assert (tmp_path / "new.jsonl").read_text("utf-8") == "mine"
        assert self.run(store, tmp_path / "new.jsonl", "--force").exit_code == 0

    def test_a_store_that_is_not_there_is_named(self, store: Store, tmp_path: Path) -> None:
        result = self.run(store, tmp_path / "new.jsonl")
        assert isinstance(result.exception, FeedbackError)
        assert "nothing has been corrected yet" in str(result.exception)
        assert not list(tmp_path.iterdir())
