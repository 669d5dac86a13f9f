"""The report's pictures, as SVG. Words on them are English and topic ids: Chinese wants a font that may be missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from configs.taxonomy import Taxonomy
from train.metrics import ReliabilityBin
from train.page import INK, PALE, SECOND, figure, style, url

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from train.report import Report


def plots(report: Report, taxonomy: Taxonomy) -> dict[str, str]:
    """`reliability`, `risk_coverage` and `confusions`, each as a data URL for an <img>."""
    drawings = {"reliability": _reliability, "risk_coverage": _risk_coverage}
    with style():
        urls = {name: url(draw(report)) for name, draw in drawings.items()}
        return urls | {"confusions": url(_confusions(report, taxonomy))}


def _reliability(report: Report) -> Figure:
    """What probabilities say beside what is so; below, how many there are of each."""
    drawn = figure(9, 4.6)
    axes = drawn.subplots(2, 2, sharex=True, height_ratios=[4, 1])
    for column, title, bins in (
        (0, f"all pairs (ECE {report.served.ece:.4f})", report.reliability_pairs),
        (1, f"most probable topic (ECE {report.served.ece_top1:.4f})", report.reliability_top1),
    ):
        _calibration(axes[0, column], bins, title)
        axes[1, column].bar([each.confidence for each in bins], [each.size for each in bins], width=0.045, color=PALE)
        axes[1, column].set_yscale("log")
        axes[1, column].set_xlabel("probability")
    axes[0, 0].set_ylabel("share that is so")
    axes[1, 0].set_ylabel("number")
    return drawn


def _calibration(axes: Axes, bins: Sequence[ReliabilityBin], title: str) -> None:
    said, so = (np.array([getattr(each, name) for each in bins]) for name in ("confidence", "outcome"))
    spread = 1.96 * np.sqrt(so * (1 - so) / [each.size for each in bins])
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
    axes.errorbar(said, so, yerr=spread, color=INK, marker="o", markersize=4, linewidth=1.2, ecolor=PALE, capsize=2)
    axes.set(title=title, xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)


def _risk_coverage(report: Report) -> Figure:
    drawn = figure(7, 3.8)
    axes = drawn.subplots()
    points = [point for point in report.risk_coverage if point.micro_f1 is not None]
    for name, measure, colour in (("micro-F1", "micro_f1", INK), ("macro-F1", "macro_f1", SECOND)):
        values = [getattr(point, measure) for point in points]
        axes.plot([point.coverage for point in points], values, color=colour, marker="o", markersize=3, label=name)
    axes.axvline(report.covered.coverage, color="grey", linewidth=0.8, linestyle="--")
    axes.set(xlabel="share of the paragraphs, the surest first", ylabel="F1", xlim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right")
    return drawn


def _confusions(report: Report, taxonomy: Taxonomy) -> Figure:
    """Missed topics in rows, those given instead in columns."""
    ids = taxonomy.ids
    counts = np.zeros((len(ids), len(ids)))
    for each in report.confusions:
        counts[ids.index(each.missed), ids.index(each.given)] = each.paragraphs
    side = 2.2 + 0.22 * len(ids)
    drawn = figure(side, side)
    axes = drawn.subplots()
    axes.imshow(counts, cmap="Blues", vmin=0, vmax=max(counts.max(), 1))
    for i, j in np.argwhere(counts):
        colour = "white" if counts[i, j] > 0.6 * counts.max() else "black"
        axes.text(j, i, f"{counts[i, j]:.0f}", ha="center", va="center", fontsize=6.5, color=colour)
    axes.set_xticks(range(len(ids)), ids, rotation=90)
    axes.set_yticks(range(len(ids)), ids)
    axes.set(xlabel="given instead", ylabel="missed")
    axes.set_xticks(np.arange(-0.5, len(ids)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(ids)), minor=True)
    axes.grid(which="minor", color="#e8e8e8", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    return drawn
