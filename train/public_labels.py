"""Labels of public paragraphs, put back to their texts: the labels are ours to ship, the texts are not.

    python -m train.public_labels CORPUS OUT.jsonl

`data/public_labels.jsonl` knows a paragraph by the SHA-256 of its clean text. Whoever has the texts, a folder as
`policy-topics pretrain` takes it, gets labelled paragraphs of those that are in it, and is told how many are not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from configs.settings import HOME
from policy_topics.durable import write_whole
from policy_topics.errors import DataError
from policy_topics.feedback.corrections import clean_sha256
from train.corpus import read_corpus

PUBLIC_LABELS = HOME / "data" / "public_labels.jsonl"

LabelsByHash = Mapping[str, list[str]]
"""Topics, primary first, by the hash of the clean text."""


def read_labels(file: Path) -> dict[str, list[str]]:
    """The labels of a file such as `PUBLIC_LABELS`.

    Raises:
        DataError: it cannot be read.
    """
    try:
        rows = map(json.loads, file.read_text("utf-8").splitlines())
        return {row["sha256"]: row["labels"] for row in rows}
    except (OSError, ValueError, KeyError) as fault:
        raise DataError(f"{file}: holds no labels by hash: {fault!r}") from None


def labelled_lines(corpus: Path, labels: LabelsByHash) -> Iterator[dict[str, object]]:
    """The lines of a corpus that have labels, each once, in the form of labelled paragraphs.

    Raises:
        TrainingError: the folder holds no text.
    """
    left = dict(labels)
    for text in read_corpus(corpus, {}, 0.0):
        for line in text.text.split("\n"):
            found = left.pop(digest := clean_sha256(line), None)
            if found is not None:
                yield {"id": f"public:{digest[:16]}", "text": line, "labels": found, "source": "public"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    labels = read_labels(PUBLIC_LABELS)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    rows = list(labelled_lines(arguments.corpus, labels))
    write_whole(arguments.out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"{arguments.out}: {len(rows)} labelled paragraphs; {len(labels) - len(rows)} are not in {arguments.corpus}")


if __name__ == "__main__":
    main()
