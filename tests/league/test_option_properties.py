"""Properties of every option in `conf/league`: matchmakers, schedules, meta-strategies and thinnings.

The options are read from the folders, so a new YAML file is covered without a change here.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from marl_app.league.league import League, Outcomes
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.matchmakers.matchmaker import Adaptive, Branch
from marl_app.league.players import LEAGUE_EXPLOITER, MAIN_AGENT, MAIN_EXPLOITER, Guest, Learner
from marl_app.league.schedule import EverySteps, StatefulSchedule, TrainingProgress

CONF = Path(__file__).resolve().parents[2] / "conf"
ROLES = {"main": MAIN_AGENT, "rival": MAIN_AGENT, "me": MAIN_EXPLOITER, "le": LEAGUE_EXPLOITER}

# Values that replace the option's where it has such a key: fewer iterations, and names of players of the test league.
TEST_VALUES = {
    "iterations": 200,
    "probabilities": {"main": 0.4, "rival": 0.3, "bot": 0.2, "me": 0.1},
    "agent_steps": 100,
    "budget_factor": 4,
    "min_games": 5,
}


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / "league" / group).glob("*.yaml"))


@cache
def config(group: str, option: str) -> dict[str, Any]:
    """The option as plain values, interpolations resolved."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("league/default", overrides=[f"league/{group}={option}"])
    values: Any = OmegaConf.to_container(composed.league[group], resolve=True)
    return with_test_values(values)


def with_test_values(value: Any) -> Any:
    if isinstance(value, list):
        return [with_test_values(item) for item in value]
    if isinstance(value, dict):
        return {key: TEST_VALUES.get(key, with_test_values(item)) for key, item in value.items()}
    return value


def build(group: str, option: str) -> Any:
    return instantiate(config(group, option))


def every_option(group: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("option", options(group))


# --- leagues ---------------------------------------------------------------------------------------------------------

LEAGUES = st.tuples(st.booleans(), st.integers(0, 12), st.integers(0, 2**32 - 1))  # a pool per side?, events, seed


def make_league(case: tuple[bool, int, int], **parts: Any) -> League:
    """A league of four learners and a guest, after random results and freezes. The same case gives the same league."""
    sided, events, seed = case
    sides = [0, 1, 0, 1] if sided else [None] * 4
    learners = [Learner(name, role, side=side) for (name, role), side in zip(ROLES.items(), sides, strict=True)]
    league = League(learners, parts.pop("matchmaker", Latest()), parts.pop("schedule", EverySteps(100)), **parts)
    rng = np.random.default_rng(seed)
    league.invite([Guest("bot", "b" * 64, "random")])
    if events:  # the first tick of a run freezes every learner
        for learner in league.learners:
            freeze(league, learner)
    for _ in range(events):
        learner = str(rng.choice(list(ROLES)))
        league.record(results(league, learner, rng))
        if rng.random() < 0.4:
            freeze(league, learner)
    return league


def freeze(league: League, learner: str) -> None:
    number = len(league.snapshots)
    league.add_snapshot(learner, f"{number:064x}", number, "a test")


def results(league: League, learner: str, rng: np.random.Generator) -> Outcomes:
    """Random results against up to three of the players that the learner may meet, by rules of its matchmaker."""
    branches = league.matchmaker.branches(league.view, learner)
    rules = [branch.rule for branch in branches]
    players = [*league.view.learners_facing(learner), *(s.player.id for s in league.view.facing(learner))]
    opponents = tuple(str(name) for name in rng.choice(players, size=min(3, len(players)), replace=False))
    wins, draws, losses = rng.integers(0, 20, size=(3, len(opponents)))
    zeros = np.zeros(len(opponents), np.int64)
    picked = tuple(str(rng.choice(rules)) for _ in opponents)
    return Outcomes(learner, opponents, picked, zeros, wins, draws, losses, zeros, wins + draws / 2)


def through_json(state: Any) -> Any:
    return json.loads(json.dumps(state))


# --- matchmakers -----------------------------------------------------------------------------------------------------


def distribution(branches: list[Branch]) -> list[tuple[str, float, tuple[str, ...], list[float], list[float]]]:
    return [(b.rule, b.probability, b.opponents, b.win_rates.tolist(), b.probabilities.tolist()) for b in branches]


@every_option("matchmaker")
@settings(max_examples=20)
@given(LEAGUES)
def test_a_matchmaker_returns_a_distribution_over_players_that_the_learner_may_meet(
    option: str, case: tuple[bool, int, int]
) -> None:
    league = make_league(case, matchmaker=build("matchmaker", option))
    view = league.view
    for name, learner in league.learners.items():
        branches = league.matchmaker.branches(view, name)
        assert branches and sum(branch.probability for branch in branches) == pytest.approx(1)
        facing = {*view.learners_facing(name), *(snapshot.player.id for snapshot in view.facing(name))}
        for branch in branches:
            assert branch.probability > 0 and branch.opponents
            assert (branch.probabilities >= 0).all() and branch.probabilities.sum() == pytest.approx(1)
            assert len(branch.opponents) == len(branch.win_rates) == len(branch.probabilities)
            assert branch.win_rates.tolist() == view.payoff.win_rates(name, branch.opponents).tolist()
            assert facing.issuperset(branch.opponents)
            if learner.side is not None:  # the learner cannot play a player of its own side
                assert learner.side not in {view.side(player) for player in branch.opponents}


@every_option("matchmaker")
@settings(max_examples=20)
@given(LEAGUES)
def test_a_matchmaker_is_deterministic_changes_nothing_and_resumes(option: str, case: tuple[bool, int, int]) -> None:
    league = make_league(case, matchmaker=build("matchmaker", option))
    state = through_json(league.state_dict())
    resumed = make_league((case[0], 0, 0), matchmaker=build("matchmaker", option))
    resumed.load_state_dict(state)
    assert through_json(resumed.state_dict()) == state
    for name in league.learners:
        first = distribution(league.matchmaker.branches(league.view, name))
        assert distribution(league.matchmaker.branches(league.view, name)) == first
        assert distribution(resumed.matchmaker.branches(resumed.view, name)) == first
    assert through_json(league.state_dict()) == state
    if isinstance(league.matchmaker, Adaptive):
        copy = build("matchmaker", option)
        copy.load_state_dict(through_json(league.matchmaker.state_dict()))
        assert copy.state_dict() == league.matchmaker.state_dict()


# --- schedules -------------------------------------------------------------------------------------------------------


@every_option("schedule")
@settings(max_examples=20)
@given(LEAGUES, st.lists(st.integers(0, 120), min_size=1, max_size=6))
def test_a_schedule_decides_for_existing_learners_only_and_resumes(
    option: str, case: tuple[bool, int, int], increments: list[int]
) -> None:
    league = make_league(case, schedule=build("schedule", option))
    rng, steps = np.random.default_rng(0), 0
    for iteration, increment in enumerate(increments):
        steps += increment
        progress = TrainingProgress(dict.fromkeys(ROLES, steps), iteration)
        decisions = league.tick(progress, rng)
        learners = [decision.learner for decision in decisions]
        assert len(set(learners)) == len(learners) and set(learners) <= league.learners.keys()
        assert all(decision.reason for decision in decisions)
        # Asked again with the same view and progress, the answer is the same, here and after a resume.
        resumed = build("schedule", option)
        if isinstance(league.schedule, StatefulSchedule):
            state = through_json(league.schedule.state_dict())
            resumed.load_state_dict(state)
            assert through_json(resumed.state_dict()) == state
        for name in league.learners:
            reason = league.schedule.due(league.view, name, progress)
            assert reason is None or reason
            assert resumed.due(league.view, name, progress) == reason
        for decision in decisions:
            freeze(league, decision.learner)
    for stranger in ("stranger", "main@0000", "bot"):
        with pytest.raises(KeyError, match=stranger):
            league.schedule.due(league.view, stranger, TrainingProgress(10**9, 10**6))


# --- meta-strategies -------------------------------------------------------------------------------------------------


def assert_distribution(mixture: np.ndarray, size: int) -> None:
    assert mixture.shape == (size,) and mixture.dtype == np.float64
    assert (mixture >= 0).all() and mixture.sum() == pytest.approx(1)


@every_option("meta")
@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_a_meta_strategy_returns_a_distribution(option: str, rows: int, columns: int, seed: int) -> None:
    strategy, rng = build("meta", option), np.random.default_rng(seed)
    for solve, shape in ((strategy.solve, (rows, rows)), (strategy.solve_side, (rows, columns))):
        scores = rng.random(shape)
        before = scores.copy()
        mixture = solve(scores)
        assert_distribution(mixture, rows)
        assert solve(scores).tolist() == mixture.tolist() and (scores == before).all()
    try:
        mixture = strategy.solve(rng.random((rows,) * 3))
    except ValueError as error:
        assert "two sides" in str(error)
    else:
        assert_distribution(mixture, rows)


@every_option("meta")
@settings(max_examples=10)
@given(LEAGUES)
def test_a_meta_strategy_mixes_each_pool_of_a_league(option: str, case: tuple[bool, int, int]) -> None:
    league = make_league(case, meta_strategy=build("meta", option))
    for side in league.view.sides:
        assert_distribution(league.mixture(side), len(league.view.pool(side)))
    for name in league.learners:
        mixture = league.view.mixture_facing(name, league.meta_strategy)
        assert_distribution(mixture, len(league.view.facing(name)))


# --- thinnings -------------------------------------------------------------------------------------------------------


@every_option("thinning")
@settings(max_examples=20)
@given(LEAGUES, st.integers(0, 2**32 - 1))
def test_a_thinning_never_drops_a_protected_snapshot(option: str, case: tuple[bool, int, int], seed: int) -> None:
    league = make_league(case)
    view, rng = league.view, np.random.default_rng(seed)
    pool = [snapshot.player.id for snapshot in view.snapshots]
    newest = {line[-1].player.id for line in map(view.snapshots_of, [*ROLES, "bot"]) if line}
    others = [player for player in pool if player not in newest]
    protected = newest | {player for player in others[1:] if rng.random() < 0.5}
    if not set(pool) - protected:
        return
    state = through_json(league.state_dict())
    drop = build("thinning", option).drop(view, protected)
    assert drop.player in set(pool) - protected and drop.reason
    assert build("thinning", option).drop(view, protected) == drop
    assert through_json(league.state_dict()) == state


@every_option("thinning")
@settings(max_examples=20)
@given(LEAGUES, st.integers(4, 8))
def test_a_thinned_pool_is_within_its_limit_and_keeps_guests_and_newest(
    option: str, case: tuple[bool, int, int], limit: int
) -> None:
    league = make_league(case, pool_limit=limit, thinning=build("thinning", option))
    frozen = [snapshot for snapshot in league.snapshots if snapshot.player.lineage != "bot"]
    assert len(frozen) <= limit and league.view.snapshots_of("bot")
    assert not case[1] or all(league.view.snapshots_of(learner) for learner in ROLES)


def test_the_ratings_are_fitted_once_per_change(monkeypatch: pytest.MonkeyPatch) -> None:
    from marl_app.league import view as module

    fits, fit = [], module.bradley_terry

    def counting(wins: np.ndarray) -> np.ndarray:
        fits.append(len(wins))
        return fit(wins)

    monkeypatch.setattr(module, "bradley_terry", counting)
    league = make_league((False, 6, 0))
    rng, expected = np.random.default_rng(0), league.ratings()
    changes: list[Callable[[], object]] = [
        lambda: league.record(results(league, "main", rng)),
        lambda: freeze(league, "rival"),
        lambda: league.reset("me", "main@0000"),
        lambda: league.load_state_dict(through_json(league.state_dict())),
    ]
    elo = build("matchmaker", "elo")
    for change in changes:
        old_view = league.view
        before = dict(old_view.ratings())
        change()
        fits.clear()
        for learner in league.learners:
            elo.branches(league.view, learner)
        assert league.ratings().keys() == {*league.learners, *(s.player.id for s in league.snapshots)}
        assert len(fits) == 1
        assert old_view.ratings() == before  # a view keeps the ratings of its moment
    assert league.ratings() != expected
