"""The store of corrections: each once, each for good, whatever writes beside it or was cut off before."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from configs.settings import HOME, SettingsError, load_settings, resolve_database
from policy_topics.errors import FeedbackError
from policy_topics.feedback.corrections import Correction, Suggested, text_sha256
from policy_topics.feedback.store import Added, Store
from policy_topics.feedback.tables import METADATA, VERSION_TABLE

FARMING = "推进高标准农田建设，严守耕地红线。"
_processes = multiprocessing.get_context("spawn")


def correction(
    new: tuple[str, ...] = ("agriculture",),
    text: str = FARMING,
    id: str | None = None,
    who: str | None = None,
    time: datetime | None = None,
) -> Correction:
    return Correction(
        id=id or str(uuid4()),
        text=text,
        old=(Suggested("education", 0.5), Suggested("energy", None)),
        new=new,
        model="tiny",
        version="0123456789ab",
        taxonomy=1,
        time=time or datetime.now(UTC),
        who=who,
        document="纪要.docx",
    )


def url_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'new' / 'feedback.db'}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(url_in(tmp_path))


class TestAdding:
    def test_what_was_added_is_read_back_whole_and_in_order(self, store: Store) -> None:
        sent = [correction(who="alice"), correction(()), correction(text="🚀 \u3000各地：\n“推进”")]
        assert store.add([sent[:1], sent[1:]]) == [Added(1), Added(2)]
        assert store.read() == sent

    def test_the_same_id_again_is_stored_once(self, store: Store) -> None:
        one, other = correction(), correction()
        assert store.add([[one], [one, other]]) == [Added(1), Added(1)]
        assert store.add([[one]]) == [Added(0)]
        assert store.read() == [one, other]

    def test_a_retry_by_another_key_at_another_time_is_the_same_correction(self, store: Store) -> None:
        one = correction(who="alice")
        later = correction(id=one.id, who="alice-2", time=one.time + timedelta(hours=1))
        store.add([[one]])
        assert store.add([[later]]) == [Added(0)]
        assert store.read() == [one]

    def test_the_same_id_with_other_content_is_refused_with_all_that_came_with_it(self, store: Store) -> None:
        one, good = correction(), correction()
        store.add([[one]])
        assert store.add([[good, correction(("energy",), id=one.id)], [good]]) == [Added(0, (one.id,)), Added(1)]
        assert store.read() == [one, good]

    def test_more_corrections_than_a_query_has_room_for(self, store: Store) -> None:
        many = [correction(text=f"{FARMING}{number}") for number in range(1201)]
        assert store.add([many]) == [Added(1201)]
        assert store.add([many]) == [Added(0)]
        assert store.corrected([text_sha256(each.text) for each in many]) == {text_sha256(each.text) for each in many}


class TestReading:
    def test_only_what_came_since(self, store: Store) -> None:
        start = datetime(2026, 3, 1, tzinfo=UTC)
        days = [correction(time=start + timedelta(days=day)) for day in range(3)]
        store.add([days])
        assert store.read(start + timedelta(days=1)) == days[1:]

    def test_a_paragraph_counts_as_corrected_however_it_is_spelt(self, store: Store) -> None:
        store.add([[correction(text="推進高標準農田(tián)建設")]])
        asked = [text_sha256("推进高标准农田建设"), text_sha256("别的段落")]
        assert store.corrected(asked) == set(asked[:1])
        assert store.corrected([]) == set()

    def test_asking_creates_no_database(self, store: Store, tmp_path: Path) -> None:
        assert store.corrected(["0"]) == set()
        with pytest.raises(FeedbackError, match="nothing has been corrected yet"):
            store.read()
        assert not list(tmp_path.iterdir())


class TestDatabase:
    def test_commits_are_synchronised_with_the_disk(self, store: Store) -> None:
        store.add([[correction()]])
        with store._open().connect() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL

    def test_the_migrations_come_to_the_tables_that_the_code_has(self, store: Store, tmp_path: Path) -> None:
        store.add([[correction()]])
        with create_engine(url_in(tmp_path)).connect() as connection:
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
            assert compare_metadata(context, METADATA) == []

    def test_opening_again_keeps_everything(self, store: Store, tmp_path: Path) -> None:
        one = correction()
        store.add([[one]])
        assert Store(url_in(tmp_path)).read() == [one]

    def test_the_database_takes_no_text_without_consent(self, store: Store) -> None:
        store.add([[correction()]])
        with store._open().connect() as connection, pytest.raises(IntegrityError, match="consent"):
            connection.execute(text("UPDATE policy_topics_corrections SET consent = 0"))

    def test_a_store_of_a_newer_version_is_left_alone(self, store: Store, tmp_path: Path) -> None:
        store.add([[correction()]])
        store.close()
        with sqlite3.connect(tmp_path / "new" / "feedback.db") as base:
            base.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        with pytest.raises(FeedbackError, match="newer version"):
            Store(url_in(tmp_path)).read()

    def test_a_file_that_is_no_database_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "feedback.db").write_text("会议纪要" * 1000, "utf-8")
        with pytest.raises(FeedbackError, match=r"feedback\.db.*not a database"):
            Store(url_in(tmp_path)).add([[correction()]])

    def test_a_database_that_comes_back_is_used_again(self, tmp_path: Path) -> None:
        (tmp_path / "new").write_text("in the way", "utf-8")
        store = Store(url_in(tmp_path))
        with pytest.raises(FeedbackError):
            store.add([[correction()]])
        (tmp_path / "new").unlink()
        assert store.add([[correction()]]) == [Added(1)]

    def test_a_password_is_not_shown(self) -> None:
        url = "postgresql+psycopg://me:secret@127.0.0.1:1/none"
        assert "secret" not in Store(url).name
        with pytest.raises(FeedbackError) as fault:
            Store(url).add([[correction()]])
        assert "secret" not in str(fault.value)

    def test_a_missing_driver_is_named_with_the_command_that_installs_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(FeedbackError, match=r"wants psycopg; .*pip install .* -e '\.\[postgres\]'"):
            Store("postgresql+psycopg://127.0.0.1:1/none").add([[correction()]])

    @pytest.mark.parametrize("url", ["feedback.db", "sqlite:///:memory:", "sqlite://", "mysql://a/b"])
    def test_other_databases_are_no_setting(self, url: str) -> None:
        with pytest.raises(SettingsError, match=r"feedback\.url"):
            load_settings(None, {"feedback.url": url})

    def test_a_relative_file_is_of_the_working_folder_if_there_else_of_the_code(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert resolve_database("sqlite:///some/a.db") == f"sqlite:///{HOME / 'some' / 'a.db'}"
        (tmp_path / "a.db").touch()
        assert resolve_database("sqlite:///a.db") == f"sqlite:///{tmp_path / 'a.db'}"
        for url in (f"sqlite:///{tmp_path}/b.db", "postgresql+psycopg://h/d"):
            assert resolve_database(url) == url


class TestSeveralProcesses:
    def test_processes_that_start_at_once_make_one_store_and_lose_nothing(self, tmp_path: Path) -> None:
        twice = correction()
        processes = [_processes.Process(target=_add, args=(url_in(tmp_path), 5, twice)) for _ in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
        assert [process.exitcode for process in processes] == [0] * 4
        stored = Store(url_in(tmp_path)).read()
        assert len(stored) == len({each.id for each in stored}) == 4 * 5 + 1

    def test_a_kill_loses_nothing_that_was_added(self, tmp_path: Path) -> None:
        told = tmp_path / "told"
        process = _processes.Process(target=_add_forever, args=(url_in(tmp_path), told))
        process.start()
        for _ in range(1200):
            if told.exists() and told.stat().st_size > 37 * 20:
                break
            time.sleep(0.05)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        acknowledged = told.read_text().splitlines()
        stored = [each.id for each in Store(url_in(tmp_path)).read()]
        assert len(acknowledged) >= 20
        assert stored[: len(acknowledged)] == acknowledged
        assert len(stored) <= len(acknowledged) + 1


def _add(url: str, count: int, twice: Correction) -> None:
    store = Store(url)
    for _ in range(count):
        store.add([[correction()], [twice]])


def _add_forever(url: str, told: Path) -> None:
    store = Store(url)
    with told.open("w", buffering=1) as out:
        while True:
            one = correction()
            store.add([[one]])
            out.write(f"{one.id}\n")
