"""Turns of learners: env steps follow the shares exactly for any batch sizes."""

import json
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from marl_app.rllib.training.turns import Turns
from marl_app.runs.state import TurnState


def play(turns, iterations, batch=lambda learner: 100):
    """Return the learner of each iteration, and the env steps of each learner."""
    order, steps = [], dict.fromkeys(turns.shares, 0)
    for _ in range(iterations):
        learner = turns.current
        order.append(learner)
        steps[learner] += batch(learner)
        turns.advance(learner, batch(learner))
        turns.end_iteration()
    return order, steps


def test_equal_shares_take_turns():
    assert play(Turns({"a": 1, "b": 1}, length=2), 8)[0] == list("aabbaabb")


def test_a_single_learner_has_every_turn():
    assert play(Turns({"main": 3.0}, length=2), 5)[0] == ["main"] * 5


@given(
    st.dictionaries(st.sampled_from("abcde"), st.tuples(st.floats(0.2, 5), st.integers(1, 50)), min_size=1),
    st.integers(1, 4),
)
def test_env_steps_follow_the_shares_for_any_batches(learners, length):
    shares = {name: share for name, (share, _) in learners.items()}
    turns = Turns(shares, length)
    _, steps = play(turns, 500, lambda name: learners[name][1])
    # Per share, no learner is ahead of another by more than its longest turn.
    turn = max(length * batch / share for share, batch in learners.values())
    per_share = [steps[name] / share for name, share in shares.items()]
    assert max(per_share) - min(per_share) <= turn * (1 + 1e-9)


def test_turns_continue_from_a_saved_state():
    shares = {"a": 1.0, "b": 2.0}
    turns = Turns(shares, 3)
    play(turns, 7)
    saved = TurnState(**json.loads(json.dumps(asdict(turns.state()))))
    assert play(Turns.from_state(shares, 3, saved), 20)[0] == play(turns, 20)[0]


def test_a_learner_added_later_does_not_catch_up():
    turns = Turns({"a": 1.0, "b": 1.0}, 1)
    play(turns, 100)
    later = Turns.from_state({"b": 1.0, "late": 1.0}, 1, turns.state())
    assert play(later, 6)[1] == {"b": 300, "late": 300}
