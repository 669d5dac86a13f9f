"""Where a training stands: a bar with the time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

Say = Callable[[str], None]
Figures = Callable[[Mapping[str, float], int], None]
"""Takes figures by name, and the step that they are of."""


class Progress(TrainerCallback):
    """Of the training of one seed. The time left is the most that it can be: early stopping may end it sooner.

    Args:
        say: takes the lines.
        figures: takes every figure, be it shown or not.
    """

    def __init__(self, seed: int, say: Say, figures: Figures) -> None:
        self._seed, self._say, self._figures = seed, say, figures
        console = Console(stderr=True)
        shown = (
            TextColumn("seed {task.fields[seed]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
        )
        self._bar = Bar(*shown, console=console) if console.is_terminal else None
        self._loss = ""
        self._begin = (0.0, 0)

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._begin = time.monotonic(), state.global_step  # a training that goes on does not begin at 0
        if self._bar:
            self._task = self._bar.add_task("", total=state.max_steps, completed=state.global_step, seed=self._seed)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._bar:
            said = f"{self._loss}ETA {self._left(state)}"
            self._bar.update(self._task, completed=state.global_step, description=said)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if not state.is_world_process_zero or not logs:
            return
        found = {f"seed-{self._seed}/{name}": float(value) for name, value in logs.items() if name != "epoch"}
        self._figures(found, state.global_step)
        if "eval_macro_f1" in logs:
            self._show(state, f"dev macro-F1 {logs['eval_macro_f1']:.4f}")
        elif "loss" in logs:
            self._loss = f"loss {logs['loss']:.4f}, "
            if not self._bar:
                self._show(state, f"{self._loss}ETA {self._left(state)}")

    def _show(self, state: TrainerState, said: str) -> None:
        line = f"seed {self._seed}: step {state.global_step}/{state.max_steps}, {said}"
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            self._say(line)

    def _left(self, state: TrainerState) -> timedelta:
        start, first = self._begin
        each = (time.monotonic() - start) / max(state.global_step - first, 1)
        return timedelta(seconds=round(each * (state.max_steps - state.global_step)))
