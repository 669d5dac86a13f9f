"""The request log: one line of JSON on standard error for each request, without a word of its text."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from pydantic_core import to_json

from serve.observation.record import Record


def log_request(record: Record) -> None:
    """Write the line of a request that has been answered.

    It is one write of under 4 KiB, which the system does not mix with those of other processes.
    """
    came = datetime.fromtimestamp(record.began / 1e9, UTC).isoformat(timespec="milliseconds")
    line = {
        "time": came,
        "method": record.method,
        "path": record.path,
        "status": record.status,
        "code": record.code,
        "milliseconds": round(record.seconds * 1000, 2),
        "paragraphs": record.paragraphs,
        "tokens": record.tokens,
        "key": record.key,
        "trace": record.trace_id,
    }
    sys.stderr.write(to_json(line).decode() + "\n")
    sys.stderr.flush()
