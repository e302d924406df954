"""Matches of a person: moves by name, take back, choices; what is wrong is answered with what is possible."""

import math

import numpy as np
import pytest
from gymnasium import spaces

from marl_app.envs.matrix_game import MatrixGame
from marl_app.envs.openspiel_adapter import OpenSpiel
from marl_app.envs.openspiel_tree import OpenSpielTree
from marl_app.envs.simple_tag import SimpleTag
from marl_app.playing.session import Session
from marl_app.runs.members import Members
from tests.evaluation.runs import preferring, write_run, write_run_in
from tests.playing.runs import LOGITS, session, tic_tac_toe_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tic_tac_toe_run(tmp_path_factory.mktemp("runs") / "run")


def names(playing):
    return [move.name for move in playing.match.moves]


def test_a_match(run):
    # The player fills the columns from a1: b1, b2, b3 is a line before it has one.
    playing = session(run)
    assert playing.seat_words() == "you play player_1 (X); main plays player_2 (O)"
    playing.move("b1")
    playing.move("B2")
    assert names(playing) == ["b1", "a1", "b2", "a2"] and playing.legal() == ["a3", "b3", "c1", "c2", "c3"]
    playing.move(" b3 ")
    assert playing.result() == "You won. Returns: player_1 +1, player_2 -1"
    assert playing.waiting is None and playing.legal() is None
    with pytest.raises(ValueError, match="the match is over"):
        playing.move("c1")


def test_take_back_and_the_same_answer_again(run):
    playing = session(run, greedy=False)
    playing.move("b2")
    answer = names(playing)
    playing.move(playing.legal()[0])
    playing.undo()
    assert names(playing) == answer
    playing.undo()
    assert names(playing) == [] and not playing.can_undo
    with pytest.raises(ValueError, match="no move to take back"):
        playing.undo()
    playing.move("b2")
    assert names(playing) == answer  # sampled, from a generator of the seed and the step
    # The end of a match can be taken back, too.
    playing = session(run)
    for move in ("b1", "b2", "b3"):
        playing.move(move)
    playing.undo()
    assert playing.result() is None and names(playing) == ["b1", "a1", "b2", "a2"]


def test_seeds(run):
    def moves(seed):
        playing, found = session(run, greedy=False, seed=seed, player="random"), []
        for _ in range(3):
            while playing.waiting is not None:
                playing.move(playing.legal()[0])
            found.append(names(playing))
            playing.new_match()
        return found

    first = moves(1)
    assert first == moves(1) != moves(2)
    assert first[0] != first[1]  # the matches of a session differ


def test_a_move_is_a_name_or_a_part_that_no_other_has(run):
    playing = session(run)
    with pytest.raises(ValueError, match="'b' may be b1, b2, b3: type more of it"):
        playing.move("b")
    for text in ("", "d4", "a"):
        with pytest.raises(ValueError, match="not a legal move: give one of a1  a2|may be a1, a2, a3"):
            playing.move(text)
    playing.move("b1")  # the player has a1
    playing.move("a3")  # and a2: of the names with an "a" none is left
    with pytest.raises(ValueError, match="'a1' is not a legal move: give one of b2  b3  c1  c2  c3"):
        playing.move("a1")


def test_players_and_sides(run):
    playing = session(run)
    assert playing.players == ["main", "main@0000", "random", "mcts_10"]
    assert playing.sides == ["player_1", "player_2"]
    playing.new_match(player="main@0000", side="player_2")
    assert names(playing) == ["c3"] and playing.seat_words() == "you play player_2 (O); main@0000 plays player_1 (X)"
    playing.new_match(side=0)
    assert names(playing) == [] and playing.player == "main@0000" and playing.number == 2
    for wrong, message in (
        ({"player": "main@0009"}, "no player 'main@0009'; its players are main, main@0000"),
        ({"side": 2}, "there is no side 2: give a number from 0 to 1, or one of player_1, player_2"),
    ):
        with pytest.raises(ValueError, match=message):
            playing.new_match(**wrong)
    assert playing.number == 2 and playing.legal()  # nothing has changed
    playing.new_match(player="mcts_10")
    playing.move("b2")
    assert len(names(playing)) == 2 and playing.advice().action in playing.legal()


def test_advice(run):
    # Of the nine logits 8, 7, ..., 0 all but that of a1 and b1 are legal after two moves.
    playing = session(run)
    playing.move("b1")
    advice = playing.advice()
    logits = dict(zip(["a1", "a2", "a3", "b1", "b2", "b3", "c1", "c2", "c3"], LOGITS, strict=True))
    total = sum(math.exp(logits[name]) for name in playing.legal())
    assert list(advice.probabilities) == playing.legal()  # likeliest first
    assert advice.probabilities == pytest.approx(
        {name: math.exp(logits[name]) / total for name in playing.legal()}, rel=1e-5
    )
    assert advice.value == pytest.approx(0.25) and advice.action is None
    playing.new_match(player="random")
    assert playing.advice().probabilities == pytest.approx(dict.fromkeys(playing.legal(), 1 / 9))
    assert playing.advice().value is None


def test_hidden_cards_stay_hidden_until_the_end(tmp_path):
    env = OpenSpielTree(1, "kuhn_poker")
    always_bets = preferring(env, [0.0, 100.0])
    run = write_run_in(tmp_path / "run", env, ["env=kuhn_poker"], [], always_bets)
    cards = set()
    for seed in range(12):
        playing = Session(env, Members(run), None, 0, seed, greedy=True)
        before = playing.match.rendering()
        own = before.split("card of player_0: ")[1][0]
        assert "card of player_1: ?" in before and own in "012"
        playing.move("p")  # Pass; the player bets
        assert names(playing) == ["Pass", "Bet"] and "card of player_1: ?" in playing.match.rendering()
        advice = playing.advice()
        assert advice.probabilities["Bet"] > 0.99
        playing.move("bet")
        other = playing.match.rendering().split("card of player_1: ")[1][0]
        assert other in "012" and other != own
        won = playing.result().startswith("You won. Returns: player_0 +2")
        assert won == (own > other)
        cards.add(own + other)
    assert len(cards) > 2  # dealt by the seed


def test_a_simultaneous_game(tmp_path):
    env = MatrixGame(1, [[0, -1], [1, 0]])
    run = write_run(tmp_path / "run", actions=2, pool=(), learner=1)
    playing = Session(env, Members(run), None, 0, 0, greedy=True)
    assert playing.legal() == ["0", "1"] and "payoffs" in playing.match.rendering()
    playing.move("0")
    assert names(playing) == ["0", "1"] and playing.result() == "You lost. Returns: player_0 -1, player_1 +1"


def test_moves_that_the_person_does_not_see_are_named_at_the_end(tmp_path):
    # In phantom tic-tac-toe the other side's marks are hidden. The player takes the first cell, then the second.
    env = OpenSpiel(1, "phantom_ttt")
    run = write_run_in(tmp_path / "run", env, ["env=openspiel", "env.game=phantom_ttt"], [], preferring(env, LOGITS))
    playing = Session(env, Members(run), None, 0, 0, greedy=True)
    for move in ("2,0", "2,1"):
        playing.move(move)
    assert names(playing) == ["x(2,0)", "", "x(2,1)", ""]
    playing.move("2,2")
    assert names(playing) == ["x(2,0)", "o(0,0)", "x(2,1)", "o(0,1)", "x(2,2)"]
    assert playing.result() == "You won. Returns: player_0 +1, player_1 -1"


def test_three_sides(tmp_path):
    game = "kuhn_poker(players=3)"
    env = OpenSpielTree(1, game)
    run = write_run_in(
        tmp_path / "run", env, ["env=kuhn_poker", f"env.game='{game}'"], [], preferring(env, [100.0, 0.0])
    )
    playing = Session(env, Members(run), None, 1, 0, greedy=True)
    assert playing.seat_words() == "you play player_1; main plays player_0, player_2"
    playing.move("Bet")  # the two others pass
    assert names(playing) == ["Pass", "Bet", "Pass", "Pass"] and playing.result().startswith("You won.")


def test_a_team_is_joined_as_one_agent(tmp_path):
    env = SimpleTag(1, num_adversaries=2, max_cycles=3)
    run = write_run_in(tmp_path / "run", env, ["env=simple_tag"], [], preferring(env, [0.0, 100.0, 0.0, 0.0, 0.0]))
    playing = Session(env, Members(run), None, "adversary_1", 0, greedy=True)
    assert playing.sides == ["adversary_0", "adversary_1", "agent_0"]
    playing.move("up")
    assert names(playing) == ["left", "up", "left"]
    # A whole side is asked agent by agent, and the last answer can be taken back.
    playing.new_match(side="0")
    assert env.agents[playing.waiting] == "adversary_0"
    playing.move("left")
    assert env.agents[playing.waiting] == "adversary_1"
    playing.undo()
    assert env.agents[playing.waiting] == "adversary_0" and names(playing) == []
    for _ in range(3):
        playing.move("right")
        playing.move("down")
    assert playing.result() and len(names(playing)) == 9
    cooperative = MatrixGame(1, [[1, 0], [0, 1]], cooperative=True)
    with pytest.raises(
        ValueError, match="side 0 has all agents, which leaves none to the player: give one of player_0"
    ):
        Session(cooperative, Members(write_run(tmp_path / "team", pool=(), actions=2)), None, 0, 0, greedy=True)


class Parts(MatrixGame):
    """A game whose actions are two numbers, or a continuous one."""

    def __init__(self, space):
        super().__init__(1, [[0, 0], [0, 0]])
        self.groups = (self.groups[0]._replace(action_space=space),)
        self.played = None

    def step(self, actions, rng):
        self.played = actions[0][0].tolist()
        return super().step([np.zeros((1, 2), np.int64)], rng)


@pytest.mark.parametrize(
    ("space", "wrong", "right", "played"),
    [
        # Few combinations have names, more are given as numbers.
        (spaces.MultiDiscrete([2, 3]), {"2 0": "not a legal move: give one of 0 0", "0": "may be"}, "1 2", [1, 2]),
        (
            spaces.MultiDiscrete([20, 30]),
            {"1": "1 numbers given: give whole numbers, each from 0: 0..19 0..29", "1 30": "not a legal", "1 .5": "le"},
            "1, 2",
            [1, 2],
        ),
        (
            spaces.Box(-1, 1, (2,), np.float32),
            {"a": "not a list of numbers: give numbers: -1..1 -1..1", "2 0": "2 0 is out of bounds", "nan 0": "bounds"},
            "0.5 -1",
            [0.5, -1],
        ),
    ],
)  # fmt: skip
def test_moves_of_several_numbers(tmp_path, space, wrong, right, played):
    env = Parts(space)
    size = env.groups[0].mask_size or 2
    run = write_run_in(tmp_path / "run", env, ["env=rock_paper_scissors"], [], preferring(env, [0.0] * size))
    playing = Session(env, Members(run), None, 0, 0, greedy=True)
    for text, message in wrong.items():
        with pytest.raises(ValueError, match=message):
            playing.move(text)
    advice = playing.advice()
    assert advice.probabilities is None and advice.action and advice.value == pytest.approx(0.25)
    playing.move(right)
    assert env.played[0] == played and playing.result()
