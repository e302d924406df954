"""The parts of a network: normalized inputs, normalized values (PopArt), initial weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from marl_app.players.modules.heads import CLIP, Memory, Normalize, ValueHead, initialize, orthogonal


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.floats(-20, 20), st.floats(0.1, 20), st.integers(0, 99))
def test_normalized_inputs_have_the_moments_of_all_rows_seen(sizes, mean, spread, seed):
    rng = np.random.default_rng(seed)
    batches = [rng.normal(mean + index, spread, (size, 2, 3)).astype(np.float32) for index, size in enumerate(sizes)]
    normalize = Normalize((2, 3))
    for batch in batches:
        normalize.update(torch.from_numpy(batch))
    seen = np.concatenate(batches).astype(np.float64)
    np.testing.assert_allclose(normalize.mean, seen.mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(normalize.variance, seen.var(axis=0), rtol=1e-3, atol=1e-3)
    assert normalize.count == len(seen)
    if len(seen) > 1:
        expected = (seen - seen.mean(axis=0)) / np.sqrt(seen.var(axis=0) + 1e-8)
        np.testing.assert_allclose(normalize(torch.from_numpy(seen)), expected.clip(-10, 10), rtol=1e-2, atol=1e-2)


def test_normalized_inputs_are_clipped_and_untouched_before_the_first_update():
    normalize = Normalize((1,))
    torch.testing.assert_close(normalize(torch.tensor([[3], [-4]], dtype=torch.int8)), torch.tensor([[3.0], [-4.0]]))
    normalize.update(torch.tensor([[-1.0], [1.0]]))  # mean 0, deviation 1
    torch.testing.assert_close(normalize(torch.tensor([[9.0], [11.0], [-1e9]])), torch.tensor([[9.0], [CLIP], [-CLIP]]))


def value_head(features=4, num_agents=0):
    torch.manual_seed(0)
    return ValueHead(None, features, num_agents, "float32")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(-300, 300), st.floats(0.1, 100)), min_size=1, max_size=6))
def test_new_units_change_no_value(moments):
    head, features, agents = value_head(num_agents=3), torch.randn(20, 4), torch.arange(20) % 3
    before = head.value(features, agents)
    for mean, spread in moments:
        head.update(torch.randn(50) * spread + mean)
        # float32 has 7 digits: sums with the mean are exact up to about 1e-5 of its size.
        bound = 1e-5 * max(1.0, *(abs(mean) + spread for mean, spread in moments))
        torch.testing.assert_close(head.value(features, agents), before, rtol=1e-5, atol=bound)


@pytest.mark.parametrize(("mean", "spread"), [(100, 30), (0, 0.05), (-10_000, 1)])
def test_values_are_learned_in_units_of_their_deviation(mean, spread):
    head, generator = value_head(), torch.Generator().manual_seed(1)
    for _ in range(60):  # each update has weight 0.1: the initial units keep a weight of 0.9^60 = 0.002
        targets = torch.randn(2000, generator=generator) * spread + mean
        head.update(targets)
    normalized = head.normalized(targets)
    assert float(normalized.mean()) == pytest.approx(0, abs=0.1)
    assert float(normalized.std()) == pytest.approx(1, abs=0.1)
    features = torch.randn(5, 4)
    normalized_values = head.from_features(features).squeeze(1)
    torch.testing.assert_close(head.normalized(head.value(features)), normalized_values, rtol=1e-2, atol=1e-2)


def test_the_first_batch_sets_the_units_and_later_ones_move_them():
    head = value_head()
    head.update(torch.tensor([0.0, 4.0]))
    assert (float(head.mean), float(head.unit)) == pytest.approx((2, 2))
    # The batches have weights 0.9 and 1 (bias correction as in Adam): shares 9/19 and 10/19.
    head.update(torch.tensor([4.0, 8.0]))
    mean, square = (9 * 2 + 10 * 6) / 19, (9 * 8 + 10 * 40) / 19  # means of x and of x^2
    assert (float(head.mean), float(head.unit)) == pytest.approx((mean, (square - mean**2) ** 0.5), rel=1e-5)


def test_constant_targets_give_finite_units():
    head = value_head()
    for _ in range(5):
        head.update(torch.full((10,), 3.0))
    assert float(head.unit) == pytest.approx(0.01)  # the least variance is 1e-4
    assert torch.isfinite(head.value(torch.randn(5, 4))).all()


def test_orthogonal_weights():
    encoder = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Flatten(), nn.Linear(12, 6))
    initialize(encoder)
    for layer in (encoder[0], encoder[2]):
        weight = layer.weight.flatten(1)
        rank = min(weight.shape)
        product = weight @ weight.T if len(weight) == rank else weight.T @ weight
        torch.testing.assert_close(product, 2 * torch.eye(rank))  # gain sqrt 2, squared
        assert (layer.bias == 0).all()
    orthogonal(encoder[2], 0.01)
    torch.testing.assert_close(encoder[2].weight @ encoder[2].weight.T, 1e-4 * torch.eye(6))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_memorys_initial_weights(cell):
    torch.manual_seed(3)
    plain = Memory(cell, 5, 4, orthogonal_init=False)
    torch.manual_seed(3)
    default = (nn.LSTM if cell == "lstm" else nn.GRU)(5, 4)
    for name, parameter in default.named_parameters():
        torch.testing.assert_close(plain.cell.get_parameter(name), parameter)
    for name, parameter in Memory(cell, 5, 4, orthogonal_init=True).cell.named_parameters():
        if "bias" in name:
            assert (parameter == 0).all()
        else:  # [gates * 4, inputs], with orthonormal columns
            torch.testing.assert_close(parameter.T @ parameter, torch.eye(parameter.shape[1]), rtol=1e-5, atol=1e-5)


def test_targets_that_are_not_finite_change_no_unit():
    head = ValueHead(None, 3, 0, "float32")
    head.update(torch.tensor([1.0, 3.0]))
    before = {name: value.clone() for name, value in head.state_dict().items()}
    head.update(torch.tensor([1.0, float("nan")]))
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())
