"""What trackers have in common: a failure is one warning, a resume repeats nothing, a missing package is named."""

import json

import pytest

from marl_app.config.errors import ConfigError
from marl_app.rllib.training.checkpoint import load_checkpoint, save_checkpoint
from marl_app.rllib.training.tracking import TrackedRun, Tracking, check_installed
from marl_app.runs.checkpoints import latest_checkpoint
from tests.rllib.runs import running, watch_messages

pytestmark = pytest.mark.usefixtures("ray_here")

RUN = ("env=rock_paper_scissors", "callbacks=[league,metrics]")
LISTS = (*RUN, "+callbacks.listing._target_=tests.rllib.test_tracking.Listing", "+callbacks.listing.every_seconds=0")
FAILS = (*RUN, "+callbacks.broken._target_=tests.rllib.test_tracking.Broken", "+callbacks.broken.every_seconds=0")


class Listing(Tracking):
    """Keeps what it receives in lists of this class."""

    name = "listing"
    opened: list[TrackedRun] = []  # noqa: RUF012
    points: list[tuple[int, dict[str, float]]] = []  # noqa: RUF012
    images: list[tuple[int, list[str]]] = []  # noqa: RUF012
    ends: list[tuple[dict, str]] = []  # noqa: RUF012

    def open(self, run):
        self.opened.append(run)
        return run.tracker_id or "the first id"

    def log(self, metrics, env_steps):
        self.points.append((env_steps, dict(metrics)))

    def log_images(self, images, env_steps):
        self.images.append((env_steps, sorted(images)))

    def finish(self, summary, status):
        self.ends.append((dict(summary), status))


class Broken(Listing):
    """Fails from the third point on."""

    name = "broken"

    def log(self, metrics, env_steps):
        if env_steps > 1024:
            raise ConnectionError("the server is gone\n  for good")


@pytest.fixture(autouse=True)
def empty_lists():
    for received in (Listing.opened, Listing.points, Listing.images, Listing.ends):
        received.clear()


def test_a_tracker_receives_config_points_pictures_and_summary(tmp_path):
    with running(tmp_path, *LISTS, "callbacks.metrics.pictures_every_s=0.001") as algorithm:
        for _ in range(3):
            algorithm.train()
        algorithm.events.report({"evaluation/random/greedy/score": 0.5, "league/elo": float("nan")}, {})
        algorithm.events.fire("on_run_end", status="interrupted")
        algorithm.events.report({"evaluation/random/greedy/score": 0.5}, {})  # too late
    [run] = Listing.opened
    assert (run.directory, run.sweep, run.name) == (tmp_path, None, f"league {tmp_path.name}")
    assert (run.env_steps, run.tracker_id) == (0, None)
    assert run.config["algorithm.minibatch_size"] == 128 and not any("/" in str(v) for v in run.config.values())
    assert [steps for steps, _ in Listing.points] == [512, 1024, 1536, 1536]
    assert Listing.points[0][1]["iteration"] == 1 and Listing.points[3][1] == {"evaluation/random/greedy/score": 0.5}
    assert [steps for steps, _ in Listing.images] == [512, 1024, 1536, 1536]
    assert "league/payoff" in Listing.images[0][1]
    [(summary, status)] = Listing.ends
    assert status == summary["status"] == "interrupted" and summary["env_steps"] == 1536
    assert "checkpoint" not in summary  # a path


def test_a_resume_continues_the_same_run_and_repeats_no_point(tmp_path):
    with running(tmp_path, *LISTS) as algorithm:
        for iteration in range(5):
            algorithm.train()
            if iteration == 2:
                save_checkpoint(algorithm, tmp_path / "checkpoints", keep=1)
        # As if the run were killed here, two iterations after the checkpoint.
    assert json.loads((tmp_path / "listing.json").read_text()) == {"id": "the first id", "env_steps": 2560}
    with running(tmp_path, *LISTS) as algorithm:
        load_checkpoint(algorithm, latest_checkpoint(tmp_path / "checkpoints"))
        algorithm.records.truncate(algorithm.iteration)
        for _ in range(4):
            algorithm.train()
        algorithm.events.fire("on_run_end", status="finished")
    assert [(run.env_steps, run.tracker_id) for run in Listing.opened] == [(0, None), (1536, "the first id")]
    assert [steps for steps, _ in Listing.points] == [512 * iteration for iteration in range(1, 8)]


def test_a_tracker_that_fails_is_one_warning_and_training_goes_on(tmp_path):
    with running(tmp_path, *FAILS) as algorithm:
        messages = watch_messages(algorithm)
        for _ in range(6):
            algorithm.train()
        algorithm.events.fire("on_run_end", status="finished")
        assert algorithm.iteration == 6 and algorithm.counters.failures == 1
    warnings = [message for message in messages if message.startswith("warning:")]
    assert warnings == ["warning: broken failed (the server is gone) and receives nothing more; training goes on"]
    assert not Listing.ends


def test_a_run_of_a_sweep_names_it(tmp_path):
    folder = tmp_path / "sweep" / "0_league"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "hydra.yaml").write_text(
        "hydra: {mode: MULTIRUN, runtime: {choices: {league/matchmaker: pfsp, hydra/launcher: basic, local: null}}}"
    )
    (folder / ".hydra" / "overrides.yaml").write_text("[league/matchmaker=pfsp, seed=1]")
    with running(folder, *LISTS) as algorithm:
        algorithm.train()
    [run] = Listing.opened
    assert (run.sweep, run.name) == (tmp_path / "sweep", "0_league")
    assert run.config["league/matchmaker"] == "pfsp" and "hydra/launcher" not in run.config
    assert run.start.startswith("    python -m marl_app \\\n      league/matchmaker=pfsp \\\n      seed=1\n")


def test_a_missing_package_is_an_error_that_names_the_fix(tmp_path, monkeypatch):
    (tmp_path / "no_such_package").mkdir()  # as wandb/, which wandb makes, and Python takes for a package
    monkeypatch.syspath_prepend(tmp_path)
    for package in ("no_such_package", "nothing_at_all"):
        with pytest.raises(ImportError, match=rf"callbacks=wandb needs {package}: .*pip install '.\[wandb\]'"):
            check_installed(package, "wandb")


def test_wrong_settings_are_refused_before_ray_starts(tmp_path):
    with (
        pytest.raises(ConfigError, match=r"callbacks\.csv\.every_seconds=-1"),
        running(tmp_path, *RUN[:1], "callbacks=[league,csv]", "callbacks.csv.every_seconds=-1"),
    ):
        pass
