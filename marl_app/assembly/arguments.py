"""Checks of a `_target_` leaf before its class is called: what the path names, and the types of the arguments.

OmegaConf checks the keys of the schema, but does not know the arguments of a class. Here the annotations of the class
say what they must be, so that a wrong value is an error that names its key, and not an exception from inside of it.
An annotation that is not understood accepts everything. As in OmegaConf, a number becomes a text where one is expected,
and 2e6 a whole number.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import sys
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from marl_app.config.errors import ConfigError, first_line
from marl_app.config.explain import did_you_mean
from marl_app.config.tree import groups, options


class _Misfit(Exception):
    """A value of another type; the text says what is expected, and `fix` what to give, if that is known."""

    def __init__(self, expected: str, fix: str = "") -> None:
        super().__init__(expected)
        self.fix = fix


def target(key: str, path: str) -> Callable[..., Any]:
    """Return the class or function at the path of a `_target_`. Raises ConfigError, naming the key."""
    name = f"{key}._target_={path}"
    package, _, last = path.rpartition(".")
    try:
        module = importlib.import_module(package)
    except Exception as error:
        raise ConfigError(f"{name}: importing {package} failed: {type(error).__name__}: {first_line(error)}") from error
    found = getattr(module, last, None)
    if found is None:
        raise ConfigError(f"{name}: the module {package} has no {last}.{did_you_mean(last, vars(module))}")
    if not callable(found):
        raise ConfigError(f"{name} is a {type(found).__name__}: give the path of a class, such as package.module.Class")
    made: Callable[..., Any] = found
    return made


def require_kind(key: str, path: str, made: Any, kind: type) -> None:
    """Raise ConfigError unless an object, or the class of one, is of this kind: a protocol, or a base class."""
    abstract = getattr(kind, "__abstractmethods__", None)
    needed = _methods(kind) if getattr(kind, "_is_protocol", False) else sorted(abstract or ())
    if needed:
        missing = [method for method in needed if not callable(getattr(made, method, None))]
        problem = f"it has no {missing[0]}()" if missing else None
    else:
        fits = issubclass(made, kind) if isinstance(made, type) else isinstance(made, kind)
        problem = None if fits else f"it is not derived from {kind.__name__}"
    if problem is not None:
        group = key.partition(".")[0] if key.startswith("callbacks.") else key.replace(".", "/")
        fix = f"choose {group}=...: {', '.join(options(group))}" if group in groups() else "give another class"
        raise ConfigError(f"{key}._target_={path} is no {kind.__name__} ({problem}): {fix}")


def _methods(protocol: type) -> list[str]:
    """Return the names of the methods of a protocol, those of its bases included."""
    bases = [base for base in protocol.__mro__ if getattr(base, "_is_protocol", False)]
    return [name for base in bases for name, value in vars(base).items() if callable(value) and name[0] != "_"]


def checked(key: str, content: Mapping[str, Any], made: Callable[..., Any], given: int = 0) -> dict[str, Any]:
    """Return the content of a leaf with its arguments converted to what the class or function takes.

    given: how many of its first arguments the caller gives. Nested leaves are checked, too. Raises ConfigError, naming
    the key of an argument that is unknown, missing, or of another type.
    """
    arguments = {name: value for name, value in content.items() if not name.startswith("_")}
    special = {name: value for name, value in content.items() if name.startswith("_")}
    try:
        parameters = dict(inspect.signature(made).parameters)
    except (TypeError, ValueError):  # functions written in C may have none
        return dict(content)
    variable = {parameter.kind for parameter in parameters.values()}
    named = {
        name: parameter
        for name, parameter in list(parameters.items())[given:]
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    title = getattr(made, "__name__", type(made).__name__)
    for name in arguments:
        if name not in named and inspect.Parameter.VAR_KEYWORD not in variable:
            raise ConfigError(f"{key}.{name}: {title} has no such argument; it takes {', '.join(named) or 'none'}")
    hints = dict(_hints(made))
    for name, value in arguments.items():
        default = named[name].default if name in named else inspect.Parameter.empty
        # A default is accepted whatever the annotation says. In Python True equals 1.
        if name in hints and not (default is value or (type(default) is type(value) and default == value)):
            arguments[name] = _checked_value(f"{key}.{name}", value, hints[name])
        elif _is_leaf(value):
            arguments[name] = _nested(f"{key}.{name}", value, Any)
    for name, parameter in named.items():
        if parameter.default is parameter.empty and name not in arguments and not content.get("_partial_"):
            raise ConfigError(f"{key}.{name} has no value: give +{key}.{name}=...")
    return {**special, **arguments}


def _checked_value(key: str, value: Any, hint: Any) -> Any:
    try:
        return _fitted(key, value, hint)
    except _Misfit as misfit:
        if value is None:
            raise ConfigError(f"{key}=null is not allowed: give {misfit}") from None
        raise ConfigError(f"{key}={value} is not {misfit}{misfit.fix}") from None


def _is_leaf(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _nested(key: str, content: Mapping[str, Any], hint: Any) -> dict[str, Any]:
    """Return the content of a leaf inside of another one, checked. Its class must be that of the annotation."""
    made = target(key, content["_target_"])
    kinds = [kind for kind in _alternatives(hint) if isinstance(kind, type) and kind.__module__.startswith("marl_app.")]
    if len(kinds) == 1 and isinstance(made, type):
        require_kind(key, content["_target_"], made, kinds[0])
    return checked(key, content, made)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union; of any other type, itself."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _hints(made: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Yield name and type of the arguments whose annotation can be resolved; some types are known to mypy only."""
    if isinstance(made, type) and (dataclasses.is_dataclass(made) or hasattr(made, "_fields")):  # or a NamedTuple
        # Each class of the inheritance has its own module, in which its annotations have a meaning.
        sources = [
            (vars(base).get("__annotations__", {}), vars(sys.modules[base.__module__])) for base in made.__mro__[::-1]
        ]
    else:
        function = made.__init__ if isinstance(made, type) else made  # type: ignore[misc]
        sources = [(getattr(function, "__annotations__", {}), getattr(function, "__globals__", {}))]
    for written, names in sources:
        for name, annotation in written.items():
            try:
                yield name, get_type_hints(types.SimpleNamespace(__annotations__={name: annotation}), names)[name]
            except Exception:  # the annotation is not known at run time
                continue


def _fitted(key: str, value: Any, hint: Any) -> Any:
    """Return the value as the type `hint`. Raises _Misfit if it is of another one, ConfigError for a leaf in it."""
    if _is_leaf(value):
        return _nested(key, value, hint)
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _fitted_to_one_of(key, value, parts)
    if is_typeddict(hint):
        names = hint.__annotations__
        fits = isinstance(value, Mapping) and set(value) == set(names)
        _require(fits, value, f"a mapping of {', '.join(names)}")
        return {name: _checked_value(f"{key}.{name}", value[name], kind) for name, kind in get_type_hints(hint).items()}
    if origin is Literal:
        return _require(value in parts, value, f"one of {', '.join(map(str, parts))}")
    if hint is None or hint is type(None):
        return _require(value is None, value, "null")
    if hint is bool:
        return _require(isinstance(value, bool), value, "true or false")
    if hint in (int, float):
        # In Python True is an int.
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if hint is float:
            return _require(number, value, "a number")
        return int(_require(number and math.isfinite(value) and value % 1 == 0, value, "a whole number"))
    if hint is str:
        return str(_require(isinstance(value, str | int | float), value, "a text"))
    if isinstance(hint, type) and issubclass(hint, Path):
        return _require(isinstance(value, str), value, "a path")
    kind = origin or hint
    if isinstance(kind, type) and kind is not str and issubclass(kind, Mapping):
        _require(isinstance(value, Mapping), value, "a mapping")
        return {name: _checked_value(f"{key}.{name}", item, parts[1] if parts else Any) for name, item in value.items()}
    if isinstance(kind, type) and kind is not object and issubclass(kind, Iterable) and _is_collection(kind):
        return _fitted_list(key, value, kind, parts)
    if isinstance(hint, type) and hint.__module__.startswith("marl_app.") and not getattr(hint, "_is_protocol", False):
        return _require(isinstance(value, hint), value, "a leaf with _target_")
    return value


def _is_collection(kind: type) -> bool:
    """Return whether YAML's lists stand for this type."""
    return kind.__module__ in ("builtins", "collections.abc") and kind is not bytes


_PLURALS: dict[Any, str] = {
    int: "whole numbers",
    float: "numbers",
    str: "texts",
    Mapping: "mappings",
    Sequence: "lists",
}


def _plural(hint: Any) -> str | None:
    """Return what values of a type are called; None for one without a name."""
    if is_typeddict(hint):
        return f"mappings of {', '.join(hint.__annotations__)}"
    return _PLURALS.get(get_origin(hint) or hint)


def _fitted_list(key: str, value: Any, kind: type, parts: tuple[Any, ...]) -> Any:
    # A tuple of three, such as tuple[str, int, float], or any number of the same type.
    fixed = kind is tuple and len(parts) > 0 and parts[-1] is not Ellipsis
    expected = "a list"
    if fixed:
        expected = f"a list of {len(parts)}"
    elif parts and (plural := _plural(parts[0])):
        expected = f"a list of {plural}"
    if not isinstance(value, list | tuple):
        # One value where several are expected: say how to write it, if it is of their type.
        single = not fixed and parts and type(value) is parts[0]
        raise _Misfit(expected, f": give {key}=[{value}]" if single else "")
    _require(not fixed or len(value) == len(parts), value, expected)
    try:
        hints = parts if fixed else [parts[0] if parts else Any] * len(value)
        return [_fitted(f"{key}.{index}", item, hints[index]) for index, item in enumerate(value)]
    except _Misfit:
        raise _Misfit(expected) from None


def _fitted_to_one_of(key: str, value: Any, hints: Collection[Any]) -> Any:
    """Return the value as the first of the types that it fits."""
    # A path is a text; a number is not one.
    hints = [hint for hint in hints if hint is not str or Path not in hints]
    misfits = []
    # First those that the value already has: 1 for `float | int`, "5" for `int | str`.
    for hint in sorted(hints, key=lambda hint: not (isinstance(hint, type) and type(value) is hint)):
        try:
            return _fitted(key, value, hint)
        except _Misfit as misfit:
            misfits.append(misfit)
    raise _Misfit(" or ".join(map(str, misfits)), "".join(misfit.fix for misfit in misfits))


def _require(fits: bool, value: Any, expected: str) -> Any:
    if not fits:
        raise _Misfit(expected)
    return value
