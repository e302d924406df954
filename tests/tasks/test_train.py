"""`tasks/train.py`, called in this process with the session's Ray: how runs start, end and are resumed."""

import json
import math
import os
import shutil
import signal

import numpy as np
import pandas as pd
import pytest
import ray
import yaml
from ray.exceptions import RayActorError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from marl_app.callbacks.outcomes import RecordOutcomes
from marl_app.config.compose import load
from marl_app.config.errors import ConfigError, RunFailedError
from marl_app.evaluation.team import TEAM
from marl_app.metrics.names import curve_name
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.store.disk import DiskStore
from marl_app.tasks.train import objective, train
from tests.rllib.runs import SMALL, matches

pytestmark = [pytest.mark.usefixtures("ray_here"), pytest.mark.timeout(120)]

CALLBACKS = "callbacks=[league,exploitability,metrics,checkpoint,progress]"


class InterruptedThere(RecordOutcomes):
    """A second Ctrl-C in the middle of iteration `at`, after its results were recorded."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def on_fragment(self, *, algorithm, fragment, **kwargs):
        super().on_fragment(algorithm=algorithm, fragment=fragment)
        if algorithm.iteration + 1 == self._at:
            raise KeyboardInterrupt


class LearnerDiesThere(RecordOutcomes):
    """The learner's process is killed by iteration `at`: before its update, or where its checkpoint is written."""

    def __init__(self, at: int, hook: str) -> None:
        super().__init__()
        self._at, self._hook = at, hook

    def _kill(self, algorithm, hook, iteration):
        if (hook, iteration) == (self._hook, self._at):
            [learner] = algorithm.learner_group._workers
            os.kill(ray.get(learner.apply.remote(lambda learner: os.getpid())), signal.SIGKILL)

    def on_fragment(self, *, algorithm, fragment, **kwargs):
        super().on_fragment(algorithm=algorithm, fragment=fragment)
        self._kill(algorithm, "on_fragment", algorithm.iteration + 1)

    def on_checkpoint(self, *, algorithm, **kwargs):
        self._kill(algorithm, "on_checkpoint", algorithm.iteration)


def run(folder, *overrides):
    return train(load([*SMALL, CALLBACKS, "callbacks.metrics.every_seconds=0", *overrides], output_dir=str(folder)))


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def lines(folder):
    return pd.read_json(folder / "progress.jsonl", lines=True)


def games(folder):
    return matches(folder)[["wins", "draws", "losses"]].to_numpy().sum()


def test_a_run_ends_at_its_first_limit_and_prints_a_summary(tmp_path, capsys):
    elo = run(tmp_path, "env=tic_tac_toe", "stop.iterations=4", "stop.env_steps=100000", "sweep.objective=elo")
    ended = summary(tmp_path)
    assert (ended["status"], ended["iterations"], ended["env_steps"]) == ("finished", 4, 2048)
    assert ended["elo"] == elo and ended["pool_size"] == len(DiskStore(tmp_path / "snapshots").list()) >= 2
    assert ended["trained_agent_steps"] == lines(tmp_path)["learner/batch_rows"].sum()
    assert ended["env_steps_per_s"] == pytest.approx(2048 / ended["seconds"])
    assert ended["checkpoint"] == str(latest_checkpoint(tmp_path / "checkpoints").path)
    assert games(tmp_path) == latest_checkpoint(tmp_path / "checkpoints").state.league["matches"]
    printed = capsys.readouterr().out
    assert ended["exploitability"].keys() == {"agent", "meta_strategy"}
    assert "finished after" in printed and f"load_agent({str(tmp_path)!r})" in printed and "froze main@0000" in printed


@pytest.mark.parametrize("experiment", ["league", "pool_per_side"])
def test_the_curve_and_the_summary_have_the_value_preserving_moves(tmp_path, experiment, capsys):
    overrides = [f"+experiment={experiment}", *SMALL[1:], "callbacks=[league,evaluation,metrics]", "stop.iterations=2"]
    overrides += ["evaluation.anchors=[random]", "evaluation.games=2", "evaluation.every_iterations=null"]
    train(load([*overrides, "env=connect_four"], output_dir=str(tmp_path)))
    kept = summary(tmp_path)["value_preserving_moves"]
    assert list(kept) == ["share", "low", "high", "sampled", "positions"] and kept["positions"] == 500
    assert 0.15 < kept["low"] < kept["share"] < kept["high"] < 0.65  # a network that has hardly learned; random is 0.35
    events = EventAccumulator(str(tmp_path / "tb"))
    events.Reload()
    for key, fact in (("", "share"), ("/low", "low"), ("/high", "high"), ("/sampled", "sampled")):
        [point] = events.Scalars(curve_name(f"evaluation/value_preserving_moves{key}"))
        assert point.value == pytest.approx(kept[fact])
    assert f"value-preserving moves {kept['share']:.3f} [" in capsys.readouterr().out


def test_a_directory_that_holds_a_run_is_not_reused(tmp_path):
    run(tmp_path, "env=rock_paper_scissors", "stop.iterations=1")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=f"holds a run already: continue it with resume={tmp_path}"):
        run(tmp_path, "env=rock_paper_scissors", "stop.iterations=2")
    # A run with nothing but damaged checkpoints is a run, too: its files may still be needed.
    (tmp_path / "checkpoints" / "checkpoint-00000001" / "state.json").write_text("{")
    with pytest.raises(ConfigError, match="holds a run"):
        run(tmp_path, "env=rock_paper_scissors", "stop.iterations=2")
    with pytest.raises(ConfigError, match="there is no whole checkpoint"):
        run(tmp_path, "env=rock_paper_scissors", "stop.iterations=2", f"resume={tmp_path}")
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert set(after) == set(before)


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ("callbacks=[progress]", "none names them: add league"),
        ("+callbacks.second={_target_: marl_app.callbacks.opponents.SampleOpponents}", "opponents, second name them"),
    ],
)
def test_one_callback_names_opponents(tmp_path, callbacks, message):
    with pytest.raises(ConfigError, match=message):
        train(load([*SMALL, "env=tic_tac_toe", callbacks], output_dir=str(tmp_path)))


def test_a_team_without_opponents_has_no_elo(tmp_path, capsys):
    run(tmp_path, "env=climbing", "league/matchmaker=latest", "stop.iterations=8", "league.schedule.agent_steps=2000")
    ended = summary(tmp_path)
    assert ended["elo"] is None and ended["pool_size"] >= 2 and ended["sides"] == [["player_0", "player_1"]]
    assert "Elo" not in capsys.readouterr().out and not [name for name in lines(tmp_path) if "elo" in name]


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(tmp_path):
    run(tmp_path, "env=rock_paper_scissors", "stop.iterations=3")
    shutil.rmtree(tmp_path / "checkpoints")  # as if killed before the first checkpoint
    run(tmp_path, "env=rock_paper_scissors", "stop.iterations=2")
    assert lines(tmp_path).iteration.tolist() == [1, 2]
    assert games(tmp_path) == 2 * 512
    assert sorted(matches(tmp_path).iteration.unique()) == [1, 2]
    events = EventAccumulator(str(tmp_path / "tb"))
    events.Reload()
    assert [point.step for point in events.Scalars("league/pool_size")] == [512, 1024]


def test_a_resumed_run_continues(tmp_path):
    run(tmp_path, "env=rock_paper_scissors", "stop.iterations=3")
    first = summary(tmp_path)
    pool = latest_checkpoint(tmp_path / "checkpoints").state.league["snapshots"]
    run(tmp_path, "env=rock_paper_scissors", "stop.iterations=6", f"resume={tmp_path}")
    ended = summary(tmp_path)
    assert (ended["status"], ended["iterations"], ended["env_steps"]) == ("finished", 6, 6 * 512)
    assert ended["seconds"] > first["seconds"] and ended["trained_agent_steps"] > first["trained_agent_steps"]
    assert lines(tmp_path).iteration.tolist() == [1, 2, 3, 4, 5, 6]
    assert games(tmp_path) == 6 * 512 == latest_checkpoint(tmp_path / "checkpoints").state.league["matches"]
    assert latest_checkpoint(tmp_path / "checkpoints").state.league["snapshots"][: len(pool)] == pool

    # The limit is reached already: no iteration, and the same summary.
    elo = run(tmp_path, "env=rock_paper_scissors", "stop.iterations=6", f"resume={tmp_path}", "sweep.objective=elo")
    again = summary(tmp_path)
    for key in ("status", "iterations", "env_steps", "trained_agent_steps", "pool_size", "seconds", "exploitability"):
        assert again[key] == ended[key], key
    assert set(ended["exploitability"]) == {"agent", "meta_strategy"}  # exact in rock-paper-scissors
    assert again["elo"] == pytest.approx(ended["elo"]) and elo == pytest.approx(ended["elo"])
    assert lines(tmp_path).iteration.tolist() == [1, 2, 3, 4, 5, 6]


def test_a_resume_says_what_changes_from_there_on(tmp_path, capsys):
    lines = [*SMALL, "env=rock_paper_scissors", "callbacks=[league,metrics,checkpoint,progress]", "algorithm.lr=1e-5"]
    train(load([*lines, "stop.iterations=2"], output_dir=str(tmp_path)))
    recorded = yaml.safe_load((tmp_path / ".hydra" / "config.yaml").read_text())
    capsys.readouterr()
    changed = ("stop.iterations=3", "league.decay_per_game=0.9", f"resume={tmp_path}")
    train(load([*lines, *changed], output_dir=str(tmp_path)))
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("continues")]
    _, _, told = line.partition("at iteration 2; from here on ")
    assert sorted(told.split(", ")) == [
        f"league.decay_per_game=0.9 (was {recorded['league']['decay_per_game']})", "stop.iterations=3 (was 2)"
    ]  # fmt: skip


def test_a_resume_with_another_model_is_refused_and_changes_nothing(tmp_path):
    run(tmp_path, "env=rock_paper_scissors", "stop.iterations=3")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "tb" not in path.parts}
    resume = ("stop.iterations=6", f"resume={tmp_path}")
    with pytest.raises(ConfigError, match="holds another model.*resume with the run's own `model`"):
        run(tmp_path, "env=rock_paper_scissors", "model.hidden=[17]", *resume)
    with pytest.raises(ConfigError, match="holds another model"):
        run(tmp_path, "env=tic_tac_toe", *resume)
    assert {path: path.read_bytes() for path in before} == before
    for snapshot in (tmp_path / "snapshots").glob("?" * 64):
        snapshot.unlink()
    with pytest.raises(ConfigError, match="refers to main@0000, which the store does not have"):
        run(tmp_path, "env=rock_paper_scissors", *resume)


def test_a_damaged_newest_checkpoint_resumes_from_the_one_before(tmp_path):
    game = ("env=rock_paper_scissors", "checkpoint.every_seconds=0.001")
    run(tmp_path, *game, "stop.iterations=4")
    newest = latest_checkpoint(tmp_path / "checkpoints")
    assert newest.state.to_json()["iteration"] == 4
    (newest.path / "learner.safetensors").write_bytes(b"torn")
    run(tmp_path, *game, "stop.iterations=5", f"resume={tmp_path}")
    assert lines(tmp_path).iteration.tolist() == [1, 2, 3, 4, 5]
    assert games(tmp_path) == 5 * 512 == latest_checkpoint(tmp_path / "checkpoints").state.league["matches"]


def test_an_interrupt_in_the_middle_of_an_iteration_leaves_a_consistent_run(tmp_path):
    game = ("env=rock_paper_scissors", "checkpoint.every_seconds=0.001")
    there = ("callbacks.outcomes._target_=tests.tasks.test_train.InterruptedThere", "+callbacks.outcomes.at=3")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, *game, *there, "stop.iterations=5")
    assert summary(tmp_path)["status"] == "interrupted"
    saved = latest_checkpoint(tmp_path / "checkpoints").state  # of the second iteration, not of half of the third one
    assert (saved.iteration, saved.counters.env_steps) == (2, 2 * 512)
    run(tmp_path, *game, "stop.iterations=5", f"resume={tmp_path}")
    assert summary(tmp_path)["env_steps"] == 5 * 512
    assert games(tmp_path) == 5 * 512 == latest_checkpoint(tmp_path / "checkpoints").state.league["matches"]


@pytest.mark.parametrize("hook", ["on_fragment", "on_checkpoint"])
def test_a_learner_process_that_dies_anywhere_ends_the_run_in_a_line(tmp_path, hook):
    # RLlib raises another exception at each place: RayActorError in an update, others where its state is read.
    game = ("env=rock_paper_scissors", "checkpoint.every_seconds=0.001", "runtime.num_learners=1")
    dies = ("callbacks.outcomes._target_=tests.tasks.test_train.LearnerDiesThere", "+callbacks.outcomes.at=3")
    with pytest.raises(RunFailedError, match="^a learner process has died: killed, or out of memory$") as caught:
        run(tmp_path, *game, *dies, f"+callbacks.outcomes.hook={hook}", "stop.iterations=5")
    assert isinstance(caught.value.__cause__, RayActorError)
    assert summary(tmp_path)["status"] == "failed"
    assert latest_checkpoint(tmp_path / "checkpoints").state.iteration == 2


@pytest.mark.parametrize(
    "game",
    [
        ["+experiment=league", "env=openspiel", "env.game=kuhn_poker"],
        ["+experiment=psro", "env=biased_rps", "league.schedule.budget_factor=1"],
        ["+experiment=self_play", "env=simple_spread_mpe2"],
        ["+experiment=self_play", "env=simple_spread", "policies.agent_id=true"],
        ["+experiment=league", "env=connect_four", "model=cnn", "model.filters=[4]", "model.hidden=[16]"],
        ["+experiment=self_play", "env=tic_tac_toe", "+policies.mapping={player_1: first, player_2: second}"],
        # Continuous actions, against snapshots.
        ["+experiment=league", "env=pettingzoo", "env.name=mpe2.simple_tag_v3",
         "+env.kwargs={max_cycles: 10, continuous_actions: true}"],
    ],
    ids=lambda game: " ".join(game),
)  # fmt: skip
def test_games_from_the_command_line_alone(tmp_path, game):
    sizes = ("runtime.num_envs_per_env_runner=8", "algorithm.train_batch_size_per_learner=160")
    # Settings of the experiment and of the model are not overridden.
    decided = ("+experiment", "league/matchmaker", *(["model.hidden"] if "model=cnn" in game else []))
    small = [override for override in SMALL if not override.startswith(decided)]
    small += [CALLBACKS, "algorithm.minibatch_size=80", *sizes, "league.schedule.agent_steps=300"]
    train(load([game[0], *small, *game[1:], "stop.iterations=4"], output_dir=str(tmp_path)))
    ended = summary(tmp_path)
    assert (ended["status"], ended["iterations"], ended["env_steps"]) == ("finished", 4, 640)
    assert ended["pool_size"] >= 2
    assert np.isfinite(lines(tmp_path)["learner/total_loss"]).all()
    opponents = set(matches(tmp_path).opponent)
    if "env=simple_spread" in game:
        assert not opponents  # one team: a match has no winner
    elif game[0] in ("+experiment=league", "+experiment=psro"):
        assert "main@0000" in opponents
    else:
        assert opponents == {"main"}


@pytest.mark.parametrize(
    ("overrides", "anchors", "exploitability", "value"),
    [
        # The strongest anchor that was measured; Elo above the run's own first snapshot compares nothing.
        ([], {"random": 0.9, "mcts_10": 0.6, "mcts_100": 0.3}, {"agent": 0.2}, 0.3),
        ([], {"random": 0.9, "mcts_10": 0.6}, {}, 0.6),
        (["sweep.objective=random"], {"random": 0.9, "mcts_100": 0.3}, {}, 0.9),
        (["sweep.objective=exploitability"], {"random": 0.9}, {"agent": 0.2, "meta_strategy": 0.1}, -0.2),
        (["evaluation.anchors=[]"], {}, {"agent": 0.2}, -0.2),
        (["sweep.objective=elo"], {"random": 0.9}, {}, 123.0),
        (["sweep.objective=mcts_100"], {"random": 0.9}, {}, math.nan),  # due, but not measured
        (["evaluation.anchors=[]"], {}, {}, math.nan),
    ],
)
def test_the_objective_of_a_run_can_be_compared(overrides, anchors, exploitability, value):
    scores = {name: {"score": score, "low": 0.0, "high": 1.0, "games": 10} for name, score in anchors.items()}
    found = objective(scores, exploitability, 123.0, load(["+experiment=league", *overrides]))
    assert found == pytest.approx(value, nan_ok=True)


def test_the_objective_of_a_team_is_its_return():
    team = {TEAM: {"agent_return": -3.5, "low": -4.0, "high": -3.0, "team_return": -10.5, "games": 10}}
    assert objective(team, {}, None, load(["+experiment=mappo"])) == -3.5
