"""One object from one `_target_` leaf of the configuration; what is wrong with it is a ConfigError with its key."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate

from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config
from marl_app.league.league import League
from marl_app.league.matchmakers.matchmaker import Matchmaker
from marl_app.league.payoff import Payoff
from marl_app.league.players import Learner

if TYPE_CHECKING:
    from marl_app.envs.batched import MakeEnv

Leaf = Mapping[str, Any]
Task = Callable[[Config], float]


def task(config: Config) -> Task:
    """What `task=` chooses: its settings are in it, the rest of the configuration is its argument."""
    made = leaf("task", config.task)
    if not callable(made):
        raise ConfigError(f"task._target_={config.task['_target_']}: a task is called with the configuration")
    return made


def env_factory(content: Leaf) -> MakeEnv:
    """Number of matches -> environment; can be sent to another process."""
    arguments = {
        key: leaf(f"env.{key}", value) if isinstance(value, Mapping) and "_target_" in value else value
        for key, value in content.items()
        if key != "_target_"
    }
    return functools.partial(named("env", lambda: get_class(content["_target_"])), **arguments)


def callback(name: str, content: Leaf) -> Callable[[], Any]:
    """A callback's class with its arguments; RLlib makes the object. It is made once here, to see that it can be."""
    leaf(f"callbacks.{name}", content)
    arguments = {key: value for key, value in content.items() if key != "_target_"}
    return functools.partial(get_class(content["_target_"]), **arguments)


def roster(config: Config) -> list[Learner]:
    """The learners of the configured league, the first one first."""
    return [
        Learner(name, learner.role, learner.reset_to, learner.side) for name, learner in config.league.learners.items()
    ]


def league(config: Config, learners: Sequence[Learner], matchmaker: Matchmaker | None = None) -> League:
    """A new league as it is configured, of these learners; `matchmaker` takes the place of the configured one."""
    settings = config.league
    return named(
        "league",
        lambda: League(
            learners,
            matchmaker or leaf("league.matchmaker", settings.matchmaker),
            leaf("league.schedule", settings.schedule),
            Payoff(settings.decay_per_game),
            settings.pool_limit,
            leaf("league.meta", settings.meta),
            leaf("league.thinning", settings.thinning),
        ),
    )


def class_at(path: str) -> Any:
    """Return the class at a dotted path."""
    return get_class(path)


def leaf(key: str, content: Leaf) -> Any:
    """The object of a `_target_` leaf."""
    return named(key, lambda: instantiate(content, _convert_="all"))


def named(key: str, make: Callable[[], Any]) -> Any:
    """What `make` gives; what it raises becomes a ConfigError that names the key."""
    try:
        return make()
    except ConfigError:
        raise
    except Exception as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        text = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        raise ConfigError(text if text.startswith(key) else f"{key}: {text}") from error
