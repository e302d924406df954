"""Every option of `conf/league` makes what it names."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from marl_app.league.matchmakers.mix import Mix
from marl_app.league.payoff import Payoff

CONF = Path(__file__).resolve().parents[2] / "conf"


def build(*overrides: str) -> tuple[object, object, float]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        league = compose("league/default", overrides=list(overrides)).league
    return instantiate(league.matchmaker), instantiate(league.schedule), league.decay_per_game


def test_the_defaults() -> None:
    matchmaker, schedule, decay = build()
    assert isinstance(matchmaker, Mix)
    assert [(p, type(m).__name__) for p, m in matchmaker.rules] == [(0.8, "Latest"), (0.2, "Uniform")]
    assert type(schedule).__name__ == "EverySteps"
    Payoff(decay)


@pytest.mark.parametrize("group", ["matchmaker", "schedule"])
def test_every_option_builds_a_class_of_its_own_module(group: str) -> None:
    options = sorted(path.stem for path in (CONF / "league" / group).glob("*.yaml"))
    assert options
    for option in options:
        matchmaker, schedule, _ = build(f"league/{group}={option}")
        built = matchmaker if group == "matchmaker" else schedule
        assert type(built).__module__.startswith("marl_app.league")


def test_a_wrong_value_names_the_right_ones() -> None:
    with pytest.raises(InstantiationException, match="squared, variance, linear, linear_capped"):
        build("league/matchmaker=pfsp", "league.matchmaker.weighting=cubed")
