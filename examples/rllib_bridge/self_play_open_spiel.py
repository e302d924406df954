"""RLlib's example of self-play on an OpenSpiel game, as a league: the lines marked with + replace its callback.

    python self_play_open_spiel.py --game connect_four --iterations 20
    python self_play_open_spiel.py --game connect_four --iterations 2 --original      # RLlib's env runners, no pool

As in RLlib's `self_play_with_open_spiel.py`, a policy `main` first plays a random one, and is frozen when it wins 95 %
of its matches; from then on it plays all frozen copies with the same probability.
"""

import argparse
import functools
import time

import pyspiel
import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.wrappers.open_spiel import OpenSpielEnv
from ray.rllib.examples.rl_modules.classes.random_rlm import RandomRLModule
from ray.tune.registry import register_env

from marl_app.rllib import league  # +

LIKE_THE_EXAMPLE = {  # +
    **{"league/matchmaker": "uniform", "league/schedule": "win_rate", "league.schedule.threshold": 0.95},  # +
}  # +


def make_env(game, _):
    """Return RLlib's environment of a game of OpenSpiel."""
    return OpenSpielEnv(pyspiel.load_game(game))


def original(game, num_env_runners):
    """Return a PPOConfig as in RLlib's example, without its callback."""
    register_env("open_spiel_env", functools.partial(make_env, game))
    return (
        PPOConfig()
        .environment("open_spiel_env")
        .env_runners(num_env_runners=num_env_runners)
        .multi_agent(
            policies={"main", "random"},
            policy_mapping_fn=lambda agent, episode, **_: "main" if hash(episode.id_) % 2 == agent else "random",
            policies_to_train=["main"],
        )
        .rl_module(
            model_config=DefaultModelConfig(fcnet_hiddens=[512, 512]),
            rl_module_spec=MultiRLModuleSpec(
                rl_module_specs={"main": RLModuleSpec(), "random": RLModuleSpec(module_class=RandomRLModule)}
            ),
        )
        .training(num_epochs=20)
    )


def main(arguments=None):
    """Train, and print a line per iteration. Return RLlib's last result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="connect_four")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--num-env-runners", type=int, default=1)
    parser.add_argument("--original", action="store_true", help="train as RLlib does, for comparison")
    parser.add_argument("--run-dir", default=None)
    args = parser.parse_args(arguments)
    config = original(args.game, args.num_env_runners)
    if not args.original:
        config = league.upgrade(config, LIKE_THE_EXAMPLE, run_dir=args.run_dir)  # +
    ray.init(ignore_reinit_error=True, include_dashboard=False, logging_level="ERROR")
    algorithm = config.build_algo()
    for _ in range(args.iterations):
        began = time.perf_counter()
        result = algorithm.train()
        seconds = time.perf_counter() - began
        steps = result["env_runners"].get("num_env_steps_sampled", config.train_batch_size_per_learner)
        pool = "" if args.original else f", pool of {result['league']['pool_size']:.0f}"
        print(f"iteration {result['training_iteration']}: {steps / seconds:,.0f} env steps/s{pool}", flush=True)
    if not args.original:
        print(algorithm.evaluate())
    algorithm.stop()
    return result


if __name__ == "__main__":
    main()
