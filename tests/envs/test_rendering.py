"""What environments show to people: boards, texts, pictures, names of actions; and the checker of it."""

import numpy as np
import pytest

from marl_app.envs.board import Board
from marl_app.envs.checked_rendering import check_rendering
from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.grid import grid_text
from marl_app.envs.openspiel_adapter import OpenSpiel
from marl_app.envs.openspiel_tree import TERMINAL, OpenSpielTree
from marl_app.envs.pettingzoo_adapter import PettingZoo
from marl_app.envs.simple_spread import SimpleSpread
from marl_app.envs.tic_tac_toe import TicTacToe


def play(env, moves):
    """Reset, and play moves, one agent after the other."""
    rng = np.random.default_rng(0)
    env.reset(rng)
    for move in moves:
        actions = np.full((1, len(env.agents)), move)
        env.step([actions[:, group.agents] for group in env.groups], rng)
    return env


def names(env, agent, viewer=None):
    mask = env.action_mask(np.zeros(1, np.int64), np.array([agent]))[0]
    return [env.action_name(0, agent, action, viewer) for action in np.flatnonzero(mask)]


def test_connect_four():
    env = play(ConnectFour(1), [3, 3, 0])
    board = env.render(0)
    assert board.text().splitlines() == ["1 2 3 4 5 6 7", *[". . . . . . ."] * 4, ". . . O . . .", "X . . X . . ."]
    assert (board.actions == np.arange(7)).all() and names(env, 1) == list("1234567")
    # A full column stands for no action, nor does any cell once the match is over: X has three on top of 1 to 4.
    assert (play(ConnectFour(1), [3] * 6).render(0).actions[:, 3] == -1).all()
    over = play(ConnectFour(1), [0, 0, 1, 1, 2, 2, 3]).render(0)
    assert (over.actions == -1).all() and over.pieces[5].tolist() == [0, 0, 0, 0, -1, -1, -1]


def test_tic_tac_toe_in_the_orientation_of_pettingzoo():
    env = play(TicTacToe(1), [0, 1, 5])
    assert env.render(0).text() == "  a b c\n1 X . .\n2 O . .\n3 . X ."
    assert names(env, 1) == ["a3", "b1", "b2", "c1", "c2", "c3"]
    board = env.render(0)
    # A click on a cell plays the action that has the name of the cell.
    for row in range(3):
        for column in range(3):
            action = int(board.actions[row, column])
            if action >= 0:
                assert env.action_name(0, 1, action) == f"{board.column_labels[column]}{board.row_labels[row]}"
    # The mark that PettingZoo draws for the same action is in the same place: brightness changes only there.
    pictures = []
    for moves in ([], [5]):
        original = PettingZoo(1, "pettingzoo.classic.tictactoe_v3")
        original.enable_rendering(prefer_text=False)
        pictures.append(play(original, moves).render(0).astype(int))
        original.close()
    changed = np.abs(pictures[1] - pictures[0]).sum(axis=2) > 0
    y, x = (indices.mean() / size for indices, size in zip(changed.nonzero(), changed.shape, strict=True))
    assert 1 / 3 < x < 2 / 3 < y and names(original, 1)[:2] == ["a1", "a2"]


def test_boards_as_text():
    board = Board(np.array([[-1, 30]]), np.array([[-1, -1]]))
    assert board.text() == ". 30"  # agents without a symbol of their own have their number
    assert grid_text(3, 3, [(0, "f1"), (4, "A1"), (8, "*")], center=4, sight=0) == "\n".join(
        [" " * 8, "   A1   ", " " * 8]
    )


def test_a_state_is_found_for_each_node_of_a_table():
    tree = OpenSpielTree(1, "leduc_poker")._tree
    for node in range(0, len(tree.players), 211):
        state = tree.state_of(node)
        assert state.is_terminal() == (tree.players[node] == TERMINAL) and state.current_player() == tree.players[node]
        assert state.returns() == tree.returns[node].tolist()


@pytest.mark.parametrize("make", [OpenSpielTree, OpenSpiel])
def test_leduc_poker_shows_a_player_its_own_card_and_all_bets(make):
    env = play(make(1, "leduc_poker"), [2])  # player 0 raises
    own, other = (env.render(0, player).splitlines() for player in (0, 1))
    assert own[1] == "card of player_1: ?" and other[0] == "card of player_0: ?"
    assert env.render(0).splitlines()[:2] == [own[0], other[1]]  # all cards
    assert other[2:5] == ["round 1: Raise", "round 2: ", "in the pot: 4"]  # one each, and two more
    assert names(env, 1) == names(env, 1, viewer=0) == ["Fold", "Call", "Raise"]


def test_kuhn_poker_in_words():
    env = play(OpenSpielTree(1, "kuhn_poker"), [1])
    assert "card of player_0: ?" in env.render(0, 1) and "in the pot: 3" in env.render(0, 1)
    assert "?" not in env.render(0)


def test_actions_that_are_not_seen():
    # Phantom tic-tac-toe hides marks, simultaneous bids are hidden unless all information is perfect.
    phantom = play(OpenSpiel(1, "phantom_ttt"), [])
    assert names(phantom, 0)[:2] == ["x(0,0)", "x(0,1)"] and set(names(phantom, 0, viewer=1)) == {None}
    hidden, open_bids = (
        play(OpenSpiel(1, f"goofspiel(num_cards=3,imp_info={flag})"), []) for flag in ("True", "False")
    )
    assert set(names(hidden, 0, viewer=1)) == {None}
    assert names(open_bids, 0, viewer=1) == names(open_bids, 0)


def test_pettingzoo(recwarn):
    cards = PettingZoo(1, "pettingzoo.classic.leduc_holdem_v4")
    assert play(cards, []).render(0) is None  # not asked to draw
    cards.enable_rendering(prefer_text=False)
    play(cards, [])
    mover = int(cards.acting()[0].argmax())
    own, other = cards.render(0, mover), cards.render(0, 1 - mover)
    assert own.startswith("hand: ") and other.startswith("hand: ") and own != other
    assert cards.render(0).shape[2] == 3  # all hands
    assert names(cards, mover) == ["call", "raise", "fold"]
    cards.close()
    chess = PettingZoo(1, "pettingzoo.classic.chess_v6")
    chess.enable_rendering(prefer_text=True)
    assert play(chess, []).render(0).splitlines()[0] == "r n b q k b n r" and "e2e4" in names(chess, 0)
    chess.close()


def test_particles():
    env = play(SimpleSpread(1, N=1), [])
    env.positions[0] = [[0.65, 0.65], [-0.65, -0.65]]  # the agent in the middle of the upper right quarter
    picture = env.render(0)
    assert picture[100, 300].tolist() == [209, 73, 91] and picture[300, 100].tolist() == [95, 107, 115]
    assert picture[200, 200].tolist() == [250, 250, 250]
    assert (env.render(0, 0) == 0).all(axis=2).any() and env.action_name(0, 0, 4) == "up"


class Wrong(TicTacToe):
    """Breaks one promise."""

    def __init__(self, fault):
        super().__init__(1)
        self.fault = fault

    def render(self, match, agent=None):
        if self.fault == "changes the match":
            self._marks[:, 0, 0] = True
        board = super().render(match, agent)
        return {
            "a number": 3,
            "a gray picture": np.zeros((4, 4), np.uint8),
            "an illegal action": board._replace(actions=np.tile(np.arange(9).reshape(3, 3), 1)),
            "an unknown piece": board._replace(pieces=np.full((3, 3), 2)),
            "two labels": board._replace(row_labels=("1", "2")),
        }.get(self.fault, board)

    def action_name(self, match, agent, action, viewer=None):
        if self.fault == "one name":
            return "mark"
        if self.fault == "no name":
            return None
        return (
            "other"
            if self.fault == "another name" and viewer is not None
            else super().action_name(match, agent, action)
        )


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("a number", "must return a text, an array uint8"),
        ("a gray picture", "must return a text, an array uint8"),
        ("an illegal action", "stands for actions that are not legal"),
        ("an unknown piece", "belongs to no agent"),
        ("two labels", "2 row labels for 3 rows"),
        ("changes the match", "went another way: render\\(\\) must not change it"),
        ("one name", "two legal actions have one name"),
        ("no name", "has no name"),
        ("another name", "another name for a viewer"),
    ],
)
def test_the_checker_names_the_fault(fault, message):
    with pytest.raises(AssertionError, match=message):
        check_rendering(lambda _: Wrong(fault), 5, 0)
