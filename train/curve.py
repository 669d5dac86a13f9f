"""The curve of a pre-training run: loss and held-out loss over tokens, as a picture."""

from __future__ import annotations

import json
from pathlib import Path


def draw_curve(progress: Path, picture: Path) -> None:
    """Draw what a run's `progress.jsonl` tells so far; nothing where it tells nothing yet."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [json.loads(line) for line in progress.read_text("utf-8").splitlines()] if progress.exists() else []
    if not rows:
        return
    held_out = [row for row in rows if row["held_out_loss"] is not None]
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(_tokens(rows), [row["loss"] for row in rows], linewidth=0.8, label="training")
    axes.plot(_tokens(held_out), [row["held_out_loss"] for row in held_out], marker="o", markersize=3, label="held out")
    axes.set_xlabel("tokens read (millions)")
    axes.set_ylabel("loss (nats a masked token)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, dpi=150)
    pyplot.close(figure)


def _tokens(rows: list[dict[str, float]]) -> list[float]:
    return [row["step"] * row["tokens_per_step"] / 1e6 for row in rows]
