"""How alike the paragraphs of our own data set are, beside others; and whether any of it stands elsewhere.

    python -m benchmarks.dataset data/train.jsonl data/dev.jsonl data/test.jsonl [--beside OTHER.jsonl] \
        [--against FILE_OR_FOLDER …] [--plots FOLDER]

- distinct 8-grams: share of all runs of eight characters that stand there once only;
- nearest neighbour: Jaccard similarity of the 5-character shingles of a paragraph and of the one most like it;
- shared openings: share of the paragraphs that begin with the same eight characters as another one.

`--beside` draws as many paragraphs from the other file, so that the figures can be compared. `--against` lists phrases
of 15 characters and more that paragraphs share with other text (.jsonl, .txt, .txt.xz), to be rewritten,
or known as fixed phrases.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import sparse

from configs.taxonomy import Taxonomy, load_taxonomy
from train.dataset import LabelledParagraph, read
from train.duplicates import shingles

_RUN = 15
_LINE_BREAK = re.compile(r"\s+")


def main() -> None:
    arguments = _arguments()
    taxonomy = load_taxonomy()
    rows = read(arguments.files, taxonomy)
    sets = {"ours": rows}
    if arguments.beside:
        others = read([arguments.beside], taxonomy)
        sets[arguments.beside.name] = random.Random(0).sample(others, min(len(rows), len(others)))
    console = Console(width=120)
    table = Table("measure", *sets)
    columns = [describe(each) for each in sets.values()]
    for name in columns[0]:
        table.add_row(name, *(f"{column[name]:.3f}" for column in columns))
    console.print(table)
    if arguments.against:
        for phrase, places in sorted(shared_phrases(rows, arguments.against).items(), key=lambda item: -len(item[1])):
            console.print(f"{phrase}: {', '.join(places)}", markup=False)
    if arguments.plots:
        draw(sets, taxonomy, arguments.plots)


def describe(rows: Sequence[LabelledParagraph]) -> dict[str, float]:
    """The figures of one set of paragraphs."""
    texts = [row.text for row in rows]
    grams = Counter(text[i : i + 8] for text in texts for i in range(len(text) - 7))
    openings = Counter(text[:8] for text in texts)
    nearest = nearest_neighbours(texts)
    lengths = np.array([len(text) for text in texts])
    labels = np.array([len(row.labels) for row in rows])
    return {
        "paragraphs": float(len(rows)),
        "distinct 8-grams": sum(n == 1 for n in grams.values()) / grams.total(),
        "nearest neighbour, mean": float(nearest.mean()),
        "nearest neighbour, 95 %": float(np.quantile(nearest, 0.95)),
        "nearest neighbour, most": float(nearest.max()),
        "shared openings": sum(n for n in openings.values() if n > 1) / len(rows),
        **{f"characters, {q:.0%}": float(np.quantile(lengths, q)) for q in (0.05, 0.5, 0.95)},
        "without a topic": float((labels == 0).mean()),
        "two or more topics": float((labels >= 2).mean()),
    }


def nearest_neighbours(texts: Sequence[str]) -> np.ndarray:
    """Jaccard similarity of each text with the one most like it, (texts,)."""
    number: dict[str, int] = {}
    sets = [[number.setdefault(s, len(number)) for s in shingles(text)] for text in texts]
    rows = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    table = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, np.concatenate(sets))), (len(sets), len(number)))
    sizes = np.asarray(table.sum(axis=1)).ravel()
    best = np.zeros(len(texts))
    for start in range(0, len(texts), 500):
        common = (table[start : start + 500] @ table.T).toarray()
        jaccard = common / (sizes[start : start + 500, None] + sizes[None, :] - common)
        jaccard[np.arange(len(common)), np.arange(start, start + len(common))] = 0
        best[start : start + 500] = jaccard.max(axis=1)
    return best


def shared_phrases(rows: Sequence[LabelledParagraph], against: Sequence[Path]) -> dict[str, list[str]]:
    """The longest phrases, of 15 characters and more, whose every run of 15 stands in other text; ids of paragraphs."""
    texts = {row.id: _LINE_BREAK.sub("", row.text) for row in rows}
    ours = {run for text in texts.values() for run in _runs(text)}
    found = {run for text in _texts(against) for run in _runs(text) if run in ours}
    phrases: dict[str, list[str]] = {}
    for paragraph, text in texts.items():
        start = None
        for i, run in enumerate([*_runs(text), ""]):
            if run in found:
                start = i if start is None else start
            elif start is not None:
                phrases.setdefault(text[start : i + _RUN - 1], []).append(paragraph)
                start = None
    return phrases


def _runs(text: str) -> list[str]:
    return [text[i : i + _RUN] for i in range(len(text) - _RUN + 1)]


def _texts(places: Sequence[Path]) -> Iterator[str]:
    for place in places:
        for file in sorted(f for f in place.rglob("*") if f.is_file()) if place.is_dir() else [place]:
            yield from (_LINE_BREAK.sub("", line) for line in _lines(file))


def _lines(file: Path) -> Iterator[str]:
    with (lzma.open if file.suffix == ".xz" else open)(file, "rt", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            yield json.loads(line)["text"] if file.suffix == ".jsonl" and line.strip() else line


def draw(sets: dict[str, list[LabelledParagraph]], taxonomy: Taxonomy, folder: Path) -> None:
    """Pictures of how long the paragraphs are and what they carry."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(figsize=(7, 3), layout="constrained")
    for name, rows in sets.items():
        axes.hist(
            [len(row.text) for row in rows], bins=list(range(0, 520, 20)), histtype="step", density=True, label=name
        )
    axes.set_xlabel("characters")
    axes.legend()
    figure.savefig(folder / "lengths.png", dpi=120)
    figure, axes = pyplot.subplots(figsize=(7, 7), layout="constrained")
    height = 0.8 / len(sets)
    for k, (name, rows) in enumerate(sets.items()):
        counts = Counter(label for row in rows for label in row.labels)
        shares = [100 * counts[topic] / len(rows) for topic in taxonomy.ids]
        axes.barh(np.arange(len(shares)) + k * height, shares, height, label=name)
    axes.set_yticks(np.arange(len(taxonomy.ids)) + 0.4 - height / 2, taxonomy.ids)
    axes.invert_yaxis()
    axes.set_xlabel("paragraphs that carry the topic, %")
    axes.legend()
    figure.savefig(folder / "topics.png", dpi=120)
    pyplot.close("all")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--against", type=Path, action="append")
    parser.add_argument("--plots", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
