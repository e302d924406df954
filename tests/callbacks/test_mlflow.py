"""TrackWithMLflow: a run and its resume in the local store, read back with MLflow's client."""

import json

import pytest

from tests.rllib.runs import killed_and_resumed, running, watch_messages

pytest.importorskip("mlflow")
pytest.importorskip("alembic")
pytestmark = [
    pytest.mark.usefixtures("ray_here"),
    pytest.mark.filterwarnings("ignore:::mlflow"),
    pytest.mark.filterwarnings("ignore:::alembic"),
]

RUN = ("env=rock_paper_scissors", "callbacks=[league,metrics,mlflow]", "callbacks.mlflow.every_seconds=0")


def test_a_run_and_its_resume_are_one_run_in_the_local_store(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    elo = killed_and_resumed(tmp_path, *RUN)

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("marl_app")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.info.run_name == f"league {tmp_path.name}"
    assert run.info.run_id == json.loads((tmp_path / "mlflow.json").read_text())["id"]
    assert run.data.params["algorithm.minibatch_size"] == "128"
    assert "marl app" in run.data.tags["mlflow.note.content"]
    points = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "league/elo")]
    # Steps 1536 and 2048 were played twice; those of the killed process were sent.
    assert points == [(512 * (i + 1), pytest.approx(value)) for i, value in enumerate(elo) if value is not None]
    pictures = [file.path for file in client.list_artifacts(run.info.run_id, "images")]
    assert any("league~payoff" in path and "step+2560+" in path and path.endswith(".png") for path in pictures)
    summary = json.loads((tmp_path / "mlflow" / run.info.run_id / "artifacts" / "summary.json").read_text())
    assert summary["status"] == "finished" and summary["env_steps"] == 2560


def test_a_server_that_does_not_answer_is_a_warning(tmp_path):
    uri = "callbacks.mlflow.uri=http://127.0.0.1:9"  # the port of the service discard, which no machine has
    with running(tmp_path, *RUN, uri) as algorithm:
        messages = watch_messages(algorithm)
        algorithm.train()
        assert algorithm.iteration == 1
    [warning] = [message for message in messages if message.startswith("warning")]
    assert warning.startswith("warning: mlflow failed (") and warning.endswith("training goes on")
