"""AlphaStar's roles: opponents, freezes and resets of each role."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_app.league.league import INITIAL, Freeze, League, Outcomes, TrainingProgress
from marl_app.league.matchmakers.alphastar import AlphaStar, kept_by_suffix_rule
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.players import LEAGUE_EXPLOITER, MAIN_AGENT, MAIN_EXPLOITER, NEVER, Learner
from marl_app.league.reset import reset_to
from marl_app.league.schedule import AlphaStarSchedule, EverySteps

MAIN, RIVAL = Learner("main", MAIN_AGENT), Learner("rival", MAIN_AGENT)
ME, LE = Learner("me", MAIN_EXPLOITER), Learner("le", LEAGUE_EXPLOITER)


def league_of(*learners: Learner, pool: str = "", schedule: AlphaStarSchedule | None = None) -> League:
    """`pool` names the learners that are frozen, in this order."""
    league = League(learners, AlphaStar(), schedule or EverySteps(100))
    for number, learner in enumerate(pool.split()):
        league.add_snapshot(learner, f"{number:064x}", 0, "x")
    return league


def beats(league: League, learner: str, **win_rates: float) -> None:
    """The win rates of a learner, over 1,000 games each; main_0001 stands for main@0001."""
    for name, x in win_rates.items():
        wins = round(1000 * x)
        league.payoff.record(learner, name.replace("_0", "@0", 1), wins, 0, 1000 - wins)


def table(league: League, learner: str) -> dict[str, tuple[float, dict[str, float]]]:
    """Return rule: (its probability, probabilities of its opponents); rules that appear twice are added up."""
    found: dict[str, tuple[float, dict[str, float]]] = {}
    for b in league.matchmaker.branches(league.view, learner):
        before, probabilities = found.get(b.rule, (0.0, {}))
        new = dict(zip(b.opponents, b.probabilities.round(4).tolist(), strict=True))
        found[b.rule] = (round(before + b.probability, 6), probabilities | new)
    return found


def test_a_main_agent_alone() -> None:
    league = league_of(MAIN, pool="main main main")
    beats(league, "main", main_0000=0.9, main_0001=0.5, main_0002=0.1)  # older snapshots are easier: none is forgotten
    assert table(league, "main") == {
        "pfsp_squared": (0.5, {"main@0000": 0.0093, "main@0001": 0.2336, "main@0002": 0.757}),
        "self_play": (0.5, {"main": 1.0}),  # 15%, without anything to verify, plus 35%
    }


def test_a_forgotten_snapshot_is_verified() -> None:
    league = league_of(MAIN, pool="main main main")
    beats(league, "main", main_0000=0.6, main_0001=0.8, main_0002=0.1)  # beats number 1, but number 0 no longer
    found = table(league, "main")
    # The non-increasing suffix is 0.8, 0.1; its first element stays. Squared: 0.16 to 0.04.
    assert found["forgotten"] == (0.15, {"main@0000": 0.8, "main@0001": 0.2})
    assert found["self_play"] == (0.35, {"main": 1.0}) and found["pfsp_squared"][0] == 0.5
    beats(league, "main", main_0000=1.0)  # (600 + 1000) / 2000 = 0.8, no less than number 1
    assert "forgotten" not in table(league, "main")


def test_at_seven_tenths_nothing_is_forgotten() -> None:
    league = league_of(MAIN, pool="main main main")
    beats(league, "main", main_0000=0.7, main_0001=0.8, main_0002=0.1)
    assert "forgotten" not in table(league, "main")


def test_exploiters_are_verified_before_forgotten_snapshots() -> None:
    league = league_of(MAIN, ME, LE, pool="main me le main me")
    beats(league, "main", main_0000=0.5, main_0001=0.6, me_0000=0.9, me_0001=0.25, le_0000=0.0)
    found = table(league, "main")
    assert found["exploiters"] == (0.15, {"me@0000": 0.0175, "me@0001": 0.9825})  # 0.01 to 0.5625
    assert found["self_play"][0] == 0.35 and set(found["pfsp_squared"][1]) == {s.player.id for s in league.snapshots}
    beats(league, "main", me_0001=0.36)  # (250 + 360) / 2000 = 0.305: no exploit, so the forgotten snapshots
    assert table(league, "main")["forgotten"] == (0.15, {"main@0000": 0.6098, "main@0001": 0.3902})  # .25 to .16


def test_several_main_agents_share_and_snapshots_replace_a_strong_main_agent() -> None:
    league = league_of(MAIN, RIVAL, pool="main rival rival")
    beats(league, "main", rival=0.31, main_0000=0.5, rival_0000=0.9, rival_0001=0.5)
    found = table(league, "main")
    assert found["self_play"] == (0.25, {"main": 1.0}) and found["main_agent"] == (0.25, {"rival": 1.0})
    beats(league, "main", rival=0.29)  # (310 + 290) / 2000 = 0.3: too strong
    found = table(league, "main")
    assert "main_agent" not in found
    # Variance: .09 to .25. In the 15% too, because no snapshot is forgotten and no exploiter exploits.
    assert found["curriculum"] == (0.25, {"rival@0000": 0.2647, "rival@0001": 0.7353})


def test_a_main_exploiter_plays_main_agents_or_their_snapshots() -> None:
    league = league_of(MAIN, RIVAL, ME, pool="main main rival me")
    beats(league, "me", main=0.11, rival=0.1, main_0000=0.5, main_0001=0.5, rival_0000=0.3)
    assert table(league, "me") == {"main_agent": (0.5, {"main": 1.0}), "curriculum": (0.5, {"rival@0000": 1.0})}
    beats(league, "me", main=0.09)
    assert table(league, "me") == {"curriculum": (1.0, {"main@0000": 0.5, "main@0001": 0.5, "rival@0000": 1.0})}
    empty = league_of(MAIN, ME)
    beats(empty, "me", main=0.0)  # no snapshots for a curriculum
    assert table(empty, "me") == {"main_agent": (1.0, {"main": 1.0})}


def test_a_league_exploiter_plays_the_pool() -> None:
    league = league_of(MAIN, LE, pool="main main le")
    beats(league, "le", main_0000=0.1, main_0001=0.5, le_0000=0.9)
    assert table(league, "le") == {
        "pfsp_linear_capped": (1.0, {"main@0000": 0.4545, "main@0001": 0.4545, "le@0000": 0.0909})
    }


def test_unknown_and_missing_roles_are_refused() -> None:
    league = league_of(Learner("other", "goalkeeper"))
    with pytest.raises(ValueError, match="goalkeeper.*main_agent, main_exploiter, league_exploiter"):
        league.matchmaker.branches(league.view, "other")
    league = league_of(ME)
    with pytest.raises(ValueError, match="no main agent"):
        league.matchmaker.branches(league.view, "me")


@pytest.mark.parametrize(
    ("win_rates", "kept"),
    [([], 0), ([0.5], 0), ([0.9, 0.5, 0.5, 0.1], 0), ([0.5, 0.9], 2), ([0.1, 0.5, 0.9], 3), ([0.6, 0.8, 0.1], 2)],
)
def test_suffix_rule_by_hand(win_rates: list[float], kept: int) -> None:
    assert kept_by_suffix_rule(np.array(win_rates)) == kept


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), max_size=10))
def test_suffix_rule_equals_the_loop_of_the_paper(win_rates: list[float]) -> None:
    def loop() -> int:
        for i in range(len(win_rates) - 1, 0, -1):
            if win_rates[i - 1] < win_rates[i]:
                return i + 1
        return 0

    assert kept_by_suffix_rule(np.array(win_rates)) == loop()


GATE = AlphaStarSchedule(threshold=0.7, min_games=20, agent_steps=100, timeout_factor=2)


def due(league: League, learner: str, steps: int = 100) -> str | None:
    return GATE.due(league.view, learner, TrainingProgress({learner: steps}, 0))


def test_a_main_agent_is_due_when_it_beats_all_opponents_with_confidence() -> None:
    league = league_of(MAIN, ME, pool="main main me")
    beats(league, "main", main_0000=0.9, main_0001=0.74, me=0.1)  # the current exploiter does not count
    assert due(league, "main") is None  # no games against me@0000
    league.payoff.record("main", "me@0000", 19, 0, 0)
    assert due(league, "main") is None  # one game short
    league.payoff.record("main", "me@0000", 1, 0, 0)
    assert due(league, "main", 99) is None  # one step short
    assert due(league, "main") == "win rate 0.74 [0.71, 0.77] or more against each of 3"
    beats(league, "main", main_0001=0.66)  # (740 + 660) / 2000 = 0.7: the low end is below the threshold
    assert due(league, "main") is None
    beats(league, "main", main_0001=0.74)  # 0.713 over 3,000 games; the low end is 0.697
    assert due(league, "main") is None
    assert due(league, "main", 199) is None
    assert due(league, "main", 200) == "timeout: 200 agent steps since the last freeze"


def test_an_exploiter_has_to_beat_the_mains_and_a_league_exploiter_the_pool() -> None:
    league = league_of(MAIN, RIVAL, ME, LE, pool="main me le")
    beats(league, "me", main=0.9, rival=0.8)  # snapshots do not count
    assert due(league, "me") == "win rate 0.80 [0.77, 0.82] or more against each of 2"
    beats(league, "le", main_0000=0.9, me_0000=0.9)
    assert due(league, "le") is None
    beats(league, "le", le_0000=0.9)
    assert due(league, "le") is not None


def test_each_learner_has_separate_steps() -> None:
    league = league_of(MAIN, ME, pool="main me", schedule=GATE)
    assert league.tick(TrainingProgress({"main": 199, "me": 200}, 0)) == [
        Freeze("me", "timeout: 200 agent steps since the last freeze", INITIAL)
    ]
    assert [freeze.learner for freeze in league.tick(TrainingProgress(200, 0))] == ["main", "me"]
    with pytest.raises(KeyError, match="me"):
        league.tick(TrainingProgress({"main": 1}, 0))


def test_exploiters_start_again_and_main_agents_continue() -> None:
    rng, view = np.random.default_rng(0), league_of(MAIN, ME, LE).view
    assert {reset_to(Learner("x", role), view, None) for role in (MAIN_AGENT, "goalkeeper")} == {None}
    assert reset_to(Learner("x", MAIN_EXPLOITER), view, None) == INITIAL
    assert reset_to(Learner("x", MAIN_EXPLOITER, NEVER), view, None) is None
    again = sum(reset_to(Learner("x", LEAGUE_EXPLOITER), view, rng) == INITIAL for _ in range(4000))
    assert again == pytest.approx(1000, abs=110)  # four standard deviations
    with pytest.raises(ValueError, match="random generator"):
        reset_to(Learner("x", LEAGUE_EXPLOITER), view, None)


def test_an_exploiter_may_start_from_a_snapshot() -> None:
    view = league_of(MAIN, ME, pool="main main me").view

    def target(to: str) -> str | None:
        return reset_to(Learner("x", MAIN_EXPLOITER, to), view, None)

    assert (target("main@0000"), target("main"), target("me")) == ("main@0000", "main@0001", "me@0000")
    assert target("main@0007") == "main@0001"  # not in the pool: the newest of its lineage
    assert target("unknown") == INITIAL


def test_no_reset_follows_the_first_generation() -> None:
    league = league_of(MAIN, ME, LE)
    assert [freeze.reset_to for freeze in league.tick(TrainingProgress(0, 0))] == [None] * 3  # no generator is needed


def test_a_reset_learner_has_no_record() -> None:
    league = league_of(MAIN, ME, pool="main me")
    league.record(outcome("me", "main", 90, 10))
    league.record(outcome("me", "main@0000", 70, 30))
    snapshot = league.add_snapshot("me", "f" * 64, 100, "x")
    league.reset("me", INITIAL)
    assert league.payoff.games("me", ["main", "main@0000"]).tolist() == [0, 0]
    assert league.payoff.win_rates("me@0001", ["main", "main@0000"]) == pytest.approx(
        [0.9, 0.7]
    )  # its snapshot keeps the record
    assert league.view.tallies["me"].games == 0 and league.view.last_freeze("me") == 100
    career = league.careers["me"]
    assert (career.matches, career.resets, career.origin) == (200, 1, None)
    resumed = league_of(MAIN, ME)
    resumed.load_state_dict(json.loads(json.dumps(league.state_dict())))
    assert resumed.careers == league.careers and resumed.matches == league.matches == 200
    for each in (league, resumed):
        assert each.add_snapshot("me", "e" * 64, 200, "x").parent is None  # initial weights have no parent
    assert snapshot.parent == f"{1:064x}"


def test_a_learner_may_start_again_from_a_snapshot() -> None:
    league = league_of(MAIN, ME, pool="main me main")
    beats(league, "main", me_0000=0.6)
    league.add_snapshot("main", "d" * 64, 5, "x")
    league.reset("me", "main@0002")
    assert league.payoff.win_rates("me", ["me@0000"]) == pytest.approx([0.6])
    assert league.add_snapshot("me", "c" * 64, 9, "x").parent == "d" * 64
    before = json.dumps(league.state_dict())
    for learner, to in (("me", "main@0009"), ("me", "main"), ("unknown", INITIAL)):
        with pytest.raises(ValueError, match="no such snapshot|no learner"):
            league.reset(learner, to)
    assert json.dumps(league.state_dict()) == before


def outcome(learner: str, opponent: str, wins: int, losses: int) -> Outcomes:
    columns = [np.array([n], np.int64) for n in (0, wins, 0, losses, 0, wins)]
    return Outcomes(learner, (opponent,), ("rule",), *columns)


def test_a_whole_league_runs_and_resumes() -> None:
    def make() -> League:
        return League([MAIN, ME, LE], AlphaStar(), GATE, pool_limit=7)

    def run(league: League, rng: np.random.Generator, iterations: range) -> list[str]:
        log = []
        for iteration in iterations:
            for learner in league.learners:
                assignment = league.assign(learner, 3, rng)
                for opponent, n in zip(assignment.opponents, rng.multinomial(60, assignment.shares), strict=True):
                    wins = int(rng.binomial(n, 0.8))
                    league.record(outcome(learner, opponent.player, wins, int(n) - wins))
            steps = {"main": iteration * 40, "me": iteration * 30, "le": iteration * 30}
            for freeze in league.tick(TrainingProgress(steps, iteration), rng):
                league.add_snapshot(freeze.learner, f"{iteration:064x}", steps[freeze.learner], freeze.reason)
                if freeze.reset_to is not None:
                    league.reset(freeze.learner, freeze.reset_to)
                log.append(f"{iteration} {freeze}")
        return log

    unbroken, rng = make(), np.random.default_rng(1)
    expected = run(unbroken, rng, range(60))
    stopped, rng = make(), np.random.default_rng(1)
    log = run(stopped, rng, range(30))
    resumed = make()
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    assert log + run(resumed, rng, range(30, 60)) == expected
    assert resumed.state_dict() == unbroken.state_dict()
    assert resumed.careers["main"].resets == 0 < resumed.careers["le"].resets < resumed.careers["me"].resets


def test_latest_needs_no_roles() -> None:
    league = League([Learner("other", "goalkeeper")], Latest(), EverySteps(1))
    assert [b.opponents for b in league.matchmaker.branches(league.view, "other")] == [("other",)]
