"""Whatever a user can choose in conf/ composes to a valid configuration, and conf/ mirrors the code."""

import dataclasses
import importlib.util
import itertools

import pytest
from omegaconf import OmegaConf

from marl_app.config.compose import jobs, load
from marl_app.config.tree import CONF, all_keys, groups, options, schema_keys

NEEDS_A_KEY = {"openspiel": ["env.game=kuhn_poker"], "pettingzoo": ["env.name=pettingzoo.classic.tictactoe_v3"]}


@pytest.mark.parametrize(
    ("experiment", "env"),
    [
        *itertools.product(options("experiment"), ["connect_four", "simple_spread", "pettingzoo"]),
        *(("league", env) for env in options("env")),
    ],
)
def test_every_experiment_and_every_environment(experiment, env):
    config = load([f"+experiment={experiment}", f"env={env}", *NEEDS_A_KEY.get(env, [])])
    assert config.name == experiment
    assert config.env["_target_"].startswith("marl_app.envs.")


@pytest.mark.parametrize("experiment", options("experiment"))
def test_smoke_makes_any_experiment_short(experiment):
    config = load([f"+experiment={experiment}", "model=gru", "+debug=smoke"])
    assert config.stop.iterations <= 3 and config.stop.minutes <= 1
    assert config.algorithm.train_batch_size_per_learner <= 2048
    assert config.model["hidden"] == [64, 64]
    assert config.evaluation.games <= 10


@pytest.mark.parametrize(
    ("group", "option"),
    [(g, o) for g in groups() for o in options(g) if g not in ("env", "experiment", "sweep", "debug")],
)
def test_every_option_of_every_group(group, option):
    needed = ["+policies.mapping={*: shared}"] if (group, option) == ("policies", "custom") else []
    load([f"{group}=[{option}]" if group == "callbacks" else f"{group}={option}", *needed])


@pytest.mark.parametrize("sweep", options("sweep"))
def test_a_sweep_file_expands_to_jobs_that_compose(sweep):
    expanded = list(jobs(["+experiment=league", f"+sweep={sweep}"], multirun=False))
    assert len(expanded) > 1
    names = {tuple(sorted(job)) for job in expanded}
    assert len(names) == len(expanded)
    load(expanded[-1])


def test_self_play_differs_from_the_league_only_in_the_matchmaker():
    league, self_play = (dataclasses.asdict(load([f"+experiment={name}"])) for name in ("league", "self_play"))
    assert self_play.pop("name") == "self_play" and league.pop("name") == "league"
    assert self_play["league"].pop("matchmaker") != league["league"].pop("matchmaker")
    assert self_play == league


def test_mappo_is_ippo_with_a_centralized_critic():
    local, central = (dataclasses.asdict(load([f"algorithm={name}"]).algorithm) for name in ("ippo", "mappo"))
    assert (local.pop("critic"), central.pop("critic")) == ("local", "state")
    assert local == central
    runs = [dataclasses.asdict(load([f"+experiment={name}"])) for name in ("ippo", "mappo")]
    assert [(run.pop("name"), run["algorithm"].pop("critic")) for run in runs] == [
        ("ippo", "local"),
        ("mappo", "state"),
    ]
    assert runs[0] == runs[1]


def test_a_gru_and_an_lstm_differ_in_nothing_else():
    gru, lstm = (load([f"model={name}"]).model for name in ("gru", "lstm"))
    assert {**gru, "cell": "lstm"} == lstm != gru


def test_who_shares_a_network():
    chosen = [load([f"policies={name}"]).policies for name in ("shared", "per_role", "independent")]
    assert [(policies.share, policies.mapping) for policies in chosen] == [
        ("spaces", None), ("role", None), ("none", None)
    ]  # fmt: skip
    for option in ("custom", "shared"):
        mapping = load([f"policies={option}", "+policies.mapping={adversary_*: hunter, *: prey}"]).policies.mapping
        assert list(mapping.items()) == [("adversary_*", "hunter"), ("*", "prey")]  # nothing before what was given


def test_every_experiment_says_how_it_is_run():
    for file in (CONF / "experiment").glob("*.yaml"):
        lines = file.read_text().splitlines()
        assert lines[:2] == ["# @package _global_", f"# python -m marl_app +experiment={file.stem}"], file.name


def test_the_last_plus_wins():
    assert load(["+experiment=league", "+debug=smoke"]).algorithm.minibatch_size == 512


def _targets(node):
    if isinstance(node, dict):
        yield from ([node["_target_"]] if "_target_" in node else [])
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)


@pytest.mark.parametrize("file", sorted(CONF.rglob("*.yaml")), ids=lambda file: file.relative_to(CONF).as_posix())
def test_targets_are_modules_of_this_repository(file):
    # Only looked for, not imported: importing them would need Ray and torch.
    for target in _targets(OmegaConf.to_container(OmegaConf.load(file))):
        module = target.rpartition(".")[0]
        assert module.split(".")[0] == "marl_app"
        assert importlib.util.find_spec(module) is not None, target


def test_values_stand_in_conf_only():
    # A default in the schema would be a second place to look for a value. conf/ cannot name what users name.
    for key in schema_keys():
        if "<name>" in key.path:
            continue
        assert key.field.default is dataclasses.MISSING and key.field.default_factory is dataclasses.MISSING, key.path
        assert key.field.metadata["help"].endswith("."), key.path


def test_all_keys_knows_schema_and_leaves():
    assert {"algorithm.lr", "env.openings.low", "model.hidden", "league.matchmaker.weighting", "seed"} <= all_keys()
    # An environment's file may set keys outside of its group, too.
    assert "env.game" in all_keys() and not any(key.startswith(("env.env", "env.runtime")) for key in all_keys())
