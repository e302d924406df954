"""The experience of an env runner, compared with the recorded matches: every decision once, with its advantage."""

import dataclasses

import numpy as np
import pytest
import torch

from marl_app.envs.batched import Openings
from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.matrix_game import MatrixGame
from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.players.actions import to_space
from marl_app.rllib.sampling.fragments import Failure, Request
from marl_app.rllib.sampling.opponent_slots import weights_to_numpy
from marl_app.store.disk import DiskStore
from tests.rllib.games import RPS, Faulty, Relay, Throws
from tests.rllib.recorder import Recorder, plain_advantages, untagged
from tests.rllib.runners import SELF, against, collect, make_recorded_runner, make_runner, publish, random_weights

GAMMA, LAMBDA = 0.9, 0.8

GAMES = {
    "connect_four": lambda n: ConnectFour(n, Openings(0.5, 1, 6)),
    "tic_tac_toe": lambda n: TicTacToe(n, Openings(0.5, 1, 7)),  # some matches end within the opening
    "rock_paper_scissors": lambda n: MatrixGame(n, RPS),  # every match has one step
    "relay": Relay,
}


@dataclasses.dataclass
class Recording:
    """Consecutive fragments, each collected with other weights, and the recorded matches."""

    runner: object
    env: Recorder
    weights: list
    fragments: list
    steps: int

    def modules(self, fragment):
        self.runner._player_networks.set_trainee_weights(self.weights[fragment])
        return self.runner._player_networks.modules

    def value(self, fragment, network, row, agent):
        module = self.modules(fragment)[network.name]
        ids = torch.tensor([agent]) if network.num_agents else None
        with torch.inference_mode():
            return float(module.values(torch.from_numpy(row[None]), ids)[0])

    def bounds(self, match, fragments):
        """Return {fragment: (first, last)}: half-open intervals of the match's steps in the first fragments."""
        result = {}
        for fragment in range(fragments):
            first = max(0, fragment * self.steps - match.start)
            last = min(match.length, (fragment + 1) * self.steps - match.start)
            if first < last:
                result[fragment] = (first, last)
        return result


@pytest.fixture(scope="module", params=[(game, played) for game in GAMES for played in ("self", "mixed")], ids="-".join)
def recording(request, tmp_path_factory):
    """Seven fragments of a game: self-play, or half of the matches against two snapshots."""
    game, played = request.param
    steps, count = (5, 7) if game != "connect_four" else (9, 7)
    store = DiskStore(tmp_path_factory.mktemp("store"))
    runner, env = make_recorded_runner(
        GAMES[game], store, matches=12, steps=steps, gamma=GAMMA, lambda_=LAMBDA, agent_id=game == "relay"
    )
    assignment = SELF
    if played == "mixed":
        digests = [publish(runner, untagged(random_weights(runner, seed)), n=seed) for seed in (100, 101)]
        assignment = against((None, 0.5), *((digest, 0.25) for digest in digests))
    weights = [untagged(random_weights(runner, seed)) for seed in range(count)]
    fragments = []
    for number, current in enumerate(weights):
        fragments.append(collect(runner, current, assignment, seed=number))
    return Recording(runner, env, weights, fragments, steps)


def decisions(recording, match):
    """Return (step, agent) of every decision of the trainee in a match."""
    return [(t, a) for t in range(match.length) for a in range(len(recording.env.agents)) if match.learned[t][a]]


def rows(recording, fragment):
    """Yield (decision, network, row) of a fragment's training rows."""
    for network in recording.runner.networks:
        batch = recording.fragments[fragment].batches[network.name]
        for row in range(len(batch["obs"]) if batch else 0):
            yield int(batch["obs"][row, -1]), network, {name: column[row] for name, column in batch.items()}


def test_every_decision_is_trained_on_once(recording):
    env, count = recording.env, len(recording.fragments)
    trained = [decision for fragment in range(count) for decision, _, _ in rows(recording, fragment)]
    assert len(set(trained)) == len(trained)
    made = {env.decision(match, t, a) for match in env.matches for t, a in decisions(recording, match)}
    assert set(trained) <= made, "rows of an opponent, or of a random opening"
    missing = made - set(trained)
    # A missing row waits for its agent's next turn: it is the agent's last decision in a running match.
    for match, step, agent in map(env.where, missing):
        assert match in env.running
        assert step == max(t for t, a in decisions(recording, match) if a == agent)
        assert not match.finished(match.length, agent)
    turn_based = not isinstance(env.inner, MatrixGame)
    assert bool(missing) == turn_based  # else this test has not seen a row that waits


def test_both_sides_of_self_play_and_one_side_against_a_snapshot(recording):
    env = recording.env
    sides = np.array([next(s for s, agents in enumerate(env.sides) if a in agents) for a in range(len(env.agents))])
    trained = {slot: set() for slot in (-1, 0, 1)}
    for match in env.matches:
        trained[match.slot] |= {int(sides[a]) for _, a in decisions(recording, match)}
        learns = np.ones(len(sides), np.bool_) if match.slot < 0 else sides == match.side  # [agents]
        # After the random opening, every decision of the trainee's agents is trained on.
        opening = next((t for t in range(match.length) if match.learned[t].any()), match.length)
        for t in range(opening, match.length):
            np.testing.assert_array_equal(match.learned[t], match.acting[t] & learns)
    mixed = recording.runner._player_networks.opponents.players != [None, None]
    assert trained == {-1: {0, 1}, 0: {0, 1} if mixed else set(), 1: {0, 1} if mixed else set()}


def test_advantages_equal_the_reference(recording):
    # The last fragment is left out: what follows its incomplete rows is not recorded.
    env, count = recording.env, len(recording.fragments) - 1
    network_of = {agent: network for network in recording.runner.networks for agent in network.agents}
    expected = [{} for _ in range(count)]
    held_over = 0
    for match in env.matches:
        for agent in range(len(env.agents)):

            def value(fragment, row, agent=agent):
                return recording.value(fragment, network_of[agent], row, agent)

            bounds = recording.bounds(match, count)
            taught, _ = plain_advantages(match, agent, bounds, value, GAMMA, LAMBDA)
            for fragment, steps in taught.items():
                expected[fragment] |= {env.decision(match, t, agent): worth for t, worth in steps.items()}
                held_over += sum(t < bounds[fragment][0] for t in steps)
    for fragment in range(count):
        found = {decision: (row["advantages"], row["value_targets"]) for decision, _, row in rows(recording, fragment)}
        assert found.keys() == expected[fragment].keys()
        ids = sorted(found)
        np.testing.assert_allclose([found[i] for i in ids], [expected[fragment][i] for i in ids], rtol=1e-4, atol=1e-4)
    if not isinstance(env.inner, MatrixGame):
        assert held_over > 10
    if isinstance(env.inner, Relay):
        # Agents that were cut off while others went on, and agents that came back after the end of an episode.
        cut = [(m, step) for m in env.matches for step, _ in m.seen_when_cut if step + 1 < m.length]
        assert len(cut) > 10
        back = [
            m
            for m in env.matches
            for a in range(3)
            if any(m.finished(s, a) < m.finished(s - 1, a) for s in range(1, m.length))
        ]
        assert len(back) > 5


def test_rows_hold_observation_mask_action_and_its_probability(recording):
    env = recording.env
    checked = 0
    for fragment in range(len(recording.fragments)):
        for decision, network, row in rows(recording, fragment):
            match, step, agent = env.where(decision)
            np.testing.assert_array_equal(row["obs"], match.seen[step][agent])
            group = env.groups[network.group]
            played = to_space(row["actions"][None], group.action_space)[0]
            np.testing.assert_array_equal(played, match.actions[step][agent])
            mask = match.masks[step][agent]
            if mask is None:
                assert "action_mask" not in row
            else:
                np.testing.assert_array_equal(row["action_mask"], mask)
                parts = np.atleast_1d(row["actions"])
                ends = np.cumsum([0, *getattr(group.action_space, "nvec", [])][:-1] if len(parts) > 1 else [0])
                assert mask[ends + parts].all(), "an illegal action"
            # With the weights of the fragment in which the decision was made: an earlier one for a row held over.
            module = recording.modules((match.start + step) // recording.steps)[network.name]
            ids = torch.tensor([agent]) if network.num_agents else None
            if ids is not None:
                assert row["agent_id"] == agent
            with torch.inference_mode():
                inputs, _ = module.act(
                    torch.from_numpy(row["obs"][None]), None if mask is None else torch.from_numpy(mask[None]), ids
                )
                dist = module.get_train_action_dist_cls().from_logits(inputs)
                logp = dist.logp(torch.as_tensor(row["actions"][None]))
            np.testing.assert_allclose(row["action_dist_inputs"], inputs[0], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(row["action_logp"], logp[0], rtol=1e-4, atol=1e-5)
            checked += 1
    assert checked > 100


def test_the_fragments_count_what_happened(recording):
    env, steps = recording.env, recording.steps
    for number, fragment in enumerate(recording.fragments):
        ended = [
            m for m in env.matches
            if m.over and number * steps < m.start + m.length <= (number + 1) * steps
        ]  # fmt: skip
        assert fragment.env_steps == 12 * steps
        assert fragment.rows == len(list(rows(recording, number)))
        assert (fragment.matches, fragment.match_steps) == (len(ended), sum(m.length for m in ended))
        # Mean return of the trainee's agents per match, including rewards before an agent's first decision.
        sides = {agent: side for side, agents in enumerate(env.sides) for agent in agents}
        returns = 0.0
        for match in ended:
            agents = [a for a in sides if match.slot < 0 or sides[a] == match.side]
            returns += float(np.mean(np.sum(match.rewards, axis=0)[agents]))
        np.testing.assert_allclose(fragment.returns, returns, rtol=1e-4, atol=1e-4)


def test_openings_without_masks(tmp_path):
    # All matches open with one or two random throws, in steps in which no row has a policy, a mask or an opponent.
    runner = make_runner(Throws, DiskStore(tmp_path / "store"), matches=50, steps=4)
    rows = collect(runner, weights_to_numpy(runner._player_networks.modules)).rows
    assert 50 * 2 < rows < 50 * 3  # of the 4 decisions of each match, all but those one or two


def test_a_failure_has_its_traceback_and_the_next_request_starts_new_matches(tmp_path):
    runner = make_runner(lambda n: Faulty(n, str(tmp_path)), DiskStore(tmp_path / "store"))
    weights = weights_to_numpy(runner._player_networks.modules)
    (tmp_path / "fault").write_text("raise_once")
    answer = runner.sample(request=Request("main", weights, 0, 0, SELF))
    assert isinstance(answer, Failure)
    assert "the simulation exploded" in answer.traceback and "games.py" in answer.traceback
    assert collect(runner, weights).rows == 2 * 8 * 5  # both seats of 8 matches, 5 steps
