"""PettingZoo environments as batched environments, by the path of the module: B copies, stepped in a loop.

Uses the Parallel interface if the module has one (`parallel_env`) that works, otherwise AEC (`env`). Agents are the
`possible_agents` of the environment, in its order. `pettingzoo_copy` plays one match, `pettingzoo_spaces` converts.
"""

from __future__ import annotations

import difflib
import importlib
import os
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gymnasium import spaces

from marl_app.envs.batched import Openings
from marl_app.envs.copies import FAILURES, Copies, describe
from marl_app.envs.library import declared_agents, declared_space
from marl_app.envs.pettingzoo_copy import RENDER_MODES, AecCopy, ParallelCopy, PettingZooCopy
from marl_app.envs.pettingzoo_rendering import game_name
from marl_app.envs.pettingzoo_spaces import Seat, group_seats, make_seat, to_float32
from marl_app.envs.separate import require_separate
from marl_app.envs.sides import resolve_sides

EXTRAS = {"pygame": "classic", "chess": "classic", "rlcard": "classic", "mpe2": "mpe", "pymunk": "butterfly"}
"""Package that environments import -> the extra of pyproject.toml that has it."""


class PettingZoo(Copies):
    """`num_matches` copies of a PettingZoo environment.

    name: path of the module, e.g. "pettingzoo.classic.connect_four_v3", "mpe2.simple_tag_v3".
    kwargs: passed to the environment.
    sides: lists of agent names or patterns, e.g. [["adversary_*"], ["agent_*"]], or [["*"]] for one team;
        None: each agent is a side.
    openings: only for environments that are used through AEC.
    interface: "parallel", "aec", or None: Parallel where the environment has it and is parallelizable, else AEC.

    Raises ImportError for a module that cannot be imported and ValueError for any other unsupported setting or space,
    both naming the key (`env.name`, ...).
    """

    def __init__(
        self,
        num_matches: int,
        name: str,
        kwargs: Mapping[str, Any] | None = None,
        sides: Sequence[Sequence[str]] | None = None,
        openings: Openings | None = None,
        interface: str | None = None,
    ) -> None:
        name = str(name)  # a name of digits is a number in YAML
        envs, parallel = _make(name, kwargs or {}, num_matches, interface)
        require_separate(envs, f"env.name={name!r}")
        if parallel and openings is not None:
            raise ValueError(
                f"env.openings: set null, because env.name={name!r} is used through its Parallel interface, in which "
                "agents act together; or set env.interface=aec if it is turn-based"
            )
        # The first copy says what the agents and spaces of all are.
        possible = declared_agents(envs[0], f"env.name={name!r}")
        agents = [str(agent) for agent in possible]
        try:
            # The spaces of each agent, converted to those of the contract.
            seats = [
                make_seat(
                    agent,
                    declared_space(envs[0], "observation_space", agent),
                    declared_space(envs[0], "action_space", agent),
                )
                for agent in possible
            ]
        except ValueError as error:
            raise ValueError(f"env.name={name!r}: {error}") from error
        state_space = getattr(envs[0], "state_space", None)
        super().__init__(
            name,
            [_copy(env, seats, name, parallel) for env in envs],
            agents,
            group_seats(seats),
            resolve_sides(agents, sides),
            openings,
            to_float32(state_space) if isinstance(state_space, spaces.Box) else None,
        )
        if any(seat.translates for seat in seats):
            self.raw_spaces = tuple((seat.raw_observation_space, seat.raw_action_space) for seat in seats)
        # For `enable_rendering`, which makes the copies again.
        self._made = (name, dict(kwargs or {}), interface, seats)
        self._modes = [
            mode for mode in getattr(envs[0], "metadata", {}).get("render_modes", ()) if mode in RENDER_MODES
        ]

    def enable_rendering(self, *, prefer_text: bool) -> None:
        """Make the copies again with a `render_mode`, if the environment has one for texts or pictures."""
        name, kwargs, interface, seats = self._made
        if not self._modes or "render_mode" in kwargs:
            return
        # Modes of the preferred kind sort first: False < True.
        mode = min(self._modes, key=lambda mode: (mode == "ansi") != prefer_text)
        envs, parallel = _make(name, {**kwargs, "render_mode": mode}, self.num_matches, interface)
        self.close()
        self._copies = [_copy(env, seats, name, parallel) for env in envs]


def _copy(env: Any, seats: Sequence[Seat], name: str, parallel: bool) -> PettingZooCopy:
    return (ParallelCopy if parallel else AecCopy)(env, seats, game_name(name))


def _make(name: str, kwargs: Mapping[str, Any], count: int, interface: str | None) -> tuple[list[Any], bool]:
    """Make `count` environments of a module. Return them, and whether they have the Parallel interface."""
    module = _import(name)
    functions = {"parallel": "parallel_env", "aec": "env"}
    if interface not in (None, *functions):
        raise ValueError(f"env.interface={interface!r}: use null, parallel or aec")
    if interface is not None and not hasattr(module, functions[interface]):
        raise ValueError(f"env.interface={interface}: the module {name} has no {functions[interface]}()")
    # Parallel is tried first: it steps all agents in one call.
    if interface == "parallel" or (interface is None and hasattr(module, "parallel_env")):
        try:
            return [_call(name, module.parallel_env, kwargs) for _ in range(count)], True
        except AssertionError as error:
            # PettingZoo's template gives every module `parallel_env`, and its conversion refuses turn-based games.
            if "is_parallelizable" not in str(error):
                raise
            if interface == "parallel" or not hasattr(module, "env"):
                raise ValueError(
                    f"env.name={name!r} is turn-based (its metadata lack is_parallelizable); use env.interface=aec"
                ) from error
    if hasattr(module, "env"):
        return [_call(name, module.env, kwargs) for _ in range(count)], False
    raise ValueError(f"env.name={name!r} has neither parallel_env nor env; give the module of an environment")


def _call(name: str, make: Callable[..., Any], kwargs: Mapping[str, Any]) -> Any:
    """Make an environment. Raises ValueError, naming `env.kwargs` or `env.name`, with the cause if it fails."""
    try:
        return make(**kwargs)
    except AssertionError as error:
        if "is_parallelizable" in str(error):
            raise
        cause: BaseException = error
    except FAILURES as error:
        cause = error
    text = describe(cause)
    # A TypeError of the call itself names an argument; any other is the environment's own.
    named = re.search(r"unexpected keyword argument '(\w+)'", text)
    missing = "missing" in text and "required" in text and isinstance(cause, TypeError)
    if isinstance(cause, TypeError) and ((named and named[1] in kwargs) or missing):
        raise ValueError(f"env.kwargs={dict(kwargs)}: {name} does not accept them ({cause})") from cause
    raise ValueError(f"env.name={name!r}: making the environment failed: {text}") from cause


def _import(name: str) -> Any:
    # Without these, Butterfly's environments open a pygame window and print a banner.
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        # The name of the missing module is a prefix of `name` if that path is wrong; otherwise a dependency is missing.
        if extra := EXTRAS.get(error.name or ""):
            hint = f"pip install '.[{extra}]' in the checkout"
        else:
            hint = _hint(name) if error.name and name.startswith(error.name) else "install the missing package"
        raise ImportError(f"env.name={name!r} cannot be imported ({error}); {hint}") from error
    except FAILURES as error:  # of the module itself, or of a name that no module can have
        raise ValueError(f"env.name={name!r} cannot be imported: {describe(error)}") from error


def _hint(name: str) -> str:
    """Return a hint for a wrong module path: the most similar names in the same package, or an example."""
    package = name.rpartition(".")[0]
    try:
        siblings = [info.name for info in pkgutil.iter_modules(importlib.import_module(package).__path__)]
    except (ImportError, ValueError, AttributeError):
        siblings = []
    near = difflib.get_close_matches(name.rpartition(".")[2], siblings, n=3)
    if near:
        return "did you mean " + " or ".join(f"{package}.{module}" for module in near) + "?"
    return "give a module such as pettingzoo.classic.connect_four_v3 or mpe2.simple_spread_v3, and install its package"
