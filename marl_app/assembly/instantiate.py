"""Make objects from the `_target_` leaves of the configuration; errors become ConfigErrors that name the key."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

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
    path = content["_target_"]
    env_class = target("env", path)
    content = _plain(content)
    # By its path, as YAML names classes: tasks without an environment need not import this one's module.
    require_kind("env", path, env_class, class_at("marl_app.envs.batched.BatchedEnv"))
    # Not instantiated here: each process makes environments with its own number of matches.
    content = checked("env", content, env_class, given=1)
    # Nested leaves, such as env.openings, are made here: they are arguments of the class.
    arguments = {
        key: leaf(f"env.{key}", value) if isinstance(value, Mapping) and "_target_" in value else value
        for key, value in content.items()
        if key != "_target_"
    }
    return functools.partial(env_class, **arguments)


def callback(name: str, content: Leaf, kind: type) -> Callable[[], Any]:
    """Return a factory of the callback, which RLlib calls. Makes it once here, to check the arguments."""
    key = f"callbacks.{name}"
    leaf(key, content, kind)
    made = target(key, content["_target_"])
    arguments = {key: value for key, value in checked(key, content, made).items() if key != "_target_"}
    return functools.partial(made, **arguments)


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
    content = _plain(content)
    path = content["_target_"]
    made_by = target(key, path)
    # A class says before it is called whether it is the right one; a function, afterwards.
    if kind is not None and isinstance(made_by, type):
        require_kind(key, path, made_by, kind)
    content = checked(key, content, made_by)
    with config_errors(key):
        made = instantiate(content, _convert_="all")
    if kind is not None:
        require_kind(key, path, made, kind)
    return made


def _plain(content: Leaf) -> Leaf:
    """Return a leaf as dictionaries and lists; a run's record has those of OmegaConf."""
    plain: Any = OmegaConf.to_container(content, resolve=True) if OmegaConf.is_config(content) else content
    return cast(Leaf, plain)


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
