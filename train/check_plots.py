"""The pictures of the report of `data check`. Words on them are English and topic ids, as in `train.plots`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from train.drift import Drift
from train.page import INK, PALE, SECOND, figure, style, url

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from train.check_report import CheckReport


def plots(report: CheckReport) -> dict[str, str]:
    """`topics`, and with a comparison `lengths` and `shares`, each as a data URL for an <img>."""
    with style():
        drawn = {"topics": url(_topics(report))}
        if report.drift is not None:
            drawn |= {"lengths": url(_lengths(report.drift)), "shares": url(_shares(report.drift))}
        return drawn


def _topics(report: CheckReport) -> Figure:
    """Paragraphs of each topic that training would see, beside the floor."""
    drawn = figure(8, 1 + 0.2 * len(report.topics))
    axes = drawn.subplots()
    names = [each.topic for each in report.topics]
    old = np.array([each.against for each in report.topics])
    if old.any():
        axes.barh(names, old, color=PALE, label="compared with")
    axes.barh(names, [each.new for each in report.topics], left=old, color=INK, label="new")
    axes.axvline(report.floor, color=SECOND, linewidth=1, linestyle="--", label=f"floor ({report.floor})")
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set(xlabel="paragraphs")
    drawn.legend(loc="outside upper right", ncols=3, frameon=False)
    return drawn


def _lengths(drift: Drift) -> Figure:
    """Shares of the paragraphs that are so long or longer."""
    drawn = figure(7, 3.2)
    axes = drawn.subplots()
    for name, lengths, colour in (("old", drift.old_lengths, PALE), ("new", drift.new_lengths, INK)):
        axes.plot(
            lengths, np.arange(1, len(lengths) + 1) / len(lengths), color=colour, drawstyle="steps-post", label=name
        )
    axes.set(xscale="log", xlabel="characters of clean text", ylabel="share up to this length", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    return drawn


def _shares(drift: Drift) -> Figure:
    """How far each topic's share is from what it was, over what chance does."""
    drawn = figure(8, 1 + 0.2 * len(drift.topics))
    axes = drawn.subplots()
    names = [each.topic or "(no topic)" for each in drift.topics]
    change = [100 * (each.new - each.old) for each in drift.topics]
    noise = [100 * each.noise for each in drift.topics]
    axes.barh(names, [2 * each for each in noise], left=[-each for each in noise], color="#e4e9ef", label="chance")
    colours = [SECOND if each.is_drift else INK for each in drift.topics]
    axes.scatter(change, names, color=colours, s=18, zorder=3)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set(xlabel="share in the new less share in the old, percentage points")
    drawn.legend(loc="outside upper right", frameon=False)
    return drawn
