"""Checks of a `_target_` leaf before its class is called: what the path names, and the types of the arguments.

OmegaConf checks the keys of the schema, but does not know the arguments of a class. Here the annotations of the class
say what they must be, and pydantic converts them, so that a wrong value is an error that names its key, and not an
exception from inside of the class. An annotation that pydantic does not know, or of a class that YAML cannot write,
accepts everything. As in OmegaConf, a number becomes a text where one is expected, and 2e6 a whole number.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import ConfigDict, TypeAdapter, ValidationError

from marl_app.config.errors import ConfigError, first_line
from marl_app.config.explain import did_you_mean
from marl_app.config.tree import groups, options


def target(key: str, path: str) -> Callable[..., Any]:
    """Return the class or function at the path of a `_target_`. Raises ConfigError, naming the key."""
    name = f"{key}._target_={path}"
    package, _, last = path.rpartition(".")
    try:
        owner, found = _located(path)
    except Exception as error:
        raise ConfigError(f"{name}: importing {package} failed: {type(error).__name__}: {first_line(error)}") from error
    if found is None:
        kind = "module" if isinstance(owner, types.ModuleType) else "class"
        raise ConfigError(f"{name}: the {kind} {package} has no {last}.{did_you_mean(last, dir(owner))}")
    if not callable(found):
        raise ConfigError(f"{name} is a {type(found).__name__}: give the path of a class, such as package.module.Class")
    made: Callable[..., Any] = found
    return made


def _located(path: str) -> tuple[Any, Any]:
    """Return the module or class that a path leads to, and what it has under the last name; None if it has nothing."""
    package, _, last = path.rpartition(".")
    try:
        owner = importlib.import_module(package)
    except ModuleNotFoundError as error:
        # A class is no module: its own path leads to it.
        if error.name != package or (owner := _located(package)[1]) is None:
            raise
    found = getattr(owner, last, None)
    if found is None:
        with suppress(ModuleNotFoundError):  # a module is an attribute of its package once it is imported
            found = importlib.import_module(path)
    return owner, found


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
    """Return an argument, or a part of one, as the type of its annotation."""
    if _is_leaf(value):
        return _nested(key, value, hint)
    if _holds_leaf(value):  # what will be in the place of the leaf has no type yet: check its neighbours one by one
        if isinstance(value, Mapping):
            hints = get_type_hints(hint) if is_typeddict(hint) else dict.fromkeys(value, (*get_args(hint), Any)[-1])
            return {name: _checked_value(f"{key}.{name}", part, hints.get(name, Any)) for name, part in value.items()}
        item = (*get_args(hint), Any)[0]
        return [_checked_value(f"{key}.{index}", part, item) for index, part in enumerate(value)]
    return _converted(key, value, hint)


def _converted(key: str, value: Any, hint: Any) -> Any:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(
            hint, config=ConfigDict(arbitrary_types_allowed=True, coerce_numbers_to_str=True)
        )
    except Exception:  # pydantic does not know the type
        return value
    try:
        converted = adapter.validate_python(value)
        return value if type(value) is int and converted == value else converted  # 1 stays 1, also in messages
    except ValidationError as error:
        problems = error.errors()
    classes = [problem["ctx"]["class"] for problem in problems if problem["type"] == "is_instance_of"]
    if not {"Sequence", "Mapping"}.issuperset(classes):  # such as an array, which YAML has not: the class converts
        return value
    raise ConfigError(
        _message(key, value, problems) + (f": give {key}=[{value}]" if _accepts(adapter, [value]) else "")
    )


def _accepts(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def _message(key: str, value: Any, problems: Sequence[Mapping[str, Any]]) -> str:
    """Return what is wrong with a value: where in it the first of the problems is, and what is expected there."""
    for name in problems[0]["loc"]:
        # Of a union the location names its types, too, which are no keys.
        parts = dict(enumerate(value)) if isinstance(value, list | tuple) else value
        if isinstance(parts, Mapping) and name in parts:
            key, value = f"{key}.{name}", parts[name]
    if problems[0]["type"] == "missing":
        return f"{key}.{problems[0]['loc'][-1]} is missing in {value}"
    expected = [_EXPECTED.get(_kind(problem), "") for problem in problems]
    text: str = problems[0]["msg"].removeprefix("Input ")
    if all(expected):
        text = f"is not {' or '.join(dict.fromkeys(expected))}"
    return f"{key}={'null' if value is None else value} {text}"


_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "path": "a path",
    "list": "a list",
    "tuple": "a list",
    "sequence": "a list",
    "dict": "a mapping",
    "mapping": "a mapping",
}
"""What pydantic expected, in the words of the other messages, by `_kind`."""


def _kind(problem: Mapping[str, Any]) -> str:
    """Return the type that a problem is about, e.g. int of `int_parsing`."""
    name: str = problem["ctx"]["class"] if problem["type"] == "is_instance_of" else problem["type"]
    return name.partition("_")[0].lower()


def _is_leaf(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _holds_leaf(value: Any) -> bool:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return _is_leaf(value) or any(map(_holds_leaf, parts))


def _nested(key: str, content: Mapping[str, Any], hint: Any) -> dict[str, Any]:
    """Return the content of a leaf inside of another one, checked. Its class must be that of the annotation."""
    made = target(key, content["_target_"])
    alternatives = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    kinds = [kind for kind in alternatives if isinstance(kind, type) and kind.__module__.startswith("marl_app.")]
    if len(kinds) == 1 and isinstance(made, type):
        require_kind(key, content["_target_"], made, kinds[0])
    return checked(key, content, made)


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
