"""Hostile bodies and files against the service: none may crash it, hang it, or get an answer that is not documented.

    python -m benchmarks.hostile [--bodies 10000] [--files 500] [--seconds 60] [--seed 7]
        [--schemathesis VENV/bin/schemathesis] [--minutes 5]

Bodies go to the endpoints that take JSON: valid ones with bytes, tokens, types and nesting mutated, and headers that do
not fit them. Files go to /classify_document: good and broken ones of every format with bytes flipped, cut off, doubled
and spliced, under names of any ending. Each answer must come within `--seconds`, have a status that the OpenAPI
document names for its endpoint, no 5xx, and be a problem document unless it is 200 or 201. Afterwards the same worker
must still answer a plain request as it did before.

With `--schemathesis` (`python -m venv VENV && VENV/bin/pip install schemathesis`) that tool then makes requests of its
own out of the OpenAPI document. Exit code 1: anything that may not be.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from rich.console import Console

from benchmarks.servers import Server, ours, running
from configs.settings import load_settings
from policy_topics.engine import available_cores
from policy_topics.registry import served_bundle
from serve.openapi.examples import CLASSIFY, DOCUMENT, EXPLAIN, FEEDBACK
from tests.archives import BROKEN, GOOD

AT_ONCE = 8
"""Requests under way at a time."""
JSON = "application/json"
BOUNDARY = "o7X"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
JSON_PATHS = {"/classify": CLASSIFY, "/classify_document": DOCUMENT, "/explain": EXPLAIN, "/feedback": FEEDBACK}
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, 10**40, "", "\x00", "\ud800", "𠮷" * 50, "学" * 3000, "（" * 500, [], {}, [[]],
    [None] * 40, {"text": []}, "学(xué)" * 300, "\u202e\u200b\ufeff", "&#0;&lt;" * 50, "<script>", "'; --", "NaN",
)  # fmt: skip
"""Values that are put where others belong."""
NOISE = (
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"{",
    b"]",
    b'"',
    b"\\u",
    b"\\ud800",
    b"1e999",
    b"NaN",
    b",,",
    b"\r\n",
    b"--x",
)


@dataclass(frozen=True, slots=True)
class Attack:
    """One request."""

    path: str
    body: bytes
    content_type: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The status (0: no whole answer), and what is wrong with the answer, if anything."""

    status: int
    fault: str | None


def hostile_body(rng: random.Random) -> Attack:
    """A body for one of the JSON endpoints that was valid once."""
    path = rng.choice(list(JSON_PATHS))
    value = json.loads(json.dumps(JSON_PATHS[path]))
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        value = _mutated_value(value, rng)
    body = json.dumps(value).encode("utf-8", "surrogatepass")
    if rng.random() < 0.5:
        body = _mutated_bytes(body, rng)
    if rng.random() < 0.02:
        body = b"[" * 100_000 if rng.random() < 0.5 else b'{"items":' * 20_000
    types = (*[JSON] * 20, "application/json; charset=utf-16", "text/plain", "multipart/form-data", FORM, "x", None)
    return Attack(path, body, rng.choice(types))


def hostile_file(rng: random.Random, kinds: Sequence[tuple[str, bytes]]) -> Attack:
    """A file of one of the kinds, damaged, under the name of this or of another kind."""
    name, data = rng.choice(kinds)
    _, other = rng.choice(kinds)
    if rng.random() < 0.2:
        data = data[: len(data) // 2] + other[len(other) // 2 :]
    for _ in range(rng.choice((0, 1, 3))):
        data = _mutated_bytes(data, rng)
    ending = Path(rng.choice(kinds)[0] if rng.random() < 0.3 else name).suffix
    stem = rng.choice(("报告", "../../etc/passwd", "a" * 300, "", "\r\nX: y", "x\x00y"))
    form = _form(f"{stem}{ending}", data)
    return Attack("/classify_document", _mutated_bytes(form, rng) if rng.random() < 0.1 else form, FORM)


def _form(name: str, data: bytes) -> bytes:
    """A multipart body by hand: libraries refuse such names."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def _mutated_value(value: Any, rng: random.Random) -> Any:
    """The value with one part of it replaced, renamed, repeated, or taken away."""
    if rng.random() < 0.15 or not isinstance(value, (dict, list)) or not value:
        return deepcopy(rng.choice(ODD))
    key: Any = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
    way = rng.random()
    if way < 0.6:
        value[key] = _mutated_value(value[key], rng)
    elif way < 0.75:
        del value[key]
    elif isinstance(value, dict):
        value[rng.choice(("", "text", "__proto__", "id", "选项"))] = deepcopy(rng.choice(ODD))
    else:
        value.extend(value * rng.choice((1, 3)))
    return value


def _mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    """The bytes cut, with noise put in, with a part repeated, or with single ones changed."""
    at = rng.randrange(len(data) + 1)
    way = rng.randrange(4)
    if way == 0:
        return data[:at]
    if way == 1:
        return data[:at] + rng.choice(NOISE) + data[at:]
    if way == 2:
        return data[:at] + data[at : at + 64] * rng.randrange(2, 20) + data[at:]
    changed = bytearray(data)
    for _ in range(min(len(data), 1 + len(data) // 200)):
        changed[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(changed)


class Attacker:
    """Sends attacks and judges the answers by the OpenAPI document."""

    def __init__(self, session: aiohttp.ClientSession, url: str, documented: dict[str, set[int]]) -> None:
        self._session = session
        self._url = url
        self._documented = documented

    async def judge(self, attack: Attack) -> Outcome:
        try:
            async with self._send(attack) as answer:
                status, body, kind = answer.status, await answer.read(), answer.content_type
        except TimeoutError:
            return Outcome(0, "no answer in time")
        except aiohttp.ClientError as fault:
            return Outcome(0, f"no answer: {fault!r}")
        return Outcome(status, self._fault(attack.path, status, body, kind))

    def _send(self, attack: Attack) -> Any:
        headers = {"Content-Type": attack.content_type} if attack.content_type else None
        skip = () if attack.content_type else ("Content-Type",)
        return self._session.post(self._url + attack.path, data=attack.body, headers=headers, skip_auto_headers=skip)

    def _fault(self, path: str, status: int, body: bytes, kind: str) -> str | None:
        if status >= 500:
            return f"status {status}: {body[:200]!r}"
        if status not in self._documented[path]:
            return f"status {status} is not documented: {body[:200]!r}"
        if status not in (200, 201) and (kind != "application/problem+json" or "code" not in json.loads(body)):
            return f"status {status} without a problem document: {body[:200]!r}"
        return None


async def attack_all(server: Server, attacks: Sequence[Attack], seconds: float) -> list[tuple[Attack, Outcome]]:
    """Send them all, a few at a time."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        async with session.get(server.url + "/docs.json") as answer:
            paths = (await answer.json())["paths"]
        documented = {path: set(map(int, paths[path]["post"]["responses"])) for path in JSON_PATHS}
        attacker, room = Attacker(session, server.url, documented), asyncio.Semaphore(AT_ONCE)

        async def one(attack: Attack) -> tuple[Attack, Outcome]:
            async with room:
                return attack, await attacker.judge(attack)

        return await asyncio.gather(*(one(attack) for attack in attacks))


def main() -> None:
    arguments = _arguments()
    console = Console(width=120, highlight=False, markup=False)
    rng = random.Random(arguments.seed)
    makers = {**GOOD, **{name: make for name, (make, _) in BROKEN.items()}}
    kinds = [(name, data) for name, make in makers.items() if len(data := make()) < 1 << 20]
    waves = {
        "bodies": [hostile_body(rng) for _ in range(arguments.bodies)],
        "files": [hostile_file(rng, kinds) for _ in range(arguments.files)],
    }
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        way = ours(served_bundle(load_settings()), available_cores())
        way.environment["POLICY_TOPICS_FEEDBACK__URL"] = f"sqlite:///{folder}/feedback.db"
        with running(way, (), Path(folder) / "server.log") as server:
            worker, before = server.worker().pid, _plain(server)
            for name, attacks in waves.items():
                done = asyncio.run(attack_all(server, attacks, arguments.seconds))
                statuses = Counter(outcome.status for _, outcome in done)
                console.print(f"{len(done)} hostile {name}: {dict(sorted(statuses.items()))}")
                for attack, outcome in done:
                    if outcome.fault:
                        faults += 1
                        console.print(f"  {attack.path} {attack.content_type}: {outcome.fault}")
                        console.print(f"    {attack.body[:300]!r}")
            alive = server.worker().pid == worker and _plain(server) == before
            console.print(
                "The same worker answers as before." if alive else "The worker is another or answers otherwise."
            )
            if arguments.schemathesis:
                faults += _schemathesis(arguments.schemathesis, server, arguments.minutes) != 0
    sys.exit(1 if faults or not alive else 0)


def _plain(server: Server) -> bytes:
    """The answer to a request as it should be."""
    return httpx.post(server.url + "/classify", json=CLASSIFY, timeout=30).content


def _schemathesis(binary: Path, server: Server, minutes: float) -> int:
    budget = ["--max-time", str(int(60 * minutes))]
    command = [str(binary), "run", server.url + "/docs.json", "--checks", CHECKS, "--continue-on-failure", *budget]
    return subprocess.run(command, check=False).returncode


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bodies", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--schemathesis", type=Path)
    parser.add_argument("--minutes", type=float, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
