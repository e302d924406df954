"""Make objects from the `_target_` leaves of the configuration; errors become ConfigErrors that name the key."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from marl_app.assembly.arguments import checked, require_kind, target
from marl_app.config.errors import ConfigError, first_line
from marl_app.config.schema import Config
from marl_app.league.league import League
from marl_app.league.matchmakers.matchmaker import Matchmaker
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.payoff import Payoff
from marl_app.league.players import Learner
from marl_app.league.schedule import Schedule
from marl_app.league.thinning.thinning import Thinning

if TYPE_CHECKING:
    from marl_app.envs.batched import MakeEnv

Leaf = Mapping[str, Any]
Task = Callable[[Config], float]


def task(config: Config) -> Task:
    """Return the task: its settings are its attributes, and it is called with the configuration."""
    made: Task = leaf("task", config.task)
    problem = "not callable"
    if callable(made):
        try:
            inspect.signature(made).bind(config)
            return made
        except TypeError as error:  # it takes other arguments
            problem = str(error)
    raise ConfigError(f"task._target_={config.task['_target_']}: {problem}: give a class with __call__(config)")


def env_factory(content: Leaf) -> MakeEnv:
    """Return a picklable function: number of matches -> environment. Raises ConfigError."""
    # The class by its path, as YAML names it: tasks without an environment need not import this one's module.
    return _factory("env", content, class_at("marl_app.envs.batched.BatchedEnv"), given=1)


def callback(name: str, content: Leaf, kind: type) -> Callable[[], Any]:
    """Return a factory of the callback, which RLlib calls. Makes it once here, to find errors of its constructor."""
    key = f"callbacks.{name}"
    factory = _factory(key, content, kind)
    with config_errors(key):
        factory()
    return factory


def _factory(key: str, content: Leaf, kind: type, given: int = 0) -> Callable[..., Any]:
    """Return a picklable function that makes the object of a leaf in any process; its caller has the first arguments.

    given: how many of them. Nested leaves, such as env.openings, are made here: they are arguments of the class.
    """
    made_by, content = _checked_leaf(key, content, kind, given)
    arguments = {
        name: leaf(f"{key}.{name}", value) if isinstance(value, Mapping) and "_target_" in value else value
        for name, value in content.items()
        if name != "_target_"
    }
    return functools.partial(made_by, **arguments)


def roster(config: Config) -> list[Learner]:
    """Return the learners of the configured league, in their order."""
    return [
        Learner(name, learner.role, learner.reset_to, learner.side) for name, learner in config.league.learners.items()
    ]


def league(config: Config, learners: Sequence[Learner], matchmaker: Matchmaker | None = None) -> League:
    """Return a new league of these learners; `matchmaker` replaces the configured matchmaker."""
    settings = config.league
    with config_errors("league"):
        return League(
            learners,
            matchmaker or leaf("league.matchmaker", settings.matchmaker, Matchmaker),
            leaf("league.schedule", settings.schedule, Schedule),
            Payoff(settings.decay_per_game),
            settings.pool_limit,
            leaf("league.meta", settings.meta, MetaStrategy),
            leaf("league.thinning", settings.thinning, Thinning),
        )


def class_at(path: str) -> Any:
    """Return the class at a dotted path."""
    return get_class(path)


def leaf(key: str, content: Leaf, kind: type | None = None) -> Any:
    """Return the object of a `_target_` leaf. Raises ConfigError, naming the key, also if it is not of the kind."""
    _, content = _checked_leaf(key, content, kind, functions=True)
    with config_errors(key):
        made = instantiate(content, _convert_="all")
    if kind is not None:
        require_kind(key, content["_target_"], made, kind)
    return made


def _checked_leaf(
    key: str, content: Leaf, kind: type | None, given: int = 0, functions: bool = False
) -> tuple[Callable[..., Any], Leaf]:
    """Return the class of a leaf, and the leaf with its arguments converted. Raises ConfigError.

    given: as in `checked`. functions: whether a function may make the object, whose kind is seen only then.
    """
    # A run's record has OmegaConf's containers in place of dictionaries and lists.
    plain: Any = OmegaConf.to_container(content, resolve=True) if OmegaConf.is_config(content) else content
    made_by = target(key, plain["_target_"])
    if kind is not None and (isinstance(made_by, type) or not functions):
        require_kind(key, plain["_target_"], made_by, kind)
    return made_by, checked(key, plain, made_by, given)


@contextmanager
def config_errors(key: str) -> Iterator[None]:
    """Turn an exception of the `with` block into a ConfigError that names the key; a ConfigError passes unchanged."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        # Hydra wraps the exception of a constructor in one with a longer text.
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        text = first_line(cause)
        raise ConfigError(text if text.startswith(key) else f"{key}: {text}") from error
