"""Predator-prey against a plain, slow implementation of the rules, for a single match, actor by actor."""

import numpy as np
import pytest

from marl_app.envs.checker import check_env
from marl_app.envs.predator_prey import CATCH, PredatorPrey
from marl_app.envs.random_play import random_actions

MOVES = [(0, 1), (1, 0), (0, -1), (-1, 0), (0, 0), (0, 0)]


class ReferenceMatch:
    """A single match. Actors are (row, column), or None after they have left the grid."""

    def __init__(self, field, predators, prey, sight, reward, penalty):
        self.field, self.predators, self.prey, self.sight = field, predators, prey, sight
        self.reward, self.penalty = reward, penalty

    def free(self, cell):
        inside = all(0 <= index < size for index, size in zip(cell, self.field, strict=True))
        return inside and cell not in self.predators and cell not in self.prey

    def step(self, actions, predator_order, prey_order, points):
        team = 0.0
        for index in predator_order:
            if self.predators[index] is not None:
                cell = neighbor(self.predators[index], MOVES[actions[index]])
                if self.free(cell):
                    self.predators[index] = cell
        for index in prey_order:
            cell = self.prey[index]
            if cell is None:
                continue
            around = [neighbor(cell, move) for move in MOVES[:4]]
            trying = [
                i
                for i, predator in enumerate(self.predators)
                if predator is not None and predator in around and actions[i] == CATCH
            ]
            if len(trying) >= 2:
                team += self.reward
                self.prey[index] = None
                for i in trying:
                    self.predators[i] = None
                continue
            if trying:
                team -= self.penalty
            free = [k for k in range(4) if self.free(around[k])]
            if free:
                self.prey[index] = around[max(free, key=lambda k: points[index][k])]
        return team

    def over(self):
        return not any(self.prey) or not any(self.predators)

    def view(self, index):
        size = 2 * self.sight + 1
        seen = np.zeros((size, size, 2), np.int8)
        observer = self.predators[index]
        if observer is not None:
            for channel, actors in enumerate((self.predators, self.prey)):
                for actor in filter(None, actors):
                    row, column = actor[0] - observer[0] + self.sight, actor[1] - observer[1] + self.sight
                    if 0 <= row < size and 0 <= column < size:
                        seen[row, column, channel] = 1
        return seen

    def valid(self, index):
        observer = self.predators[index]
        if observer is None:
            return [False] * 4 + [True, False]
        around = [neighbor(observer, move) for move in MOVES[:4]]
        inside = [all(0 <= i < size for i, size in zip(cell, self.field, strict=True)) for cell in around]
        return [*inside, True, any(cell in self.prey for cell in around)]

    def state(self):
        grid = np.zeros((*self.field, 2), np.float32)
        for channel, actors in enumerate((self.predators, self.prey)):
            for actor in filter(None, actors):
                grid[(*actor, channel)] = 1
        return grid.ravel()


def neighbor(cell, move):
    return cell[0] + move[0], cell[1] + move[1]


def cells(env: PredatorPrey, actors: np.ndarray, match: int) -> list[tuple[int, int]]:
    """Return the cells (row, column) of the actors of a match, without the border."""
    sight = (env.groups[0].observation_space.shape[0] - 1) // 2
    rows, columns = np.divmod(actors[match] - env._match_start[match], env._width)
    return [(int(row) - sight, int(column) - sight) for row, column in zip(rows, columns, strict=True)]


def numbers(env: PredatorPrey, places: list[tuple[int, int]]) -> np.ndarray:
    """Convert (row, column) of a match to cell numbers with the border, [1, n], as `place_actors` takes them."""
    sight = (env.groups[0].observation_space.shape[0] - 1) // 2
    return np.array([[(row + sight) * env._width + sight + column for row, column in places]])


SETTINGS = [
    {},
    {"field_size": [4, 5], "predators": 5, "prey": 3, "sight": 1, "penalty": 0.25, "reward": 1.0},
    {
        "field_size": [2, 3],
        "predators": 2,
        "prey": 4,
        "sight": 3,
        "max_cycles": 20,
    },  # every cell is occupied
    {"field_size": [1, 7], "predators": 3, "prey": 2, "max_cycles": 40},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("legal", [True, False])
def test_matches_equal_the_plain_implementation(settings, legal):
    batch, rng, chooser = 20, np.random.default_rng(1), np.random.default_rng(2)
    env = PredatorPrey(batch, **settings)
    complete = {"field_size": [10, 10], "predators": 8, "prey": 8, "sight": 2, "max_cycles": 200, "reward": 10.0}
    complete |= {"penalty": 1.5} | settings
    env.reset(rng)
    plain = [
        ReferenceMatch(complete["field_size"], cells(env, env.predators, m), cells(env, env.prey, m), complete["sight"],
                       complete["reward"], complete["penalty"])
        for m in range(batch)
    ]  # fmt: skip
    running, seen = np.arange(batch), {"caught": 0, "alone": 0, "over": 0}
    for cycle in range(complete["max_cycles"]):
        count = len(env.agents)
        matches, agents = running.repeat(count), np.tile(np.arange(count), len(running))
        views, masks = env.observe(matches, agents), env.action_mask(matches, agents)
        for view, mask, match, agent in zip(views, masks, matches, agents, strict=True):
            np.testing.assert_array_equal(view, plain[match].view(agent))
            assert mask.tolist() == plain[match].valid(agent)
        np.testing.assert_array_equal(env.state(running), [plain[match].state() for match in running])
        actions = random_actions(env, chooser)[0] if legal else chooser.integers(6, size=(batch, count))
        # Catch more often than random actions do.
        catches = env.action_mask(*np.indices((batch, count)).reshape(2, -1))[:, CATCH].reshape(batch, count)
        actions = np.where(catches & (chooser.random((batch, count)) < 0.5), CATCH, actions)
        # The copy of the generator draws the same random orders and numbers as the step.
        copy = np.random.default_rng()
        copy.bit_generator.state = rng.bit_generator.state
        step = env.step([actions], rng)
        predator_order = copy.random((batch, count)).argsort(axis=1)
        prey_order = copy.random((batch, complete["prey"])).argsort(axis=1)
        points = copy.random((batch, complete["prey"], 4))
        for match in running:
            team = plain[match].step(actions[match], predator_order[match], prey_order[match], points[match])
            np.testing.assert_allclose(step.rewards[match], team, rtol=1e-6)
            assert step.terminated[match].tolist() == [plain[match].over()] * len(env.agents)
            assert step.truncated[match].all() == (cycle + 1 == complete["max_cycles"] and not plain[match].over())
            seen["caught"] += team > 0
            seen["alone"] += team < 0
            seen["over"] += plain[match].over()
        assert (step.over[:, None] == step.terminated | step.truncated).all()
        running = np.array([match for match in running if not plain[match].over()], int)
        env.reset(
            rng, np.flatnonzero(step.terminated.all(axis=1))
        )  # ended matches play on, but are not compared any more
        if not len(running):
            break
    assert seen["alone"] and (seen["caught"] or settings.get("prey") == 4)
    assert seen["over"] or settings.get("prey") != 3


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_contract_is_kept(settings):
    check_env(lambda num_matches: PredatorPrey(num_matches, **settings), num_matches=4, steps=210)


def test_actors_start_on_different_cells_uniformly():
    env = PredatorPrey(2000, field_size=[4, 4], predators=3, prey=3)
    env.reset(np.random.default_rng(0))
    grid = env.state(np.arange(2000)).reshape(2000, 16, 2)
    assert (grid.sum(axis=1) == 3).all() and grid.max() == 1 and (grid.sum(axis=2) <= 1).all()
    np.testing.assert_allclose(grid.mean(axis=0), 3 / 16, atol=0.05)


def two_next_to_a_prey(penalty: float = 1.5) -> PredatorPrey:
    """Return a match with two predators next to the only prey, and a third one far away."""
    env = PredatorPrey(1, predators=3, prey=1, penalty=penalty)
    env.place_actors(np.array([0]), numbers(env, [(5, 4), (5, 6), (0, 0)]), numbers(env, [(5, 5)]))
    return env


def test_two_predators_catch_and_a_single_one_is_penalized():
    rng = np.random.default_rng(0)
    step = two_next_to_a_prey(2.0).step([np.array([[CATCH, 4, CATCH]])], rng)  # the third has no prey next to it
    assert step.rewards.tolist() == [[-2, -2, -2]] and not step.over[0]
    env = two_next_to_a_prey()
    step = env.step([np.array([[CATCH, CATCH, 4]])], rng)
    assert step.rewards.tolist() == [[10, 10, 10]] and step.terminated.all() and not step.truncated.any()
    assert env.hunting.tolist() == [[False, False, True]]
    assert env.scores(np.array([0])).tolist() == [[0.5]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"field_size": [10]}, r"env.field_size must be \[rows, columns\], not \[10\]"),
        ({"field_size": [0, 3]}, "env.field_size must be an integer >= 1, not 0"),
        ({"predators": 1}, r"env.predators must be an integer in \[2, 99\], not 1"),
        ({"prey": 93}, r"env.prey must be an integer in \[1, 92\], not 93"),
        ({"sight": 0}, "env.sight must be an integer >= 1, not 0"),
        ({"max_cycles": 0}, "env.max_cycles must be an integer >= 1, not 0"),
        ({"reward": None}, "env.reward must be a number, not None"),
        ({"penalty": -1}, "env.penalty must be a number >= 0, not -1"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_the_key(settings, message):
    with pytest.raises(ValueError, match=message):
        PredatorPrey(1, **settings)


def test_an_illegal_action_is_an_error():
    with pytest.raises(ValueError, match="predator_prey: illegal action 6 of predator_2 in match 0: not one of 0..5"):
        two_next_to_a_prey().step([np.array([[4, 4, 6]])], np.random.default_rng(0))
