"""Reading OpenSpiel's game trees: known sizes, and games that are rejected."""

import numpy as np
import pyspiel
import pytest

from marl_app.evaluation.game_tree import NotExactError, load_game, looks_too_large, read_sequence_form


def histories(game):
    """The sequence form, and for each player the history in which each information state is first visited."""
    return read_sequence_form(load_game(game), lambda state, player: state.history(), 300_000)


@pytest.mark.parametrize(("game", "states"), [("kuhn_poker", 12), ("leduc_poker", 936), ("matrix_rps", 2)])
def test_information_states(game, states):
    form, seen = histories(game)
    assert sum(len(player.parents) for player in form.players) == states
    assert [len(player.parents) for player in form.players] == [len(kept) for kept in seen]


def test_states_are_ordered_by_the_number_of_earlier_decisions():
    form, seen = histories("leduc_poker")
    for decisions, first_history in zip(form.players, seen, strict=True):
        before = np.append(-1, decisions.states)[decisions.parents].tolist()  # the state of the player's last move
        depths = []
        for state, earlier in enumerate(before):
            assert earlier < state and (earlier == -1 or len(first_history[earlier]) < len(first_history[state]))
            depths.append(0 if earlier == -1 else 1 + depths[earlier])
        assert depths == sorted(depths) and depths[-1] == 3  # at most two decisions in each of the two rounds


def test_the_limit_is_exact():
    assert read_sequence_form(load_game("kuhn_poker"), lambda state, player: None, 58)
    with pytest.raises(NotExactError, match=r"kuhn_poker\(\) has more than 57 histories"):
        read_sequence_form(load_game("kuhn_poker"), lambda state, player: None, 57)


def test_random_descents_estimate_the_size():
    assert looks_too_large(load_game("connect_four"), 1_000_000) and looks_too_large(load_game("chess"), 1_000_000)
    assert not looks_too_large(load_game("tic_tac_toe"), 549_946)
    assert looks_too_large(load_game("tic_tac_toe"), 100_000)


@pytest.mark.parametrize(("game", "reason"), [("liars_dice_ir", "forgets"), ("kuhn_poker(players=3)", "3 players")])
def test_rejected_games(game, reason):
    with pytest.raises(NotExactError, match=reason):
        histories(game)


def test_both_must_move():
    alone = 'EFG 2 R "alone" { "1" "2" } ""\np "" 1 1 "first" { "l" "r" } 0\nt "" 1 "" { 1 -1 }\nt "" 2 "" { 2 -2 }\n'
    with pytest.raises(NotExactError, match="never moves"):
        read_sequence_form(pyspiel.load_efg_game(alone), lambda state, player: None, 100)


def test_payoffs_are_weighted_by_chance():
    form, _ = histories("kuhn_poker")
    plans = [decisions.plan(np.append(1.0, np.full(len(decisions.actions) - 1, 0.5))) for decisions in form.players]
    everything = pyspiel.expected_returns(
        load_game("kuhn_poker").new_initial_state(), pyspiel.UniformRandomPolicy(load_game("kuhn_poker")), -1, True
    )
    assert form.values(tuple(plans)) == pytest.approx(everything)
