"""OpponentSlots: a slot's outputs equal those of the snapshot's network, in a stacked pass and in separate passes."""

import dataclasses
import gc
import weakref

import numpy as np
import pytest
import torch
from gymnasium import spaces

from marl_app.envs.placement import Placement, lines_on_board
from marl_app.envs.symmetries import Symmetries
from marl_app.players.modules.afterstates import Afterstates
from marl_app.players.modules.cnn import CNN
from marl_app.players.modules.mlp import MLP
from marl_app.players.modules.ntuple import NTuple
from marl_app.players.networks import Network
from marl_app.rllib.sampling import opponent_slots as opponents
from marl_app.rllib.sampling.opponent_slots import OpponentSlots, weights_to_numpy
from marl_app.store.codec import CorruptBlob, encode
from marl_app.store.disk import DiskStore
from marl_app.store.reader import DirectReader
from marl_app.store.traffic import Traffic

FLAT = spaces.Box(-1, 1, (5,), np.float32)
BOARD = spaces.Box(0, 1, (4, 3, 2), np.int8)
CELLS = np.arange(12).reshape(4, 3)
UPSIDE_DOWN = Symmetries.from_arrays([np.arange(24), np.arange(24).reshape(4, 3, 2)[::-1]], [CELLS, CELLS[::-1]])
PLACEMENT = Placement.from_arrays(np.arange(12)[:, None], lines_on_board(4, 3, length=4))
MLP_ = MLP(hidden=[6, 7], activation="tanh", vf_share_layers=False, precision="float32")
KINDS = {
    "discrete": (MLP_, FLAT, spaces.Discrete(4), 0),
    "shared_encoder": (dataclasses.replace(MLP_, vf_share_layers=True), FLAT, spaces.Discrete(4), 0),
    "cnn": (CNN(filters=[3, 4], hidden=[5], precision="float32"), BOARD, spaces.Discrete(12), 0),
    "ntuple": (NTuple(windows=[[1, 3], [2, 2]], diagonals=[3], embedding=5, hidden=[4]), BOARD, spaces.Discrete(12), 0),
    "afterstates": (Afterstates(windows=[[1, 3], [2, 2]], diagonals=[3]), BOARD, spaces.Discrete(12), 0),
    "multi_discrete": (MLP_, FLAT, spaces.MultiDiscrete([2, 3]), 0),
    "box": (MLP_, FLAT, spaces.Box(-1, 1, (2,), np.float32), 0),
    "agent_ids": (MLP_, FLAT, spaces.Discrete(4), 3),
    "symmetric_mlp": (MLP_, BOARD, spaces.Discrete(12), 0),
    "symmetric_ntuple": (NTuple(windows=[[2, 2]], embedding=5, hidden=[4]), BOARD, spaces.Discrete(12), 2),
    "cnn_agent_ids": (CNN(filters=[3], hidden=[5], precision="float32"), BOARD, spaces.Discrete(12), 2),
}


def network(kind, name="player"):
    _, observations, actions, num_agents = KINDS[kind]
    chosen = Network(name, tuple(range(max(1, num_agents))), 0, observations, actions, num_agents)
    if kind.startswith("symmetric"):
        chosen = dataclasses.replace(chosen, symmetries=UPSIDE_DOWN, average_symmetries=True)
    if kind == "afterstates":
        chosen = dataclasses.replace(chosen, placement=PLACEMENT)
    return chosen


def module(kind, seed):
    """Return a network of the kind, with weights large enough for outputs to differ between networks."""
    built = network(kind).spec(KINDS[kind][0]).build()
    generator = torch.Generator().manual_seed(seed)
    for parameter in built.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.7
    if kind == "afterstates":
        built.set_temperature(0.1 * (seed + 1))  # a slot has its own
    return built.requires_grad_(False)


def blob(**modules):
    return encode(weights_to_numpy(modules), {})


@pytest.fixture
def store(tmp_path):
    return DiskStore(tmp_path)


@pytest.fixture(params=["one stacked pass", "a pass per slot"])
def passes(request, monkeypatch):
    limit = 10**9 if request.param == "one stacked pass" else 0
    monkeypatch.setattr(opponents, "STACK_UP_TO_PARAMETERS", limit)


def rows(kind, count, seed=0):
    """Return random rows: observations, legal actions, agent ids."""
    rng = np.random.default_rng(seed)
    _, observations, actions, num_agents = KINDS[kind]
    if observations is BOARD:
        seen = (rng.random((count, *BOARD.shape)) < 0.3).astype(np.int8)  # leaves enough cells empty for afterstates
    else:
        seen = rng.uniform(-1, 1, (count, *FLAT.shape)).astype(np.float32)
    mask = None
    if not isinstance(actions, spaces.Box):
        size = int(actions.n) if isinstance(actions, spaces.Discrete) else int(actions.nvec.sum())
        mask = torch.from_numpy(rng.random((count, size)) < 0.7)
    ids = torch.from_numpy(rng.integers(0, num_agents, count)) if num_agents else None
    return torch.from_numpy(seen), mask, ids


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_has_the_outputs_of_the_snapshot_in_its_slot(kind, store, passes):
    snapshots = [module(kind, seed) for seed in range(4)]
    slots = OpponentSlots([network(kind)], {"player": module(kind, 99)}, 5, DirectReader(store))
    for slot, snapshot in enumerate(snapshots):
        slots.load_player(slot, store.put(blob(player=snapshot)))
    # Slot 2 plays no row, slot 3 a single one, slot 4 is empty.
    chosen = np.random.default_rng(1).permutation([0] * 7 + [1] * 4 + [3])
    seen, mask, ids = rows(kind, len(chosen))
    with torch.inference_mode():
        answer, _ = slots.act("player", chosen, seen, mask, ids)
        for row, slot in enumerate(chosen):
            one = slice(row, row + 1)
            expected, _ = snapshots[slot].act(
                seen[one], None if mask is None else mask[one], None if ids is None else ids[one]
            )
            torch.testing.assert_close(answer[one], expected, rtol=1e-5, atol=1e-5)
    assert len(torch.unique(answer, dim=0)) == len(chosen)  # all rows differ, so that a mix-up would show


def test_small_networks_are_stacked_and_large_ones_are_not(store):
    def stacked(width):
        model = dataclasses.replace(MLP_, hidden=[width])
        built = network("discrete").spec(model).build()
        slots = OpponentSlots([network("discrete")], {"player": built}, 2, DirectReader(store))
        return slots._weights_by_network["player"].is_stacked

    assert stacked(8) and not stacked(10_000)  # 5 inputs + 4 actions: 100 and 100,000 weights


@pytest.mark.parametrize("kind", ["discrete", "box"])
def test_a_refilled_slot_has_the_outputs_of_its_new_snapshot(kind, store, passes):
    first, second = module(kind, 1), module(kind, 2)
    slots = OpponentSlots([network(kind)], {"player": module(kind, 99)}, 1, DirectReader(store))
    seen, mask, _ = rows(kind, 6)
    for snapshot in (first, second, first):
        digest = store.put(blob(player=snapshot))
        slots.load_player(0, digest)
        assert slots.players == [digest] and slots.slot_of(digest) == 0
        answer, _ = slots.act("player", np.zeros(6, np.int64), seen, mask, None)
        torch.testing.assert_close(answer, snapshot.act(seen, mask)[0], rtol=1e-5, atol=1e-5)


def test_a_learner_in_a_slot_has_current_weights_without_the_store(store, passes):
    slots = OpponentSlots([network("discrete")], {"player": module("discrete", 99)}, 2, DirectReader(store))
    seen, mask, _ = rows("discrete", 6)
    for seed in (1, 2):
        now = module("discrete", seed)
        weights = weights_to_numpy({"player": now})
        for value in weights.values():
            value.flags.writeable = False  # as arrays from Ray's object store
        slots.set_learner_weights({"exploiter": weights})
        if seed == 1:
            slots.load_player(1, "exploiter")
        assert slots.slot_of("exploiter") == 1
        answer, _ = slots.act("player", np.ones(6, np.int64), seen, mask, None)
        torch.testing.assert_close(answer, now.act(seen, mask)[0], rtol=1e-5, atol=1e-5)
    slots.set_learner_weights({})
    slots.load_player(0, store.put(blob(player=module("discrete", 3))))  # a fetch: the learner is no snapshot in use
    assert slots.pop_traffic().requests == 1


def test_a_slot_does_not_follow_the_network_that_it_was_made_from(store, passes):
    learner, snapshot = module("box", 1), module("box", 2)
    slots = OpponentSlots([network("box")], {"player": learner}, 2, DirectReader(store))
    slots.load_player(1, store.put(blob(player=snapshot)))
    seen, _, _ = rows("box", 5)
    before, _ = slots.act("player", np.ones(5, np.int64), seen, None, None)
    for parameter in learner.parameters():
        parameter.data.fill_(3.0)
    after, _ = slots.act("player", np.ones(5, np.int64), seen, None, None)
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_several_networks_are_loaded_and_called_by_name(store, passes):
    pair = [network("discrete", "one"), network("discrete", "two")]
    one, two = module("discrete", 1), module("discrete", 2)
    slots = OpponentSlots(pair, {"one": module("discrete", 98), "two": module("discrete", 99)}, 1, DirectReader(store))
    slots.load_player(0, store.put(blob(one=one, two=two)))
    seen, mask, _ = rows("discrete", 5)
    for name, snapshot in (("one", one), ("two", two)):
        answer, _ = slots.act(name, np.zeros(5, np.int64), seen, mask, None)
        torch.testing.assert_close(answer, snapshot.act(seen, mask)[0], rtol=1e-5, atol=1e-5)


def test_another_architecture_is_refused_and_leaves_no_mixed_slot(store, passes):
    pair = [network("discrete", "left"), network("discrete", "right")]
    slots = OpponentSlots(pair, {name: module("discrete", 99) for name in ("left", "right")}, 1, DirectReader(store))
    good = {"left": module("discrete", 1), "right": module("discrete", 2)}
    slots.load_player(0, store.put(blob(**good)))
    wide = network("discrete").spec(dataclasses.replace(MLP_, hidden=[6, 8])).build()
    for misfit in ({"left": module("discrete", 3), "right": wide}, {"left": module("discrete", 3)}):
        digest = store.put(blob(**misfit))
        with pytest.raises(ValueError, match="do not fit"):
            slots.load_player(0, digest)
        assert slots.slot_of(digest) is None
        # The slot either still holds its snapshot or is marked as empty.
        if slots.players[0] is not None:
            seen, mask, _ = rows("discrete", 5)
            answer, _ = slots.act("left", np.zeros(5, np.int64), seen, mask, None)
            torch.testing.assert_close(answer, good["left"].act(seen, mask)[0], rtol=1e-5, atol=1e-5)


def test_corrupt_and_missing_blobs_never_reach_a_slot(store, tmp_path):
    slots = OpponentSlots([network("discrete")], {"player": module("discrete", 99)}, 1, DirectReader(store))
    held = store.put(blob(player=module("discrete", 1)))
    slots.load_player(0, held)
    corrupt = store.put(blob(player=module("discrete", 2)))
    data = bytearray((tmp_path / corrupt).read_bytes())
    data[-1] ^= 1  # one bit of a weight: safetensors would not notice
    (tmp_path / corrupt).write_bytes(data)
    with pytest.raises(CorruptBlob):
        slots.load_player(0, corrupt)
    with pytest.raises(KeyError):
        slots.load_player(0, "0" * 64)
    assert slots.players == [held]
    seen, mask, _ = rows("discrete", 5)
    answer, _ = slots.act("player", np.zeros(5, np.int64), seen, mask, None)
    torch.testing.assert_close(answer, module("discrete", 1).act(seen, mask)[0], rtol=1e-5, atol=1e-5)


def test_bfloat16_encoders_have_equal_outputs_in_both_passes(store, monkeypatch):
    # bfloat16 keeps 8 bits: two orders of summation may differ in the last bit.
    model = dataclasses.replace(MLP_, precision="bfloat16")
    rounded = network("discrete").spec(model).build()
    rounded.load_state_dict(module("discrete", 1).state_dict())
    digest = store.put(blob(player=rounded))
    seen, mask, _ = rows("discrete", 9)
    answers = []
    for limit in (0, 10**9):
        monkeypatch.setattr(opponents, "STACK_UP_TO_PARAMETERS", limit)
        slots = OpponentSlots([network("discrete")], {"player": rounded}, 2, DirectReader(store))
        slots.load_player(1, digest)
        with torch.inference_mode():
            answers.append(slots.act("player", np.ones(9, np.int64), seen, mask, None)[0])
    with torch.inference_mode():
        expected, _ = rounded.act(seen, mask)
    for answer in answers:
        torch.testing.assert_close(answer, expected, rtol=3e-2, atol=3e-2)


def test_replaced_snapshots_are_released(store, passes):
    """Of 30 snapshots in two slots the memory of 28 is released; with stacked weights, which are copies, of all 30."""
    given = []

    class Watched:
        """A reader that returns views of arrays, as a rack's cache does, with weak references to them."""

        rack = ""
        traffic = Traffic()

        def get(self, digest, in_use):
            data = np.frombuffer(store.get(digest), np.uint8).copy()
            given.append(weakref.ref(data))
            return memoryview(data)

    slots = OpponentSlots([network("discrete")], {"player": module("discrete", 99)}, 2, Watched())
    held = slots.weight_bytes
    for number in range(30):
        slots.load_player(number % 2, store.put(blob(player=module("discrete", number))))
    gc.collect()
    alive = [number for number, reference in enumerate(given) if reference() is not None]
    assert alive == ([] if slots._weights_by_network["player"].is_stacked else [28, 29]) and len(given) == 30
    assert slots.weight_bytes == held if slots._weights_by_network["player"].is_stacked else slots.weight_bytes > held
