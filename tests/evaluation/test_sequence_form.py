"""Plans, best responses and mixtures, compared with OpenSpiel's NashConv, known equilibria and brute force."""

import functools
import itertools

import numpy as np
import pyspiel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_app.evaluation.game_tree import load_game, read_sequence_form
from marl_app.evaluation.sequence_form import mix_plans, one_shot_form


@functools.cache
def small(game):
    """Return the game's sequence form, and the names of each player's information states."""
    form, names = read_sequence_form(
        load_game(game), lambda state, player: state.information_state_string(player), 100_000
    )
    return form, names


def plans(game, policy):
    """Return the plans of `policy`, a map from the names of information states to {action: probability}."""
    form, names = small(game)
    return tuple(
        decisions.plan(
            np.array(
                [
                    1.0,
                    *(
                        policy[state_names[s]].get(a, 0)
                        for s, a in zip(decisions.states, decisions.actions[1:], strict=True)
                    ),
                ]
            )
        )
        for decisions, state_names in zip(form.players, names, strict=True)
    )


def legal(game):
    """Return the legal actions of each information state, by name."""
    form, names = small(game)
    return {
        name: np.flatnonzero(row).tolist()
        for decisions, state_names in zip(form.players, names, strict=True)
        for name, row in zip(state_names, decisions.legal(load_game(game).num_distinct_actions()), strict=True)
    }


def uniform(game):
    return {name: dict.fromkeys(actions, 1 / len(actions)) for name, actions in legal(game).items()}


def any_policy(game, seed, concentration=1.0):
    """Return a random policy; with a small concentration it is nearly deterministic."""
    rng = np.random.default_rng(seed)
    draw = {name: rng.dirichlet(np.full(len(actions), concentration)) for name, actions in legal(game).items()}
    return {name: dict(zip(actions, draw[name].tolist(), strict=True)) for name, actions in legal(game).items()}


def pure_policy(game, seed):
    rng = np.random.default_rng(seed)
    return {name: {int(rng.choice(actions)): 1.0} for name, actions in legal(game).items()}


# 11/12 for Kuhn poker is computed by hand; the value of Leduc poker is in many papers.
@pytest.mark.parametrize(("game", "expected"), [("kuhn_poker", 11 / 12), ("leduc_poker", 4.747222222)])
def test_nash_conv_of_the_uniform_policy(game, expected):
    assert small(game)[0].nash_conv(plans(game, uniform(game))) == pytest.approx(expected, abs=1e-9)


GAMES = ["kuhn_poker", "leduc_poker", "liars_dice(dice_sides=3)", "dark_hex(board_size=2)"]


@pytest.mark.parametrize("game", GAMES)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), concentration=st.sampled_from([1.0, 0.05]))
def test_nash_conv_equals_openspiels(game, seed, concentration):
    policy = any_policy(game, seed, concentration)
    theirs = pyspiel.nash_conv(load_game(game), pyspiel.TabularPolicy({s: list(p.items()) for s, p in policy.items()}))
    assert small(game)[0].nash_conv(plans(game, policy)) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("game", ["matrix_pd()", "goofspiel(num_cards=3,imp_info=True)"])  # the first is not zero-sum
def test_simultaneous_moves_equal_turns_with_hidden_moves(game):
    turns = f"turn_based_simultaneous_game(game={game})"
    ours, theirs = (small(name)[0].nash_conv(plans(name, uniform(name))) for name in (game, turns))
    assert [len(p.parents) for p in small(game)[0].players] == [len(p.parents) for p in small(turns)[0].players]
    assert ours == pytest.approx(theirs) and ours > 0.1
    assert theirs == pytest.approx(pyspiel.nash_conv(load_game(turns), pyspiel.UniformRandomPolicy(load_game(turns))))


@pytest.mark.parametrize("alpha", [0, 0.1, 1 / 3])
def test_the_equilibria_of_kuhn_poker_gain_nothing(alpha):
    # 0 is pass, 1 is bet; Kuhn (1950): the first player bets a jack with alpha and a king with 3 alpha.
    bets = {
        "0": alpha, "1": 0, "2": 3 * alpha, "0pb": 0, "1pb": alpha + 1 / 3, "2pb": 1,
        "0p": 1 / 3, "1p": 0, "2p": 1, "0b": 0, "1b": 1 / 3, "2b": 1,
    }  # fmt: skip
    form, play = small("kuhn_poker")[0], plans("kuhn_poker", {s: {0: 1 - bet, 1: bet} for s, bet in bets.items()})
    assert form.nash_conv(play) == pytest.approx(0, abs=1e-12)
    assert form.values(play) == pytest.approx([-1 / 18, 1 / 18])


def value(state, policies):
    """Return the expected payoff of each player by brute force, one history at a time."""
    if state.is_terminal():
        return np.array(state.returns())
    if state.is_chance_node():
        return sum(p * value(state.child(a), policies) for a, p in state.chance_outcomes())
    player = state.current_player()
    choice = policies[player][state.information_state_string(player)]
    return sum(p * value(state.child(a), policies) for a, p in choice.items() if p)


def pure_policies_of(player):
    """Return all 64 pure policies of a player in Kuhn poker."""
    names = small("kuhn_poker")[1][player]
    return [
        {name: {a: 1.0} for name, a in zip(names, choice, strict=True)}
        for choice in itertools.product((0, 1), repeat=6)
    ]


def nash_conv_by_brute_force(members, probabilities):
    """Return the NashConv of a player that draws a member, from all pure strategies against each member."""
    root, total = load_game("kuhn_poker").new_initial_state(), 0.0
    for player in (0, 1):

        def payoff(policy, player=player):
            """Return what a policy of `player` gets against an opponent that draws a member."""
            pairs = ([policy, member] if player == 0 else [member, policy] for member in members)
            return probabilities @ [value(root, pair)[player] for pair in pairs]

        best = max(payoff(policy) for policy in pure_policies_of(player))
        total += best - probabilities @ [payoff(member) for member in members]
    return total


@pytest.mark.parametrize("seed", range(3))
def test_a_mixture_draws_a_member_before_the_match(seed):
    members = [pure_policy("kuhn_poker", 2 * seed), pure_policy("kuhn_poker", 2 * seed + 1)]
    drawn = mix_plans([plans("kuhn_poker", member) for member in members], np.full(2, 0.5))
    brute_force = nash_conv_by_brute_force(members, np.full(2, 0.5))
    assert small("kuhn_poker")[0].nash_conv(drawn) == pytest.approx(brute_force, abs=1e-12)


def test_a_mixture_is_not_the_average_of_action_probabilities():
    # With a queen, the first member always bets; the second passes, and calls a bet. If a member is drawn before the
    # match, a player that passed with a queen is the second and calls with probability 1. The average of action
    # probabilities calls with probability 0.5 at "1pb", which the first member never reaches.
    cautious = {name: {0: 1.0} for name in legal("kuhn_poker")}
    members = [{**cautious, "1": {1: 1.0}}, {**cautious, "1pb": {1: 1.0}}]
    form = small("kuhn_poker")[0]
    drawn = mix_plans([plans("kuhn_poker", member) for member in members], np.full(2, 0.5))
    average = {name: {a: sum(m[name].get(a, 0) for m in members) / 2 for a in (0, 1)} for name in cautious}
    reached = {**average, "1pb": {1: 1.0}}  # proportional to sum_i w_i reach_i pi_i: only the second counts there
    same = plans("kuhn_poker", reached)
    assert all(np.allclose(first, second) for first, second in zip(drawn, same, strict=True))
    assert form.nash_conv(drawn) == pytest.approx(nash_conv_by_brute_force(members, np.full(2, 0.5)))
    assert form.nash_conv(drawn) == pytest.approx(form.nash_conv(same))
    assert abs(form.nash_conv(drawn) - form.nash_conv(plans("kuhn_poker", average))) > 0.01


def test_a_best_response_is_worth_as_much_as_the_best_pure_strategy():
    form, other_states = small("kuhn_poker")[0], uniform("kuhn_poker")
    for seed in range(5):
        first, second = plans("kuhn_poker", any_policy("kuhn_poker", seed))
        ours = [form.values((plans("kuhn_poker", other_states | pure)[0], second))[0] for pure in pure_policies_of(0)]
        theirs = [form.values((first, plans("kuhn_poker", other_states | pure)[1]))[1] for pure in pure_policies_of(1)]
        assert form.best_values((first, second)) == pytest.approx([max(ours), max(theirs)])


def test_a_payoff_table_equals_its_openspiel_game():
    rows = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], np.float64)
    form, mix = one_shot_form(np.stack([rows, -rows], axis=2)), np.array([1, 0.5, 0.25, 0.25])
    policy = {name: dict(enumerate([0.5, 0.25, 0.25])) for name in legal("matrix_rps")}
    assert form.nash_conv((mix, mix)) == pytest.approx(small("matrix_rps")[0].nash_conv(plans("matrix_rps", policy)))
