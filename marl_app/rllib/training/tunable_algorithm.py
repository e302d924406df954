"""RLlib's Algorithm as users' scripts and Tune call it: built from a configuration, saved, restored, evaluated.

Its checkpoints are marl_app's (`training/checkpoint.py`): tensors and JSON in the layout of a run directory, no pickle.
What `train()` returns has the metrics of docs/metrics.md as nested mappings: `result["league"]["elo"]`.
"""

from __future__ import annotations

import importlib
import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self, cast

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES_LIFETIME,
)
from ray.tune.result import DONE

from marl_app.config.errors import ConfigError
from marl_app.metrics.records import Records
from marl_app.rllib.run_spec import RunSpec
from marl_app.rllib.training.checkpoint import CHECKPOINTS, SavedRun, load_alone, save_alone
from marl_app.rllib.training.dispatch import EventDispatcher
from marl_app.rllib.training.sampler import Sampler
from marl_app.rllib.training.tunable_config import ASSEMBLY, TunableConfig
from marl_app.runs.checkpoints import has_checkpoints
from marl_app.runs.lock import RunInUseError, run_lock
from marl_app.runs.state import RunState

INTERRUPTED = "interrupted"
LISTED = ("league/elo", "league/win_rate/pool")
"""Metrics that every result has, as Tune requires of what it compares: NaN while they are undefined."""
VALUE = "value"
"""The key of a metric that is also a prefix of others: `evaluation/value_preserving_moves`."""


class TunableAlgorithm(Algorithm):
    """What RLlib and Tune call of an algorithm, apart from training. `MatchAlgorithm` is its only subclass."""

    config: TunableConfig
    spec: RunSpec
    events: EventDispatcher
    records: Records
    _sampler: Sampler

    def __init__(self, config: Any = None, env: Any = None, *, storage: Any = None, **kwargs: Any) -> None:
        """Build the algorithm, from RLlib's configuration or from Tune's dictionary.

        Raises ConfigError for wrong settings, and for what is missing.
        """
        # 1. Tune gives a dictionary of what was set, RLlib a configuration.
        if not isinstance(config, TunableConfig):
            config = self.get_default_config().update_from_dict(config or {})
        if env is not None:
            config.environment(env)
        self._run_ended, self._lock = False, ExitStack()
        # 2. Compose, check and record the run, unless the task `train` has done so.
        if config.spec is None:
            config = config.with_run(None if storage is None else storage.trial_working_directory)
        if config.asked is not None:  # not for the task `train`, which does this before
            self._lock.enter_context(lock_new(config.spec.run_dir))
        # 3. Build. RLlib's constructor calls `setup`.
        super().__init__(config=config, storage=storage, **kwargs)
        if config.asked is not None:
            self.records.truncate(0)  # what a run left in this directory that died before its first checkpoint

    def _setup_logdir(self) -> None:
        """Use the run's directory; RLlib would make an empty one in ~/ray_results."""
        self._logdir = str(self.config.spec.run_dir)

    def __repr__(self) -> str:
        """As RLlib's, and the name alone before there is a configuration: Ray prints it with an error of `__init__`."""
        return type(self).__name__ if not hasattr(self, "learner_group") else super().__repr__()

    @classmethod
    def default_resource_request(cls, config: Mapping[str, Any]) -> Any:
        """Return what a trial of Tune occupies: as RLlib's, with the values of `conf/` for what is not set."""
        asked = cls.get_default_config().update_from_dict(config)
        values = asked.to_dict()
        return super().default_resource_request({name: values[name] for name in values if name != "league_keys"})

    @classmethod
    def _should_create_evaluation_env_runners(cls, eval_config: Any) -> bool:
        """Return False: callbacks evaluate, in a process of their own."""
        return False

    # Results.

    def share_done(self) -> float | None:
        """Return the share of the run that is over, by the nearest limit; None without any."""
        raise NotImplementedError

    def complete(self, result: dict[str, Any], report: Mapping[str, float], state: RunState) -> None:
        """Add the report of an iteration to RLlib's result, and RLlib's own names of its totals."""
        # Measurements are not made in every iteration: each result repeats the latest, which Tune compares.
        latest = {
            f"evaluation/{anchor}/sampled/{name}": value
            for anchor, facts in state.anchors.items()
            for name, value in facts.items()
            if name != "games"
        } | {f"exploitability/{name}": value for name, value in state.exploitability.items()}
        missing = [*LISTED, *(f"evaluation/{name}/sampled/score" for name in self.spec.settings.evaluation.anchors)]
        # Later values replace earlier ones: NaN, the latest measurement, that of this iteration.
        add_nested(result, dict.fromkeys(missing, math.nan) | latest | dict(report))
        if (done := self.share_done()) is not None and done >= 1:
            result[DONE] = True  # a limit of `stop` is reached: Tune ends the trial
        counters = state.counters
        result[NUM_ENV_STEPS_SAMPLED_LIFETIME] = counters.env_steps
        sampled: dict[str, Any] = {
            NUM_ENV_STEPS_SAMPLED_LIFETIME: counters.env_steps,
            NUM_EPISODES_LIFETIME: counters.matches,
        }
        if "matches/length" in report:
            sampled["episode_len_mean"] = report["matches/length"]
            sampled["module_episode_returns_mean"] = {self.spec.main_learner: report["matches/return"]}
        result.setdefault(ENV_RUNNER_RESULTS, {}).update(sampled)

    # Checkpoints.

    def save_to_path(self, path: str | Path | None = None, **kwargs: Any) -> str:
        """Save the run into a local directory, which then has the layout of a run directory. Return the directory.

        path: None = a new temporary directory. Raises OSError if it cannot be written.
        """
        _refuse("save_to_path", kwargs, allowed=("use_msgpack",))
        directory = Path(tempfile.mkdtemp() if path is None else _local(path))
        self.events.fire("on_checkpoint")
        save_alone(cast(SavedRun, self), directory)
        return str(directory)

    def restore_from_path(self, path: str | Path, **kwargs: Any) -> None:
        """Continue from a directory that `save_to_path` wrote, or from a run directory.

        Raises ConfigError without a whole checkpoint, and ValueError if it holds another model.
        """
        _refuse("restore_from_path", kwargs)
        if self.iteration and self.spec.settings.runtime.pipeline and self.spec.settings.runtime.num_env_runners:
            self._sampler.collect()  # what is being played with the weights that are replaced
        load_alone(cast(SavedRun, self), Path(_local(path)))
        self.records.truncate(self.iteration)

    @classmethod
    def from_checkpoint(
        cls, path: Any, filesystem: Any = None, *, run_dir: str | None = None, trust: bool = False, **kwargs: Any
    ) -> Self:
        """Return a new algorithm that continues from a directory which `save_to_path` wrote, or a checkpoint of Tune.

        config: instead of the recorded keys, as for a class of a script, or `evaluation_interval`, which is no key.
        run_dir: the directory of the new run. trust: see docs/security.md. Raises ConfigError.
        """
        directory = Path(path.to_directory() if hasattr(path, "to_directory") else _local(path))
        config = kwargs.pop("config", None)
        _refuse("from_checkpoint", kwargs | ({} if filesystem is None else {"filesystem": filesystem}))
        if config is None:
            config = importlib.import_module(ASSEMBLY).recorded(directory, cls.get_default_config(), run_dir, trust)
        algorithm = cls(config)
        algorithm.restore_from_path(directory)
        return algorithm

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Refuse: the state of a run is files, see `save_to_path`."""
        raise ConfigError("get_state: the state of a run is files: use save_to_path, or weights.read(learner)")

    def set_state(self, state: Any) -> None:
        """Refuse: see `get_state`."""
        raise ConfigError("set_state: the state of a run is files: use restore_from_path")

    # Evaluation, and the end.

    def evaluate(self, parallel_train_future: Any = None) -> dict[str, Any]:
        """Play the anchors with the weights of now, and wait. Return what callbacks measured, as nested mappings.

        For example `{"random": {"sampled": {"score": 0.9, ...}, "greedy": ...}}`; empty without a callback that
        measures.
        """
        # RLlib's own `evaluate` fires these two events as well, at its beginning and its end.
        for _ in self.events.answers("on_evaluate_start", metrics_logger=self.metrics):
            pass
        found: dict[str, float] = {}
        for answer in self.events.results("on_evaluate"):
            found |= answer.metrics
        self.events.report(found, {})
        nested: dict[str, Any] = {}
        add_nested(nested, found)
        # The names of anchors are at the top level of what is returned.
        measured: dict[str, Any] = {**nested.pop("evaluation", {}), **nested}
        for _ in self.events.answers("on_evaluate_end", metrics_logger=self.metrics, evaluation_metrics=measured):
            pass
        return measured

    def cleanup(self) -> None:
        """End the run (RLlib calls this in `stop`): callbacks close their files and end their processes."""
        # Without `events`, `setup` has failed before there was a run to end.
        if hasattr(self, "events") and not self._run_ended:
            self._run_ended = True
            self.events.fire("on_stop", status=INTERRUPTED)
            self.events.fire("on_run_end", status=INTERRUPTED)
            self.records.flush()
        super().cleanup()
        self._lock.close()


def add_nested(target: dict[str, Any], values: Mapping[str, float]) -> None:
    """Add values named `a/b/c` to nested mappings. A name that is also a section becomes its entry `value`."""
    for name, value in values.items():
        *sections, last = name.split("/")
        place = target
        for section in sections:
            inner = place.get(section)
            if not isinstance(inner, dict):
                inner = place[section] = {} if inner is None else {VALUE: inner}
            place = inner
        if isinstance(place.get(last), dict):
            place[last][VALUE] = value
        else:
            place[last] = value


@contextmanager
def lock_new(run_dir: Path) -> Iterator[None]:
    """Hold the lock of the directory of a new run. Raises ConfigError if another run is there, or was."""
    if has_checkpoints(run_dir / CHECKPOINTS):
        raise ConfigError(f"run_dir={run_dir} holds a run already: give another, and restore_from_path to continue it")
    try:
        with run_lock(run_dir):
            yield
    except RunInUseError as error:
        raise ConfigError(f"run_dir: {error}") from error


def _local(path: str | Path) -> str:
    if "://" in str(path):
        raise ConfigError(f"{path}: give a local directory; Tune copies checkpoints to its storage itself")
    return str(path)


def _refuse(method: str, arguments: Mapping[str, Any], allowed: tuple[str, ...] = ()) -> None:
    if given := sorted(name for name, value in arguments.items() if name not in allowed and value is not None):
        raise ConfigError(f"{method}: {', '.join(given)}: not supported: a run is saved and restored as a whole")
