"""Contestants: names and patterns become players of the run, players of other runs, bots and anchors."""

import numpy as np
import pytest

from marl_app.envs.matrix_game import MatrixGame
from marl_app.evaluation.contestants import contestants, player_bytes
from marl_app.evaluation.play import play_matches
from marl_app.players.agent import Agent, player_from_bytes
from marl_app.players.bots import bot_name
from marl_app.runs.members import Members, evenly_spaced
from marl_app.store.codec import decode
from marl_app.store.disk import DiskStore
from marl_app.store.store import digest_of
from tests.evaluation.runs import PAPER, ROCK, RPS, SCISSORS, always, write_run


class Paper:
    """A bot that always plays paper."""

    memory_size = 0

    def __init__(self, env):
        self.actions = env.groups[0].action_space.n

    def act(self, observations, masks, agents, /, *, rng, greedy, memory):
        assert self.actions == 3
        return np.full(len(agents), PAPER)


class NoPlayer:
    def __init__(self, env):
        pass


class Broken:
    def __init__(self, env):
        raise TypeError("no game")

    def act(self):
        pass


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    run = write_run(folder / "one", pool=(ROCK, PAPER, SCISSORS, PAPER, ROCK))
    return run, write_run(folder / "two", pool=(SCISSORS,), learner=PAPER), write_run(folder / "large", actions=4)


def names(runs, *wanted, snapshots=8, anchors=()):
    found = contestants(MatrixGame(1, RPS), Members(runs[0]), [str(name) for name in wanted], snapshots, anchors)
    return [contestant.name for contestant in found]


def test_patterns_and_spacing(runs):
    assert names(runs, "*") == ["main"]
    assert names(runs, "main", "main@0003", "main@0000") == ["main@0000", "main@0003", "main"]  # oldest first
    assert names(runs, "*", "*@*", snapshots=3) == ["main@0000", "main@0002", "main@0004", "main"]
    assert names(runs, "main@000[12]", "main@0001") == ["main@0001", "main@0002"]
    assert evenly_spaced(list("abcdef"), 1) == ["f"] and evenly_spaced(list("abcdef"), 2) == ["a", "f"]
    assert evenly_spaced(list("ab"), 5) == ["a", "b"]


def test_guests_bots_and_anchors(runs):
    wanted = ("main", runs[1], f"{runs[1]}:main@0000", f"{runs[1]}:*", "tests.evaluation.test_contestants.Paper")
    assert names(runs, *wanted, anchors=["random"]) == ["main", "two:main", "two:main@0000", "Paper", "random"]


def test_contestants_play_the_actions_of_their_players(runs):
    wanted = ["main", "main@0001", "main@0002", str(runs[1]), "tests.evaluation.test_contestants.Paper"]
    found = contestants(MatrixGame(1, RPS), Members(runs[0]), wanted, 8, [])
    players = {contestant.name: contestant.player for contestant in found}
    steps = {contestant.name: contestant.agent_steps for contestant in found}
    assert steps == {"main@0001": 400, "main@0002": 600, "main": 1200, "two:main": 400, "Paper": None}
    wins = (("main@0001", "main"), ("main@0002", "main@0001"), ("two:main", "main"), ("Paper", "main"))
    for better, worse in wins:
        pair, seats = (players[better], players[worse]), np.array([[0, 1]] * 4)
        scores = play_matches(MatrixGame(4, RPS), pair, seats, np.random.default_rng(0), greedy=False)
        assert scores[:, 0].tolist() == [1] * 4


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("main@0009", r"has no player 'main@0009'; its players are main, main@0000 to main@0004 \(5 snapshots\)"),
        ("mian", r"has no player 'mian'; its players are main, "),
        ("exploiter@*", r"has no player 'exploiter@\*'"),
        ("{0}/nowhere", "directory .*/nowhere does not exist"),
        ("{0}:main", "holds no whole checkpoint"),
        ("{1}:main@0004", r"two has no player 'main@0004'; its players are main, main@0000"),
        ("{2}", "main cannot play here: player_0 has other observations or actions"),
        ("tests.evaluation.test_contestants.Rock", "class tests.evaluation.test_contestants.Rock does not exist"),
        ("tests.evaluation.test_contestants.NoPlayer", "NoPlayer is not a player: it must be a class with act"),
        ("os.getcwd", "os.getcwd is not a class"),  # and is not called
        ("tests.evaluation.test_contestants.Broken", r"test_contestants.Broken\(env\) failed: TypeError: no game"),
        ("mcts_10", "anchor mcts_10 is not applicable: the environment names no OpenSpiel game"),
    ],
)
def test_an_error_says_what_is_wrong_with_a_name(runs, wanted, message):
    folder = runs[0].parent
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        names(runs, wanted.format(folder, runs[1], runs[2]))


def test_two_players_of_one_name_are_an_error(runs, tmp_path):
    other = write_run(tmp_path / "two", pool=())
    with pytest.raises(ValueError, match=r"would both be named two:main: rename one of them"):
        names(runs, runs[1], other)


def test_one_player_as_bytes(runs, tmp_path):
    # A pool stores the unchanged bytes of a player, found by name or digest, or the name of a bot.
    env, store = MatrixGame(1, RPS), DiskStore(tmp_path)
    (newest,) = runs[1].glob("checkpoints/*/player-main.safetensors")
    assert player_bytes(env, str(runs[1]), store) == newest.read_bytes()
    digest = digest_of(player_bytes(env, f"{runs[1]}:main@0000", store))
    assert DiskStore(runs[1] / "snapshots").list().keys() == {digest}
    rock = always(ROCK)
    assert player_bytes(env, store.put(rock), store) == rock
    for name in ("random", "tests.evaluation.test_contestants.Paper"):
        assert bot_name(decode(player_bytes(env, name, store))[1]) == name
    bot = player_from_bytes(player_bytes(env, "tests.evaluation.test_contestants.Paper", store), env)
    assert isinstance(bot, Paper)
    with pytest.raises(ValueError, match="this is the bot random, which has no network"):
        Agent(player_bytes(env, "random", store))
    for wrong, message in (
        (f"{runs[0]}:main@*", "matches 5 players: name a single one of main, main@0000 to main@0004"),
        ("0" * 64, "the run's store has no bytes with the digest 0000"),
        ("mian", "unknown player 'mian': expected a run"),
        (str(runs[2]), "cannot play here: player_0 has other observations or actions"),
        ("mcts_10", "names no OpenSpiel game"),
    ):
        with pytest.raises(ValueError, match=message):
            player_bytes(env, wrong, store)
