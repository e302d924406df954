"""Names become players: of the run, of other runs, bots and anchors."""

import numpy as np
import pytest

from envs.matrix_game import MatrixGame
from marl_app.evaluation.contestants import Members, contestants, spaced
from marl_app.evaluation.play import play_matches
from tests.evaluation.runs import PAPER, ROCK, RPS, SCISSORS, write_run


class Paper:
    """A bot."""

    memory_size = 0

    def __init__(self, env):
        self.actions = env.groups[0].action_space.n

    def act(self, observations, masks, agents, /, *, rng, greedy, memory):
        assert self.actions == 3
        return np.full(len(agents), PAPER)


class NoPlayer:
    def __init__(self, env):
        pass


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    run = write_run(folder / "one", pool=(ROCK, PAPER, SCISSORS, PAPER, ROCK))
    return run, write_run(folder / "two", pool=(SCISSORS,), learner=PAPER), write_run(folder / "large", actions=4)


def names(runs, *wanted, snapshots=8, anchors=()):
    found = contestants(MatrixGame(1, RPS), Members(runs[0]), [str(name) for name in wanted], snapshots, anchors)
    return [one.name for one in found]


def test_patterns_and_spacing(runs):
    assert names(runs, "*") == ["main"]
    assert names(runs, "main", "main@0003", "main@0000") == ["main@0000", "main@0003", "main"]  # by age
    assert names(runs, "*", "*@*", snapshots=3) == ["main@0000", "main@0002", "main@0004", "main"]
    assert names(runs, "main@000[12]", "main@0001") == ["main@0001", "main@0002"]
    assert spaced(list("abcdef"), 1) == ["f"] and spaced(list("abcdef"), 2) == ["a", "f"]
    assert spaced(list("ab"), 5) == ["a", "b"]


def test_guests_bots_and_anchors(runs):
    wanted = ("main", runs[1], f"{runs[1]}:main@0000", f"{runs[1]}:*", "tests.evaluation.test_contestants.Paper")
    assert names(runs, *wanted, anchors=["random"]) == ["main", "two:main", "two:main@0000", "Paper", "random"]


def test_they_play_what_they_are(runs):
    wanted = ["main", "main@0001", "main@0002", str(runs[1]), "tests.evaluation.test_contestants.Paper"]
    found = contestants(MatrixGame(1, RPS), Members(runs[0]), wanted, 8, [])
    players = {one.name: one.player for one in found}
    steps = {one.name: one.agent_steps for one in found}
    assert steps == {"main@0001": 400, "main@0002": 600, "main": 1200, "two:main": 400, "Paper": None}
    wins = (("main@0001", "main"), ("main@0002", "main@0001"), ("two:main", "main"), ("Paper", "main"))
    for better, worse in wins:
        pair, seats = (players[better], players[worse]), np.array([[0, 1]] * 4)
        scores = play_matches(MatrixGame(4, RPS), pair, seats, np.random.default_rng(0), greedy=False)
        assert scores[:, 0].tolist() == [1] * 4


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("main@0009", r"has no player 'main@0009'; there are main, main@0000 to main@0004 \(5 snapshots\)"),
        ("mian", r"has no player 'mian'; there are main, "),
        ("exploiter@*", r"has no player 'exploiter@\*'"),
        ("{0}/nowhere", "there is no directory"),
        ("{0}:main", "holds no whole checkpoint"),
        ("{1}:main@0004", r"two has no player 'main@0004'; there are main, main@0000"),
        ("{2}", "main cannot play here: player_0 has other observations or actions"),
        ("tests.evaluation.test_contestants.Rock", "there is no class tests.evaluation.test_contestants.Rock"),
        ("tests.evaluation.test_contestants.NoPlayer", "NoPlayer is no player: it needs act"),
        ("tests.evaluation.runs.always", "cannot be made with the environment"),
        ("mcts_10", "anchor mcts_10 is not applicable: the environment names no OpenSpiel game"),
    ],
)
def test_what_is_wrong_with_a_name(runs, wanted, message):
    folder = runs[0].parent
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        names(runs, wanted.format(folder, runs[1], runs[2]))


def test_two_of_one_name(runs, tmp_path):
    other = write_run(tmp_path / "two", pool=())
    with pytest.raises(ValueError, match=r"would both go by two:main: rename one of them"):
        names(runs, runs[1], other)
