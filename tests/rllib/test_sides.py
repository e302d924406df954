"""A pool per side: one learner per side, trained in one run against the other side only."""

import json
import shutil

import numpy as np
import pytest
from omegaconf import OmegaConf

from marl_app.assembly.training import build
from marl_app.config.compose import compose_job, load
from marl_app.config.errors import ConfigError
from marl_app.config.resume import expand
from marl_app.evaluation.exploitability import exact_game
from marl_app.evaluation.sequence_form import mix_plans
from marl_app.players.agent import Agent
from marl_app.rllib.training.checkpoint import load_checkpoint, save_checkpoint
from marl_app.run import run as run_task
from marl_app.runs.checkpoints import latest_checkpoint
from tests.rllib.runs import SMALL, matches, running, small

pytestmark = pytest.mark.usefixtures("ray_here")

BASE = ("+experiment=pool_per_side", *SMALL[1:])
OVERRIDES = (
    "env=simple_tag",
    "algorithm.train_batch_size_per_learner=1600",
    "league.schedule.agent_steps=3000",
    "league/matchmaker=latest_past",
    "league.turn=1",
    "callbacks=[league,metrics,checkpoint]",
)
ITERATIONS = 12


@pytest.fixture(scope="module")
def run(ray_here, tmp_path_factory):
    """A run of predators (side 0) and a prey (side 1): (folder, initial weights, algorithm)."""
    folder = tmp_path_factory.mktemp("sides")
    with running(folder, *OVERRIDES, base=BASE) as algorithm:
        start = {learner: algorithm.weights.read(learner) for learner in ("main", "main_1")}
        for _ in range(ITERATIONS):
            algorithm.train()
        save_checkpoint(algorithm, folder / "checkpoints", keep=1)
        algorithm.records.flush()
        (folder / ".hydra").mkdir()
        OmegaConf.save(compose_job([*BASE, *OVERRIDES]), folder / ".hydra" / "config.yaml")
        OmegaConf.save([*BASE, *OVERRIDES], folder / ".hydra" / "overrides.yaml")
        yield folder, start, algorithm


def test_each_learner_plays_its_side_against_the_other(run):
    folder, _, algorithm = run
    records = matches(folder)
    side_of, opponent_of = {"main": 0, "main_1": 1}, {"main": "main_1", "main_1": "main"}
    assert set(records.learner) == {"main", "main_1"}
    assert (records.side == records.learner.map(side_of)).all()
    assert (records.opponent.str.partition("@")[0] == records.learner.map(opponent_of)).all()
    assert set(records.rule) == {"self_play", "uniform"}  # the current learner of the other side, and its past
    sides = {snapshot.player.id: snapshot.side for snapshot in algorithm.league.snapshots}
    assert len(sides) >= 4 and all(side == side_of[player.partition("@")[0]] for player, side in sides.items())


def test_only_the_networks_of_its_side_are_trained(run):
    _, start, algorithm = run
    now = {learner: algorithm.weights.read(learner) for learner in start}
    for learner, trained in (("main", "adversary"), ("main_1", "agent")):
        changed = {name for name, value in now[learner].items() if not np.array_equal(value, start[learner][name])}
        assert {name.partition("/")[0] for name in changed} == {trained}


def test_a_run_with_pools_per_side_is_resumed(run, tmp_path):
    folder, _, algorithm = run
    copy = shutil.copytree(folder, tmp_path / "run")
    again = build(small(copy, *OVERRIDES, base=BASE)).build_algo()
    load_checkpoint(again, latest_checkpoint(copy / "checkpoints"))
    assert again.league.state_dict() == algorithm.league.state_dict()
    for snapshot in algorithm.league.snapshots:
        assert Agent(algorithm.snapshots.fetch(snapshot.digest)).metadata["side"] == snapshot.side
    again.stop()


def test_cross_play_pairs_players_of_different_sides(run, tmp_path):
    folder, _, _ = run
    line = ["task=evaluate", f"run={folder}", "task.games=4", "task.batch=4", "task.snapshots=2"]
    run_task(load(expand(line, multirun=False), output_dir=str(tmp_path)))
    found = json.loads((tmp_path / "cross_play.json").read_text())
    for pair in found["pairs"]:
        lineages = {pair["row"].partition("@")[0], pair["column"].partition("@")[0]}
        assert (pair["games"] > 0) == (len(lineages) == 2), pair
    masses = {player["player"]: player["nash"] for player in found["players"]}
    for lineage in ("main", "main_1"):  # one mixture per side
        assert sum(mass for name, mass in masses.items() if name.partition("@")[0] == lineage) == pytest.approx(1)
        # Players are ranked among those of their side.
        of_side = [player for player in found["players"] if player["player"].partition("@")[0] == lineage]
        assert all(1 <= one["uniform_rank_best"] <= one["uniform_rank_worst"] <= len(of_side) for one in of_side)


@pytest.mark.timeout(300)
def test_exact_values_in_kuhn_poker_and_exploiters_for_both_sides(tmp_path):
    folder, out = tmp_path / "run", tmp_path / "exploiters"
    overrides = (
        "env=kuhn_poker", "league/matchmaker=meta", "league/meta=nash", "league.turn=1", "league.sims_per_entry=1000",
        "league.schedule.agent_steps=300", "callbacks=[league,metrics,exploitability]",
    )  # fmt: skip
    with running(folder, *overrides, base=BASE) as algorithm:
        for _ in range(8):
            algorithm.train()
        league = algorithm.league
        algorithm.events.fire("on_run_end", status="finished")
        game = exact_game(algorithm.spec.make_env, 100_000)
        plans = {
            snapshot.player.id: game.plans(game.behavior(Agent(algorithm.snapshots.fetch(snapshot.digest))))
            for snapshot in league.snapshots
        }
        first, second = (
            mix_plans([plans[s.player.id] for s in league.view.pool(side)], league.mixture(side)) for side in (0, 1)
        )
        found = algorithm.exploitability["meta_strategy"]
        assert found == pytest.approx(game.nash_conv((first[0], second[1])) / 2)
        agents = [game.plans(game.behavior(Agent(algorithm.snapshots.encode(one)))) for one in ("main", "main_1")]
        exact = algorithm.exploitability["agent"]
        assert exact == pytest.approx(game.nash_conv((agents[0][0], agents[1][1])) / 2)
        # The payoff is the exact value of each pair for the first player; 2 chips are a score of 0.5.
        for home in league.view.pool(0):
            for away in league.view.pool(1):
                value = game.form.values((plans[home.player.id][0], plans[away.player.id][1]))[0]
                score = league.payoff.scores(home.player.id, [away.player.id])[0]
                assert score == pytest.approx(0.5 + value / 4, abs=1e-6)
        save_checkpoint(algorithm, folder / "checkpoints", keep=1)
    (folder / ".hydra").mkdir()
    OmegaConf.save(compose_job([*BASE, *overrides]), folder / ".hydra" / "config.yaml")
    OmegaConf.save([*BASE, *overrides], folder / ".hydra" / "overrides.yaml")
    harder = ("algorithm.lr=0.003", "algorithm.num_epochs=4", "algorithm.train_batch_size_per_learner=1024")
    line = ["task=exploit", f"run={folder}", "task.games=8000", "callbacks=[league,metrics,checkpoint]", *harder]
    run_task(load(expand([*line, "stop.iterations=80"], multirun=False), output_dir=str(out)))
    bound = json.loads((out / "exploit.json").read_text())
    # Up to noise, a lower bound of the exact exploitability; each agent is the target in half of the matches.
    assert exact / 2 < bound["bound"]["payoff"] < exact + 0.15 and bound["probabilities"] == {
        "main": 0.5,
        "main_1": 0.5,
    }
    records = matches(out)
    assert set(zip(records.learner, records.side, records.opponent, strict=True)) == {
        ("exploiter_0", 0, "target_main_1@0000"), ("exploiter_1", 1, "target_main@0000"),
    }  # fmt: skip


def test_games_and_learners_without_a_pool_per_side_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"league.learners.main.side=0: a pool per side .* and this one has 3"):
        build(small(tmp_path, "env=kuhn_poker", "env.game='kuhn_poker(players=3)'", base=BASE))
    with pytest.raises(ConfigError, match=r"league.learners.main.side=2"):
        small(tmp_path, "+league.learners.main.side=2")
    with pytest.raises(ConfigError, match=r"side must be null for all"):
        build(small(tmp_path, "+league.learners.other={side: 1}"))
