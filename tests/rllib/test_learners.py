"""Several learners in one run: each is trained separately, plays the current others, and is reset when it is due."""

import json

import pytest
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner

from marl_app.assembly.training import build
from marl_app.config.errors import ConfigError
from marl_app.league.league import INITIAL
from marl_app.rllib.ppo.algorithm import LeaguePPOConfig
from marl_app.rllib.team_q.learner import TeamLearner
from marl_app.rllib.training.checkpoint import load_checkpoint, save_checkpoint
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.store.store import FACTS
from tests.rllib.runs import blob_weights, equal, matches, running, small, watch_requests

pytestmark = pytest.mark.usefixtures("ray_here")

ROLES = (
    "env=tic_tac_toe",
    "league/matchmaker=alphastar",
    "league/schedule=alphastar",
    "league.schedule.agent_steps=600",
    "league.schedule.timeout_factor=1",
    "league.turn=1",
    "+league.learners.me={role: main_exploiter}",
    "+league.learners.le={role: league_exploiter, share: 0.5}",
    "algorithm.lr=0.01",
)
TRAINEES = ("main", "me", "le")


def gradient_steps(algorithm, learner):
    """Return the optimizer's steps since the learner's weights were initialized or reset."""
    optimizers = algorithm.learner_group._learner._named_optimizers
    [optimizer] = (one for name, one in optimizers.items() if name.startswith(f"{learner}_"))
    return max((int(state["step"]) for state in optimizer.state.values()), default=0)


@pytest.fixture(scope="module")
def run(ray_here, tmp_path_factory):
    """Thirty iterations: (folder, initial weights, facts of each iteration, requests, algorithm), and a checkpoint."""
    folder = tmp_path_factory.mktemp("roles")
    facts = []
    with running(folder, *ROLES) as algorithm:
        requests = watch_requests(algorithm)
        start = {name: algorithm.weights.read(name) for name in TRAINEES}
        for _ in range(30):
            facts.append(
                {"trains": algorithm.turns.current, "before": {n: algorithm.weights.read(n) for n in TRAINEES}}
            )
            algorithm.train()
            facts[-1]["after"] = {name: algorithm.weights.read(name) for name in TRAINEES}
            facts[-1]["resets"] = {name: algorithm.league.careers[name].resets for name in TRAINEES}
            facts[-1]["steps"] = {name: gradient_steps(algorithm, name) for name in TRAINEES}
        save_checkpoint(algorithm, folder / "checkpoints", keep=1)
        algorithm.records.flush()
        yield folder, start, facts, requests, algorithm


def test_a_learner_changes_only_in_its_turns_and_resets(run):
    _, _, facts, _, _ = run
    resets = dict.fromkeys(TRAINEES, 0)
    for fact in facts:
        for name in TRAINEES:
            changed = not equal(fact["before"][name], fact["after"][name])
            assert changed == (name == fact["trains"] or fact["resets"][name] > resets[name])
        resets = fact["resets"]


def test_env_steps_follow_the_shares(run):
    *_, algorithm = run
    steps = {name: trainee.env_steps for name, trainee in algorithm.totals.items()}
    assert steps == {"main": 12 * 512, "me": 12 * 512, "le": 6 * 512}  # 2 : 2 : 1
    assert sum(steps.values()) == algorithm.counters.env_steps
    agents = sum(trainee.agent_steps for trainee in algorithm.totals.values())
    assert agents == algorithm.counters.trained_agent_steps


def test_an_exploiter_is_frozen_and_then_reset(run):
    _, start, facts, _, algorithm = run
    snapshots = [s for s in algorithm.league.snapshots if s.player.lineage == "me"]
    assert len(snapshots) >= 3 and facts[-1]["resets"]["me"] == len(snapshots) - 1  # not after the first one
    resets = 0
    for fact in facts:
        if fact["resets"]["me"] > resets:
            resets = fact["resets"]["me"]
            assert equal(fact["after"]["me"], start["me"]) and fact["steps"]["me"] == 0
            # Its snapshot has the weights before the reset, and the snapshot before is not its parent.
            frozen = snapshots[resets]
            weights = blob_weights(algorithm, frozen)
            assert not equal(weights, start["me"]) and frozen.parent == (None if resets > 1 else snapshots[0].digest)
    assert facts[-1]["resets"]["main"] == 0 and facts[-1]["steps"]["main"] > 0
    lines = [s.parent for s in algorithm.league.snapshots if s.player.lineage == "main"]
    assert lines[1:] == [s.digest for s in algorithm.league.snapshots if s.player.lineage == "main"][:-1]


def test_initial_weights_for_resets_are_in_the_store_and_needed(run):
    *_, algorithm = run
    notes, initial = algorithm.store.notes(FACTS), {name: algorithm.totals[name].initial for name in TRAINEES}
    assert initial.pop("main") == "" and {name: notes[digest]["player"] for name, digest in initial.items()} == {
        "me": "me", "le": "le",
    }  # fmt: skip
    assert algorithm.snapshots.needed_digests == {
        *initial.values(),
        *(snapshot.digest for snapshot in algorithm.league.snapshots),
    }
    assert notes.keys() == algorithm.snapshots.needed_digests


def test_a_learner_is_not_reset_while_its_initial_weights_cannot_be_fetched(run, monkeypatch):
    *_, algorithm = run
    before, resets = algorithm.weights.read("me"), algorithm.league.careers["me"].resets
    monkeypatch.setattr(algorithm.totals["me"], "initial", "0" * 64)
    algorithm.snapshots.reset("me", INITIAL)
    assert equal(algorithm.weights.read("me"), before) and algorithm.league.careers["me"].resets == resets


def test_a_learner_as_an_opponent_has_its_current_weights(run):
    folder, _, facts, requests, _ = run
    for fact, request in zip(facts, requests, strict=True):
        assert request.learner == fact["trains"]
        learners = {o.player for o in request.assignment.opponents if o.digest is None} - {request.learner}
        assert request.learner_opponents.keys() == learners
        for name, weights in request.learner_opponents.items():
            assert equal(dict(weights), fact["before"][name])
    played = matches(folder)
    assert "main" in set(played[played.learner == "me"].opponent)
    assert not (played[played.learner == "me"].opponent == "me").any()


def test_two_continuations_of_a_checkpoint_are_equal(run, tmp_path):
    folder, _, _, _, algorithm = run
    ends = []
    for name in ("a", "b"):
        with running(tmp_path / name, *ROLES, f"store.path={folder}/snapshots") as resumed:
            load_checkpoint(resumed, latest_checkpoint(folder / "checkpoints"))
            for learner in TRAINEES:
                assert equal(resumed.weights.read(learner), algorithm.weights.read(learner))
                assert gradient_steps(resumed, learner) == gradient_steps(algorithm, learner)
            assert resumed.totals == algorithm.totals and resumed.turns == algorithm.turns
            assert resumed.league.careers == algorithm.league.careers
            for _ in range(4):
                resumed.train()
            state = json.loads(json.dumps(resumed.run_state().to_json()))
            del state["counters"]["seconds"]
            ends.append((state, *(resumed.weights.read(learner) for learner in TRAINEES)))
    assert ends[0][0] == ends[1][0] and all(equal(a, b) for a, b in zip(ends[0][1:], ends[1][1:], strict=True))


def test_learners_are_added_and_removed_at_a_resume(run, tmp_path):
    folder, _, _, _, algorithm = run
    learners = ("~league.learners.me", "+league.learners.late={role: league_exploiter, reset_to: main}")
    with running(tmp_path, *ROLES, *learners, f"store.path={folder}/snapshots") as resumed:
        load_checkpoint(resumed, latest_checkpoint(folder / "checkpoints"))
        assert list(resumed.totals) == ["main", "le", "late"]
        assert equal(resumed.weights.read("le"), algorithm.weights.read("le"))
        assert resumed.league.snapshots == algorithm.league.snapshots  # the snapshots of `me` stay
        for _ in range(5):
            resumed.train()
        assert resumed.totals["late"].env_steps > 0
        assert resumed.league.view.snapshots_of("late") and not resumed.league.payoff.games("me", ["main"]).any()


def test_a_main_exploiter_needs_a_main_agent(tmp_path):
    with pytest.raises(ConfigError, match="main agent"):
        build(small(tmp_path, *ROLES, "league.learners.main.role=league_exploiter"))


def test_a_learner_without_the_methods_of_its_protocol_is_refused(tmp_path):
    class WithRLlibsLearner(LeaguePPOConfig):
        def get_default_learner_class(self):
            return PPOTorchLearner

    class WithoutResets(LeaguePPOConfig):
        def get_default_learner_class(self):
            return TeamLearner

    one = build(small(tmp_path, "env=tic_tac_toe")).spec
    assert WithoutResets().for_run(one).spec is one
    with pytest.raises(ConfigError, match="PPOTorchLearner has not all methods of MatchLearner"):
        WithRLlibsLearner().for_run(one)
    exploiter = ("+league.learners.rival={role: main_exploiter}", "league/matchmaker=alphastar")
    with pytest.raises(ConfigError, match="TeamLearner has not all methods of ResettableLearner"):
        WithoutResets().for_run(build(small(tmp_path, "env=tic_tac_toe", *exploiter)).spec)
