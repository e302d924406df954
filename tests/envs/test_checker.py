"""The contract checker: every environment of conf/env passes, and every kind of violation is reported."""

from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from marl_app.envs.batched import Group, Openings, scores_from_returns
from marl_app.envs.checker import check_env, instantiate, main, read_config
from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.matrix_game import MatrixGame
from marl_app.envs.openspiel_adapter import OpenSpiel
from marl_app.envs.solved import SolvedPosition
from marl_app.envs.tic_tac_toe import TicTacToe

OPTIONS = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "env").glob("*.yaml"))
# Keys left at ???, and time limits beyond the steps of the test.
NEEDED = {
    "openspiel": ["game=tic_tac_toe"],
    "pettingzoo": ["name=pettingzoo.classic.rps_v2"],
    "predator_prey": ["max_cycles=40"],
    "pursuit": ["kwargs={max_cycles: 10}"],
}


@pytest.mark.parametrize("option", [pytest.param(o, marks=pytest.mark.slow) if o == "pursuit" else o for o in OPTIONS])
def test_every_option_of_conf_env_keeps_the_contract(option):
    config = read_config(option, NEEDED.get(option, []))
    report = check_env(lambda num_matches: instantiate(config, num_matches), steps=60)
    assert report.matches > 0


def test_options_with_openings_pass_them_on():
    env = instantiate(read_config("connect_four", []), 1)
    assert env.openings == Openings(0.8, 1, 10)


# Broken environments: tic-tac-toe (or a simpler game) with a single violation, and the expected message.


class MissingFromGroups(TicTacToe):
    groups = (TicTacToe.groups[0]._replace(agents=(0,)),)


class OnTwoSides(TicTacToe):
    sides = ((0,), (0, 1))


class SameAgentTwice(TicTacToe):
    agents = ("player_1", "player_1")


class InvalidGroupName(TicTacToe):
    groups = (TicTacToe.groups[0]._replace(name="the players"),)


class WrongActionSpace(TicTacToe):
    groups = (TicTacToe.groups[0]._replace(action_space=spaces.MultiBinary(9)),)


class InvalidOpenings(TicTacToe):
    def __init__(self, num_matches):
        super().__init__(num_matches, Openings(0.5, 3, 1))


class OpeningsWithoutTurns(MatrixGame):
    openings = Openings(0.5, 1, 2)

    def __init__(self, num_matches):
        super().__init__(num_matches, [[0, 1], [1, 0]])


class WrongBatch(TicTacToe):
    def __init__(self, num_matches):
        super().__init__(num_matches + 1)


class WrongObservationDtype(TicTacToe):
    def observe(self, matches, agents):
        return super().observe(matches, agents).astype(np.float64)


class WrongObservationShape(TicTacToe):
    def observe(self, matches, agents):
        return super().observe(matches, agents)[:, :2]


class OutsideTheSpace(TicTacToe):
    def observe(self, matches, agents):
        return super().observe(matches, agents) * np.int8(2)


class SharedObservation(TicTacToe):
    buffer = np.zeros((6, 3, 3, 2), np.int8)

    def observe(self, matches, agents):
        return self.buffer[: len(matches)]

    def step(self, actions, rng):
        self.buffer += 1
        return super().step(actions, rng)


class NoLegalAction(TicTacToe):
    def action_mask(self, matches, agents):
        return np.zeros((len(matches), 9), np.bool_)


class WrongMaskShape(TicTacToe):
    def action_mask(self, matches, agents):
        return super().action_mask(matches, agents)[:, :8]


class NoAgentActs(TicTacToe):
    def acting(self):
        return super().acting() & (np.arange(self.num_matches) != 2)[:, None]


class BothKindsOfEnd(TicTacToe):
    def step(self, actions, rng):
        step = super().step(actions, rng)
        return step._replace(truncated=step.terminated)


class EndOfTheMatchAlone(TicTacToe):
    def step(self, actions, rng):
        step = super().step(actions, rng)
        return step._replace(terminated=np.zeros_like(step.terminated))


class EndOfMatchesWhoseAgentsEnd(TicTacToe):
    """`over` has the shape of the agents' flags."""

    def step(self, actions, rng):
        step = super().step(actions, rng)
        return step._replace(over=step.terminated)


class RewardAfterTheEnd(MatrixGame):
    """A game that never ends; the second agent's episode ends in the first step, and it is paid on."""

    def __init__(self, num_matches):
        super().__init__(num_matches, [[0]])

    def acting(self):
        return super().acting() & [True, False]

    def step(self, actions, rng):
        step = super().step(actions, rng)
        terminated = step.terminated & [False, True]
        return step._replace(terminated=terminated, over=np.zeros_like(step.over), rewards=np.ones_like(step.rewards))


class InfiniteReward(TicTacToe):
    def step(self, actions, rng):
        step = super().step(actions, rng)
        return step._replace(rewards=step.rewards + np.float32(np.inf))


class WrongRewardDtype(TicTacToe):
    def step(self, actions, rng):
        step = super().step(actions, rng)
        return step._replace(rewards=step.rewards.astype(np.float64))


class ScoresOutOfRange(TicTacToe):
    def scores(self, matches):
        return 2 * super().scores(matches) - np.float32(0.5)


class ScoresDoNotSum(TicTacToe):
    def scores(self, matches):
        return np.full((len(matches), 2), 0.3, np.float32)


class SingleSideThatWins(TicTacToe):
    sides = ((0, 1),)

    def scores(self, matches):
        return np.ones((len(matches), 1), np.float32)


class NeverEnds(TicTacToe):
    def step(self, actions, rng):
        step = super().step(actions, rng)
        self.reset(rng, step.over.nonzero()[0])
        return step._replace(terminated=np.zeros_like(step.terminated), over=np.zeros_like(step.over))


class UnseededRandomness(MatrixGame):
    """Random rewards that do not come from the generator that is passed in."""

    def __init__(self, num_matches):
        super().__init__(num_matches, [[0]])
        self.generator = np.random.default_rng()

    def step(self, actions, rng):
        step = super().step(actions, rng)
        return step._replace(rewards=self.generator.random(step.rewards.shape, np.float32))


class ResetsAllMatches(TicTacToe):
    def reset(self, rng, matches=None):
        if matches is None or len(matches):
            super().reset(rng)


class IgnoresAnEmptyReset(TicTacToe):
    def reset(self, rng, matches=None):
        super().reset(rng, matches if matches is not None and len(matches) else None)


class DependsOnOtherMatches(MatrixGame):
    def __init__(self, num_matches):
        super().__init__(num_matches, [[0, 0], [0, 0]])

    def step(self, actions, rng):
        step = super().step(actions, rng)
        return step._replace(rewards=step.rewards + np.float32(actions[0].sum()))


class WrongStake(MatrixGame):
    """Points of 2 with the scores of a stake of 1: mean scores would not turn back into mean returns."""

    def __init__(self, num_matches):
        super().__init__(num_matches, [[2, -2], [-2, 2]])
        self.stake = 4.0

    def scores(self, matches):
        return scores_from_returns(self._returns[matches], self.sides, 2.0)


class OtherActions(TicTacToe):
    openspiel_game = "connect_four"


class StateWithoutState(TicTacToe):
    state_space = spaces.Box(0, 1, (9,))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (MissingFromGroups, "groups: agent player_2 is in 0 of them"),
        (OnTwoSides, "sides: agent player_1 is in 2 of them"),
        (SameAgentTwice, "agents must be different names"),
        (InvalidGroupName, "'the players' is not a valid identifier"),
        (WrongActionSpace, "group player: action_space MultiBinary"),
        (InvalidOpenings, "openings .* must have 0 <= probability <= 1 and 0 <= low <= high"),
        (OpeningsWithoutTurns, "not turn-based"),
        (WrongBatch, "num_matches is 7, but 6 were requested"),
        (WrongObservationDtype, r"observe\(\) of group player has dtype float64, not int8"),
        (WrongObservationShape, r"observe\(\) of group player has shape \(6, 2, 3, 2\), not \(6, 3, 3, 2\)"),
        (OutsideTheSpace, "the observation of agent player_. in match . is outside its space"),
        (SharedObservation, "a step changed observations returned before"),
        (NoLegalAction, "leaves acting agent player_1 no legal action"),
        (WrongMaskShape, r"action_mask\(\) of group player has shape \(6, 8\), not \(6, 9\)"),
        (NoAgentActs, "no agent acts in running match 2"),
        (BothKindsOfEnd, "both terminated and truncated"),
        (EndOfTheMatchAlone, "a match is over, but the episode of an agent is not: agent player_"),
        (EndOfMatchesWhoseAgentsEnd, r"step\(\).over has shape \(6, 2\), not \(6,\)"),
        (RewardAfterTheEnd, "an agent is rewarded after the end of its episode: agent player_1 in match 0"),
        (InfiniteReward, "a reward is not finite"),
        (WrongRewardDtype, r"step\(\).rewards has dtype float64, not float32"),
        (ScoresOutOfRange, r"scores outside \[0, 1\]"),
        (ScoresDoNotSum, "the scores of two sides must sum to 1"),
        (SingleSideThatWins, "the scores of a single side must be 0.5"),
        (NeverEnds, "no match ended within 100 steps: give it a time limit"),
        (UnseededRandomness, "the same seed gave different matches"),
        (ResetsAllMatches, "resetting match 0 changed another match"),
        (IgnoresAnEmptyReset, "resetting no match changed something"),
        (DependsOnOtherMatches, "a match depends on the other matches of the batch"),
        (WrongStake, "with a stake of 4 scores must be "),
        (OtherActions, "openspiel_game=connect_four has 7 actions, which is not the size of every action space"),
        (StateWithoutState, r"the environment has a state_space, but state\(\) returned None"),
    ],
)
def test_a_violation_is_reported_in_one_line(broken, message):
    with pytest.raises(AssertionError, match=message) as caught:
        check_env(broken, steps=80, max_steps=100)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ([], r"solved_positions\(\) is empty"),
        ([((0, 0), {1: 0, 2: 1})], r"solved position \(0, 0\): its move number 2 is not legal"),
        ([((0, 3, 1, 4, 2), {5: 0, 6: 1})], r"\(0, 3, 1, 4, 2\): the match is over after 5 of its moves"),
        ([((0, 1, 2, 3, 4, 5), {6: 1, 7: -1})], r"its values are of \[6, 7\], but \[6, 7, 8\] are legal"),
        ([((0,), {cell: cell - 1 for cell in range(1, 9)})], r"solved position \(0,\): a value is not -1, 0 or 1"),
        ([((0,), dict.fromkeys(range(1, 9), 0))], "no move is a mistake, all values are equal"),
        ([((0,), {8: 1, 9: 0})], "a value is of an action outside the action space"),
    ],
)
def test_wrong_solved_positions_are_reported(positions, message):
    class Solved(TicTacToe):
        def solved_positions(self):
            return [SolvedPosition(*position) for position in positions]

    with pytest.raises(AssertionError, match=message) as caught:
        check_env(Solved, steps=10, max_steps=100)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (lambda n: MatrixGame(n, [[0, 1], [1, 0]]), "in a solved position exactly one agent must be to move"),
        (lambda n: OpenSpiel(n, "leduc_poker"), "an environment with solved positions drew random numbers"),
        (lambda n: instantiate(read_config("two_step", []), n), "solved positions are of two sides, .* has 1"),
    ],
)
def test_games_that_cannot_have_solved_positions(game, message):
    def with_positions(num_matches):
        env = game(num_matches)
        env.solved_positions = lambda: [SolvedPosition((), {0: 0, 1: 1})]
        return env

    with pytest.raises(AssertionError, match=message):
        check_env(with_positions, steps=40)


def test_a_mask_must_allow_a_value_in_every_part_of_a_multidiscrete_action():
    class HalfStuck(MatrixGame):
        def __init__(self, num_matches):
            super().__init__(num_matches, [[0]])
            self.groups = (Group("player", (0, 1), self.groups[0].observation_space, spaces.MultiDiscrete([2, 2])),)

        def action_mask(self, matches, agents):
            return np.tile([True, True, False, False], (len(matches), 1))

    with pytest.raises(AssertionError, match="no legal action"):
        check_env(HalfStuck)


def test_games_with_chance_pass():
    check_env(lambda num_matches: OpenSpiel(num_matches, "leduc_poker"), steps=40)


# The command line.


def test_the_command_prints_a_summary(capsys):
    assert main(["tic_tac_toe"]) == 0
    printed = capsys.readouterr().out
    assert "every check passed" in printed and "player_1, player_2" in printed and "Discrete(9)" in printed


def test_the_command_takes_a_class_and_its_arguments(capsys):
    assert main(["marl_app.envs.matrix_game.MatrixGame", "payoff=[[0, 1], [1, 0]]"]) == 0
    assert "Discrete(2)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pettingzoo"], "env.name is not set: give name=..."),
        (["conect_four"], "neither an option of conf/env (biased_rps, circle,"),
        (["openspiel", "game=kuhn_pokr"], "did you mean kuhn_poker"),
        (["marl_app.envs.matrix_game.MatrixGame", "payoff=1"], "env.payoff must be a table"),
        (["marl_app.envs.matrix_game.MatrixGam"], "MatrixGam"),
    ],
)
def test_the_command_fails_with_one_line(arguments, message, capsys):
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1 and printed.out == ""


def test_checked_matches_have_a_plausible_length():
    # A game of tic-tac-toe lasts 5 to 9 moves, Connect Four at least 7.
    assert 5 <= check_env(TicTacToe).mean_length <= 9
    assert check_env(ConnectFour).mean_length >= 7
