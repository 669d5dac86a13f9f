"""How far two independent readings of our own data set agree.

    python -m benchmarks.agreement [--readings data/readings.jsonl]

Of each topic: in how many paragraphs both readings give it, only the first, only the second; F1 of one against the
other, and Cohen's kappa.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from sklearn.metrics import cohen_kappa_score

from configs.settings import resolve
from configs.taxonomy import load_taxonomy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=Path, default=resolve(Path("data/readings.jsonl")))
    rows = [json.loads(line) for line in parser.parse_args().readings.read_text("utf-8").splitlines()]
    pairs = [(set(row["first"]), set(row["second"])) for row in rows]
    table = Table("topic", "both", "only first", "only second", "F1", "kappa", box=box.MARKDOWN)
    totals = [0, 0, 0]
    for topic in load_taxonomy().ids:
        given = [(topic in first, topic in second) for first, second in pairs]
        counts = [given.count(kind) for kind in ((True, True), (True, False), (False, True))]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        kappa = cohen_kappa_score(*zip(*given, strict=True))
        table.add_row(topic, *map(str, counts), f"{_f1(*counts):.3f}", f"{kappa:.3f}")
    console = Console(width=120)
    console.print(table)
    same = sum(first == second for first, second in pairs) / len(pairs)
    primary = sum(row["first"][:1] == row["second"][:1] for row in rows) / len(rows)
    console.print(f"{len(rows)} paragraphs; all topics: F1 {_f1(*totals):.3f}")
    console.print(f"the same topics in {same:.3f} of the paragraphs, the same primary one in {primary:.3f}")


def _f1(both: int, first: int, second: int) -> float:
    return 2 * both / max(1, 2 * both + first + second)


if __name__ == "__main__":
    main()
