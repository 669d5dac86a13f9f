"""`policy-topics data suggest`: the paragraphs of an archive that are worth a label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cli.extras import require
from cli.importing import refuse_existing, write_or_explain
from configs.settings import Settings, resolve, resolve_database
from configs.taxonomy import load_taxonomy
from policy_topics.classifier import Classifier, Prediction
from policy_topics.feedback.corrections import clean_sha256
from policy_topics.registry import served_bundle
from policy_topics.text import clean
from train.dataset import read
from train.public_labels import PUBLIC_LABELS, read_labels
from train.suggest import Pool, Unlabelled, reason

if TYPE_CHECKING:
    from policy_topics.feedback.store import Store
    from serve.archive.formats import Row

_LOOKED_UP = 2000
"""Paragraphs whose hashes are looked up in the feedback store at once."""


def suggest_command(
    context: typer.Context,
    archive: Annotated[
        list[str],
        typer.Argument(
            metavar="ARCHIVE…",
            help="文件、目录、压缩包等，同 score；score 输出的 Parquet 亦可。"
            "Whatever `score` takes, or the Parquet files that it writes.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", dir_okay=False, help="写入的 JSONL（feedback.queue）。File to write.")],
    count: Annotated[int, typer.Option("--count", min=1, help="挑选的段数。Paragraphs to pick.")] = 100,
    force: Annotated[bool, typer.Option("--force", help="覆盖已有文件。Overwrite what is there.")] = False,
) -> None:
    """挑出最值得标注的段落：模型拿不准，且彼此不同。Pick the paragraphs that are most worth a label.

    已在 data.files、data.dev_files、data.test_files 或更正库中的不再挑选。What is labelled already is left out.

    退出码 Exit code: 0 完成 done, 1 有输入无法读取 some inputs could not be read, 2 用法错误 wrong use.
    """
    require({"pyarrow": "archive", "fsspec": "archive", "sklearn": "train"})
    # Imported here: what serves needs none of it.
    from policy_topics.feedback.store import Store
    from serve.archive.inputs import list_sources
    from serve.archive.local_engine import predict_locally, streams
    from serve.archive.reading import Finished

    refuse_existing(out, force, "--out")
    settings: Settings = context.obj
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    classifier = Classifier.load(served_bundle(settings), settings.engine, streams(settings.engine))
    pool = Pool(classifier.bundle.calibration.threshold, count)
    fresh = _Fresh(_labelled(settings), Store(resolve_database(settings.feedback.url)), pool)
    sources = (
        source for source in list_sources(archive, out.absolute()) if Path(source.address).absolute() != out.absolute()
    )
    unread = 0
    with console.status("") as status:
        for result in predict_locally(sources, classifier, settings):
            if isinstance(result, Finished):
                unread += bool(result.faults)
                for fault in result.faults:
                    console.print(f"{result.name}: {fault.reason}", style="red")
                status.update(f"{pool.added:,} 段未标注 unlabelled paragraphs…")
            else:
                fresh.add(*result)
        fresh.look_up()
    picked = pool.choose()
    write_or_explain(out, "".join(_line(each, classifier) for each in picked))
    print(
        f"{out}: {len(picked)} 段 paragraphs, 选自 of {pool.added:,} 段未标注 unlabelled; "
        f"{fresh.left_out:,} 段已标注 labelled already"
    )
    if unread:
        raise typer.Exit(1)


class _Fresh:
    """Puts the paragraphs that nobody has labelled into a pool."""

    def __init__(self, labelled: set[str], store: Store, pool: Pool) -> None:
        self._labelled = labelled
        self._store = store
        self._pool = pool
        self._waiting: list[tuple[str, Unlabelled]] = []
        self.left_out = 0

    def add(self, row: Row, prediction: Prediction) -> None:
        if not prediction.windows:
            return
        text = clean(row.text).text
        # A copy: what is kept would keep the probabilities of all paragraphs that the model was at with it.
        paragraph = Unlabelled(row.id, text, row.document, prediction.probabilities.copy())
        self._waiting.append((clean_sha256(text), paragraph))
        if len(self._waiting) >= _LOOKED_UP:
            self.look_up()

    def look_up(self) -> None:
        known = self._labelled | self._store.corrected([sha256 for sha256, _ in self._waiting])
        for sha256, paragraph in self._waiting:
            if sha256 in known:
                self.left_out += 1
            else:
                self._pool.add(paragraph)
        self._waiting.clear()


def _labelled(settings: Settings) -> set[str]:
    """Hashes of the clean texts that have labels."""
    data = settings.data
    files = [resolve(file) for file in (*data.files, *data.dev_files, *data.test_files)]
    rows = read(files, load_taxonomy(resolve(settings.taxonomy)))
    return {clean_sha256(row.text) for row in rows} | set(read_labels(PUBLIC_LABELS))


def _line(paragraph: Unlabelled, classifier: Classifier) -> str:
    bundle = classifier.bundle
    topics = zip(bundle.taxonomy.topics, paragraph.probabilities.tolist(), bundle.calibration.threshold, strict=True)
    over = sorted(((p, topic.id) for topic, p, threshold in topics if p >= threshold), reverse=True)
    content = {
        "id": paragraph.id,
        "text": paragraph.text,
        "document": paragraph.document,
        "topics": [{"id": topic, "probability": round(p, 4)} for p, topic in over],
        "reason": reason(paragraph, bundle.calibration.threshold, [f"{t.zh} {t.id}" for t in bundle.taxonomy.topics]),
        "model": bundle.version,
    }
    return json.dumps(content, ensure_ascii=False) + "\n"
