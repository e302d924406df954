"""Every choice in conf/ composes to a valid configuration, and conf/ mirrors the code."""

import dataclasses
import importlib.util
import itertools

import pytest
from omegaconf import OmegaConf

from marl_app.config.compose import CommandLine, load, to_config
from marl_app.config.tree import CONF, all_keys, groups, options, schema_keys

REQUIRED = {  # keys without a value in conf/, by option
    "env=openspiel": "env.game=kuhn_poker",
    "env=pettingzoo": "env.name=pettingzoo.classic.tictactoe_v3",
    "policies=custom": "+policies.mapping={*: shared}",
}


def compose(*overrides):
    return load([*overrides, *(REQUIRED[override] for override in overrides if override in REQUIRED)])


KINDS = [
    "connect_four",
    "simple_spread",
    "pettingzoo",
]  # environments that set only env; the batches; the smallest ones


@pytest.mark.parametrize(
    ("experiment", "env"),
    [
        *itertools.product(options("experiment"), KINDS),
        *(("league", env) for env in options("env") if env not in KINDS),
    ],
)
def test_every_experiment_and_every_environment(experiment, env):
    config = compose(f"+experiment={experiment}", f"env={env}")
    assert config.name == experiment
    assert config.env["_target_"].startswith("marl_app.envs.")


@pytest.mark.parametrize("experiment", options("experiment"))
def test_smoke_makes_any_experiment_short(experiment):
    config = load([f"+experiment={experiment}", "+debug=smoke"])
    assert config.stop.iterations <= 3 and config.stop.minutes <= 1
    assert config.algorithm.train_batch_size_per_learner <= 2048
    assert config.evaluation.games <= 10


WITHOUT_DEFAULT = ["++league.matchmaker.probabilities={main: 1.0}"]  # of league/matchmaker=fixed
CHOICES = [
    [f"{group}=[{option}]" if group == "callbacks" else f"{group}={option}" for option in options(group)]
    for group in groups()
    if group not in ("env", "experiment", "sweep", "debug")
]


@pytest.mark.parametrize("number", range(max(map(len, CHOICES))))
def test_every_option_of_every_group(number):
    """The options of different groups set different sections, so each composition checks an option of every group."""
    compose(*(choices[number % len(choices)] for choices in CHOICES), "run=.", *WITHOUT_DEFAULT)


@pytest.mark.parametrize("sweep", options("sweep"))
def test_a_sweep_file_expands_to_jobs_that_compose(sweep):
    expanded = list(CommandLine(["+experiment=league", f"+sweep={sweep}"], multirun=False).jobs())
    assert len(expanded) > 1
    assert len({OmegaConf.to_yaml(job) for job in expanded}) == len(expanded)
    to_config(expanded[-1])


def test_self_play_and_league_differ_only_in_the_matchmaker():
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


def test_gru_and_lstm_differ_only_in_the_cell():
    gru, lstm = (load([f"model={name}"]).model for name in ("gru", "lstm"))
    assert {**gru, "cell": "lstm"} == lstm != gru


def test_options_of_policies_set_the_sharing():
    chosen = [load([f"policies={name}"]).policies for name in ("shared", "per_role", "independent")]
    assert [(policies.share, policies.mapping) for policies in chosen] == [
        ("spaces", None), ("role", None), ("none", None)
    ]  # fmt: skip
    for option in ("custom", "shared"):
        mapping = load([f"policies={option}", "+policies.mapping={adversary_*: hunter, *: prey}"]).policies.mapping
        assert list(mapping.items()) == [
            ("adversary_*", "hunter"),
            ("*", "prey"),
        ]  # without entries before the given ones


def test_every_experiment_begins_with_its_command_line():
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
    # The modules are searched for, not imported: imports would need Ray and torch.
    for target in _targets(OmegaConf.to_container(OmegaConf.load(file))):
        module = target.rpartition(".")[0]
        assert module.split(".")[0] in ("marl_app", "hydra_plugins")
        assert importlib.util.find_spec(module) is not None, target


def test_values_are_in_conf_only():
    # A default in the schema would be a second place to look for a value. conf/ has no keys of entries that users name.
    for key in schema_keys():
        if "<name>" in key.path:
            continue
        assert key.field.default is dataclasses.MISSING and key.field.default_factory is dataclasses.MISSING, key.path
        assert key.field.metadata["help"].endswith("."), key.path


def test_all_keys_has_those_of_schema_and_leaves():
    assert {"algorithm.lr", "env.openings.low", "model.hidden", "league.matchmaker.weighting", "seed"} <= all_keys()
    # An environment's file may also set keys outside of its group.
    assert "env.game" in all_keys() and not any(key.startswith(("env.env", "env.runtime")) for key in all_keys())
