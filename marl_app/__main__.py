"""The front door: `python -m marl_app +experiment=league`.

Composes the configuration, checks it, and hands it to the task as dataclasses. Imports neither Ray nor torch, so that
`--help`, `--cfg job` and a typo answer at once. A wrong input is a message of one or two lines and exit code 2
(HYDRA_FULL_ERROR=1 shows its traceback); an exception of the run itself keeps its traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig

from marl_app.config.compose import check, compose_job, to_config
from marl_app.config.errors import ConfigError
from marl_app.config.explain import explain
from marl_app.config.register import register
from marl_app.config.resume import expand
from marl_app.config.tree import CONF

register()


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> float:
    """One job: the run's objective, which sweepers compare."""
    try:
        config = to_config(cfg)
        from marl_app.run import run

        return run(config)
    except ConfigError as error:
        # Not raised on: Hydra would print a line of its own, and in a sweep only after the last job.
        fail(error)


def fail(error: Exception) -> NoReturn:
    """Print what is wrong, and end with exit code 2."""
    if _full_errors:
        raise error
    sys.stdout.flush()
    print(f"marl_app: {explain(error)}", file=sys.stderr)
    raise SystemExit(2) from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (python -m marl_app --help shows how to use it)")


def prepare(arguments: list[str]) -> list[str]:
    """The arguments for Hydra: `resume=` replaced by the run's own overrides, and everything checked.

    Raises ConfigError, and Hydra's and OmegaConf's errors.
    """
    parser = get_args_parser()
    parser.__class__ = _Parser
    args = parser.parse_intermixed_args(arguments)
    flags = [argument for argument in arguments if argument not in args.overrides]
    overrides = expand(args.overrides, args.multirun)
    if args.cfg:
        compose_job(overrides)
    elif not (args.help or args.hydra_help or args.info or args.shell_completion or args.config_dir):
        check(overrides, args.multirun)
    return [*flags, *overrides]


_full_errors = os.environ.get("HYDRA_FULL_ERROR") == "1"

if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints errors in its own way and exits with 1
    try:
        sys.argv[1:] = prepare(sys.argv[1:])
    except Exception as error:  # composing has nothing but the user's input to stumble over
        fail(error)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)  # the shell's code for Ctrl-C; the run has saved itself
