"""Explain errors of Hydra and OmegaConf about wrong input in one or two lines that name the key and the fix.

The facts are in the texts of the error and its chain of causes; the patterns below extract them. A text that matches no
pattern is passed on, shortened to its first line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

from marl_app.config.errors import ConfigError, RunFailedError, first_line
from marl_app.config.tree import ADDED_GROUPS, algorithm_families, all_keys, groups, options, schema_keys


def explain(error: BaseException) -> str:
    """Return the message for the user."""
    if isinstance(error, ConfigError | RunFailedError):
        return str(error)
    # 1. Exceptions of Hydra that have the facts as attributes.
    if override := getattr(error, "override", None):  # OverrideParseException
        key, _, value = str(override).partition("=")
        example = f"{key}='{value}'" if re.fullmatch(r"\w+\(.*\)", value) and "'" not in value else "key='a b'"
        return f'{override}: cannot be read. Write key=value; quote a value that has special characters: "{example}"'
    if missing := getattr(error, "missing_cfg_file", None):
        return _unknown_option(str(missing), getattr(error, "options", None))
    # 2. Of all others the facts are in the texts of the chain of causes.
    chain = [error]
    while (next_cause := chain[-1].__cause__) is not None:
        chain.append(next_cause)
    # The last error of the chain is OmegaConf's, which has the full key.
    for cause in chain:
        for pattern, describe in _PATTERNS:
            if match := re.search(pattern, str(cause), re.DOTALL):
                return describe(str(getattr(chain[-1], "full_key", "") or ""), *match.groups())
    # 3. A text without a pattern: the first lines of the chain, each once.
    return ": ".join(dict.fromkeys(first_line(cause) for cause in chain if str(cause).strip()))


OTHER_NAMES = {
    "learning_rate": "algorithm.lr",
    "discount": "algorithm.gamma",
    "gae_lambda": "algorithm.lambda_",
    "lambda": "algorithm.lambda_",
    "clip_range": "algorithm.clip_param",
    "clip_coef": "algorithm.clip_param",
    "ent_coef": "algorithm.entropy_coeff",
    "vf_coef": "algorithm.vf_loss_coeff",
    "max_grad_norm": "algorithm.grad_clip",
    "n_epochs": "algorithm.num_epochs",
    "batch_size": "algorithm.train_batch_size_per_learner",
    "train_batch_size": "algorithm.train_batch_size_per_learner",
    "num_workers": "runtime.num_env_runners",
    "num_envs": "runtime.num_envs_per_env_runner",
    "total_timesteps": "stop.env_steps",
}
"""Names of other libraries -> ours."""


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return ` Did you mean x?` for the closest candidate, or "" without a close one."""
    close = difflib.get_close_matches(word, sorted(candidates), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def unknown_key(key: str) -> str:
    """Return the message for a key that does not exist."""
    if key.startswith("hydra."):
        return f"{key}: unknown key. Hydra's keys: python -m marl_app --cfg hydra"
    # 1. Keys that exist, but not here: of another algorithm, or to be added with a plus.
    known = set(all_keys())
    options_of = {family: option for option, family in algorithm_families().items()}
    option = next((options_of[k.section] for k in schema_keys() if k.path == key and k.section in options_of), None)
    if option is not None:
        return f"{key}: not a key of the chosen algorithm; algorithm={option} has it"
    if any("<name>" in path and re.fullmatch(path.replace("<name>", r"\w+"), key) for path in known):
        return f"{key}: a key of an entry that does not set it yet is added with a plus: +{key}=..."
    if key in known:  # a mapping without entries
        return f"{key}: new entries of a mapping are added with a plus: +{key}=..."
    parent, _, name = key.rpartition(".")
    if parent.rpartition(".")[2] == "kwargs" and parent in known:  # arguments of an environment that is not ours
        return f"{key}: unknown key. An argument that is not in the configuration is added with a plus: +{key}=..."
    # 2. Keys that do not exist: look for what was meant. Entries of a mapping have the keys of <name>.
    for path in sorted(known):
        mapping = path.partition(".<name>")[0]
        if "<name>" in path and key.startswith(f"{mapping}."):
            known.add(path.replace("<name>", key.removeprefix(f"{mapping}.").partition(".")[0]))
    siblings = {other for other in known if other.rpartition(".")[0] == parent}
    names = sorted(other.rpartition(".")[2] for other in siblings)
    # The best first: the name of another library, a similar key of the same section, the same name in another section.
    candidates = (
        [other for other in (OTHER_NAMES.get(name, ""),) if other in known]
        + [f"{parent}.{close}".lstrip(".") for close in difflib.get_close_matches(name, names, n=1)]
        + sorted(other for other in known if other.endswith(f".{name}"))
        + ([] if siblings and parent else difflib.get_close_matches(key, sorted(known), n=1))
    )
    if candidates:
        return f"{key}: unknown key. Did you mean {candidates[0]}?"
    # Without a section of this name the keys of the top level are listed.
    if not siblings:
        parent, names = "", sorted(other for other in known if "." not in other)
    return f"{key}: unknown key. The keys of {parent or 'the configuration'}: {', '.join(names)}"


def _unknown_option(file: str, found: list[str] | None) -> str:
    group, _, option = file.rpartition("/")
    choices = found or options(group)
    if not choices:
        return f"{file}: no such file in the configuration folder"
    given = f"{'+' if group in ADDED_GROUPS else ''}{group}={option}"
    return f"{given}: unknown option.{did_you_mean(option, choices)}\nOptions: {', '.join(choices)}"


def _no_match(full_key: str, key: str) -> str:
    """Return the message for `key=value` where the configuration has no such key, or no such key of a mapping."""
    # A group of keys that is given as {a: 1} has others; in a mapping users choose the names.
    open_names = any(item.path == key and item.kind == "a mapping" for item in schema_keys())
    open_names = open_names and key.replace(".", "/") not in groups()
    if full_key.startswith(f"{key}.") and not open_names:
        return unknown_key(full_key)
    if key in ADDED_GROUPS:
        return f"{key} is added to the defaults: write +{key}=... with a plus. Options: {', '.join(options(key))}"
    if "/" in key:
        return f"{key}: unknown group.{did_you_mean(key, groups())}\nGroups: {', '.join(groups())}"
    return unknown_key(key)


def _sets_unknown(_: str, group: str, option: str, key: str) -> str:
    """Return the message for an option that sets a key which the chosen algorithm does not have."""
    return f"{group}={option} sets {unknown_key(key)}"


def _exists(_: str, key: str) -> str:
    return f"+{key}: the key already exists: write {key}=... without the plus"


def _twice(_: str, group: str) -> str:
    if group in ADDED_GROUPS:
        return f"+{group} is given twice: choose one of {', '.join(options(group))}"
    return f"+{group}: the group already has a choice: write {group}=... without the plus"


def _several(_: str, override: str) -> str:
    key, _, value = override.partition("=")
    return f"{override}: several values. Add -m for one run with each, or write '{key}=[{value}]' for a list"


def _wrong_type(full_key: str, value: str) -> str:
    hint = ""
    key = next((item for item in schema_keys() if item.path == full_key), None)
    # OmegaConf does not take 2.0 for a whole number.
    if key is not None and key.type is int and re.fullmatch(r"\d+\.0", value):
        hint = f": write {int(float(value)):_}"
    return f"{full_key}={value} is not {key.kind if key else 'of the right type'}{hint}"


def _not_a_mapping(full_key: str, *_: str) -> str:
    if full_key.replace(".", "/") in groups():
        group = full_key.replace(".", "/")
        return f"{full_key} is a group: choose an option with {group}=...: {', '.join(options(group))}"
    key = next((item for item in schema_keys() if item.path == full_key), None)
    names = [item.path for item in schema_keys() if item.path.startswith(f"{full_key}.")]
    return f"{full_key} must be {key.kind if key else 'a mapping'}" + (f": {', '.join(names)}" if names else "")


def _null(full_key: str, *_: str) -> str:
    return f"{full_key}=null is not allowed: give a value (allowed values: python -m marl_app.config.docs --print)"


def _without_others(_: str, entry: str) -> str:
    mapping, _, name = entry.rpartition(".")
    return f"{mapping} has no value: give all of its entries at once, as '+{mapping}={{{name}: ...}}'"


def _missing(full_key: str, *_: str) -> str:
    return f"{full_key} has no value: give {full_key}=..."


# The first pattern that matches counts. Its groups are the arguments of the function, after the full key.
_PATTERNS: list[tuple[str, Callable[..., str]]] = [
    (r"^Could not override '(\S+)'\.", _no_match),
    (r"^In '(\S+)/(\S+?)': ConfigKeyError.*?full_key: (\S+)", _sets_unknown),
    (r"^Could not append to config\. An item is already at '(\S+)'", _exists),
    (r"^Could not delete from config\. '(\S+?)'", lambda _, key: f"~{key}: unknown key, which cannot be deleted"),
    (r"^Multiple values for (\S+)\.", _twice),
    (r"^Ambiguous value for argument '(.*?)'\n", _several),
    (r"^Value '(.*?)' (?:of type|is not a valid)", _wrong_type),
    (r"^field '\S+' is not Optional", _null),
    (r"^Cannot convert '\w+' to string: '(.*?)'\n", _wrong_type),
    (r"^Cannot merge DictConfig with ListConfig.*object_type=list", lambda key: f"{key} must be a list"),
    (r"^Cannot merge DictConfig with|^Cannot assign|^Invalid (?:type|value) assigned", _not_a_mapping),
    (r"[Mm]issing mandatory value", _missing),
    (r"missing \d+ required positional arguments?: '(\w+)'", lambda _, key: f"{key} has no value: give {key}=..."),
    (
        r"^Config group override must be a string|^can only concatenate str",  # group=5, group=[[x]]
        lambda _: (
            f"A group needs an option: write group=option, a name, not null or a number. Groups: {', '.join(groups())}"
        ),
    ),
    (
        r"^\w+ raised while resolving interpolation",
        lambda key: f"~{key}: a key that refers to others by ${{...}} cannot be deleted: give {key}=...",
    ),
    (r"^Recursive interpolation detected", lambda key: f"{key} refers to itself by ${{...}}: give a value"),
    # OmegaConf's answer to an entry of a mapping that is ???.
    (r"^'str' object has no attribute 'get'.*?full_key: (\S+)", _without_others),
    (
        r"^Interpolation key '(.*?)' not found",
        lambda key, name: f"{key}: ${{{name}}} refers to a key that does not exist",
    ),
]
