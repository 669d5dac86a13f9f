"""`policy-topics models`: the registry on the command line."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.kills import renamed
from cli.main import main
from policy_topics.bundle import Provenance, load_bundle, write_manifest
from policy_topics.registry import Registry
from tests import tiny
from train.bootstrap import Interval
from train.verdict import Rule, Verdict, write_verdict

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    registry: Registry, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Call:
    """Run `policy-topics models` on the registry: exit code, standard output, standard error."""
    monkeypatch.setenv("POLICY_TOPICS_REGISTRY", str(registry.folder))
    monkeypatch.setattr("policy_topics.registry.EMBEDDED", tiny_bundle)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["policy-topics", "models", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return run


class TestCommandLine:
    def test_a_folder_is_added_promoted_listed_shown_and_rolled_back(
        self, call: Call, registry: Registry, tiny_bundle: Path, bundles: tuple[Path, Path]
    ) -> None:
        assert "empty" in call("list")[1]
        code, out, _ = call("promote", bundles[0])
        (entry,) = registry.versions()
        assert (code, entry.promoted) == (0, True)
        assert entry.version in out
        registry.add(bundles[1])
        listed = call("list")[1]
        assert [line.split("│")[1].strip() for line in listed.splitlines() if "│ 2" in line] == ["●", ""]
        assert "甲 (a)" in listed
        assert re.search(rf"promote +{entry.version}", listed)
        for arguments in ([], [entry.version[:6]], [bundles[0]]):
            assert f"甲 (a) {entry.version}" in call("show", *arguments)[1]
        assert load_bundle(tiny_bundle).version in call("rollback")[1]
        assert "nothing is promoted" in call("list")[1]

    def test_two_versions_are_compared_topic_by_topic_the_largest_difference_first(
        self, call: Call, registry: Registry, tiny_bundle: Path, tmp_path: Path
    ) -> None:
        old = measured(tiny_bundle, tmp_path / "old", {"transport": 0.7, "health": 0.5, "urban": 0.9})
        new = measured(tiny_bundle, tmp_path / "new", {"transport": 0.71, "health": 0.3, "education": 0.8})
        version = registry.add(old)
        code, out, _ = call("compare", version[:8], new)
        assert code == 0
        rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if "│" in line]
        figures = {row[0].split()[0]: row[1:] for row in rows}
        assert figures["test"] == ["9", "9", "+0"]
        assert ["test macro-F1", "0.7000", "0.6033", "-0.0967"] in rows
        assert figures["health"] == ["0.5000", "0.3000", "-0.2000"]
        assert figures["urban"] == ["0.9000", "–", ""]
        assert [topic for topic in figures if topic != "test"] == ["health", "transport", "urban", "education"]

    def test_losing_topics_names_the_way_and_force_goes_it(
        self, call: Call, registry: Registry, tiny_bundle: Path, tmp_path: Path
    ) -> None:
        call("promote", tiny.tiny_bundle(tmp_path / "wide", tiny.with_another_topic()))
        code, _, err = call("promote", tiny_bundle)
        assert code == 2
        assert "--force" in err
        assert call("promote", tiny_bundle, "--force")[0] == 0

    def test_what_was_compared_with_another_than_serves_now_wants_to_be_judged_again(
        self, call: Call, registry: Registry, tiny_bundle: Path, bundles: tuple[Path, Path]
    ) -> None:
        a, b = bundles
        judged(a, tiny_bundle, True)
        judged(b, tiny_bundle, True)
        assert call("promote", a)[0] == 0
        code, _, err = call("promote", b)
        assert code == 2
        assert f"policy-topics gate {b}" in err
        judged(b, a, True)
        assert call("promote", b)[0] == 0
        assert call("promote", registry.find(load_bundle(a).version))[0] == 0  # it has served before
        assert call("rollback")[0] == 0

    def test_it_can_be_promoted_with_force_or_where_what_serves_is_broken(
        self, call: Call, registry: Registry, tiny_bundle: Path, bundles: tuple[Path, Path]
    ) -> None:
        a, b = bundles
        judged(b, tiny_bundle, True)
        version = registry.promote(registry.add(a))
        assert call("promote", b, "--force")[0] == 0
        call("rollback")
        shutil.rmtree(registry.path(version))
        assert call("promote", b)[0] == 0

    def test_a_refusal_stands_wherever_it_is_kept_until_it_is_judged_again(
        self, call: Call, registry: Registry, tiny_bundle: Path, bundles: tuple[Path, Path]
    ) -> None:
        bundle = bundles[0]
        version = registry.add(bundle)
        judged(registry.path(version), tiny_bundle, True)
        judged(bundle, tiny_bundle, False)
        for name in (bundle, version):
            assert "refused it (macro-F1)" in call("promote", name)[2]
        judged(bundle, tiny_bundle, True)
        assert "refused it (macro-F1)" in call("promote", bundle)[2]
        judged(registry.path(version), tiny_bundle, True)
        assert call("promote", bundle)[0] == 0

    def test_a_refusal_goes_into_the_registry_with_what_was_forced(
        self, call: Call, tiny_bundle: Path, bundles: tuple[Path, Path]
    ) -> None:
        judged(bundles[0], tiny_bundle, False)
        assert call("promote", bundles[0])[0] == 2
        assert call("promote", bundles[0], "--force")[0] == 0
        call("rollback")
        code, _, err = call("promote", load_bundle(bundles[0]).version)
        assert code == 2
        assert "refused it (macro-F1)" in err

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["rollback"], "nothing to roll back to"),
            (["promote", "abc"], "no such version"),
            (["show", "abc"], "no such version"),
            (["promote", "./nowhere"], "no model bundle here"),
        ],
    )
    def test_faults_are_one_clear_message(self, call: Call, arguments: list[str], told: str) -> None:
        code, _, err = call(*arguments)
        assert code == 2
        assert told in err
        assert "Traceback" not in err

    def test_without_a_registry_it_says_what_to_set(self, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("POLICY_TOPICS_REGISTRY", "null")
        code, _, err = call("list")
        assert code == 2
        assert "set `registry` to a folder" in err
        assert call("show")[0] == 0


@pytest.fixture
def bundles(bundles: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Copies of them, beside which no other test has left a verdict."""
    a, b = (Path(shutil.copytree(bundle, tmp_path / bundle.name)) for bundle in bundles)
    return a, b


def judged(bundle: Path, incumbent: Path, passed: bool) -> None:
    """Put a verdict beside a bundle."""
    none = Interval(point=0, low=0, high=0)
    rule = Rule(name="macro-F1", passed=passed, demand="", incumbent="", candidate="", found="")
    verdict = Verdict(
        passed=passed, candidate=load_bundle(bundle).version, candidate_name="", paragraphs=1, documents=1,
        incumbent=load_bundle(incumbent).version, incumbent_name="", rules=(rule,), macro_f1=none, ece=none, topics={},
        seconds=(1, 1), behaviour_failed=(), new_topics={}, lost_topics=(), unmeasured_topics=(),
    )  # fmt: skip
    write_verdict(verdict, bundle)


def measured(bundle: Path, folder: Path, f1: dict[str, float]) -> Path:
    """A bundle with these F1 figures, on a test set that has these topics and one that does not occur in it."""
    renamed(bundle, folder, folder.name)
    topics = {topic: {"f1": value, "support": 3} for topic, value in f1.items()} | {
        "ecology": {"f1": 0.0, "support": 0}
    }
    test = {"paragraphs": 9, "macro_f1": sum(f1.values()) / len(f1), "topics": topics}
    (folder / "metrics.json").write_text(json.dumps({"test": test}), "utf-8")
    write_manifest(folder, Provenance(folder.name, tiny.MAX_TOKENS, "none", None), "fp32")
    return folder
