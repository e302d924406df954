"""Thinnings, on pools that are small enough to check the dropped snapshot by hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_app.league.league import League
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.meta.nash import Nash
from marl_app.league.players import Learner
from marl_app.league.schedule import EverySteps
from marl_app.league.thinning.meta import MetaThinning, distances, dominated, exploitability_without
from marl_app.league.thinning.oldest import Oldest
from marl_app.league.thinning.stride import Stride
from marl_app.league.thinning.thinning import Drop, Thinning
from marl_app.league.view import LeagueView

ROCK_PAPER_SCISSORS = np.array([[0, -0.5, 0.5], [0.5, 0, -0.5], [-0.5, 0.5, 0]])
THINNINGS = {"oldest": Oldest(), "stride": Stride(), "meta": MetaThinning(0.02)}


def make(thinning: Thinning | None, limit: int | None, *lineages: str) -> League:
    return League(
        [Learner(name) for name in lineages or ("main",)], Latest(), EverySteps(1), None, limit, None, thinning
    )


def freeze(league: League, learner: str = "main") -> None:
    number = league.next_snapshot(learner).generation or 0
    league.add_snapshot(learner, f"{number:064x}", 10 * number, "x")


def pool(league: League) -> list[int | None]:
    return [snapshot.player.generation for snapshot in league.snapshots]


def game(*payoff_rows: list[float]) -> LeagueView:
    """A pool with these advantages, over 1,000 games per pair."""
    league = make(None, None)
    for _ in payoff_rows:
        freeze(league)
    for i, row in enumerate(payoff_rows):
        for j in range(i):
            wins = round(1000 * (0.5 + row[j]))
            league.payoff.record(f"main@{i:04d}", f"main@{j:04d}", wins, 0, 1000 - wins)
    return league.view


def test_oldest_is_the_default() -> None:
    league = make(None, 3)
    for _ in range(5):
        freeze(league)
    assert pool(league) == [2, 3, 4] and league.dropped == (Drop("main@0001", "the oldest"),)
    freeze(unlimited := make(None, None))
    assert unlimited.dropped == ()


def test_stride_spans_the_run_with_wider_gaps_between_older_snapshots() -> None:
    league = make(Stride(), 8)
    for _ in range(65):
        freeze(league)
    assert pool(league) == [0, 25, 49, 60, 61, 62, 63, 64]
    for number in range(65, 130):
        freeze(league)
        assert pool(league)[0] == 0 and pool(league)[-4:] == [number - 3, number - 2, number - 1, number]
        # At best the older four, and so three gaps, span the run evenly.
        assert np.diff(pool(league)).max() <= 1.6 * number / 3


def test_stride_by_hand() -> None:
    league = make(Stride(), 5)
    for _ in range(6):
        freeze(league)
    # Of the older three (0, 1, 2) the first stays; 1 and 2 leave a gap of 20 steps each, and 1 is older.
    assert pool(league) == [0, 2, 3, 4, 5]
    assert league.dropped[0].reason == "the gap it leaves is the smallest: 20 agent steps"
    freeze(league)
    assert pool(league) == [0, 2, 4, 5, 6]  # 2 would leave 30 steps, 3 leaves 20


def test_stride_keeps_the_first_of_a_lineage_as_long_as_possible() -> None:
    league = make(Stride(), 2)
    for _ in range(3):
        freeze(league)
    assert pool(league) == [0, 2]
    tight = make(Stride(), 1)
    freeze(tight)
    freeze(tight)
    assert pool(tight) == [1] and tight.dropped[0].reason == "the oldest"


def test_meta_drops_a_copy_before_anything_else() -> None:
    # Rock, paper, scissors, and paper again, which beats rock a little less.
    view = game([0, 0, 0, 0], [0.5, 0, 0, 0], [-0.5, 0.5, 0, 0], [0.49, 0, -0.5, 0])
    copies = [drop.player for drop in (MetaThinning(0.02).drop(view, ()), MetaThinning(0.02).drop(view, {"main@0001"}))]
    assert copies == ["main@0001", "main@0003"]  # the older copy first
    drop = MetaThinning(0.02).drop(view, ())
    # The remaining copy of paper beats rock by 0.49, not 0.5, so the mixture of the rest changes a little.
    assert drop.cost == pytest.approx(0.003, abs=0.002)
    assert drop.reason == f"nearly a copy of another; exploitability of the pool {drop.cost:+.3f}"


def test_meta_drops_dominated_snapshots_before_unused_ones() -> None:
    # Number 3 loses to all players: each other player does as well. Number 4 beats only number 3, as others do.
    view = game(
        [0, 0, 0, 0, 0],
        [0.5, 0, 0, 0, 0],
        [-0.5, 0.5, 0, 0, 0],
        [-0.3, -0.3, -0.3, 0, 0],
        [-0.1, -0.1, -0.1, 0.4, 0],
    )
    advantage = view.payoff.matrix([s.player.id for s in view.snapshots]) - 0.5
    assert dominated(advantage).tolist() == [False, False, False, True, False]
    first = MetaThinning(0.02).drop(view, ())
    assert first == Drop(
        "main@0003", "another does as well against all players; exploitability of the pool +0.000", 0.0
    )
    second = MetaThinning(0.02).drop(view, {"main@0003"})
    assert (second.player, second.cost) == ("main@0004", 0.0)
    assert second.reason.startswith("the Nash mixture of the pool needs it least")


def test_the_cost_of_members_of_the_mixture() -> None:
    # Without rock, scissors is played, which always loses to rock.
    assert [exploitability_without(ROCK_PAPER_SCISSORS, np.full(3, 1 / 3), i) for i in range(3)] == pytest.approx(
        [0.5] * 3
    )
    biased = np.array([[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]])
    # Without rock scissors is played, -0.5 against rock; without paper rock, -0.25; without scissors paper, -0.05.
    assert [exploitability_without(biased, Nash().solve(0.5 + biased), i) for i in range(3)] == pytest.approx(
        [0.5, 0.25, 0.05]
    )
    view = game(*biased.tolist())
    drop = MetaThinning(0.02).drop(view, ())
    assert drop.player == "main@0002" and drop.cost == pytest.approx(0.05)


def test_distances() -> None:
    assert distances(ROCK_PAPER_SCISSORS) == pytest.approx([2 / 3] * 3)  # .5, .5 and 1 apart, over 3
    assert distances(np.zeros((2, 2))).tolist() == [0, 0] and distances(np.zeros((1, 1))).tolist() == [np.inf]


@pytest.mark.parametrize("name", THINNINGS)
@settings(max_examples=25)
@given(st.integers(2, 6), st.lists(st.sampled_from(["main", "rival"]), max_size=20), st.integers(0, 2**32 - 1))
def test_no_thinning_drops_the_newest_or_leaves_too_many(name: str, limit: int, frozen: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    league, made = make(THINNINGS[name], limit, "main", "rival"), []
    for learner in frozen:
        for snapshot in league.snapshots:
            wins = int(rng.integers(0, 101))
            league.payoff.record(learner, snapshot.player.id, wins, 0, 100 - wins)
        before = {snapshot.player.id for snapshot in league.snapshots}
        freeze(league, learner)
        made.append(league.view.snapshots_of(learner)[-1].player.id)
        now = {snapshot.player.id for snapshot in league.snapshots}
        assert {drop.player for drop in league.dropped} == (before | {made[-1]}) - now
        assert len(now) == min(limit, len(made))
        assert all(league.view.snapshots_of(lineage)[-1].player.id in made for lineage in {*frozen[: len(made)]})
        assert made[-1] in now
        assert set(league.ratings()) == {"main", "rival", *now}
        resumed = make(THINNINGS[name], limit, "main", "rival")
        resumed.load_state_dict(json.loads(json.dumps(league.state_dict())))
        assert resumed.ratings() == league.ratings()
    newest = {max(player for player in made if player.startswith(learner)) for learner in set(frozen)}
    assert newest <= {snapshot.player.id for snapshot in league.snapshots}


def test_a_thinning_that_drops_a_protected_snapshot_is_refused() -> None:
    class Newest:
        def drop(self, view: LeagueView, protected: object) -> Drop:
            return Drop(view.snapshots[-1].player.id, "why not")

    league = make(Newest(), 1)
    freeze(league)
    with pytest.raises(ValueError, match="Newest drops main@0001, which may not leave"):
        freeze(league)


def test_invalid_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="tolerance"):
        MetaThinning(0.5)
