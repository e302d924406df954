"""Matches are played once each, to their ends, with every player on its side."""

import numpy as np
import pytest
from gymnasium import spaces

from marl_app.envs.batched import BatchedEnv, Group, Step
from marl_app.envs.connect_four import ConnectFour
from marl_app.evaluation.play import MatchTooLongError, play_matches
from marl_app.players.policy import RandomPolicy


class Countdown(BatchedEnv):
    """Match i lasts i + 1 steps; both agents act in every step, and 1 is the only legal action of the second.

    Side 0 wins the short half of the first matches, and loses all matches that are played after a reset. `step` raises
    if a match was not reset after its end, or for an illegal action.
    """

    agents = ("a", "b")
    groups = (
        Group("free", (0,), spaces.Box(0, 100, (1,), np.float32), spaces.Discrete(2)),
        Group("bound", (1,), spaces.Box(0, 100, (1,), np.float32), spaces.Discrete(2)),
    )
    sides = ((0,), (1,))

    def __init__(self, num_matches: int) -> None:
        self.num_matches = num_matches
        self.left = np.zeros(num_matches, np.int64)
        self.starts = np.zeros(num_matches, np.int64)

    def reset(self, rng, matches=None):
        matches = np.arange(self.num_matches) if matches is None else matches
        self.left[matches] = matches + 1
        self.starts[matches] += 1

    def acting(self):
        return np.ones((self.num_matches, 2), np.bool_)

    def observe(self, matches, agents):
        return self.left[matches, None].astype(np.float32)

    def action_mask(self, matches, agents):
        return np.stack([agents == 0, np.ones(len(agents), np.bool_)], axis=1)

    def step(self, actions, rng):
        assert (self.left > 0).all() and (actions[1] == 1).all()
        self.left -= 1
        ended = self.left == 0
        return Step.of_matches(np.zeros((self.num_matches, 2), np.float32), ended, np.zeros_like(ended))

    def scores(self, matches):
        assert (self.left[matches] == 0).all()
        won = ((matches < self.num_matches // 2) & (self.starts[matches] == 1)).astype(np.float32)
        return np.stack([won, 1 - won], axis=1)


class Endless(Countdown):
    """The same, but no match ends."""

    def step(self, actions, rng):
        self.left += 1
        return super().step(actions, rng)


def test_matches_that_do_not_end_are_an_error(monkeypatch):
    monkeypatch.setattr("marl_app.evaluation.play.MAX_MATCH_STEPS", 50)
    with pytest.raises(MatchTooLongError, match="4 of 4 matches have not ended after 50 steps.*a limit of steps"):
        play_matches(Endless(4), [Recorder()], np.zeros((4, 2), np.int64), np.random.default_rng(0), greedy=True)


class Recorder:
    """A policy that plays 1 and records for which agents and with which `greedy` it was called."""

    memory_size = 0

    def __init__(self) -> None:
        self.calls: list[tuple[int, float]] = []  # (agent, observation)
        self.greedy: set[bool] = set()

    def act(self, observations, masks, agents, /, *, rng, greedy, memory):
        self.calls += zip(agents.tolist(), observations[:, 0].tolist(), strict=True)
        self.greedy.add(greedy)
        return np.ones(len(agents), np.int64)


class FollowingRecorder:
    def start(self, num_matches, rng):
        self.moves = [[] for _ in range(num_matches)]

    def choose(self, matches, agents):
        return np.ones(len(matches), np.int64)

    def follow(self, matches, agents, actions):
        for match, agent, action in zip(matches, agents, actions, strict=True):
            self.moves[match].append((int(agent), int(action)))


class Rememberer:
    """A policy that remembers for each match and agent: the number of calls, the first observation, and the agent.

    The observation of `Countdown` is the number of steps left, so each call can check the memory.
    """

    memory_size = 3

    def __init__(self) -> None:
        self.calls = 0

    def act(self, observations, masks, agents, /, *, rng, greedy, memory):
        assert memory.shape == (len(agents), 3) and memory.dtype == np.float32
        count, first, agent = memory.T
        fresh = count == 0
        assert (memory[fresh] == 0).all()
        first, agent = np.where(fresh, observations[:, 0], first), np.where(fresh, agents, agent)
        assert (observations[:, 0] == first - count).all() and (agent == agents).all()
        self.calls += len(agents)
        return np.ones(len(agents), np.int64), np.stack([count + 1, first, agent], axis=1)


def seats(matches: int) -> np.ndarray:
    """Player 0 on side i % 2 of match i, player 1 on the other."""
    return (np.arange(2) != (np.arange(matches) % 2)[:, None]).astype(np.int64)


def test_matches_of_all_lengths_count_once():
    env = Countdown(6)
    scores = play_matches(env, (Recorder(), Recorder()), seats(6), np.random.default_rng(0), greedy=True)
    assert scores.dtype == np.float32 and scores.tolist() == [[1, 0]] * 3 + [[0, 1]] * 3
    assert env.starts.max() > 1  # ended matches were reset, as the contract demands


def test_players_are_called_for_their_agents_only_and_only_until_the_match_ends():
    first, second = Recorder(), Recorder()
    play_matches(Countdown(2), (first, second), seats(2), np.random.default_rng(0), greedy=True)
    # Match 0 (one step): player 0 is agent 0. Match 1 (two steps, 2 and 1 left): player 0 is agent 1.
    assert sorted(first.calls) == [(0, 1.0), (1, 1.0), (1, 2.0)]
    assert sorted(second.calls) == [(0, 1.0), (0, 2.0), (1, 1.0)]
    assert first.greedy == {True}


def test_a_memory_belongs_to_one_player_agent_and_match():
    # Matches of 1 to 5 steps: the same player on both sides, one on each side, and one against a player without memory.
    for players in ([Rememberer()] * 2, [Rememberer(), Rememberer()], [Rememberer(), Recorder()]):
        play_matches(Countdown(5), players, seats(5), np.random.default_rng(0), greedy=True)
        assert sum(player.calls for player in {*players} if isinstance(player, Rememberer)) == (
            15 if isinstance(players[1], Recorder) else 30
        )


def test_a_follower_receives_every_move_of_running_matches_in_order():
    follower = FollowingRecorder()
    play_matches(Countdown(2), (follower, Recorder()), seats(2), np.random.default_rng(0), greedy=True)
    assert follower.moves == [[(0, 1), (1, 1)], [(0, 1), (1, 1)] * 2]


def test_seats_of_another_shape_are_an_error():
    with pytest.raises(ValueError, match=r"seats must be \[4, 2\], not \[3, 2\]"):
        play_matches(Countdown(4), (Recorder(),), np.zeros((3, 2), np.int64), np.random.default_rng(0), greedy=True)


def test_the_same_seed_gives_the_same_matches_and_another_seed_others():
    env = ConnectFour(64)
    players = (RandomPolicy(env), RandomPolicy(env))
    first, again, other = (
        play_matches(env, players, seats(64), np.random.default_rng(seed), greedy=False) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_random_connect_four_favors_the_first_player():
    env = ConnectFour(4000)
    player = RandomPolicy(env)
    scores = play_matches(env, (player,), np.zeros((4000, 2), np.int64), np.random.default_rng(0), greedy=False)
    # 8,000 random games of OpenSpiel: 0.5464 won, 0.0031 drawn, so 0.548 +- 0.0056; here the standard error is 0.0079.
    assert scores[:, 0].mean() == pytest.approx(0.548, abs=0.039)
    assert (scores.sum(axis=1) == 1).all()
