"""`policy-topics pretrain`, `train` and `evaluate`."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown

from cli.gate import needs_training, show, together
from configs.settings import Settings, override, resolve
from configs.taxonomy import load_taxonomy
from policy_topics.classifier import Classifier
from policy_topics.engine import engine_threads
from policy_topics.errors import TrainingError
from policy_topics.registry import served_bundle

if TYPE_CHECKING:
    from train.dataset import LabelledParagraph
    from train.pretrain import Step

_TORCH_COULD_NOT_WRITE = ("inline_container.cc", "iostream error")
"""Words of its faults where `torch.save` could not write all of a file."""
_HARDLY_ANY_ROOM = 64 * 2**20
"""Bytes; a disk with less is as good as full."""


def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="新模型包的目录。Folder of the new bundle; its name is the bundle's.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            exists=True,
            dir_okay=False,
            help="新的训练数据，可重复；与 data.files 一并训练，以免遗忘（只用自己的：--set data.files=[…]）。"
            "New labelled paragraphs, repeatable: trained on together with data.files, so that less is forgotten. "
            "For files of yours alone: --set data.files=[…].",
        ),
    ] = None,
    dev: Annotated[
        list[Path] | None,
        typer.Option(
            "--dev",
            exists=True,
            dir_okay=False,
            help="新的校准数据，可重复，与 data.dev_files 一并使用。To stop and calibrate on, with data.dev_files.",
        ),
    ] = None,
    test: Annotated[
        list[Path] | None,
        typer.Option(
            "--test",
            exists=True,
            dir_okay=False,
            help="新的测试数据，可重复，与 data.test_files 一并使用。To measure and judge on, with data.test_files.",
        ),
    ] = None,
    taxonomy: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="主题体系；新主题扩展输出层，其余保留。The topics: new ones grow the head, others stay (taxonomy).",
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="起点：中文 BERT 的目录或 hub 名；默认为服务所用的模型包。Folder or hub name of a Chinese BERT to "
            "start from; by default the bundle that serves (finetune.backbone)."
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="1,2,3", help="每个种子一个模型，取最好者。One model a seed (finetune.seeds).")
    ] = None,
) -> None:
    """微调、校准、导出、评测并与服务所用的模型包比较；中断后接着做。

    Fine-tune, calibrate, export, measure, and judge beside the bundle that serves; goes on where it was cut off. What
    serves stays. Exit code 3: the new bundle is refused. 被拒时退出码为 3。
    """
    needs_training()
    from train.pipeline import train as run

    settings = _with_flags(context.obj, data, dev, test, taxonomy, backbone, seeds)
    console = Console(soft_wrap=True, markup=False, highlight=False)
    work = out.with_name(f".{out.name}-work")
    with _disk_with_room(work):
        trained = run(settings, load_taxonomy(resolve(settings.taxonomy)), out, work, console.print)
    if trained is None:  # the first of several processes has the bundle
        return
    for split, metrics in trained.metrics.items():
        console.print(
            f"{split}: micro-F1 {metrics.micro_f1:.4f}, macro-F1 {metrics.macro_f1:.4f}, ECE {metrics.ece:.4f}"
        )
    console.print(f"模型包 bundle: {out} ({trained.bundle.version})")
    if trained.verdict:
        show(trained.verdict, out)
    if trained.registered:
        version = trained.bundle.version
        console.print(f"已入库 in the registry; to have it serve 发布: policy-topics models promote {version}")


def evaluate(
    context: typer.Context,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE…]", exists=True, dir_okay=False, help="标注数据。Labelled paragraphs (data.test_files)."
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="写入 report.html 与 report.json 的目录，报告引用段落原文。"
            "Folder for the report, which quotes paragraphs.",
        ),
    ] = None,
    baseline_data: Annotated[
        list[Path] | None,
        typer.Option(
            "--baseline-data",
            exists=True,
            dir_okay=False,
            help="训练简单模型以作对比的数据，可重复。"
            "Labelled paragraphs to train simple models on, which the report compares with; repeatable.",
        ),
    ] = None,
) -> None:
    """在标注数据上评测模型包。Measure the bundle on labelled paragraphs."""
    if baseline_data and not report:
        raise typer.BadParameter("is for the report; add --report FOLDER", param_hint="--baseline-data")
    needs_training()
    from train.dataset import read
    from train.evaluate import evaluate as run
    from train.evaluate import markdown

    settings: Settings = context.obj
    classifier = Classifier.load(served_bundle(settings), settings.engine)
    taxonomy = classifier.bundle.taxonomy
    rows = read(files or [resolve(file) for file in settings.data.test_files], taxonomy)
    if report:
        text = _report(classifier, rows, read(baseline_data or [], taxonomy), settings, report)
    else:
        text = markdown(run(classifier, rows), taxonomy)
    Console().print(Markdown(text) if Console().is_terminal else text)
    if report:
        Console(soft_wrap=True).print(f"报告 report: {report / 'report.html'}", markup=False, highlight=False)


def _report(
    classifier: Classifier,
    rows: list[LabelledParagraph],
    training: list[LabelledParagraph],
    settings: Settings,
    folder: Path,
) -> str:
    """Write the report, and return its figures for the terminal."""
    from train.baselines import baselines
    from train.evaluate import markdown
    from train.report import make_report, write_report
    from train.split import without_leaks

    taxonomy = classifier.bundle.taxonomy
    training, left_out = without_leaks(training, rows, settings.data.duplicate_similarity)
    simple = baselines(training, [row.text for row in rows], taxonomy) if training else []
    made = make_report(classifier, rows, engine_threads(settings.engine), simple, _notes(training, left_out))
    write_report(made, taxonomy, folder)
    for note in made.notes:
        Console(stderr=True, soft_wrap=True).print(note, markup=False, highlight=False)
    return markdown(made.served, taxonomy, made.cross)


def _notes(training: list[LabelledParagraph], left_out: list[LabelledParagraph]) -> list[str]:
    """What a reader should know of how the simple models were trained."""
    from train.baselines import FASTTEXT_MISSING, fasttext_installed

    notes = []
    if left_out:
        notes.append(
            f"{len(left_out)} 段对比数据与所评段落相同、相近或出自同一文档，未用于训练简单模型。"
            f"{len(left_out)} paragraphs of --baseline-data are like those judged, or of their documents; simple "
            "models were trained without them."
        )
    if training and not fasttext_installed():
        notes.append(f"未与 fastText 对比。No comparison with fastText: {FASTTEXT_MISSING}")
    return notes


def pretrain(
    context: typer.Context,
    corpus: Annotated[
        Path,
        typer.Argument(exists=True, file_okay=False, help="原始文本目录。Folder of .txt, .txt.gz or .txt.xz files."),
    ],
    out: Annotated[
        Path, typer.Option(file_okay=False, help="模型与检查点的目录。Folder of checkpoints and the model.")
    ],
) -> None:
    """从零预训练中文 BERT。Pre-train a Chinese BERT from scratch; goes on from the last checkpoint."""
    needs_training()
    from train.pretrain import pretrain as run

    console = Console(soft_wrap=True)

    def report(now: Step) -> None:
        held_out = "" if now.held_out_loss is None else f", held-out {now.held_out_loss:.3f}"
        left = (now.steps - now.step) * now.tokens_per_step / now.tokens_per_second / 60
        console.print(
            f"step {now.step}/{now.steps}: loss {now.loss:.3f}{held_out}, "
            f"{now.tokens_per_second:,.0f} tokens/s, {left:.0f} min left"
        )

    with _disk_with_room(out):
        model = run(corpus, out, context.obj.pretrain, report)
    console.print(f"预训练模型 model: {model}")


def _with_flags(
    settings: Settings,
    data: list[Path] | None,
    dev: list[Path] | None,
    test: list[Path] | None,
    taxonomy: Path | None,
    backbone: str | None,
    seeds: str | None,
) -> Settings:
    flags: dict[str, Any] = {
        "data.files": together(settings.data.files, data),
        "data.dev_files": together(settings.data.dev_files, dev),
        "data.test_files": together(settings.data.test_files, test),
    }
    given = {"taxonomy": taxonomy, "finetune.backbone": backbone, "finetune.seeds": seeds and seeds.split(",")}
    return override(settings, flags | {key: value for key, value in given.items() if value is not None})


@contextmanager
def _disk_with_room(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as fault:
        if not _is_of_a_full_disk(fault, folder):
            raise
        raise TrainingError(
            f"磁盘已满，请腾出空间后重新执行，将从 {folder} 继续。"
            f"The disk is full; make room and do the same again: it goes on in {folder}"
        ) from fault


def _is_of_a_full_disk(fault: Exception, folder: Path) -> bool:
    """Whether there was no room to write in the folder: libraries say so in ways of their own."""
    if isinstance(fault, OSError):
        return fault.errno == errno.ENOSPC
    if f"(os error {errno.ENOSPC})" in str(fault):  # safetensors and tokenizers, which are written in Rust
        return True
    # torch says that a write failed and not why; what it wrote until then is still there and fills the disk
    unwritten = isinstance(fault, RuntimeError) and any(words in str(fault) for words in _TORCH_COULD_NOT_WRITE)
    return unwritten and disk_usage(folder).free < _HARDLY_ANY_ROOM
