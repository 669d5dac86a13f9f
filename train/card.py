"""The model card in a bundle, written from the reports of the run that made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from configs.taxonomy import Taxonomy
from train.evaluate import markdown, table
from train.export import PrecisionCheck
from train.report import Report
from train.stages import Stage

_SLICES = {
    "genre": "Genre 体裁",
    "decade": "Decade 年代",
    "length": "Length in characters 长度（字）",
    "labels": "Number of labels 标注主题数",
}


def model_card(
    name: str,
    taxonomy: Taxonomy,
    reports: Mapping[str, Report],
    check: PrecisionCheck,
    machine: str,
    trained_on: Mapping[str, int],
    judged_on: Mapping[str, str],
    start: str,
    stages: Sequence[Stage] = (),
) -> str:
    """Hugging Face form: front matter, use, figures a split, limits. It quotes no paragraph.

    `start` is what it was fine-tuned from, in Markdown; `judged_on` names the files of each split.
    """
    files = "\n".join(f"- {file}: {rows} paragraphs" for file, rows in trained_on.items())
    figures = "\n".join(
        f"### On {split}: {judged_on[split]}\n\n{_figures(each, taxonomy)}" for split, each in reports.items()
    )
    return f"""---
language: zh
library_name: transformers
pipeline_tag: text-classification
---

# {name}

Says which of {len(taxonomy.topics)} policy topics (taxonomy version {taxonomy.version}) a paragraph of Chinese
government, Party or policy text is about: none to four, each with a calibrated probability.
判断中文政策文本的每个段落涉及 {len(taxonomy.topics)} 个政策主题中的哪些（零至四个），并给出校准后的概率。

`AutoModelForSequenceClassification` opens this folder. Its raw sigmoid is not calibrated: `calibration.json` has a
temperature, a bias and a threshold for each topic, and texts must be cleaned as `policy_topics.text.clean` does.

## Training

{pretraining(stages)}Fine-tuned from {start} on

{files}

Files that are not in `data/` are not shipped.

Stopped early, calibrated and given its thresholds on the dev split, so the figures on dev are somewhat kind. Those with
cross thresholds are less so: each half of the documents is judged with calibration and thresholds set on the other.

The engine's file (`model.onnx`, {check.precision}) beside fp32 PyTorch on dev, each with thresholds of its own:
macro-F1 {check.macro_f1:.4f} beside {check.reference_macro_f1:.4f}; largest difference of a probability
{check.largest_probability_difference:.4f}.

## Figures

Measured with {machine}; `policy-topics evaluate FILE --report FOLDER` does it again, with pictures and the worst
errors.

{figures}
## Limits

It judges a paragraph by its own words alone. Labels follow `data/ANNOTATION.md`. Kinds of text
that the training data lacks are judged less well than these figures say.
"""


def pretraining(stages: Sequence[Stage]) -> str:
    """A paragraph on how the encoder was pre-trained; empty where nothing is known of it."""
    if not stages:
        return ""
    last = stages[-1]
    read = ", then ".join(
        f"{stage.tokens / 1e6:.1f} million tokens at a learning rate of up to {stage.learning_rate:g} (held-out loss "
        f"{stage.held_out_loss:.2f} nats a masked token)"
        for stage in stages
    )
    return (
        f"The encoder, {last.layers} layers of {last.hidden} with a vocabulary of {last.vocabulary:,} pieces, was "
        f"pre-trained from scratch as a masked language model: {read}.\n\n"
    )


def _figures(report: Report, taxonomy: Taxonomy) -> str:
    covered, cost = report.covered, report.cost
    parts = [
        markdown(report.served, taxonomy, report.cross),
        f"Surest {covered.coverage:.0%} of the paragraphs 最有把握的部分: micro-F1 {_number(covered.micro_f1)}, "
        f"macro-F1 {_number(covered.macro_f1)}.\n",
        f"Cost 耗时: {cost.paragraphs_per_second:.0f} paragraphs/s in batches ({cost.ms_per_paragraph:.1f} ms each), "
        f"{cost.ms_alone:.1f} ms for one that comes alone; {cost.engine}, {cost.threads} threads, {cost.processor}.\n",
    ]
    if report.compared:
        parts.append(_compared(report))
    parts += [
        table(
            [title, "paragraphs 段落数", "micro-F1", "macro-F1", "exact 全对"],
            [
                [row.name, str(row.paragraphs), _number(row.micro_f1), _number(row.macro_f1), _number(row.exact)]
                for row in report.slices[kind]
            ],
        )
        for kind, title in _SLICES.items()
    ]
    return "\n".join(parts)


def _compared(report: Report) -> str:
    """Beside simple models, all with cross thresholds."""
    rows = [
        [
            each.name,
            f"{each.micro_f1:.4f}",
            f"{each.macro_f1:.4f}",
            *(f"{lead.point:+.4f} [{lead.low:+.4f}, {lead.high:+.4f}]" for lead in leads),
        ]
        for each in report.compared
        for leads in [(each.difference.micro_f1, each.difference.macro_f1)]
    ]
    head = ["simple model 简单模型", "micro-F1", "macro-F1", "lead in micro-F1 领先", "lead in macro-F1 领先"]
    return table(head, rows) + (
        "\nTrained on the same paragraphs; all with cross thresholds. Lead: of this model, with the 95 % interval of a "
        "paired bootstrap of documents.\n"
    )


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"
