"""API keys: a file of their hashes, how it changes, and what a running service knows of it.

A key is 256 random bits, and SHA-256 is right to keep it by: who has the file would have to try 2**256 keys, however
fast the hash is. Slow, salted hashes are for passwords, which people choose, and so out of few; on every request one
would cost more than the answer. For the same reason there is no pepper.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from configs.settings import ServeSettings, resolve
from policy_topics.durable import locked, write_whole
from policy_topics.errors import PolicyTopicsError
from serve.access.addresses import network_address

LOOK_SECONDS = 1.0
"""Least time between two looks whether the file has changed."""

PREFIX = "pt_"
"""Before each key, so that one that leaks into a repository or a log can be searched for."""

_NAME = re.compile(r"\w[\w.@ -]{0,63}")
_LOCAL_NAME = "localhost"

log = logging.getLogger("policy_topics.serve")


class KeysError(PolicyTopicsError):
    """A file of keys that cannot be used, or a change of it that cannot be made."""

    code: ClassVar[str] = "keys"


class Key(BaseModel):
    """What is kept of a key. Several may have one name: while it is exchanged, the old and the new."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: AwareDatetime
    expires: AwareDatetime | None = None

    @property
    def id(self) -> str:
        """Tells keys of one name apart."""
        return self.sha256[:8]

    def valid(self, now: datetime) -> bool:
        return self.expires is None or now < self.expires


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: tuple[Key, ...] = ()


def read_keys(file: Path) -> tuple[Key, ...]:
    """The keys of a file.

    Raises:
        KeysError: it is not there, or is no file of keys.
    """
    try:
        return _File.model_validate_json(file.read_bytes()).keys
    except OSError as fault:
        raise KeysError(f"{file}: cannot be read ({fault.strerror}); `policy-topics keys add NAME` makes it") from None
    except ValidationError as fault:
        first = fault.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise KeysError(f"{file}: no file of keys: {place}: {first['msg']}; restore it from a copy") from None


def add_key(file: Path, name: str, days: int | None = None) -> tuple[Key, str]:
    """Make a key, valid for so many days or until it is revoked: what is kept of it, and the key itself, which is not.

    Raises:
        KeysError: the name or the file cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise KeysError(f"{name!r}: a name begins with a letter or digit and has up to 64 of those, spaces and . @ _ -")
    text = PREFIX + secrets.token_urlsafe(32)
    now = datetime.now(UTC).replace(microsecond=0)
    key = Key(name=name, sha256=_hash(text), created=now, expires=now + timedelta(days=days) if days else None)
    with _changing(file):
        _write(file, (*(read_keys(file) if file.exists() else ()), key))
    return key, text


def revoke_key(file: Path, which: str) -> Key:
    """Take the key of a name or id out of the file.

    Raises:
        KeysError: there is none, or several of that name.
    """
    with _changing(file):
        keys = read_keys(file)
        found = [key for key in keys if which in (key.name, key.id)]
        if not found:
            raise KeysError(f"no key is called {which}; `policy-topics keys list` has all names and ids")
        if len(found) > 1:
            ids = ", ".join(f"{key.id} of {key.created:%Y-%m-%d}" for key in found)
            raise KeysError(f"{len(found)} keys are called {which}; revoke one by its id: {ids}")
        _write(file, [key for key in keys if key is not found[0]])
    return found[0]


def keys_file(serve: ServeSettings) -> Path:
    """Where the keys are.

    Raises:
        KeysError: the settings do not say.
    """
    if serve.keys_file is None:
        raise KeysError(
            "no file for API keys is set; name one in the settings (serve.keys_file), or for one command: "
            "policy-topics --set serve.keys_file=keys.json …"
        )
    return resolve(serve.keys_file)


def asks_everyone(serve: ServeSettings) -> bool:
    """Whether every client needs a key. In `auto`, those elsewhere need one even if this is false."""
    return serve.keys == "required" or (serve.keys == "auto" and not _is_local(serve.host))


def _is_local(address: str) -> bool:
    """Whether an address is this machine's own, which nobody else can reach or come from."""
    known = network_address(address)
    return address == _LOCAL_NAME if known is None else known.is_loopback


def check_keys(serve: ServeSettings) -> None:
    """Refuse to serve where every client needs a key and there is none.

    Raises:
        KeysError: so it is; the message says how to make a key, and how to do without.
    """
    if not asks_everyone(serve):
        return
    file = serve.keys_file and resolve(serve.keys_file)
    if file and file.exists() and any(key.valid(datetime.now(UTC)) for key in read_keys(file)):
        return
    flag = "" if file else "--set serve.keys_file=keys.json "
    why = "serve.keys is `required`" if serve.keys == "required" else f"{serve.host} is not this machine alone"
    raise KeysError(
        f"{why}, so API keys are asked for, and there is no valid one. Make one: policy-topics {flag}keys add NAME, "
        f"then: policy-topics {flag}serve --host {serve.host}. To let everyone in who reaches that address: "
        "--set serve.keys=off. 需要 API 密钥而尚无有效密钥：请先用 keys add 创建；若确实不需要，设 serve.keys=off。"
    )


class KeyRing:
    """The keys in force, as the file has them: a change is seen within a second. While the file is broken or gone, the
    keys that were read before stay in force; with none read, nobody is let in."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._keys: tuple[Key, ...] = ()
        self._mark: object = None
        self._look_at = 0.0

    def holder(self, text: str) -> str | None:
        """The name of a key that is in force, or None. Takes the same time whichever it is and however much fits."""
        if time.monotonic() >= self._look_at:
            self._look()
        now, given, name = datetime.now(UTC), _hash(text), None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, given) and key.valid(now):
                name = key.name
        return name

    def _look(self) -> None:
        self._look_at = time.monotonic() + LOOK_SECONDS
        if self._file is None:
            return
        mark = _mark(self._file)  # before reading: a change meanwhile is seen at the next look
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._keys = read_keys(self._file)
        except KeysError as fault:
            log.error("%s; the %d API keys read before stay in force", fault, len(self._keys))
        else:
            log.info("%s: %d API keys in force", self._file, len(self._keys))


def _mark(file: Path) -> object:
    """Something else whenever the file is: it is never changed in its place."""
    try:
        found = file.stat()
    except OSError as fault:
        return fault.errno
    return found.st_mtime_ns, found.st_size, found.st_ino


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def _changing(file: Path) -> Iterator[None]:
    try:
        with locked(file.parent):
            yield
    except OSError as fault:
        raise KeysError(f"{file}: cannot be written ({fault.strerror}); its folder must be writable, too") from None


def _write(file: Path, keys: Sequence[Key]) -> None:
    write_whole(file, _File(keys=tuple(keys)).model_dump_json(indent=1, exclude_none=True) + "\n")
