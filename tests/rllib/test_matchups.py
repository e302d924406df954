"""Matches keep their opponents, slots of running matches are not refilled, and results are counted exactly.

In the game of names every player always plays the action of its number, so that actions identify players.
"""

from collections import Counter

import numpy as np
import pytest

from marl_app.envs.batched import Openings
from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.league.assignment import Assignment, Opponent
from marl_app.rllib.sampling.matchups import NO_SLOT_FREE
from marl_app.rllib.sampling.opponent_slots import weights_to_numpy
from marl_app.store.disk import DiskStore
from tests.rllib.games import Crowd, Names
from tests.rllib.runners import SELF, against, collect, make_recorded_runner, publish, random_weights

NAMES, ME = 6, 3  # snapshots are 0..5 except 3, the trainee; the higher name wins


def player(runner, name):
    """Return weights of a player that always plays this name."""
    weights = {key: np.zeros_like(value) for key, value in weights_to_numpy(runner._player_networks.modules).items()}
    weights["player/policy_head.linear.bias"][name] = 50.0
    return weights


class Club:
    """A recorded env runner for the game of names, and the digests of its snapshots by name."""

    def __init__(self, folder, *, matches=40, steps=4, slots=3, rounds=6):
        self.runner, self.env = make_recorded_runner(
            lambda n: Names(n, NAMES, rounds), DiskStore(folder), matches=matches, steps=steps, slots=slots
        )
        self.me = player(self.runner, ME)
        self.digests = {name: publish(self.runner, player(self.runner, name), n=name) for name in range(NAMES)}
        self.loads = []
        load = self.runner._player_networks.opponents.load_player

        def watched_load(slot, digest):
            running = self.runner._matchups.slots  # [matches]: the slot of each running match's opponent
            self.loads.append((slot, digest, np.flatnonzero(running == slot)))
            load(slot, digest)

        self.runner._player_networks.opponents.load_player = watched_load

    def play(self, assignment, seed):
        return collect(self.runner, self.me, assignment, seed=seed)

    def ended(self):
        return [match for match in self.env.matches if match.over]

    def names(self, match):
        """Return the names of both agents in each round of a match."""
        return [tuple(int(actions[seat]) for seat in (0, 1)) for actions in match.actions]


@pytest.fixture
def club(tmp_path):
    return Club(tmp_path / "store")


def opponents_of(club, match):
    """Return the names of the trainee's opponents in a match; in self-play its name."""
    return {names[1 - match.side] for names in club.names(match)}


def test_a_match_keeps_its_opponent_while_assignments_change(club):
    # Matches last up to 6 steps, fragments 4: within the 12 steps that 4 and 5 are assigned for, a slot becomes free.
    for seed in range(24):
        names = [seed % 3, 4 + seed // 3 % 2]
        club.play(against(*((club.digests[name], 0.5) for name in names)), seed)
    ended = club.ended()
    spanning = [m for m in ended if m.start // 4 != (m.start + m.length - 1) // 4]
    assert len(spanning) > 50
    for match in ended:
        assert {names[match.side] for names in club.names(match)} == {ME}
        assert len(opponents_of(club, match)) == 1
    opponents = set.union(*(opponents_of(club, match) for match in ended))
    assert opponents - {ME} == {0, 1, 2, 4, 5}  # and self-play while all three slots had running matches


def test_slots_are_refilled_only_when_their_last_match_has_ended(club):
    for seed in range(15):
        club.play(against(*((club.digests[(seed + k) % 3 + 3 * (k % 2)], 0.5) for k in range(2))), seed)
        held = [digest for digest in club.runner._player_networks.opponents.players if digest is not None]
        assert len(held) == len(set(held)) <= 3
    assert len(club.loads) > 5
    assert all(not len(users) for _, _, users in club.loads)


def test_results_are_counted_exactly(club):
    """The outcomes equal a count of the recorded matches by opponent, side and result."""
    counted, steps = Counter(), Counter()
    for seed in range(10):
        shares = {None: 0.25, club.digests[seed % 3]: 0.5, club.digests[4 + seed % 2]: 0.25}
        fragment = club.play(against(*shares.items()), seed)
        outcomes = fragment.outcomes
        assert outcomes.learner == "main"
        assert [reason.player for reason in fragment.reasons] == list(outcomes.opponents)
        assert [reason.rule for reason in fragment.reasons] == list(outcomes.rules)
        for row, reason in enumerate(fragment.reasons):
            name = next((n for n, digest in club.digests.items() if digest == reason.digest), ME)
            for result in ("wins", "draws", "losses"):
                counted[name, int(outcomes.sides[row]), result] += int(getattr(outcomes, result)[row])
            steps[name, int(outcomes.sides[row])] += int(outcomes.steps[row])
            assert outcomes.scores[row] == outcomes.wins[row] + outcomes.draws[row] / 2
        # No two rows could be merged: (reason, side) is unique.
        assert len({*zip(map(id, fragment.reasons), outcomes.sides.tolist(), strict=True)}) == len(fragment.reasons)
    expected, expected_steps = Counter(), Counter()
    for match in club.ended():
        [name] = opponents_of(club, match)
        result = "wins" if name < ME else "draws" if name == ME else "losses"
        expected[name, match.side, result] += 1
        expected_steps[name, match.side] += match.length
    assert +counted == +expected
    assert +steps == +expected_steps
    assert {side for _, side, _ in expected} == {0, 1}


def test_shares_and_sides_follow_the_assignment(tmp_path):
    club = Club(tmp_path / "store", matches=400, steps=5, rounds=1)
    shares = {ME: 0.5, 0: 0.3, 5: 0.2}
    for seed in range(2):
        club.play(against(*((None if name == ME else club.digests[name], p) for name, p in shares.items())), seed)
    counts = Counter((next(iter(opponents_of(club, match))), match.side) for match in club.ended())
    games = counts.total()
    assert games == 2 * 400 * 5
    for name, share in shares.items():
        # Five standard deviations of a binomial count.
        slack = 5 * np.sqrt(games * share * (1 - share))
        assert abs(counts[name, 0] + counts[name, 1] - games * share) < slack
    assert counts[ME, 1] == 0  # in self-play the trainee has both sides; the result of the first one counts
    for name in (0, 5):
        played = counts[name, 0] + counts[name, 1]
        assert abs(counts[name, 0] - played / 2) < 5 * np.sqrt(played / 4)


def test_one_slot_is_enough(tmp_path):
    club = Club(tmp_path / "store", slots=1, rounds=3)
    rules = Counter()
    for seed in range(20):
        fragment = club.play(against((club.digests[seed % 3], 1.0)), seed)
        for row, reason in enumerate(fragment.reasons):
            rules[reason.rule] += int(fragment.outcomes.wins[row] + fragment.outcomes.draws[row])
    names = Counter(next(iter(opponents_of(club, match))) for match in club.ended())
    assert all(names[name] > 20 for name in (0, 1, 2))
    # While the slot's last matches run, no other opponent fits: new matches are self-play with the rule NO_SLOT_FREE.
    assert rules[NO_SLOT_FREE] == names[ME] > 0
    assert all(not len(users) for _, _, users in club.loads)


def test_no_self_play_for_lack_of_a_slot_while_a_slot_is_free(tmp_path):
    club = Club(tmp_path / "store", slots=2, rounds=3)
    rules = set()
    for seed in range(20):
        rules |= set(club.play(against((club.digests[seed % 3], 1.0)), seed).outcomes.rules)
    assert NO_SLOT_FREE not in rules
    assert ME not in {name for match in club.ended() for name in opponents_of(club, match)}


def test_an_opponent_that_is_assigned_again_stays_in_its_slot(club):
    both = against((club.digests[0], 0.5), (club.digests[5], 0.5))
    for seed in range(6):
        club.play(both, seed)
    assert len(club.loads) == 2


def test_a_player_assigned_by_two_rules_takes_one_slot(club):
    twice = against((club.digests[0], 0.5), (club.digests[0], 0.5))
    fragment = club.play(twice, 0)
    assert [digest for digest in club.runner._player_networks.opponents.players if digest] == [club.digests[0]]
    assert set(fragment.outcomes.rules) == {"rule_0", "rule_1"}


def test_a_match_that_ends_within_its_random_opening_has_no_result(tmp_path):
    # All matches open with 5 to 9 random moves; those that end there are played but not recorded.
    runner, env = make_recorded_runner(
        lambda n: TicTacToe(n, Openings(1.0, 5, 9)), DiskStore(tmp_path / "s"), matches=50, steps=40
    )
    fragment = collect(runner, random_weights(runner, 0))
    ended = [match for match in env.matches if match.over]
    trained = [match for match in ended if any(step.any() for step in match.learned)]
    assert fragment.matches == len(ended)
    assert 0 < fragment.outcomes.matches == len(trained) < len(ended)
    assert int(fragment.outcomes.steps.sum()) == sum(match.length for match in trained)


def test_the_opening_is_as_long_as_drawn_and_as_frequent(tmp_path):
    club = Club(tmp_path / "store", matches=300, steps=6, rounds=6)
    club.env.inner.openings = club.env.openings = Openings(0.5, 2, 3)
    club.play(SELF, 0)
    first = club.env.matches[:300]  # the first match of each environment: all of its 6 steps are recorded
    lengths = Counter()
    for match in first:
        decisions = [t for t in range(match.length) if match.learned[t].any()]
        opening = decisions[0] if decisions else match.length
        assert all(match.learned[t].all() for t in range(opening, match.length))
        # After the opening the trainee plays its name; the opening's actions are random.
        assert all(names == (ME, ME) for names in club.names(match)[opening:])
        if match.length > 3:
            lengths[opening] += 1
    long = lengths.total()
    assert set(lengths) == {0, 2, 3}
    for opening, share in ((0, 0.5), (2, 0.25), (3, 0.25)):
        assert abs(lengths[opening] - share * long) < 5 * np.sqrt(long * share * (1 - share))
    random_names = Counter(name for m in first for names in club.names(m)[: 2 if m.length > 3 else 0] for name in names)
    assert set(random_names) == set(range(NAMES))  # random moves: every action occurs


# Half of the matches are self-play, a third draws from 0 and 4, a sixth is against 5.
SHARES = (("main", "self_play", 1 / 2), ("0", "low", 1 / 12), ("4", "low", 3 / 12), ("5", "high", 1 / 6))


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    store = DiskStore(tmp_path_factory.mktemp("store"))
    runner, env = make_recorded_runner(lambda n: Crowd(n, NAMES), store, matches=400, steps=6, slots=3)
    opponents = tuple(
        Opponent(name, None if name == "main" else publish(runner, player(runner, int(name)), n=name), rule, 0.5, p)
        for name, rule, p in SHARES
    )
    assignment = Assignment("main", opponents, np.array([p for *_, p in SHARES]))
    fragment = collect(runner, player(runner, ME), assignment)
    return fragment, [
        (match.side, tuple(int(match.actions[0][seat]) for seat in range(3))) for match in env.matches[:2400]
    ]


def test_with_three_sides_each_side_draws_from_the_rule_separately(crowd):
    _, matches = crowd
    pairs = Counter()
    for side, names in matches:
        assert names[side] == ME  # the recorded side is the trainee's
        pairs[names[(side + 1) % 3], names[(side + 2) % 3]] += 1
    # Both other sides draw from the rule's mixture independently: a pair's probability is the product of its shares.
    low = {(a, b): pa * pb / 3 for a, pa in ((0, 0.25), (4, 0.75)) for b, pb in ((0, 0.25), (4, 0.75))}
    for pair, share in (low | {(ME, ME): 1 / 2, (5, 5): 1 / 6}).items():
        assert abs(pairs.pop(pair) - 2400 * share) < 5 * np.sqrt(2400 * share * (1 - share))
    assert not pairs
    sides = Counter(side for side, names in matches if names != (ME, ME, ME))
    assert all(abs(sides[side] - 400) < 5 * np.sqrt(1200 * 2 / 9) for side in range(3))


def test_with_three_sides_the_higher_place_wins_each_pair(crowd):
    fragment, matches = crowd
    outcomes = fragment.outcomes
    counted, expected = Counter(), Counter()
    for row, opponent in enumerate(outcomes.opponents):
        for result in ("wins", "draws", "losses"):
            counted[opponent, int(outcomes.sides[row]), result] += int(getattr(outcomes, result)[row])
    for side, names in matches:
        for other in (names[(side + 1) % 3], names[(side + 2) % 3]):
            name, result = ("main", "draws") if other == ME else (str(other), "wins" if other < ME else "losses")
            expected[name, side, result] += 1
    assert +counted == +expected
    assert outcomes.matches == 2400 == fragment.matches  # two results each
    assert outcomes.scores.sum() == outcomes.wins.sum() + outcomes.draws.sum() / 2
