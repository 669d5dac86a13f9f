"""`policy-topics classify`: documents to a table, or JSON lines, of their paragraphs and topics."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from configs.settings import Settings
from configs.taxonomy import Taxonomy
from policy_topics.classifier import Classifier, Prediction
from policy_topics.documents import Document, read_document
from policy_topics.errors import DocumentError
from policy_topics.registry import served_bundle
from policy_topics.segment import Paragraph, Segmented, paragraphs

STDIN = "-"


def classify(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE…]", help="文本、HTML、DOCX 或 PDF；- 为标准输入。Documents; - or nothing: standard input."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="每段一行 JSON。One JSON object a paragraph.")] = False,
) -> None:
    """判断文档各段落的主题。The topics of each paragraph of documents.

    退出码 Exit code: 0 完成 done, 1 有文件无法读取 some files could not be read, 2 用法错误 wrong use.
    """
    settings: Settings = context.obj
    classifier = Classifier.load(served_bundle(settings), settings.engine)
    # A terminal is as wide as it is; a file or a pipe should not be broken at 80 columns.
    out = Console(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)
    err = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    unread = 0
    for name in files or [STDIN]:
        try:
            document = _read(name)
        except (OSError, DocumentError) as fault:
            err.print(f"未读取 not read: {name}: {fault}", style="red")
            unread += 1
            continue
        segmented = paragraphs(document.text)
        predictions = classifier.classify([paragraph.text for paragraph in segmented.paragraphs])
        pairs = list(zip(segmented.paragraphs, predictions, strict=True))
        if as_json:
            for line in _json_lines(document, pairs):
                print(line)
        else:
            out.print(_table(document, pairs, classifier.bundle.taxonomy))
        for remark in _remarks(document, segmented):
            err.print(f"{name}: {remark}")
    if unread:
        err.print(f"{unread} 个文件未能读取 {unread} of {len(files or [STDIN])} could not be read", style="red")
        raise typer.Exit(1)


def _remarks(document: Document, segmented: Segmented) -> Iterator[str]:
    """What a user should know beside the topics, so that nothing is left out in silence."""
    if document.encoding and "replaced" in document.encoding:
        yield f"有字节无法解码 read as {document.encoding}"
    if not segmented.paragraphs:
        yield "没有可判断的文字 no text to classify"
    yield from document.remarks
    for dropped in (*document.dropped, *segmented.dropped):
        yield f"非正文，未判断 left out as boilerplate: {dropped}"


def _read(name: str) -> Document:
    if name == STDIN:
        return read_document(sys.stdin.buffer.read(), STDIN)
    return read_document(Path(name).read_bytes(), name)


def _json_lines(document: Document, pairs: list[tuple[Paragraph, Prediction]]) -> Iterator[str]:
    for paragraph, prediction in pairs:
        topics = [{"id": topic.id, "probability": topic.probability} for topic in prediction.topics]
        row = {
            "document": document.name,
            "index": paragraph.index,
            "start": paragraph.start,
            "end": paragraph.end,
            "text": paragraph.text,
            "topics": topics,
            "primary": prediction.primary,
        }
        yield json.dumps(row, ensure_ascii=False)


def _table(document: Document, pairs: list[tuple[Paragraph, Prediction]], taxonomy: Taxonomy) -> Table:
    table = Table(title=Text(document.name), title_justify="left", show_lines=True)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("段落 paragraph", ratio=3, overflow="fold")
    table.add_column("主题 topics", ratio=1, overflow="fold")
    for paragraph, prediction in pairs:
        topics = "\n".join(f"{taxonomy[t.id].zh} {t.id} {t.probability:.2f}" for t in prediction.topics)
        table.add_row(str(paragraph.index), paragraph.text, topics or "（无 none）")
    return table
