"""Running moments equal those of all values, in any portions and merged from any number of processes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_app.moments import Moments

portions = st.lists(
    st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=20).map(lambda values: np.array(values)), max_size=6
)


def moments(parts):
    result = Moments()
    for part in parts:
        result.update(part)
    return result


@given(portions, portions)
def test_moments_equal_numpys(first, second):
    both = moments(first)
    both.merge(moments(second))
    seen = np.concatenate([np.zeros(0), *first, *second])
    assert both.count == len(seen)
    if len(seen):
        assert both.mean == pytest.approx(seen.mean(), rel=1e-9, abs=1e-9)
        assert both.squares / both.count == pytest.approx(seen.var(), rel=1e-7, abs=1e-6)
        if seen.var() > 1e-7:
            assert both.scale == pytest.approx(1 / seen.std(), rel=1e-4)


def test_any_shape():
    assert moments([np.array([[1.0, 3.0], [5.0, 7.0]])]) == Moments(4, 4.0, 20.0)  # deviations 3, 1, 1, 3


@pytest.mark.parametrize("seen", [[], [np.full(9, 3.0)]], ids=["nothing", "always the same"])
def test_constant_values_have_scale_one(seen):
    assert moments(seen).scale == 1.0
