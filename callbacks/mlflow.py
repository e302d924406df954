"""MLflow: a run of this app is a run there, in a local SQLite file unless a server is named."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from marl_app.rllib.training.events import Image
from marl_app.rllib.training.tracking import TrackedRun, Tracking, check_installed

STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # MLflow reports its use to its makers
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # of a server that is gone: by default training would wait for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
PARAMS = 100  # that MLflow takes at once


class TrackWithMLflow(Tracking):
    """Sends the run to the experiment `experiment` of the store `uri`; the runs of a sweep have its name as a tag.

    uri: a server or a database; None: MLFLOW_TRACKING_URI, or the file `mlflow.db` in the run directory, or in that of
    the sweep: `mlflow ui --backend-store-uri sqlite:///DIR/mlflow.db` shows it. Pictures lie next to it, in `mlflow/`.
    """

    name: ClassVar[str] = "mlflow"

    def __init__(self, every_seconds: float, experiment: str, uri: str | None) -> None:
        super().__init__(every_seconds)
        for package in ("mlflow", "sqlalchemy", "alembic"):
            check_installed(package, "mlflow")
        self._experiment = experiment
        self._uri = uri

    def open(self, run: TrackedRun) -> str:
        """Begin or continue the run."""
        # What the user has set is kept. MLflow is imported afterwards, and only by runs that use it.
        for variable, value in QUIET.items():
            os.environ.setdefault(variable, value)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        self._metric = Metric
        # The runs of a sweep share one database, so that they can be compared.
        folder = run.sweep or run.directory
        given = self._uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._client = MlflowClient(given or f"sqlite:///{folder / 'mlflow.db'}")
        if run.tracker_id is not None:
            self._run = run.tracker_id
            self._client.update_run(self._run, status="RUNNING")
            return self._run
        # A new run, in an experiment that another run may have made. A server has its own place for pictures.
        experiment = self._client.get_experiment_by_name(self._experiment)
        number = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(
                self._experiment, artifact_location=None if given else (folder / "mlflow").as_uri()
            )
        )
        tags = {"mlflow.note.content": run.start} | ({"sweep": run.sweep.name} if run.sweep else {})
        self._run = str(self._client.create_run(number, run_name=run.name, tags=tags).info.run_id)
        params = [Param(key, str(value)) for key, value in run.config.items()]
        for first in range(0, len(params), PARAMS):
            self._client.log_batch(self._run, params=params[first : first + PARAMS])
        return self._run

    def log(self, metrics: Mapping[str, float], env_steps: int) -> None:
        """Send a point."""
        now_ms = int(1000 * time.time())
        self._client.log_batch(
            self._run, metrics=[self._metric(key, value, now_ms, env_steps) for key, value in metrics.items()]
        )

    def log_images(self, images: Mapping[str, Image], env_steps: int) -> None:
        """Send pictures."""
        for key, pixels in images.items():
            self._client.log_image(self._run, pixels, key=key, step=env_steps, synchronous=True)

    def finish(self, summary: Mapping[str, Any], status: str) -> None:
        """Send the summary as `summary.json`, and end the run."""
        self._client.log_text(self._run, json.dumps(summary, indent=2), "summary.json")
        self._client.set_terminated(self._run, STATUS[status])
