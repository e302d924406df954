"""Every option of `conf/league` can be instantiated."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from marl_app.league.matchmakers.meta import Meta
from marl_app.league.matchmakers.mix import Mix
from marl_app.league.meta.nash import Nash
from marl_app.league.meta.uniform import UniformMixture
from marl_app.league.payoff import Payoff

CONF = Path(__file__).resolve().parents[2] / "conf"


def settings(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("league/default", overrides=list(overrides))


def build(group: str, *overrides: str) -> object:
    return instantiate(settings(*overrides).league[group])


def test_the_defaults() -> None:
    matchmaker = build("matchmaker")
    assert isinstance(matchmaker, Mix)
    assert [(p, type(m).__name__) for p, m in matchmaker.rules] == [(0.8, "Latest"), (0.2, "Uniform")]
    assert type(build("schedule")).__name__ == "EverySteps"
    assert type(build("meta")).__name__ == "Nash"
    assert type(build("thinning")).__name__ == "Oldest"
    assert settings().league.pool_limit is None
    Payoff(settings().league.decay_per_game)


@pytest.mark.parametrize(("option", "kind"), [("nash", Nash), ("uniform", UniformMixture)])
def test_the_meta_matchmaker_plays_the_leagues_meta_strategy(option: str, kind: type) -> None:
    matchmaker = build("matchmaker", "league/matchmaker=meta", f"league/meta={option}")
    assert isinstance(matchmaker, Meta) and isinstance(matchmaker.strategy, kind)


@pytest.mark.parametrize("group", ["matchmaker", "meta", "schedule", "thinning"])
def test_every_option_builds_a_class_of_the_league(group: str) -> None:
    options = sorted(path.stem for path in (CONF / "league" / group).glob("*.yaml"))
    assert options
    for option in options:
        needed = ["league.matchmaker.probabilities={main: 1.0}"] if option == "fixed" else []
        built = build(group, f"league/{group}={option}", *needed)
        assert type(built).__module__.startswith("marl_app.league")


def test_the_error_of_a_wrong_value_names_the_allowed_values() -> None:
    with pytest.raises(InstantiationException, match="squared, variance, linear, linear_capped"):
        build("matchmaker", "league/matchmaker=pfsp", "league.matchmaker.weighting=cubed")
