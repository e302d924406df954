"""A user's own multi-agent PPOConfig, upgraded to batched env runners, a pool of snapshots and a matchmaker.

    from marl_app.rllib import league

    config = league.upgrade(config, {"league/matchmaker": "uniform"})  # a LeaguePPOConfig: build_algo(), Tuner, ...

What the script sets is kept, and so are RLlib's defaults of PPO; everything else gets marl_app's value. What has no
meaning here is refused in one line that names it. See docs/rllib.md.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.env_context import EnvContext
from ray.rllib.examples.rl_modules.classes.random_rlm import RandomRLModule

from marl_app.config.errors import ConfigError
from marl_app.envs.multi_agent_adapter import MultiAgent
from marl_app.rllib.ppo.algorithm import LeaguePPOConfig
from marl_app.rllib.training.tunable_config import USED_BY_RLLIB

MOST_MATCHES = 64
"""Matches that an env runner steps together, unless the script says how many: its environments are slow ones."""
# Attributes that are translated by the functions below, or belong to the configuration object: never copied.
TRANSLATED = {
    *("algo_class", "_is_frozen", "env", "env_config", "policies", "policy_mapping_fn", "policies_to_train"),
    *("_rl_module_spec", "_model_config", "model", "num_envs_per_env_runner", "rollout_fragment_length"),
    "train_batch_size",
}
# RLlib's `fcnet_activation` -> `model.activation`.
ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "silu": "silu", "swish": "silu"}


def upgrade(
    config: PPOConfig,
    keys: Mapping[str, Any] | None = None,
    *,
    sides: Sequence[Sequence[str]] | None = None,
    run_dir: str | None = None,
) -> LeaguePPOConfig:
    """Return a LeaguePPOConfig that trains the one trained policy of a multi-agent PPOConfig in a league.

    keys: of docs/config.md, as in `LeaguePPOConfig.league`. sides: the agents of each side, such as
    `[["red_*"], ["blue_*"]]`; None: each agent is a side. Raises ConfigError, naming the setting, for what has no
    meaning in a league.
    """
    if not isinstance(config, PPOConfig) or isinstance(config, LeaguePPOConfig):
        raise ConfigError(f"{type(config).__name__}: give a PPOConfig of RLlib")
    # 1. Refuse what has no meaning here. RLlib keeps some settings in attributes with a leading underscore.
    result = LeaguePPOConfig()
    changed = _changed(config)
    known = {*result.keys_of_rllib, *USED_BY_RLLIB}
    if refused := sorted(name.lstrip("_") for name in changed if name.lstrip("_") not in known | _names(TRANSLATED)):
        raise ConfigError(f"{', '.join(refused)}: settings of RLlib without a meaning in a league: leave them out")

    # 2. Copy settings of the same meaning, those of PPO also where they are RLlib's defaults: the learning
    #    rate fits its numbers of epochs and minibatches. `TunableConfig.__setattr__` records that they were given.
    of_ppo = {name: getattr(config, name) for name, key in result.keys_of_rllib.items() if key.startswith("algorithm.")}
    for name, value in {**of_ppo, **changed}.items():
        if name.lstrip("_") in known and name not in TRANSLATED:
            setattr(result, name.lstrip("_"), value)

    # 3. Translate the environment, the policies and their network.
    result.environment(functools.partial(MultiAgent, make=_make_env(config), sides=sides))
    guests, spec = _players(config)
    result.league({"+league.guests": guests} if guests else {})
    result.league(_network(spec, config))

    # 4. Fit the sizes of batches. The keys come last, so that they override what is derived from the script.
    _fit_matches(config, result, changed)
    return result.league(keys, run_dir=run_dir)


def _names(attributes: set[str]) -> set[str]:
    return {name.lstrip("_") for name in attributes}


def _changed(config: AlgorithmConfig) -> dict[str, Any]:
    """Return the settings that differ from those of a new PPOConfig."""
    fresh = vars(type(config)())
    return {name: value for name, value in vars(config).items() if value != fresh.get(name)}


def _make_env(config: PPOConfig) -> Any:
    """Return a picklable function that makes the script's environment."""
    if config.env is None:
        raise ConfigError("env is missing: give the config .environment(...) before league.upgrade")
    # RLlib's own look-up: `env` may be a class, a registered name or an import path.
    _, creator = Algorithm._get_env_id_and_creator(config.env, config)
    return functools.partial(creator, EnvContext(config.env_config, worker_index=0))


def _players(config: PPOConfig) -> tuple[dict[str, str], RLModuleSpec | None]:
    """Return the guests of the pool by name, and the spec of the one policy that is trained."""
    trained = config.policies_to_train
    if trained is not None and not isinstance(trained, list | tuple | set):
        raise ConfigError("policies_to_train: give a list of one policy: a league trains whole policies")
    names = sorted(config.policies if trained is None else trained)
    if len(names) != 1:
        raise ConfigError(
            f"policies_to_train: several trained policies ({', '.join(names)}): train one, and add learners with "
            'keys {"+league.learners.NAME": {"role": "main_agent"}}'
        )
    # Policies that are not trained become fixed opponents. Of these only RLlib's random one has a counterpart here.
    specs = _specs(config)
    guests = {}
    for name in sorted(set(config.policies) - set(names)):
        made = specs[name].module_class if name in specs else None
        if made is None or not issubclass(made, RandomRLModule):
            raise ConfigError(
                f"policies: {name} is not trained, and only a RandomRLModule can be a guest: leave it out"
            )
        guests[name] = "random"
    # Without specs by policy, the spec of the whole configuration holds for every policy.
    found = specs.get(names[0], config._rl_module_spec)
    return guests, found if isinstance(found, RLModuleSpec) else None


def _specs(config: PPOConfig) -> dict[str, RLModuleSpec]:
    """Return the specs by policy, where the script has them."""
    spec = config._rl_module_spec
    if not isinstance(spec, MultiRLModuleSpec):
        return {}
    if isinstance(spec.rl_module_specs, RLModuleSpec):
        return dict.fromkeys(config.policies, spec.rl_module_specs)
    return dict(spec.rl_module_specs)


def _network(spec: RLModuleSpec | None, config: PPOConfig) -> dict[str, Any]:
    """Return the keys of the network: the script's own RLModule, or the perceptron that its model_config describes."""
    given = (spec.model_config if spec is not None else None) or config._model_config
    made = None if spec is None else spec.module_class
    # A module class of the user is passed on by its import path, which every process of the run imports.
    if made is not None and made is not DefaultPPOTorchRLModule:
        if made.__module__ == "__main__" or "<locals>" in made.__qualname__:
            raise ConfigError(
                f"rl_module: {made.__name__} is in the script: move it to a module that others can import"
            )
        settings = dataclasses.asdict(given) if isinstance(given, DefaultModelConfig) else dict(given or {})
        leaf = {
            "_target_": "marl_app.rllib.rl_module.FromRLModule",
            "rl_module": f"{made.__module__}.{made.__qualname__}",
            "settings": settings,
        }
        return {"model": leaf}

    # RLlib's default network: translated if it is a perceptron; other settings have no equivalent in model=mlp.
    if not given:
        return {}
    if not isinstance(given, DefaultModelConfig):
        given = DefaultModelConfig(**{"vf_share_layers": False, **given})  # PPO's default in a dictionary
    fresh, used = DefaultModelConfig(), ("fcnet_hiddens", "fcnet_activation", "vf_share_layers")
    names = [item.name for item in dataclasses.fields(given)]
    if other := [name for name in names if name not in used and getattr(given, name) != getattr(fresh, name)]:
        raise ConfigError(f"model_config: {', '.join(other)}: choose a network with the keys model=cnn, gru or lstm")
    if given.fcnet_activation not in ACTIVATIONS:
        raise ConfigError(f"model_config: fcnet_activation={given.fcnet_activation}: give {', '.join(ACTIVATIONS)}")
    return {
        "model": "mlp",
        "model.hidden": list(given.fcnet_hiddens),
        "model.activation": ACTIVATIONS[given.fcnet_activation],
        "model.vf_share_layers": bool(given.vf_share_layers),
    }


def _fit_matches(config: PPOConfig, result: LeaguePPOConfig, changed: Mapping[str, Any]) -> None:
    """Set the matches that an env runner steps together: the largest number that divides its part of the batch."""
    runners = max(1, config.num_env_runners)
    batch = config.train_batch_size_per_learner
    if batch % runners:
        raise ConfigError(f"train_batch_size_per_learner={batch}: give a multiple of num_env_runners={runners}")
    most = config.num_envs_per_env_runner if config.num_envs_per_env_runner > 1 else MOST_MATCHES
    part = batch // runners
    # Every match of a fragment has the same number of steps, so the matches must divide the env runner's env steps.
    matches = next(number for number in range(min(most, part), 0, -1) if part % number == 0)
    result.env_runners(num_env_runners=config.num_env_runners, num_envs_per_env_runner=matches)
    result.training(train_batch_size_per_learner=batch)
    # RLlib's default minibatch may be larger than a small batch of the script.
    if "minibatch_size" not in changed:
        result.training(minibatch_size=min(config.minibatch_size or batch, batch))
