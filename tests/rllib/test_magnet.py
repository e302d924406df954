"""The magnet: the KL term toward a reference policy, its references, and what a run keeps of them."""

import json
import shutil

import numpy as np
import pytest
import torch
from gymnasium import spaces
from omegaconf import OmegaConf

from marl_app.assembly import training
from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.players.modules.actor_critic import ACTION_MASK, LENGTHS, MEMORY
from marl_app.players.modules.epsilon_greedy import ILLEGAL
from marl_app.players.modules.mlp import MLP
from marl_app.players.modules.recurrent import Recurrent
from marl_app.players.networks import Network
from marl_app.rllib.ppo.magnet import REFERENCE, NetworkMagnet, UniformMagnet, frozen, policy_kl, uniform_inputs
from marl_app.rllib.schedules import value_at
from marl_app.rllib.training.checkpoint import load_checkpoint, save_checkpoint
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.store.disk import DiskStore
from tests.rllib.runners import collect, make_runner, random_weights
from tests.rllib.runs import running, small
from tests.rllib.test_learner import columns_as_tensors, make_group, update

SMALL = MLP(hidden=[8], precision="float32")
PRECISE = {"rtol": 1e-5, "atol": 1e-6}


def build(action, model=SMALL, seed=0):
    torch.manual_seed(seed)
    network = Network("player", (0,), 0, spaces.Box(-1, 1, (3,), np.float32), action)
    module = network.spec(model).build()
    for parameter in module.parameters():
        parameter.data += 0.5 * torch.randn(parameter.shape)
    return module


def rows(module, count=64, masked=True, seed=1):
    generator = torch.Generator().manual_seed(seed)
    batch = {"obs": torch.randn(count, 3, generator=generator)}
    if masked and not isinstance(module.action_space, spaces.Box):
        mask = torch.rand(count, module.policy_head.linear.out_features, generator=generator) < 0.6
        mask[:, 0] = True
        if isinstance(module.action_space, spaces.MultiDiscrete):
            mask[:, int(module.action_space.nvec[0])] = True
        batch[ACTION_MASK] = mask
    return batch


def inputs_of(module, batch):
    return module.forward_train(batch)["action_dist_inputs"].detach()


def test_the_kl_of_categorical_actions_by_hand():
    # KL((3/4, 1/4) || (1/2, 1/2)) = log 2 - H = 3/4 log 3/2 + 1/4 log 1/2; the third action is illegal in both.
    module = build(spaces.Discrete(3))
    policy = torch.tensor([[np.log(3.0), 0.0, ILLEGAL]], dtype=torch.float32)
    uniform = torch.tensor([[0.0, 0.0, ILLEGAL]])
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert float(policy_kl(module, policy, uniform)) == pytest.approx(expected, abs=1e-6)
    assert float(policy_kl(module, policy, policy)) == 0


@pytest.mark.parametrize(
    "action", [spaces.Discrete(4), spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (2,), np.float32)], ids=str
)
def test_the_kl_in_three_action_spaces(action):
    module, reference = build(action), build(action, seed=5)
    batch = rows(module)
    inputs, others = inputs_of(module, batch), inputs_of(reference, batch)
    found = policy_kl(module, inputs, others).numpy()
    if isinstance(action, spaces.Box):
        # Of normals: log(s2 / s1) + (s1^2 + (m1 - m2)^2) / (2 s2^2) - 1/2, summed over dimensions.
        (m1, l1), (m2, l2) = (np.split(each.numpy(), 2, axis=1) for each in (inputs, others))
        expected = (l2 - l1 + (np.exp(2 * l1) + (m1 - m2) ** 2) / (2 * np.exp(2 * l2)) - 0.5).sum(axis=1)
    else:
        sizes = [action.n] if isinstance(action, spaces.Discrete) else action.nvec.tolist()
        expected = np.zeros(len(inputs))
        for one, two in zip(inputs.split(sizes, 1), others.split(sizes, 1), strict=True):
            p, q = one.double().softmax(1).numpy(), two.double().softmax(1).numpy()
            expected += np.where(p > 0, p * (np.log(np.maximum(p, 1e-300)) - np.log(np.maximum(q, 1e-300))), 0).sum(1)
    np.testing.assert_allclose(found, expected, **PRECISE)
    assert (found >= 0).all() and found.max() > 0.01


@pytest.mark.parametrize("action", [spaces.Discrete(4), spaces.MultiDiscrete([2, 3])], ids=str)
def test_the_uniform_reference_is_uniform_over_legal_actions(action):
    # KL(policy || uniform) = log(number of legal actions) - entropy, summed over the parts of an action.
    module = build(action)
    batch = rows(module)
    inputs = inputs_of(module, batch)
    reference = UniformMagnet().inputs("main", module, batch)
    entropy = module.get_train_action_dist_cls().from_logits(inputs).entropy()
    sizes = [int(action.n)] if isinstance(action, spaces.Discrete) else action.nvec.tolist()
    legal = sum(part.sum(1).float().log() for part in batch[ACTION_MASK].split(sizes, 1))
    torch.testing.assert_close(policy_kl(module, inputs, reference), legal - entropy, **PRECISE)


def test_the_uniform_reference_of_continuous_actions_is_a_standard_normal():
    module = build(spaces.Box(-1, 1, (2,), np.float32))
    assert UniformMagnet().inputs("main", module, rows(module)).tolist() == [[0.0] * 4] * 64


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_copy_with_a_memory_is_at_no_distance(cell):
    module = build(spaces.Discrete(4), Recurrent(cell=cell, hidden=[8], memory=5, precision="float32"))
    batch = rows(module, count=9)
    batch |= {LENGTHS: torch.tensor([4, 3, 2]), MEMORY: torch.randn(3, module.memory_size)}
    magnet = NetworkMagnet(rate=0.5)
    inputs = inputs_of(module, batch)
    assert policy_kl(module, inputs, magnet.inputs("main", module, batch)).abs().max() < 1e-6
    # A reference with a memory of another size begins each sequence with zeros.
    other = build(spaces.Discrete(4), Recurrent(cell=cell, hidden=[8], memory=3, precision="float32"))
    magnet.modules["main"] = frozen(other)
    zeros = {**batch, MEMORY: torch.zeros(3, other.memory_size)}
    torch.testing.assert_close(magnet.inputs("main", module, batch), inputs_of(other, zeros), **PRECISE)


def test_an_average_moves_by_its_rate():
    module, magnet = build(spaces.Discrete(4)), NetworkMagnet(rate=0.25)
    magnet.inputs("main", module, rows(module))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for parameter in module.parameters():
        parameter.data += 1.0
    magnet.after_update("main", module)
    for name, value in magnet.modules["main"].state_dict().items():
        change = 0.25 if name in dict(module.named_parameters()) else 0.0
        torch.testing.assert_close(value, before[name] + change)
    assert not any(parameter.requires_grad for parameter in magnet.modules["main"].parameters())
    # A checkpoint restores it.
    other = NetworkMagnet(rate=0.25)
    other.load_arrays(magnet.arrays(), {"main": module, "later": module})
    assert other.modules.keys() == {"main"}
    for name, value in other.modules["main"].state_dict().items():
        assert torch.equal(value, magnet.modules["main"].state_dict()[name])


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    model = MLP(hidden=[8], activation="tanh", precision="float32")
    runner = make_runner(TicTacToe, DiskStore(tmp_path_factory.mktemp("store")), matches=20, steps=6, model=model)
    weights = random_weights(runner, 1)
    return runner, weights, collect(runner, weights).batches["player"]


def test_the_loss_has_the_weighted_mean(played):
    learners = {}
    for kind, coeff in (("none", 0.2), ("uniform", 0.2), ("uniform", [[0, 0.5], [1000, 0.1]])):
        learner = make_group(played, magnet=kind, magnet_coeff=coeff)._learner
        columns = columns_as_tensors(played[2])
        module = learner.module["main"]
        if learner.magnet is not None:
            columns[REFERENCE] = learner.magnet.inputs("main", module, columns)
        config = learner.config.get_config_for_module("main")
        fwd_out = module.forward_train(columns)
        loss = learner.compute_loss_for_module(module_id="main", config=config, batch=columns, fwd_out=fwd_out)
        learners[str(coeff) if kind != "none" else kind] = (
            float(loss.detach()),
            float(learner._terms.get("magnet_kl", 0)),
        )
    plain, uniform, scheduled = learners["none"], learners["0.2"], learners["[[0, 0.5], [1000, 0.1]]"]
    assert uniform[0] == pytest.approx(plain[0] + 0.2 * uniform[1], rel=1e-5) and uniform[1] > 0.01
    assert scheduled[0] == pytest.approx(plain[0] + 0.5 * uniform[1], rel=1e-5)


def test_the_other_direction_keeps_rare_actions_possible(played):
    """KL(uniform || policy) by hand; its gradient lifts an action of probability 1e-4, that of the entropy does not."""
    module = build(spaces.Discrete(3))
    policy = torch.tensor([[np.log(9999.0), 0.0, ILLEGAL]], dtype=torch.float32, requires_grad=True)
    uniform = uniform_inputs(module, {"obs": torch.zeros(1, 3), ACTION_MASK: torch.tensor([[True, True, False]])})
    kl = policy_kl(module, uniform, policy).sum()
    # 1/2 log(1/2 / 0.9999) + 1/2 log(1/2 / 0.0001)
    assert float(kl.detach()) == pytest.approx(0.5 * np.log(0.5 / 0.9999) + 0.5 * np.log(0.5 / 0.0001), rel=1e-4)
    (pull,) = torch.autograd.grad(kl, policy)
    assert pull.tolist()[0] == pytest.approx([0.4999, -0.4999, 0.0], abs=1e-4)  # policy - uniform
    (entropy_pull,) = torch.autograd.grad(policy_kl(module, policy, uniform).sum(), policy)
    assert np.abs(entropy_pull.tolist()).max() < 0.001


def test_the_loss_has_the_weighted_divergence_from_uniform(played):
    losses = {}
    for weight in (0.0, 0.3):
        learner = make_group(played, uniform_kl_coeff=weight)._learner
        columns, module = columns_as_tensors(played[2]), learner.module["main"]
        config = learner.config.get_config_for_module("main")
        fwd_out = module.forward_train(columns)
        loss = learner.compute_loss_for_module(module_id="main", config=config, batch=columns, fwd_out=fwd_out)
        losses[weight] = float(loss.detach()), float(learner._terms.get("uniform_kl", 0))
    assert losses[0.0][1] == 0 < 0.01 < losses[0.3][1]
    assert losses[0.3][0] == pytest.approx(losses[0.0][0] + 0.3 * losses[0.3][1], rel=1e-5)


def test_the_weight_follows_its_schedule(played):
    group = make_group(played, magnet="uniform", magnet_coeff=[[0, 0.5], [240, 0.1]])
    update(group, played[2])  # after 120 env steps
    assert float(group._learner._loss_weights["magnet_coeff"].get_current_value()) == pytest.approx(0.3)


def test_a_strong_magnet_holds_the_policy_at_its_reference(played):
    # Many updates on the same batch: without a magnet the policy moves away, with a strong one it stays.
    distances = {}
    for coeff in (0.0, 100.0):
        group = make_group(played, magnet="ema", magnet_rate=1e-9, magnet_coeff=coeff)
        for _ in range(30):
            distances[coeff] = update(group, played[2])["magnet_kl"]
    assert distances[100.0] < 0.05 * distances[0.0]


def test_a_schedule_is_linear_between_its_points():
    schedule = [[0, 10], [100, 20], [300, 0]]
    assert [value_at(schedule, step) for step in (0, 50, 100, 200, 1000)] == [10, 15, 20, 10, 0]
    assert value_at(7, 1000) == 7


RUN = ("env=tic_tac_toe", "algorithm.magnet=snapshot", "algorithm.magnet_updates=4", "callbacks=[league]")


@pytest.mark.usefixtures("ray_here")
def test_the_reference_is_the_newest_snapshot_and_survives_a_resume(tmp_path):
    taken = []
    with running(tmp_path, *RUN) as algorithm:
        totals = algorithm.totals["main"]
        for _ in range(13):
            newest = algorithm.league.view.snapshots_of("main")
            before = totals.reference
            algorithm.train()
            if totals.reference != before:
                taken.append((totals.updates - 1, newest[-1].digest))
        # The first snapshot is frozen at the end of iteration 1; then every fourth update.
        assert [update for update, _ in taken] == [1, 5, 9] and taken[-1][1] == totals.reference
        assert totals.reference in algorithm.snapshots.needed_digests
        assert algorithm.report["learner/magnet_kl"] >= 0 and algorithm.report["learner/magnet_age"] == 4
        [reference] = algorithm.learner_group.foreach_learner(
            lambda learner: learner.magnet.modules["main"]
        ).result_or_errors
        name, value = next(iter(reference.get().state_dict().items()))
        stored = algorithm.snapshots.load_player(totals.reference)._modules["player"].state_dict()[name]
        assert torch.equal(value, stored)
        save_checkpoint(algorithm, tmp_path / "checkpoints", keep=1)
        age = totals.updates - totals.reference_update
    with running(tmp_path, *RUN) as algorithm:
        load_checkpoint(algorithm, latest_checkpoint(tmp_path / "checkpoints"))
        assert algorithm.totals["main"].reference == taken[-1][1]
        algorithm.train()
        now = algorithm.totals["main"]
        assert (now.reference == taken[-1][1]) == (age < 4)
        assert "learner/magnet_kl" in algorithm.report


@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize("kind", ["uniform", "snapshot"])
def test_exploiters_are_not_regularized(tmp_path, kind):
    exploiter = ("league.turn=2", "+league.learners.rival={role: main_exploiter}", "league/matchmaker=alphastar")
    with running(tmp_path, *RUN, f"algorithm.magnet={kind}", *exploiter) as algorithm:
        seen = set()
        for _ in range(10):
            algorithm.train()
            seen |= {name for name in algorithm.report if name.endswith("magnet_kl")}
            assert any(name.startswith(("learner/", "learners/rival/")) for name in algorithm.report)
        assert seen == {"learner/magnet_kl"} and not algorithm.totals["rival"].reference
        assert "learners/rival/policy_loss" in algorithm.report or "learner/policy_loss" in algorithm.report


@pytest.mark.usefixtures("ray_here")
def test_averages_survive_a_resume(tmp_path):
    run = (*RUN[:1], "algorithm.magnet=ema", "algorithm.magnet_rate=0.1", "callbacks=[league]")

    def averages(algorithm):
        [found] = algorithm.learner_group.foreach_learner(lambda learner: learner.magnet.arrays()).result_or_errors
        return found.get()

    with running(tmp_path, *run) as algorithm:
        for _ in range(3):
            algorithm.train()
        save_checkpoint(algorithm, tmp_path / "checkpoints", keep=1)
        before = averages(algorithm)
    with running(tmp_path, *run) as algorithm:
        load_checkpoint(algorithm, latest_checkpoint(tmp_path / "checkpoints"))
        after = averages(algorithm)
    assert before.keys() == after.keys() and before
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.usefixtures("ray_here")
def test_schedules_go_on_where_they_were(tmp_path):
    # Half of the schedule's steps are over: the first update after a resume has its middle, not its beginning.
    schedules = ("algorithm.lr=[[0,0.01],[4096,0.0]]", "algorithm.entropy_coeff=[[0,0.2],[4096,0.0]]")
    with running(tmp_path, "env=tic_tac_toe", *schedules, "algorithm.minibatch_size=null") as algorithm:
        for _ in range(4):
            algorithm.train()
        assert algorithm.report["learner/learning_rate"] == pytest.approx(0.005)
        save_checkpoint(algorithm, tmp_path / "checkpoints", keep=1)
    with running(tmp_path, "env=tic_tac_toe", *schedules) as algorithm:
        load_checkpoint(algorithm, latest_checkpoint(tmp_path / "checkpoints"))
        learner = algorithm.learner_group._learner
        [optimizer] = learner._named_optimizers.values()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.005)
        assert float(learner.entropy_coeff_schedulers_per_module["main"].get_current_value()) == pytest.approx(0.1)


@pytest.mark.usefixtures("ray_here")
def test_a_teacher_and_a_warm_start_from_another_run(tmp_path):
    with running(tmp_path / "teacher", "env=tic_tac_toe") as algorithm:
        algorithm.train()
        save_checkpoint(algorithm, tmp_path / "teacher" / "checkpoints", keep=1)
        weights = algorithm.weights.read("main")
    teacher = f"{tmp_path / 'teacher'}:main"
    magnet = ("algorithm.magnet=player", f"algorithm.magnet_player={teacher}", f"init_from={teacher}")
    with running(tmp_path / "pupil", "env=tic_tac_toe", *magnet) as algorithm:
        start = algorithm.weights.read("main")
        assert all(np.array_equal(start[name], weights[name]) for name in weights)
        algorithm.train()
        assert algorithm.totals["main"].reference == algorithm.spec.reference_player != ""
        assert 0 <= algorithm.report["learner/magnet_kl"] < 0.2
        used = algorithm.spec.reference_player
        save_checkpoint(algorithm, tmp_path / "pupil" / "checkpoints", keep=1)
    # Resumed without the teacher's directory, which has been moved; another teacher is read.
    (tmp_path / "pupil" / ".hydra").mkdir()
    OmegaConf.save({"algorithm": {"magnet_player": teacher}}, tmp_path / "pupil" / ".hydra" / "config.yaml")
    shutil.move(tmp_path / "teacher", tmp_path / "moved")
    again = ("env=tic_tac_toe", *magnet, f"resume={tmp_path / 'pupil'}")
    assert training.build(small(tmp_path / "pupil", *again)).spec.reference_player == used
    with pytest.raises(ConfigError, match="algorithm.magnet_player: directory .*teacher does not exist"):
        training.build(small(tmp_path / "new", *again[:-1], "init_from=null"))
    shutil.move(tmp_path / "moved", tmp_path / "teacher")
    for wrong, message in (
        (("init_from=random",), "init_from=random is a bot"),
        ((f"init_from={teacher}", "model.hidden=[17]"), "init_from=.* has other networks .*hidden"),
        ((*magnet[:2], "policies.share=none"), "algorithm.magnet_player: its networks play"),
        (("init_from=/nowhere:main",), "init_from: directory /nowhere does not exist"),
    ):
        with pytest.raises(ConfigError, match=message), running(tmp_path / "wrong", "env=tic_tac_toe", *wrong):
            pass


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("algorithm.magnet=strong", "algorithm.magnet=strong is not allowed: give one of none, uniform, snapshot"),
        ("algorithm.magnet=player", "algorithm.magnet_player=None: give a player with algorithm.magnet=player"),
        (
            "algorithm.magnet_player=x",
            "algorithm.magnet_player=x: give a player with algorithm.magnet=player, and null",
        ),
        ("algorithm.magnet_coeff=[[5,1]]", "algorithm.magnet_coeff=.* is not a schedule"),
        ("algorithm.magnet_coeff=-1", "algorithm.magnet_coeff=-1"),
        ("algorithm.lr=0", "algorithm.lr=0 is not allowed: give a value > 0"),
        ("algorithm.lr=[[1,0.1]]", "algorithm.lr=.* is not a schedule"),
        ("algorithm.lr=fast", "algorithm.lr=fast is not a number"),
    ],
)
def test_wrong_settings_name_the_key(override, message):
    with pytest.raises(ConfigError, match=message):
        load(["+experiment=league", override])


def test_a_run_of_before_has_no_reference():
    from marl_app.runs.state import LearnerTotals

    old = json.loads('{"env_steps": 1, "agent_steps": 2, "updates": 3, "initial": "x"}')
    assert LearnerTotals(**old).reference == ""
