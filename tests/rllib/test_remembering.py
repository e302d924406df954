"""Recurrent networks, end to end: training sees the memories of play, and no two agents or matches share a memory.

Whole matches are replayed by hand, one decision after the other, with a memory that is zero before the first.
"""

import dataclasses

import numpy as np
import pytest
import torch

from marl_app.envs.batched import Openings
from marl_app.envs.simple_spread import SimpleSpread
from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.players.encoding import build_modules
from marl_app.players.modules.actor_critic import LENGTHS, MEMORY
from marl_app.players.modules.recurrent import Recurrent
from marl_app.store.codec import decode
from marl_app.store.disk import DiskStore
from tests.rllib.games import Relay
from tests.rllib.recorder import Recorder, plain_advantages, untagged
from tests.rllib.runners import SELF, against, collect, make_recorded_runner, publish, random_weights

GAMMA, LAMBDA = 0.9, 0.8
STEPS, FRAGMENTS = 5, 5

GAMES = {
    "tic_tac_toe": lambda n: TicTacToe(n, Openings(0.5, 1, 4)),
    "relay": Relay,  # acting agents, early finishes and ends of matches are random
    "simple_spread": lambda n: SimpleSpread(n, N=2, max_cycles=7),  # all agents act; matches are truncated
}


@dataclasses.dataclass
class Recording:
    """Fragments with constant weights, and the inputs and outputs of the opponents' networks."""

    runner: object
    env: Recorder
    fragments: list
    answers: dict  # decision -> (digest, distribution inputs)
    memories: dict  # decision -> the trainee's memory before it, also for steps in which the agent does not act

    def module(self, agent):
        [network] = [network for network in self.runner.networks if agent in network.agents]
        return self.runner._player_networks.modules[network.name], network


def replayed(module, network, match, agent, steps):
    """Return the distribution inputs of each decision of an agent in its match, and its memory before each decision.

    Key None has the memory after the last decision.
    """
    memory, inputs, before = torch.zeros(1, module.memory_size), {}, {}
    ids = torch.tensor([agent]) if network.num_agents else None
    for step in steps:
        before[step] = memory
        mask = match.masks[step][agent]
        seen = torch.from_numpy(match.seen[step][agent][None])
        legal = None if mask is None else torch.from_numpy(mask[None])
        with torch.inference_mode():
            inputs[step], memory = module.act(seen, legal, ids, memory)
    before[None] = memory
    return inputs, before


CASES = [
    ("gru", "tic_tac_toe", "self"),
    ("gru", "tic_tac_toe", "mixed"),
    ("gru", "relay", "self"),
    ("gru", "relay", "mixed"),
    ("gru", "simple_spread", "self"),
    ("lstm", "tic_tac_toe", "mixed"),
    ("lstm", "relay", "self"),
]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def recording(request, tmp_path_factory):
    cell, game, played = request.param
    model = Recurrent(cell=cell, hidden=[8], memory=6, max_seq_len=3, activation="tanh", precision="float32")
    runner, env = make_recorded_runner(
        GAMES[game], DiskStore(tmp_path_factory.mktemp("store")), matches=12, steps=STEPS, model=model,
        gamma=GAMMA, lambda_=LAMBDA, agent_id=game == "relay",
    )  # fmt: skip
    assignment = SELF
    if played == "mixed":
        digests = [publish(runner, untagged(random_weights(runner, seed)), n=seed) for seed in (100, 101)]
        assignment = against((None, 0.4), *((digest, 0.3) for digest in digests))
    answers, opponents = {}, runner._player_networks.opponents
    act = opponents.act

    def act_and_note(network, slots, observations, **other_inputs):
        inputs, memory = act(network, slots, observations, **other_inputs)
        for slot, row, chosen in zip(slots, observations, inputs, strict=True):
            answers[int(row[-1])] = (opponents.players[slot], chosen.clone())
        return inputs, memory

    opponents.act = act_and_note
    weights = untagged(random_weights(runner, 1))
    fragments = [collect(runner, weights, assignment, seed=number) for number in range(FRAGMENTS)]
    result = Recording(runner, env, fragments, answers, {})
    for match in env.matches:
        for agent in range(len(env.agents)):
            steps = [t for t in range(match.length) if match.learned[t][agent]]
            _, before = replayed(*result.module(agent), match, agent, steps)
            for step in range(match.length + 1):  # also for steps in which the agent does not act
                following = next((t for t in steps if t >= step), None)
                result.memories[env.decision(match, step, agent)] = before[following]
    return result


def batches(recording):
    for fragment in recording.fragments:
        for network in recording.runner.networks:
            batch = fragment.batches[network.name]
            if batch:
                module = recording.runner._player_networks.modules[network.name]
                yield module, {name: torch.from_numpy(values) for name, values in batch.items()}


def test_log_probabilities_in_training_equal_those_of_play(recording):
    """In training, on sequences, every row has the log-probability of play."""
    checked = 0
    for module, batch in batches(recording):
        with torch.inference_mode():
            trained = module.forward_train(batch)
        dist = module.get_train_action_dist_cls().from_logits(trained["action_dist_inputs"])
        torch.testing.assert_close(dist.logp(batch["actions"]), batch["action_logp"], rtol=1e-4, atol=1e-4)
        checked += len(batch["obs"])
    assert checked > 100


def test_sequences_are_decisions_of_one_agent_in_one_match_and_start_with_its_memory(recording):
    env, checked = recording.env, {"first": 0, "later": 0}
    for _, batch in batches(recording):
        lengths = batch[LENGTHS].numpy()
        assert lengths.max() <= 3 and len(batch[MEMORY]) == len(lengths)
        rows = np.split(batch["obs"][:, -1].numpy(), np.cumsum(lengths)[:-1])
        for memory, sequence in zip(batch[MEMORY], rows, strict=True):
            match, first, agent = env.where(sequence[0])
            decisions = [t for t in range(match.length) if match.learned[t][agent]]
            at = decisions.index(first)
            expected = [env.decision(match, t, agent) for t in decisions[at : at + len(sequence)]]
            assert sequence.tolist() == expected
            torch.testing.assert_close(memory[None], recording.memories[int(sequence[0])], rtol=1e-4, atol=1e-4)
            assert bool((memory == 0).all()) == (at == 0)
            checked["first" if at == 0 else "later"] += 1
    assert min(checked.values()) > 20


def test_advantages_equal_the_reference(recording):
    # The critic has the policy's memory. The last fragment is left out: what follows it is not recorded.
    env = recording.env
    expected = [{} for _ in range(FRAGMENTS - 1)]
    for match in env.matches:
        for agent in range(len(env.agents)):
            module, network = recording.module(agent)

            def value(fragment, row, agent=agent, module=module, network=network):
                ids = torch.tensor([agent]) if network.num_agents else None
                with torch.inference_mode():
                    return float(module.values(torch.from_numpy(row[None]), ids, recording.memories[int(row[-1])])[0])

            bounds = {}
            for fragment in range(FRAGMENTS - 1):
                first = max(0, fragment * STEPS - match.start)
                last = min(match.length, (fragment + 1) * STEPS - match.start)
                if first < last:
                    bounds[fragment] = (first, last)
            taught, _ = plain_advantages(match, agent, bounds, value, GAMMA, LAMBDA)
            for fragment, steps in taught.items():
                expected[fragment] |= {env.decision(match, t, agent): worth for t, worth in steps.items()}
    for fragment, worth in zip(recording.fragments, expected, strict=False):
        found = {}
        for batch in fragment.batches.values():
            for row, seen in enumerate(batch["obs"] if batch else ()):
                found[int(seen[-1])] = (batch["advantages"][row], batch["value_targets"][row])
        assert found.keys() == worth.keys()
        ids = sorted(found)
        np.testing.assert_allclose([found[i] for i in ids], [worth[i] for i in ids], rtol=1e-3, atol=1e-3)


def test_opponents_have_a_memory_per_match(recording):
    """A snapshot's outputs equal those of its network, stepped through the match."""
    env, networks = recording.env, {network.name: network for network in recording.runner.networks}
    store, players = recording.runner.config.spec.store, {}
    checked = 0
    for match in env.matches:
        for agent in range(len(env.agents)):
            steps = [t for t in range(match.length) if env.decision(match, t, agent) in recording.answers]
            if not steps:
                continue
            given = [recording.answers[env.decision(match, t, agent)] for t in steps]
            [digest] = {digest for digest, _ in given}
            if digest not in players:
                players[digest] = build_modules(*decode(store.get(digest)))
            name = recording.module(agent)[1].name
            inputs, _ = replayed(players[digest][name], networks[name], match, agent, steps)
            for step, (_, answer) in zip(steps, given, strict=True):
                torch.testing.assert_close(answer[None], inputs[step], rtol=1e-4, atol=1e-4)
                checked += 1
    assert bool(recording.answers) == (recording.runner._player_networks.opponents.players[0] is not None)
    assert checked == len(recording.answers) and (checked > 50 or not recording.answers)
