"""API keys: the file of them, the commands that change it, and a start without any."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.main import main
from configs.settings import load_settings
from serve.access import keys
from serve.access.keys import KeyRing, KeysError, add_key, check_keys, read_keys, revoke_key
from serve.run import environment, run
from tests.service import settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "LOOK_SECONDS", 0.0)


class TestFile:
    def test_only_the_hash_of_a_key_is_kept(self, file: Path) -> None:
        key, text = add_key(file, "统计处")
        assert len(text) > 40 and text not in file.read_text("utf-8")
        assert key.sha256 == hashlib.sha256(text.encode()).hexdigest()
        assert read_keys(file) == (key,)

    def test_no_two_keys_are_the_same(self, file: Path) -> None:
        assert len({add_key(file, "a")[1] for _ in range(5)}) == 5

    def test_a_key_is_exchanged_by_adding_the_new_and_revoking_the_old(self, file: Path) -> None:
        old, old_text = add_key(file, "portal")
        _, new_text = add_key(file, "portal")
        ring = KeyRing(file)
        assert (ring.holder(old_text), ring.holder(new_text)) == ("portal", "portal")
        revoke_key(file, old.id)
        assert (ring.holder(old_text), ring.holder(new_text)) == (None, "portal")

    def test_of_several_keys_of_a_name_none_is_revoked_by_the_name(self, file: Path) -> None:
        ids = [add_key(file, "portal")[0].id for _ in range(2)]
        with pytest.raises(KeysError, match=f"{ids[0]}.*{ids[1]}"):
            revoke_key(file, "portal")
        assert len(read_keys(file)) == 2

    def test_a_key_expires(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        key, text = add_key(file, "guest", days=1)
        ring = KeyRing(file)
        assert key.expires and key.expires - key.created == timedelta(days=1)
        assert ring.holder(text) == "guest"
        assert not key.valid(key.expires)
        rest = key.model_copy(update={"expires": datetime.now(UTC)}).model_dump_json()
        file.write_text(f'{{"keys": [{rest}]}}', "utf-8")
        assert ring.holder(text) is None

    @pytest.mark.parametrize("name", ["", " a", "a\nb", "a" * 65, "/", "\x1b[31m"])
    def test_a_name_is_one_that_a_person_can_read(self, file: Path, name: str) -> None:
        with pytest.raises(KeysError, match="name"):
            add_key(file, name)
        assert not file.exists()

    @pytest.mark.parametrize(
        "broken", ["", "{", "[]", '{"keys": [{"name": "a"}]}', '{"keys": [], "more": 1}', "\udcff"]
    )
    def test_a_broken_file_keeps_the_old_keys_in_force_and_is_named(
        self, file: Path, broken: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        _, text = add_key(file, "portal")
        ring = KeyRing(file)
        assert ring.holder(text) == "portal"
        file.write_bytes(broken.encode("utf-8", "surrogateescape"))
        assert ring.holder(text) == "portal"
        assert str(file) in caplog.text and "stay in force" in caplog.text

    def test_a_file_that_goes_away_keeps_the_old_keys_until_it_is_back(self, file: Path) -> None:
        _, text = add_key(file, "portal")
        ring = KeyRing(file)
        assert ring.holder(text)
        file.unlink()
        assert ring.holder(text)
        file.write_text('{"keys": []}', "utf-8")
        assert ring.holder(text) is None

    def test_the_file_is_looked_at_once_in_a_while(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keys, "LOOK_SECONDS", 1000.0)
        looks: list[object] = []
        monkeypatch.setattr(keys, "_mark", lambda path: looks.append(path))
        ring = KeyRing(file)
        for _ in range(5):
            ring.holder("anything")
        assert looks == [file]

    def test_every_key_is_compared_whichever_fits(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        texts = [add_key(file, f"n{i}")[1] for i in range(3)]
        ring = KeyRing(file)
        compared: list[str] = []

        def compare(a: str, b: str) -> bool:
            compared.append(a)
            return a == b

        monkeypatch.setattr("hmac.compare_digest", compare)
        for text in (texts[0], texts[2], "pt_wrong"):
            ring.holder(text)
        assert compared == [key.sha256 for key in read_keys(file)] * 3


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> Callable[..., tuple[int, str, str]]:
    """The command line with a file of keys: exit code, standard output, standard error."""
    monkeypatch.setenv("POLICY_TOPICS_SERVE__KEYS_FILE", str(file))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["policy-topics", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


class TestCommands:
    def test_add_prints_the_key_alone_and_list_does_not(
        self, command: Callable[..., tuple[int, str, str]], file: Path
    ) -> None:
        code, out, err = command("keys", "add", "portal", "--days", "30")
        assert (code, out.count("\n")) == (0, 1)
        assert KeyRing(file).holder(out.strip()) == "portal"
        _, listed, _ = command("keys", "list")
        assert "portal" in listed and read_keys(file)[0].id in listed
        assert out.strip() not in listed + err

    def test_revoke_takes_a_name_or_an_id(self, command: Callable[..., tuple[int, str, str]], file: Path) -> None:
        command("keys", "add", "a")
        command("keys", "add", "b")
        assert command("keys", "revoke", "a")[0] == 0
        assert command("keys", "revoke", read_keys(file)[0].id)[0] == 0
        assert read_keys(file) == ()
        code, _, err = command("keys", "revoke", "a")
        assert code == 2 and "keys list" in err

    def test_without_a_file_set_the_setting_is_named(
        self, command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("POLICY_TOPICS_SERVE__KEYS_FILE", "null")
        code, _, err = command("keys", "add", "a")
        assert code == 2 and "serve.keys_file" in err

    def test_a_file_that_cannot_be_written_is_named(
        self, command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "no folder").write_text("", "utf-8")
        monkeypatch.setenv("POLICY_TOPICS_SERVE__KEYS_FILE", str(tmp_path / "no folder" / "keys.json"))
        code, out, err = command("keys", "add", "a")
        assert (code, out) == (2, "") and "folder must be writable" in err


class TestStart:
    @pytest.mark.parametrize(
        ("host", "mode", "asked"),
        [
            ("127.0.0.1", "auto", False), ("::1", "auto", False), ("localhost", "auto", False),
            ("::ffff:127.0.0.1", "auto", False), ("::ffff:10.0.0.7", "auto", True),
            ("0.0.0.0", "auto", True), ("::", "auto", True), ("10.0.0.7", "auto", True), ("my-machine", "auto", True),
            ("0.0.0.0", "off", False), ("127.0.0.1", "required", True),
        ],
    )  # fmt: skip
    def test_keys_are_needed_off_this_machine_or_as_set(self, host: str, mode: str, asked: bool) -> None:
        serve = settings(host=host, keys=mode).serve
        if asked:
            with pytest.raises(KeysError, match=r"keys add NAME.*serve\.keys=off"):
                check_keys(serve)
        else:
            check_keys(serve)

    def test_a_bare_off_of_yaml_is_off(self) -> None:
        assert settings(keys=False).serve.keys == "off"

    def test_one_valid_key_is_enough_and_an_expired_one_is_not(self, file: Path) -> None:
        serve = settings(host="0.0.0.0", keys_file=file).serve
        key, _ = add_key(file, "a")
        check_keys(serve)
        rest = key.model_copy(update={"expires": datetime.now(UTC)}).model_dump_json()
        file.write_text(f'{{"keys": [{rest}]}}', "utf-8")
        with pytest.raises(KeysError, match="no valid one"):
            check_keys(serve)

    def test_the_server_process_has_the_same_settings(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        given = settings(keys="off", keys_file=file, cors_origins=["https://a.example", "https://b.example"])
        for name, value in environment(given).items():
            monkeypatch.setenv(name, value)
        assert load_settings().serve == given.serve

    def test_the_server_does_not_start_without_one(self, tiny_bundle: Path) -> None:
        with pytest.raises(KeysError, match=r"0\.0\.0\.0.*keys add"):
            run(load_settings(None, {"bundle": tiny_bundle, "serve.host": "0.0.0.0"}))
