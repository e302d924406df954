"""Learners that train together: equal to one learner with all their rows up to rounding, to each other bit by bit."""

import math
import os
import signal

import numpy as np
import pytest
import ray
import torch

from marl_app.config.errors import RunFailedError
from marl_app.rllib.ppo.algorithm import shared_out
from marl_app.rllib.training.checkpoint import load_checkpoint, save_checkpoint
from marl_app.rllib.training.learners import Learners
from marl_app.runs.checkpoints import latest_checkpoint
from tests.rllib.runs import running, watch_messages, watch_requests
from tests.rllib.test_learners import ROLES

pytestmark = pytest.mark.usefixtures("ray_here")

# All settings that concern the whole batch, and more than one epoch.
SETTINGS = (
    "algorithm.normalize_values=true",
    "algorithm.normalize_rewards=true",
    "algorithm.use_kl_loss=true",
    "algorithm.num_epochs=2",
    "algorithm.grad_clip=0.5",
    "model.normalize_observations=true",
)
TWO = "runtime.num_learners=2"
SMALL_FRAGMENTS = "runtime.num_envs_per_env_runner=16"


def learner_arrays(learner, **kwargs):
    """Return the learner's weights and running statistics, Adam moments and KL coefficients."""
    [module] = [learner.module[id] for id in learner.module.keys()]  # noqa: SIM118
    [optimizer] = learner._named_optimizers.values()
    states = sorted(optimizer.state_dict()["state"].items())
    moments = [state[key] for _, state in states for key in ("exp_avg", "exp_avg_sq")]
    arrays = [*module.state_dict().values(), *moments, *learner.curr_kl_coeffs_per_module.values()]
    return [array.detach().numpy().copy() for array in arrays]


def all_arrays(algorithm):
    return algorithm.learner_group.each(learner_arrays)


def assert_equal_bits(algorithm):
    first, second = all_arrays(algorithm)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def played(learner, **kwargs):
    """Return the rows that a learner has played and not trained on yet."""
    return [{name: dict(columns) for name, columns in part.items()} for part in learner._played["main"]]


def cut_played(learner, *, multiple, **kwargs):
    """Cut what a learner has played to a multiple of rows, another one in each: minibatches have equal sizes then."""
    [part] = learner._played["main"]
    rows = (len(part["player"]["obs"]) // multiple - learner._learner_index) * multiple
    part["player"] = {name: values[:rows] for name, values in part["player"].items()}


def without_amplification(learner, **kwargs):
    """Let Adam's steps shrink with tiny gradients, which are rounding errors: they are as large as others otherwise."""
    [optimizer] = learner._named_optimizers.values()
    optimizer.param_groups[0]["eps"] = 1e-2


def interleaved(parts, cut):
    """Return the columns of one learner whose minibatches consist of those of the learners `parts`, without shuffling.

    cut: number of minibatches.
    """
    split = [[np.array_split(columns[name], cut) for columns in parts] for name in parts[0]]
    return {
        name: np.concatenate([pieces[index] for index in range(cut) for pieces in of_name])
        for name, of_name in zip(parts[0], split, strict=True)
    }


@pytest.mark.parametrize(
    "share", [pytest.param(1.0, id="all rows"), pytest.param(0.5, id="advantage_filter", marks=pytest.mark.slow)]
)
def test_two_learners_that_play_equal_one_with_all_their_rows(tmp_path, share):
    options = ("env=tic_tac_toe", "algorithm.shuffle_batch_per_epoch=false", *SETTINGS)
    options += (f"algorithm.advantage_filter={share}", f"store.path={tmp_path}/store", SMALL_FRAGMENTS)
    # Where the loss has a step, rounding would decide on which side a row is.
    options += ("algorithm.clip_param=100", "model.activation=tanh")
    # Four minibatches per epoch of all rows; of the filtered ones a single one, since each learner filters differently.
    options += ("algorithm.minibatch_size=null",) if share < 1 else ("algorithm.minibatch_size=128",)
    with running(tmp_path / "one", *options) as one, running(tmp_path / "two", *options, TWO) as two:
        assert_equal_bits(two)  # initial weights
        one.weights.write("main", two.weights.read("main"))
        for algorithm in (one, two):
            algorithm.learner_group.each(without_amplification)
        for _ in range(2):
            rows = []

            def trained_on(arguments, env_steps, rows=rows):
                two.learner_group.each(cut_played, multiple=12)
                rows.extend(two.learner_group.each(played))
                return Learners.train(two.learner_group, arguments, env_steps)

            two.learner_group.train = trained_on
            two.train()
            [first], [second] = rows
            lengths = [len(part["player"]["obs"]) for part in (first, second)]
            assert lengths[0] != lengths[1] and two.stats.rows - 36 < sum(lengths)  # unequal parts
            parts = 1 if share < 1 else round(sum(lengths) / 128)
            assert parts in (1, 2, 3, 4)  # and so the minibatches of both learners have equal sizes
            union = interleaved([first["player"], second["player"]], parts)
            argument = {"player": "main", "batches": [{"player": union}], "minibatch_size": 128 if share == 1 else None}
            one.learner_group.train([argument], two.counters.env_steps)
            assert_equal_bits(two)
            for ours, its in zip(all_arrays(two)[0], all_arrays(one)[0], strict=True):
                np.testing.assert_allclose(ours, its, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize(
    ("model", "every"),
    [
        ("gru", 3),
        *(pytest.param(model, every, marks=pytest.mark.slow) for model, every in (("gru", 1), ("mlp", 3), ("mlp", 1))),
    ],
)
def test_a_learner_without_rows_takes_part(tmp_path, model, every):
    options = ("env=tic_tac_toe", f"model={model}", "model.hidden=[16]", f"runtime.average_every={every}", *SETTINGS)
    with running(tmp_path, *options, TWO) as two:
        two.train()

        def only_the_second(learner, **kwargs):
            if learner._learner_index == 0:
                learner._played.clear()

        train = two.learner_group.train

        def trained_on(arguments, env_steps):
            two.learner_group.each(only_the_second)
            return train(arguments, env_steps)

        two.learner_group.train = trained_on
        before = all_arrays(two)[0]
        two.train()
        assert_equal_bits(two)
        assert any(not np.array_equal(a, b) for a, b in zip(before, all_arrays(two)[0], strict=True))
        assert np.isfinite(two.report["learner/policy_loss"]) and np.isfinite(two.report["learner/mean_kl"])
        assert all(np.isfinite(array).all() for array in all_arrays(two)[0])


@pytest.mark.slow
def test_weights_of_learners_that_step_alone_are_averaged_by_rows(tmp_path):
    """What one learner makes of the rows of each, from the same weights, averaged: with nothing else in common."""
    options = ("env=tic_tac_toe", "algorithm.normalize_advantages=false", "algorithm.shuffle_batch_per_epoch=false")
    options += (f"store.path={tmp_path}/store", "algorithm.minibatch_size=128", "algorithm.num_epochs=2")
    with (
        running(tmp_path / "one", *options) as one,
        running(tmp_path / "two", *options, SMALL_FRAGMENTS, "runtime.average_every=1000", TWO) as two,
    ):
        start = two.weights.read("main")
        train, parts = two.learner_group.train, []

        def trained_on(arguments, env_steps):
            two.learner_group.each(cut_played, multiple=12)
            parts.extend(part["player"] for [part] in two.learner_group.each(played))
            return train(arguments, env_steps)

        two.learner_group.train = trained_on
        two.train()
        assert_equal_bits(two)
        expected, rows = dict.fromkeys(start, 0.0), [len(part["obs"]) for part in parts]
        steps = max(1, round(sum(rows) / 128))  # minibatches of an epoch, in each learner
        for part, count in zip(parts, rows, strict=True):
            one.weights.write("main", start)
            one.learner_group.each(lambda learner, **kwargs: learner.reset_optimizers(["main"]))
            argument = {"player": "main", "batches": [{"player": part}], "minibatch_size": math.ceil(count / steps)}
            one.learner_group.train([argument], two.counters.env_steps)
            alone = one.weights.read("main")
            expected = {name: expected[name] + alone[name] * count / sum(rows) for name in alone}
        found = two.weights.read("main")
        for name, value in found.items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-6, err_msg=name)
        assert any(not np.array_equal(value, start[name]) for name, value in found.items())


def sent_and_received(algorithm):
    """Return a list that collects the bytes of every later call of the learners, as Ray would send them."""
    found, call = [], algorithm.learner_group.call

    def measured(function, arguments):
        answers = call(function, arguments)
        found.append(len(ray.cloudpickle.dumps((arguments, answers))))
        return answers

    algorithm.learner_group.call = measured
    return found


def test_the_driver_passes_no_rows_and_the_run_ends_with_the_last_learner(tmp_path):
    batch = ("algorithm.train_batch_size_per_learner=4096", "algorithm.minibatch_size=1024")
    options = (*batch, "runtime.scale_batch=true", "league.schedule.agent_steps=1_000_000", SMALL_FRAGMENTS, TWO)
    with running(tmp_path, "env=connect_four", *options) as two:
        assert two.spec.settings.minibatch_rows == 2048  # as many for each learner as without scale_batch
        two.train()
        calls = sent_and_received(two)
        for _ in range(3):
            two.train()
        assert len(calls) == 6  # each iteration: play, and train
        assert two.stats.env_steps == 8192 and two.stats.rows > 4096
        # A row of Connect Four alone has over 100 bytes: the rows of an iteration have over 400,000.
        assert sum(calls) / 3 < 40_000, calls
        for process in two.learner_group.each(pid):
            os.kill(process, signal.SIGKILL)
        with pytest.raises(RunFailedError, match="all learner processes have died"):
            two.train()


@pytest.mark.slow
def test_the_drivers_traffic_does_not_grow_with_the_batch(tmp_path):
    totals = {}
    for steps in (512, 8192):
        batch = (f"algorithm.train_batch_size_per_learner={steps}", "league.schedule.agent_steps=1_000_000")
        with running(tmp_path / str(steps), "env=connect_four", *batch, SMALL_FRAGMENTS, TWO) as algorithm:
            algorithm.train()
            calls = sent_and_received(algorithm)
            for _ in range(3):
                algorithm.train()
            assert len(calls) == 6  # each iteration: play, and train
            totals[steps] = sum(calls) / 3
            assert algorithm.stats.env_steps == steps and algorithm.stats.rows > steps / 2
    # A row of Connect Four alone has over 100 bytes.
    assert totals[8192] < 1.2 * totals[512] < 100_000, totals


def test_env_runners_rows_go_to_one_learner_each(tmp_path):
    options = ("env=tic_tac_toe", "runtime.num_env_runners=2", "runtime.num_envs_per_env_runner=16", *SETTINGS)
    with running(tmp_path, *options, TWO) as two:
        rows = two.learner_group.each(lambda learner, **kwargs: None)
        arguments, train = [], two.learner_group.train

        def trained_on(given, env_steps):
            arguments.append(given)
            return train(given, env_steps)

        two.learner_group.train = trained_on
        two.train()
        two.train()
        assert_equal_bits(two)
        for given in arguments:
            assert [len(each["batches"]) for each in given] == [1, 1]
            assert all(isinstance(batch, ray.ObjectRef) for each in given for batch in each["batches"])
            rows = sum(len(ray.get(batch)["player"]["obs"]) for each in given for batch in each["batches"])
        assert rows == two.stats.rows


def test_fragments_are_shared_out_by_rows_and_nodes():
    class Part:
        def __init__(self, rows, node):
            self.rows, self.node = rows, node

    parts = [Part(10, "b"), Part(10, "a"), Part(7, "a"), Part(5, "b")]
    first, second = shared_out(parts, ["a", "b"])
    assert [part.rows for part in first] == [10, 7] and {part.node for part in first} == {"a"}
    assert [part.rows for part in second] == [10, 5] and {part.node for part in second} == {"b"}
    assert shared_out([Part(1, "a")], ["a", "b", "c"])[1:] == [[], []]


def pid(learner, **kwargs):
    return os.getpid()


@pytest.mark.parametrize(
    "moment",
    [pytest.param("idle", marks=pytest.mark.slow), pytest.param("playing", marks=pytest.mark.slow), "training"],
)
def test_a_learner_that_is_killed_is_replaced(tmp_path, moment):
    with running(tmp_path, "env=tic_tac_toe", *SETTINGS, TWO, "algorithm.magnet=ema") as two:
        for _ in range(2):
            two.train()
        before = all_arrays(two)[1]
        group = two.learner_group
        victim, survivor = group.each(pid)
        call = group.call

        def kill_in(function, arguments):
            if function.__name__ == {"playing": "_sample", "training": "_train"}.get(moment):
                group.call = call
                group._workers[0].apply.remote(lambda learner: os.kill(os.getpid(), signal.SIGKILL))
            return call(function, arguments)

        if moment == "idle":
            os.kill(victim, signal.SIGKILL)
            assert all(np.array_equal(a, b) for a, b in zip(before, all_arrays(two)[0], strict=True))
        else:
            group.call = kill_in
        messages = watch_messages(two)
        two.train()
        after = group.each(pid)
        assert after[1] == survivor and after[0] != victim and group.restarts == two.counters.restarts == 1
        assert any("restarted" in message for message in messages)
        assert_equal_bits(two)
        steps = two.counters.env_steps
        for _ in range(2):
            two.train()
        assert_equal_bits(two)
        assert two.counters.env_steps == steps + 1024 and np.isfinite(two.report["learner/policy_loss"])


@pytest.mark.parametrize("count", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_run_of_two_learners_continues_with_another_number(tmp_path, count):
    options = ("env=tic_tac_toe", *SETTINGS, f"store.path={tmp_path}/store", "runtime.num_envs_per_env_runner=8")
    with running(tmp_path / "two", *options, TWO) as two:
        two.train()
        save_checkpoint(two, tmp_path / "checkpoints", keep=1)
        saved, env_steps = all_arrays(two)[0], two.counters.env_steps
    with running(tmp_path / "other", *options, f"runtime.num_learners={count}") as other:
        load_checkpoint(other, latest_checkpoint(tmp_path / "checkpoints"))
        for arrays in all_arrays(other):
            assert all(np.array_equal(a, b) for a, b in zip(arrays, saved, strict=True))
        other.train()
        assert other.counters.env_steps == 2 * env_steps  # the batch does not depend on the number of learners
        first, *others = all_arrays(other)
        assert len(others) == count - 1
        for arrays in others:
            assert all(np.array_equal(a, b) for a, b in zip(arrays, first, strict=True))


def test_exploiters_play_the_main_agent_of_their_own_process(tmp_path):
    with running(tmp_path, "env=tic_tac_toe", *ROLES, TWO) as two:
        requests = watch_requests(two)
        for _ in range(4):
            two.train()
        assert sum(totals.updates > 0 for totals in two.totals.values()) > 1
        # Its weights are in the process: the request names the opponent.
        assert any(request.learner_opponents == {"main": None} for request in requests)
        assert all(request.weights is None for request in requests)
        weights = [two.learner_group.each(state)[index] for index in (0, 1)]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def state(learner, **kwargs):
    return {f"{id}/{name}": v for id in learner.module.keys() for name, v in learner.module[id].state_dict().items()}  # noqa: SIM118
