"""The command line: `python -m marl_app +experiment=league`, or the console command `marl_app +experiment=league`.

Composes and checks the configuration, and passes it to the task as dataclasses. Imports neither Ray nor torch, so that
`--help`, `--cfg job` and the message for a typo take a second. Wrong input ends with a message of one or two lines and
exit code 2 (HYDRA_FULL_ERROR=1 shows its traceback); an exception of the run keeps its traceback, unless its message
says it all (`RunFailedError`).
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from marl_app import __version__
from marl_app.config.command import command, with_quoted_paths
from marl_app.config.compose import CommandLine, compose_job, to_config
from marl_app.config.env_settings import set_by_env
from marl_app.config.errors import ConfigError, RunFailedError, place
from marl_app.config.explain import explain
from marl_app.config.record import prepare_record
from marl_app.config.register import register
from marl_app.config.resume import expand
from marl_app.config.schema import Config
from marl_app.config.search_path import with_search_path
from marl_app.config.tree import CONF
from marl_app.lasting_stream import LastingStream

# At import, because `hydra.main` composes with the registered schema.
register()


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> float:
    """Run one job and return its objective, which sweepers compare."""
    # Tells an error of the job from one that Hydra meets before it starts the job.
    _started.append(cfg)
    try:
        config = to_config(cfg)
        hydra_config: Any = HydraConfig.instance().cfg
        prepare_record(config, cfg, hydra_config.hydra.overrides.task, hydra_config)
        _announce(config, cfg)
        from marl_app.run import run

        return run(config)
    except ConfigError as error:
        # Not re-raised: Hydra would add a line, and in a sweep print it only after the last job.
        fail(error)
    except RunFailedError as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise  # Hydra goes on with the other runs of the sweep
        fail(error, code=1)


TRAINING = ("marl_app.tasks.train.train", "marl_app.tasks.exploit.Exploit")
"""The tasks that start Ray."""


def _announce(config: Config, cfg: DictConfig) -> None:
    """Say that the next seconds pass with starting Ray, and what the environment's option sets in a new run.

    Note the folder of a sweep for the last line.
    """
    target = config.task.get("_target_")
    if target in TRAINING:
        print("starting Ray ..." if config.runtime.address is None else "joining the Ray cluster ...", flush=True)
        choices, content = HydraConfig.get().runtime.choices, OmegaConf.to_container(cfg)
        assert isinstance(content, dict)
        settings = set_by_env(choices, {str(key): value for key, value in content.items()})
        if config.resume is None and settings:
            print(f"env={choices['env']} also sets {', '.join(settings)}", flush=True)
    if target == TRAINING[0] and HydraConfig.get().mode == RunMode.MULTIRUN:
        _sweeps[:] = [HydraConfig.get().sweep.dir]


def _say_how_to_compare() -> None:
    """Print the command that compares the runs of the sweep that has ended, if it was one."""
    for folder in _sweeps:
        print(f"compare the runs:  {command('task=study', run=folder)}", flush=True)


def fail(error: Exception, code: int = 2) -> NoReturn:
    """Print the explanation of an error, and exit with this code."""
    if _full_errors:
        raise error
    sys.stdout.flush()
    print(f"marl_app: {explain(error)}", file=sys.stderr)
    if isinstance(error, ConfigError) and (where := place(error)):
        print(f"  raised at {where} (HYDRA_FULL_ERROR=1 shows the traceback)", file=sys.stderr)
    raise SystemExit(code) from None


class _Parser(argparse.ArgumentParser):
    """Hydra's parser, with ConfigError instead of argparse's message."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see python -m marl_app --help)")


def prepare(arguments: list[str]) -> list[str]:
    """Return the arguments for Hydra, after checking every job.

    `--config-dir` becomes part of `hydra.searchpath`; for `resume=` the overrides of the recorded run are included.

    Raises ConfigError, and Hydra's and OmegaConf's errors.
    """
    parser = get_args_parser()
    parser.__class__ = _Parser  # Hydra makes the parser: only its class can be replaced
    args = parser.parse_intermixed_args(arguments)
    # What is neither an override nor checked here is passed on to Hydra as it is.
    flags = [argument for argument in arguments if argument not in args.overrides]
    args.overrides = with_quoted_paths(args.overrides, args.multirun)
    for name in ("config_name", "config_path"):
        if getattr(args, name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{flag} is not supported: keep your options in a folder and give --config-dir FOLDER")
    # Help and completion compose nothing.
    if args.help or args.hydra_help or args.info or args.shell_completion:
        return [*flags, *expand(args.overrides, args.multirun)]
    # 1. Complete the overrides: folders of options, then those of the recorded run.
    overrides = expand(with_search_path(args.overrides, args.config_dir), args.multirun)
    # 2. Check them: `--cfg` shows a configuration even if its values are wrong.
    if args.cfg:
        compose_job(overrides)
    else:
        line = CommandLine(overrides, args.multirun)
        line.check()
        overrides += line.named_folders()
    return [*_without_config_dir(flags), *overrides]


def _without_config_dir(flags: list[str]) -> list[str]:
    """Return the flags without `--config-dir=FOLDER`, `--config-dir FOLDER` or `-cd FOLDER`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    return parser.parse_known_args(flags)[1]


_started: list[DictConfig] = []  # jobs that Hydra has started
_sweeps: list[str] = []  # the folder of the sweep that is running
_full_errors = os.environ.get("HYDRA_FULL_ERROR") == "1"


def command_line() -> None:
    """Run `sys.argv`: the entry of `python -m marl_app` and of the console command `marl_app`; without arguments, help.

    The current folder is put on the import path, as `python -m` does, so that a project's classes are found.
    """
    # Replaced before anything is printed.
    sys.stdout, sys.stderr = LastingStream(sys.stdout), LastingStream(sys.stderr)
    sys.argv[1:] = sys.argv[1:] or ["--help"]
    if "--version" in sys.argv[1:]:
        print(f"marl_app {__version__} (Hydra {hydra.__version__})")
        return
    if not sys.flags.safe_path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    os.environ["HYDRA_FULL_ERROR"] = "1"  # otherwise Hydra catches errors, prints them and exits with 1
    try:
        sys.argv[1:] = prepare(sys.argv[1:])
    except Exception as error:  # every exception of composition is about the user's input
        fail(error)
    try:
        main()
        _say_how_to_compare()
    except (ConfigError, RunFailedError) as error:  # of a sweep: its search space, or one of its runs
        fail(error, code=2 if isinstance(error, ConfigError) else 1)
    except OSError as error:
        if _started:
            raise
        # Hydra makes the directory before the job starts.
        problem = f"{error.filename} cannot be made ({error.strerror})"
        fail(ConfigError(f"hydra.run.dir: {problem}: give another directory with hydra.run.dir=DIR"))
    except KeyboardInterrupt as interrupt:
        _say_how_to_compare()
        # The shell's code for the signal, 130 for Ctrl-C; the run has saved its state.
        sys.exit(128 + (interrupt.args[0] if interrupt.args else 2))


if __name__ == "__main__":
    command_line()
