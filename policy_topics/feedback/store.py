"""The store: corrections in a database, each once, and each for good once `add` has returned.

SQLite has its journal in WAL mode, synchronised at every commit (`synchronous = FULL`): neither a kill nor a power cut
loses what was committed (sqlite.org/wal.html). Writers take turns, over all processes: on SQLite with BEGIN IMMEDIATE,
on PostgreSQL with an advisory lock, both of which end with their transaction and so with a process that dies.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, Row, create_engine, event, func, insert, make_url, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from policy_topics.durable import locked, sync
from policy_topics.errors import FeedbackError, how_to_install
from policy_topics.feedback.corrections import Correction, Suggested, text_sha256
from policy_topics.feedback.tables import CORRECTIONS, VERSION_TABLE

MIGRATIONS = Path(__file__).with_name("migrations")

_WAIT_SECONDS = 10
"""How long to wait for a connection, or for SQLite's other writers."""
_AT_ONCE = 500
"""Values in one `IN (…)`: databases have a limit on them."""
_ADVISORY_LOCK = 0x706F6C746F70
"""Any number will do, but always this one."""

_migrating = threading.Lock()
"""Alembic's `context` and `op` are one for the whole process."""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of corrections that were sent together.

    Attributes:
        new: how many of them were not in the store before.
        conflicts: ids that were, with other content; where there are any, none of the others was stored either.
    """

    new: int
    conflicts: tuple[str, ...] = ()


class Store:
    """A database of corrections. Opened, and brought to the newest form, by the first use. Safe from several threads.

    Args:
        url: `sqlite:///FILE` or `postgresql+psycopg://…`.

    Every method raises `FeedbackError` where the database cannot be used; the next call tries again.
    """

    def __init__(self, url: str) -> None:
        try:
            self._url = make_url(url)
        except (ArgumentError, ValueError):
            raise FeedbackError("feedback.url is no URL of a database; default.yaml has examples") from None
        self._file = Path(self._url.database or "") if self._url.get_backend_name() == "sqlite" else None
        self._opening = threading.Lock()
        self._engine: Engine | None = None

    @property
    def name(self) -> str:
        """The URL, without its password."""
        return self._url.render_as_string(hide_password=True)

    def add(self, sent: Sequence[Sequence[Correction]]) -> list[Added]:
        """Store what several clients sent, in one transaction; each one's corrections all or none."""
        with self._faults_named(), self._exclusive(self._open()) as connection:
            ids = {each.id for together in sent for each in together}
            known = dict(_chosen(connection, (CORRECTIONS.c.id, CORRECTIONS.c.content_sha256), "id", ids))
            added, rows = [], []
            for together in sent:
                contents = {each.id: each.content_sha256() for each in together}
                conflicts = tuple(id for id, content in contents.items() if known.get(id, content) != content)
                fresh = [] if conflicts else [each for each in together if each.id not in known]
                known |= {each.id: contents[each.id] for each in fresh}
                rows += [_as_row(each) for each in fresh]
                added.append(Added(len(fresh), conflicts))
            if rows:
                connection.execute(insert(CORRECTIONS), rows)
        return added

    def read(self, since: datetime | None = None) -> list[Correction]:
        """Corrections in the order of storing, all or those that came at a time or later."""
        if not self._is_there():
            raise FeedbackError(
                f"{self.name}: there is no such file, so nothing has been corrected yet; or name another store with "
                "--url or feedback.url"
            )
        chosen = select(CORRECTIONS).order_by(CORRECTIONS.c.number)
        if since:
            chosen = chosen.where(CORRECTIONS.c.time >= since.astimezone(UTC))
        with self._faults_named(), self._open().connect() as connection:
            return [_as_correction(row) for row in connection.execute(chosen)]

    def corrected(self, hashes: Collection[str]) -> set[str]:
        """Those of the hashes (see `text_sha256`) of whose paragraphs there is a correction."""
        if not hashes or not self._is_there():
            return set()
        with self._faults_named(), self._open().connect() as connection:
            column = CORRECTIONS.c.text_sha256
            return {row[0] for row in _chosen(connection, (column,), "text_sha256", hashes)}

    def close(self) -> None:
        if self._engine:
            self._engine.dispose()

    def _is_there(self) -> bool:
        return self._file is None or self._file.exists()

    def _open(self) -> Engine:
        with self._opening:
            if self._engine is None:
                if self._file:
                    _make_folder(self._file.parent)
                engine = self._new_engine()
                # SQLite changes to WAL at once or not at all; PostgreSQL's writers wait for each other as ever.
                with _migrating, locked(self._file.parent) if self._file else nullcontext():
                    if self._file:
                        with engine.connect() as connection:
                            connection.connection.cursor().execute("PRAGMA journal_mode = WAL")
                    with self._exclusive(engine) as connection:
                        _migrate(connection)
                self._engine = engine
            return self._engine

    def _new_engine(self) -> Engine:
        if not self._file:
            return create_engine(self._url, pool_pre_ping=True, connect_args={"connect_timeout": _WAIT_SECONDS})
        engine = create_engine(self._url, connect_args={"timeout": _WAIT_SECONDS})

        @event.listens_for(engine, "connect")
        def _connected(connection: Any, _: object) -> None:
            connection.isolation_level = None  # the driver begins no transactions; `_begun` does
            connection.execute("PRAGMA synchronous = FULL")

        @event.listens_for(engine, "begin")
        def _begun(connection: Connection) -> None:
            exclusive = connection.get_execution_options().get("exclusive")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if exclusive else "BEGIN")

        return engine

    @contextmanager
    def _exclusive(self, engine: Engine) -> Iterator[Connection]:
        """A transaction with no other of these at the same time."""
        with engine.connect() as connection:
            connection = connection.execution_options(exclusive=True)
            with connection.begin():
                if not self._file:
                    connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
                yield connection

    @contextmanager
    def _faults_named(self) -> Iterator[None]:
        try:
            yield
        except ModuleNotFoundError as fault:
            raise FeedbackError(f"{self.name}: wants {fault.name}; {how_to_install('postgres')}") from fault
        except CommandError as fault:
            raise FeedbackError(
                f"{self.name}: was written by a newer version of policy-topics ({fault}); use that one"
            ) from fault
        except (SQLAlchemyError, OSError) as fault:
            reason = getattr(fault, "orig", None) or fault
            raise FeedbackError(f"{self.name}: the store of corrections cannot be used: {reason}") from fault


def _make_folder(folder: Path) -> None:
    """A folder that is there, for good, before anything in it is promised to anyone."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        sync(folder.parent)


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    done = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    if done != ScriptDirectory.from_config(config).get_current_head():
        command.upgrade(config, "head")


def _chosen(connection: Connection, columns: Any, by: str, values: Collection[str]) -> Iterator[Any]:
    """Rows whose column `by` has one of the values."""
    every = sorted(values)
    for start in range(0, len(every), _AT_ONCE):
        some = every[start : start + _AT_ONCE]
        yield from connection.execute(select(*columns).where(CORRECTIONS.c[by].in_(some)))


def _as_row(correction: Correction) -> dict[str, Any]:
    hashes = {"content_sha256": correction.content_sha256(), "text_sha256": text_sha256(correction.text)}
    return {**asdict(correction), **hashes, "consent": True}


def _as_correction(row: Row[Any]) -> Correction:
    # SQLite gives times without their zone, PostgreSQL in the session's.
    time = row.time.replace(tzinfo=UTC) if row.time.tzinfo is None else row.time.astimezone(UTC)
    return Correction(
        id=row.id,
        text=row.text,
        old=tuple(Suggested(**topic) for topic in row.old),
        new=tuple(row.new),
        model=row.model,
        version=row.version,
        taxonomy=row.taxonomy,
        time=time,
        who=row.who,
        document=row.document,
    )
