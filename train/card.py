"""The model card in a bundle, written from the figures of the run that made it."""

from __future__ import annotations

from collections.abc import Mapping

from configs.taxonomy import Taxonomy
from train.evaluate import markdown
from train.export import Gate
from train.metrics import Metrics


def model_card(
    name: str,
    taxonomy: Taxonomy,
    metrics: Mapping[str, Metrics],
    gate: Gate,
    machine: str,
    trained_on: Mapping[str, int],
    backbone: str,
) -> str:
    """Hugging Face form: front matter, use, figures a split, limits."""
    files = "\n".join(f"- {file}: {rows} paragraphs" for file, rows in trained_on.items())
    tables = "\n".join(f"### On {split}\n\n{markdown(each, taxonomy)}" for split, each in metrics.items())
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

Fine-tuned from `{backbone}` on

{files}

Stopped early, calibrated and given its thresholds on the dev split, so the figures on dev are somewhat kind.

The engine's file (`model.onnx`, {gate.precision}) beside fp32 PyTorch on dev, each with thresholds of its own: macro-F1
{gate.macro_f1:.4f} beside {gate.reference_macro_f1:.4f}; largest difference of a probability
{gate.largest_probability_difference:.4f}.

## Figures

Measured with {machine}; `policy-topics evaluate FILE` prints them again.

{tables}
## Limits

It judges a paragraph by its own words alone. Labels follow `data/ANNOTATION.md`. Kinds of text
that the training data lacks are judged less well than these figures say.
"""
