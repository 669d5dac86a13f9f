"""The registry: versions that stay as they are, one of them promoted, and nothing lost whatever happens."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from configs.settings import EMBEDDED, HOME, load_settings
from policy_topics.bundle import load_bundle
from policy_topics.durable import locked
from policy_topics.errors import BundleError, RegistryError
from policy_topics.registry import Registry, promotion_mark, served_bundle
from tests import tiny


def names(registry: Registry) -> list[str]:
    return [entry.name for entry in registry.versions()]


def promoted_version(registry: Registry) -> str | None:
    path = registry.promoted()
    return load_bundle(path).version if path else None


class TestVersions:
    def test_a_registry_that_is_not_there_yet_is_empty(self, registry: Registry) -> None:
        assert (registry.versions(), registry.promoted(), registry.history()) == ([], None, ())
        assert not registry.folder.exists()

    def test_what_was_added_is_listed_with_its_parent_the_oldest_first(
        self, registry: Registry, tiny_bundle: Path, bundles: tuple[Path, Path]
    ) -> None:
        parent = load_bundle(tiny_bundle).version
        versions = [registry.add(bundle) for bundle in bundles]
        entries = registry.versions()
        assert [(entry.version, entry.name, entry.parent) for entry in entries] == [
            (versions[0], "甲 (a)", parent),
            (versions[1], "b", parent),
        ]
        assert entries[0].created < entries[1].created
        assert [load_bundle(entry.path).version for entry in entries] == versions

    def test_a_version_stays_when_its_folder_changes_or_goes(
        self, registry: Registry, bundles: tuple[Path, Path], tmp_path: Path
    ) -> None:
        copy = Path(shutil.copytree(bundles[0], tmp_path / "copy"))
        version = registry.add(copy)
        shutil.rmtree(copy)
        assert load_bundle(registry.path(version)).version == version

    def test_the_same_version_again_is_left_alone(self, registry: Registry, bundles: tuple[Path, Path]) -> None:
        registry.add(bundles[0])
        before = registry.versions()
        registry.add(bundles[0])
        assert registry.versions() == before

    @pytest.mark.parametrize("lost", ["bundle/model.onnx", "bundle/manifest.json", "bundle"])
    def test_a_damaged_version_is_mended_by_adding_it_again(
        self, registry: Registry, bundles: tuple[Path, Path], lost: str
    ) -> None:
        version = registry.promote(registry.add(bundles[0]))
        damaged = registry.path(version).parent / lost
        shutil.rmtree(damaged) if damaged.is_dir() else damaged.unlink()
        with pytest.raises(BundleError):
            registry.promote(version)
        assert registry.add(bundles[0]) == version
        assert registry.promote(version) == version
        assert names(registry) == ["甲 (a)"]
        assert not (registry.folder / ".adding").exists()

    def test_other_users_can_read_a_version_where_the_umask_lets_them(
        self, registry: Registry, bundles: tuple[Path, Path]
    ) -> None:
        before = os.umask(0o022)
        try:
            path = registry.path(registry.add(bundles[0]))
        finally:
            os.umask(before)
        made = [*path.parents[:4], *path.parent.rglob("*")]
        assert registry.folder in made
        assert all(each.stat().st_mode & 0o555 == (0o555 if each.is_dir() else 0o444) for each in made)

    def test_a_bundle_that_is_not_whole_does_not_come_in(
        self, registry: Registry, bundles: tuple[Path, Path], tmp_path: Path
    ) -> None:
        broken = Path(shutil.copytree(bundles[0], tmp_path / "broken"))
        (broken / "model.onnx").write_bytes(b"")
        with pytest.raises(BundleError, match=r"model\.onnx"):
            registry.add(broken)
        assert registry.versions() == []

    def test_bentoml_finds_them_in_its_store_and_its_own_home_stays_untouched(
        self, registry: Registry, bundles: tuple[Path, Path], tmp_path: Path
    ) -> None:
        version = registry.add(bundles[0])
        environment = {**os.environ, "BENTOML_HOME": str(registry.folder), "BENTOML_DO_NOT_TRACK": "True"}
        command = [sys.executable, "-m", "bentoml", "models", "get", f"policy_topics:{version}", "-o", "json"]
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        assert json.loads(out)["metadata"]["name"] == "甲 (a)"
        add = "import sys; from pathlib import Path; from policy_topics.registry import Registry; " \
              "r = Registry(Path(sys.argv[1])); r.add(Path(sys.argv[2])); r.versions()"  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if name != "BENTOML_HOME"}
        subprocess.run(
            [sys.executable, "-c", add, tmp_path / "other", bundles[0]],
            env={**environment, "HOME": str(tmp_path), "PYTHONPATH": str(HOME)},
            check=True,
        )
        assert not (tmp_path / "bentoml").exists()

    def test_a_version_is_found_by_its_beginning(self, registry: Registry, bundles: tuple[Path, Path]) -> None:
        version = registry.add(bundles[0])
        assert registry.find(version[:5]) == version == registry.find(version)

    @pytest.mark.parametrize("prefix", ["nowhere", "", "../..", "."])
    def test_an_unknown_version_is_answered_with_those_there_are(
        self, registry: Registry, bundles: tuple[Path, Path], prefix: str
    ) -> None:
        version = registry.add(bundles[0])
        with pytest.raises(RegistryError, match=f"no such version.*{version}"):
            registry.path(prefix)

    def test_a_beginning_of_several_versions_is_answered_with_these(self, registry: Registry) -> None:
        for version in ("abc1", "abc2"):
            (registry.folder / "models" / "policy_topics" / version).mkdir(parents=True)
        with pytest.raises(RegistryError, match=r"2 versions.*abc1, abc2; write more"):
            registry.find("abc")

    def test_a_model_that_another_program_left_half_is_named(
        self, registry: Registry, bundles: tuple[Path, Path]
    ) -> None:
        version = registry.add(bundles[0])
        registry.promote(version)
        (registry.folder / "models" / "policy_topics" / "half").mkdir()
        with pytest.raises(RegistryError, match=r"models/policy_topics: .*remove it"):
            registry.versions()
        assert promoted_version(registry) == version


class TestPromotion:
    def test_the_promoted_version_serves_instead_of_the_embedded_model(
        self, registry: Registry, bundles: tuple[Path, Path]
    ) -> None:
        settings = load_settings(flags={"registry": registry.folder})
        assert served_bundle(settings) == EMBEDDED
        version = registry.promote(registry.add(bundles[0])[:6])
        assert served_bundle(settings) == registry.path(version) == registry.promoted()
        assert [entry.promoted for entry in registry.versions()] == [True]
        assert served_bundle(load_settings(flags={"registry": None})) == EMBEDDED

    def test_a_bundle_that_the_settings_name_serves_whatever_is_promoted(
        self, registry: Registry, tiny_bundle: Path, bundles: tuple[Path, Path]
    ) -> None:
        settings = load_settings(flags={"bundle": tiny_bundle, "registry": registry.folder})
        before = promotion_mark(settings)
        registry.promote(registry.add(bundles[0]))
        assert served_bundle(settings) == tiny_bundle
        assert promotion_mark(settings) == before

    def test_rolling_back_goes_back_one_by_one_to_the_default(
        self, registry: Registry, tiny_bundle: Path, bundles: tuple[Path, Path]
    ) -> None:
        a, b = map(registry.add, bundles)
        for version in (a, b, a):
            registry.promote(version)
        assert [registry.rollback(), promoted_version(registry)] == [b, b]
        assert [registry.rollback(), promoted_version(registry)] == [a, a]
        assert [registry.rollback(), registry.promoted()] == [load_bundle(tiny_bundle).version, None]
        with pytest.raises(RegistryError, match="nothing to roll back to"):
            registry.rollback()
        done = [(change.action, change.version) for change in registry.history()]
        assert done == [
            ("promote", a), ("promote", b), ("promote", a), ("rollback", b), ("rollback", a), ("rollback", None)
        ]  # fmt: skip

    def test_after_a_rollback_another_version_can_be_promoted_and_rolled_back(
        self, registry: Registry, bundles: tuple[Path, Path]
    ) -> None:
        a, b = map(registry.add, bundles)
        registry.promote(a)
        registry.promote(b)
        registry.rollback()
        registry.promote(b)
        assert registry.rollback() == a

    def test_without_a_default_the_first_promotion_stays(self, tmp_path: Path, bundles: tuple[Path, Path]) -> None:
        registry = Registry(tmp_path)
        version = registry.promote(registry.add(bundles[0]))
        with pytest.raises(RegistryError, match=f"{version} is the first"):
            registry.rollback()
        assert promoted_version(registry) == version

    def test_promoting_what_is_promoted_is_no_new_promotion_but_is_noticed(
        self, registry: Registry, bundles: tuple[Path, Path]
    ) -> None:
        version = registry.promote(registry.add(bundles[0]))
        mark, history = registry.mark(), registry.history()
        registry.promote(version)
        assert registry.mark() != mark
        assert registry.history() == history

    def test_a_version_whose_files_changed_is_not_promoted(
        self, registry: Registry, bundles: tuple[Path, Path]
    ) -> None:
        version = registry.add(bundles[0])
        file = registry.path(version) / "calibration.json"
        file.chmod(0o644)
        file.write_text("{}", "utf-8")
        with pytest.raises(BundleError, match=r"calibration\.json"):
            registry.promote(version)
        assert registry.promoted() is None

    def test_losing_topics_wants_force_and_gaining_them_does_not(
        self, registry: Registry, tiny_bundle: Path, tmp_path: Path
    ) -> None:
        wide = registry.add(tiny.tiny_bundle(tmp_path / "wide", tiny.with_another_topic()))
        narrow = registry.add(tiny_bundle)
        registry.promote(wide)
        with pytest.raises(RegistryError, match=r"1 topics.*deep_sea.*--force"):
            registry.promote(narrow)
        assert promoted_version(registry) == wide
        registry.promote(narrow, force=True)
        assert promoted_version(registry) == narrow

    def test_losing_topics_of_the_default_wants_force_too(self, tmp_path: Path, tiny_bundle: Path) -> None:
        registry = Registry(tmp_path / "registry", tiny.tiny_bundle(tmp_path / "wide", tiny.with_another_topic()))
        with pytest.raises(RegistryError, match="deep_sea"):
            registry.promote(registry.add(tiny_bundle))

    def test_a_promoted_version_that_is_gone_is_named_and_another_can_take_its_place(
        self, registry: Registry, bundles: tuple[Path, Path]
    ) -> None:
        a, b = map(registry.add, bundles)
        registry.promote(a)
        shutil.rmtree(registry.path(a).parent)
        with pytest.raises(RegistryError, match=f"{a} is promoted, but .* is gone"):
            registry.promoted()
        registry.promote(b)
        assert promoted_version(registry) == b

    def test_promotions_that_cannot_be_read_are_a_clear_fault(
        self, registry: Registry, bundles: tuple[Path, Path]
    ) -> None:
        version = registry.promote(registry.add(bundles[0]))
        file = registry.folder / "promotions.json"
        file.write_text('{"format": 1, "history": [', "utf-8")
        for ask in (registry.promoted, registry.versions, registry.rollback, lambda: registry.promote(version)):
            with pytest.raises(RegistryError, match=r"promotions\.json: cannot be read.*move it away"):
                ask()
        file.unlink()
        assert registry.promote(version) == version


class TestTrouble:
    def test_a_full_disk_leaves_the_registry_as_it_was(self, registry: Registry, bundles: tuple[Path, Path]) -> None:
        a = registry.promote(registry.add(bundles[0]))
        history = registry.history()
        with files_of_at_most(10_000), pytest.raises(RegistryError, match=r"cannot be written.*Make room"):
            registry.add(bundles[1])
        assert names(registry) == ["甲 (a)"]
        b = registry.add(bundles[1])
        with files_of_at_most(10), pytest.raises(RegistryError, match=r"cannot be written.*Make room"):
            registry.promote(b)
        assert (promoted_version(registry), registry.history()) == (a, history)
        assert not list(registry.folder.glob(".*.unfinished"))
        registry.promote(b)
        assert registry.rollback() == a

    def test_a_registry_in_the_place_of_a_file_is_a_clear_fault(
        self, tmp_path: Path, bundles: tuple[Path, Path]
    ) -> None:
        (tmp_path / "file").write_text("", "utf-8")
        with pytest.raises(RegistryError, match="file: cannot be written"):
            Registry(tmp_path / "file").add(bundles[0])

    def test_a_change_waits_for_the_one_under_way(self, registry: Registry, bundles: tuple[Path, Path]) -> None:
        version = registry.add(bundles[0])
        with ThreadPoolExecutor() as pool:
            with locked(registry.folder):
                waiting = pool.submit(registry.promote, version)
                with pytest.raises(TimeoutError):
                    waiting.result(timeout=0.3)
                assert registry.promoted() is None
            assert waiting.result(timeout=20) == version

    def test_two_that_add_at_once_both_come_in(self, registry: Registry, bundles: tuple[Path, Path]) -> None:
        with ThreadPoolExecutor() as pool:
            versions = set(pool.map(Registry(registry.folder).add, bundles * 3))
        assert {entry.version for entry in registry.versions()} == versions
        assert len(versions) == 2

    def test_kills_at_random_moments_lose_nothing(self, tiny_bundle: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.kills", "--kills", "20", "--bundle", str(tiny_bundle)]
        done = subprocess.run(command, cwd=HOME, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "20 kills" in done.stdout


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing more than so many bytes to a file fails, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
