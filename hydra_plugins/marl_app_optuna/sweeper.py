"""A sweeper for Hydra: Optuna's TPE (Akiba et al., 2019; Bergstra et al., 2011) maximizes what a run returns.

The plugin hydra-optuna-sweeper requires optuna < 3; this one is for current versions, and for one objective. The study
is a journal file in the sweep's folder: the same command with the same `hydra.sweep.dir` continues it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from marl_app.config.errors import ConfigError, RunFailedError

if TYPE_CHECKING:  # Hydra imports its plugins for every command: optuna is imported when it is used
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

JOURNAL, STUDY, RESULTS = "optuna_journal.log", "marl_app", "optimization_results.yaml"
TAGS = {"log", "int"}


class OptunaSweeper(Sweeper):
    """Runs `n_trials` jobs, `n_jobs` at a time, whose values are drawn from the swept keys; see the option's YAML."""

    def __init__(self, n_trials: int, n_jobs: int, startup_trials: int, seed: int, params: DictConfig) -> None:
        if n_trials < 1 or n_jobs < 1 or startup_trials < 0:
            raise ConfigError(
                f"hydra.sweeper: n_trials={n_trials} and n_jobs={n_jobs} must be >= 1, and "
                f"startup_trials={startup_trials} >= 0"
            )
        self._n_trials, self._n_jobs = n_trials, n_jobs
        self._startup_trials, self._seed = startup_trials, seed
        self._params: dict[str, Any] = {str(name): value for name, value in params.items()}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take over Hydra's objects (called by Hydra)."""
        self._context, self._config = hydra_context, config
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the search (called by Hydra). Raises RunFailedError if no run has returned a number."""
        # 1. Divide the keys into the space that is searched and those that are the same in every job.
        lines = [*(f"{name}={value}" for name, value in self._params.items()), *arguments]
        overrides = OverridesParser.create(config_loader=self._context.config_loader).parse_overrides(lines)
        by_key = {override.get_key_element(): override for override in overrides}  # the later one counts
        space = {key: distribution_of(item) for key, item in by_key.items() if item.is_sweep_override()}
        fixed = [
            f"{key}={item.get_value_element_as_str()}" for key, item in by_key.items() if not item.is_sweep_override()
        ]
        # 2. The study, which continues where an earlier call stopped.
        folder = Path(self._config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self._config, folder / "multirun.yaml")
        study = self._study(folder)
        # 3. Ask for as many trials as run at a time, run them, and tell the study their results.
        while (begun := len(study.trials)) < self._n_trials:
            trials = [study.ask(space) for _ in range(min(self._n_jobs, self._n_trials - begun))]
            jobs = [[*fixed, *(f"{key}={value}" for key, value in trial.params.items())] for trial in trials]
            for trial, result in zip(trials, self._launcher.launch(jobs, initial_job_idx=begun), strict=True):
                tell(study, trial, result)
        self._report(study, folder)

    def _study(self, folder: Path) -> Study:
        """Return the study in the sweep's folder, or a new one; a run that was interrupted counts as failed."""
        import optuna
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            study_name=STUDY,
            storage=optuna.storages.JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
            # constant_liar: a pending trial counts as a bad one, so that parallel trials differ.
            sampler=optuna.samplers.TPESampler(
                seed=self._seed, n_startup_trials=self._startup_trials, constant_liar=self._n_jobs > 1
            ),
            direction="maximize",
            load_if_exists=True,
        )
        if study.trials:
            print(f"the search goes on after {len(study.trials)} of {self._n_trials} runs", flush=True)
        # A trial without an end is of a sweep that was interrupted: its run is not continued.
        for trial in study.trials:
            if not trial.state.is_finished():
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        return study

    def _report(self, study: Study, folder: Path) -> None:
        """Print and write the best values. Raises RunFailedError if there are none."""
        done = [trial for trial in study.trials if trial.value is not None]
        if not done:
            raise RunFailedError(
                f"no run in {folder} has returned a number: see sweep.objective, and the runs' messages"
            )
        best = study.best_trial
        results = {"name": "optuna", "best_evaluated_params": best.params, "best_value": best.value}
        (folder / RESULTS).write_text(OmegaConf.to_yaml(results), encoding="utf-8")
        values = " ".join(f"{key}={value}" for key, value in best.params.items())
        print(f"best of {len(done)} runs, number {best.number}: {best.value:.4g} with {values}", flush=True)


def tell(study: Study, trial: Trial, result: JobReturn) -> None:
    """Tell the study what a run has returned; one that failed, or returned no number, is a failed trial."""
    from optuna.trial import TrialState

    # A failed job has its exception in the place of its value.
    value = result._return_value if result.status == JobStatus.COMPLETED else None
    if isinstance(value, int | float) and not math.isnan(value):
        study.tell(trial, float(value))
        return
    why = "it returned no number (see sweep.objective)" if result.status == JobStatus.COMPLETED else value
    print(f"run {trial.number} of the search failed: {why or result._return_value}", flush=True)
    study.tell(trial, state=TrialState.FAIL)


def distribution_of(override: Override) -> BaseDistribution:
    """Return what a swept key is drawn from.

    `interval(a,b)` is continuous; with `tag(log, ...)` on a logarithmic scale, with `tag(int, ...)` whole numbers.
    `range(a,b,step)` keeps its order; `a,b,c` and `glob(...)` have none.

    Raises ConfigError.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    tags: set[str] = getattr(value, "tags", set())
    if tags - TAGS:
        raise ConfigError(f"{override.input_line}: the tags of a search are log and int, not {', '.join(tags - TAGS)}")
    if isinstance(value, IntervalSweep):
        # 1. An interval: continuous, or whole numbers.
        low, high = value.start, value.end
        assert low is not None and high is not None
        if low > high or ("log" in tags and low <= 0):
            raise ConfigError(f"{override.input_line}: give a lower end below the upper one, and above 0 with tag(log)")
        if "int" in tags or isinstance(low, int):  # int(interval(1,8)) has whole ends
            return IntDistribution(math.ceil(low), math.floor(high), log="log" in tags)
        return FloatDistribution(low, high, log="log" in tags)
    if isinstance(value, RangeSweep) and not value.shuffle:
        # 2. A range of ascending whole numbers keeps its order; any other range is a list of values.
        numbers: Sequence[float] = list(value.range())
        if all(isinstance(number, int) for number in numbers) and len(numbers) > 1 and numbers[0] < numbers[1]:
            return IntDistribution(int(numbers[0]), int(numbers[-1]), step=int(numbers[1] - numbers[0]))
    # 3. All else: values without an order.
    return CategoricalDistribution(list(override.sweep_string_iterator()))
