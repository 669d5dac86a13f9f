"""Keeping parameters and figures of trainings in MLflow: off unless the setting `tracking` says where.

A folder holds an embedded store (SQLite) that needs no server: `mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db`
shows it. What cannot be kept later on is said, and training goes on without.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from configs.settings import resolve
from configs.tracking import switch_off_tracking
from policy_topics.errors import TrainingError, how_to_install
from train.runs import write_json

EXPERIMENT = "policy-topics"


class Tracker:
    """The MLflow run of a training, which goes on where the training does.

    Args:
        where: a folder or a server's URL; none keeps nothing.
        work: folder of the training, where the run's id is kept.
        name: of the run.

    Raises:
        TrainingError: MLflow is not installed, or its store cannot be opened.
    """

    def __init__(self, where: str | None, work: Path, name: str, say: Callable[[str], None]) -> None:
        self._say = say
        self._client: Any = None
        self._known: Mapping[str, str] = {}
        if where is None:
            return
        switch_off_tracking()
        try:
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        except ModuleNotFoundError:
            raise TrainingError(
                f"`tracking` is set, but MLflow is not installed; {how_to_install('tracking')}"
            ) from None
        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        uri, artifacts = _store(where)
        try:
            self._client = MlflowClient(tracking_uri=uri)
            self._run = self._go_on(work / "mlflow.json", name, artifacts)
        except (MlflowException, OSError) as fault:
            raise TrainingError(
                f"tracking: {where} cannot be opened: {fault}; mend it, or set `tracking` to null"
            ) from None

    def parameters(self, parameters: Mapping[str, Any]) -> None:
        """What a training is made with; those of a run that goes on stay."""
        for name, value in parameters.items():
            if name in self._known:  # what the user changed before going on: MLflow takes no second value
                continue
            self._keep("log_param", name, value if isinstance(value, str) else json.dumps(value, default=str))

    def figures(self, figures: Mapping[str, float], step: int = 0) -> None:
        for name, value in figures.items():
            self._keep("log_metric", name, value, step=step)

    def tags(self, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            self._keep("set_tag", name, value)

    def file(self, content: Mapping[str, Any], name: str) -> None:
        """A JSON file of the run."""
        self._keep("log_dict", dict(content), name)

    def end(self) -> None:
        self._keep("set_terminated")

    def _keep(self, method: str, *arguments: Any, **named: Any) -> None:
        if self._client is None:
            return
        try:
            getattr(self._client, method)(self._run, *arguments, **named)
        except Exception as fault:  # a store far away may fail in many ways, and the training is worth more
            self._say(f"tracking: {fault}; the training goes on without")
            self._client = None

    def _go_on(self, kept: Path, name: str, artifacts: str | None) -> str:
        if kept.exists():
            run: str = json.loads(kept.read_text("utf-8"))["run"]
            self._known = self._client.get_run(run).data.params
            return run
        found = self._client.get_experiment_by_name(EXPERIMENT)
        place = found.experiment_id if found else self._client.create_experiment(EXPERIMENT, artifacts)
        run = self._client.create_run(place, run_name=name).info.run_id
        write_json(kept, {"run": run})
        return run


def _store(where: str) -> tuple[str, str | None]:
    """MLflow's address of the store, and of the folder of files where the server does not say it."""
    if "://" in where:
        return where, None
    folder = resolve(Path(where)).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}", (folder / "files").as_uri()
