"""Hyperparameters of a run for TensorBoard's tab HParams, and which metrics compare runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import (
    DATA_TYPE_FLOAT64,
    DATA_TYPE_STRING,
    Experiment,
    HParamInfo,
    MetricInfo,
    MetricName,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

from marl_app.metrics.names import find_metric


def compared_metrics(team: bool, anchor: str | None) -> list[str]:
    """Return the four metrics that compare runs: how strong, how hard to exploit, and after how much training.

    team: a cooperative run. anchor: the strongest one that can play the game; None without any.
    """
    if team:
        return [
            "evaluation/team/sampled/agent_return",
            "matches/return",
            "steps/env_steps",
            "throughput/env_steps_per_s",
        ]
    anchored = [f"evaluation/{anchor}/sampled/score"] if anchor else ["league/win_rate/pool"]
    return [*anchored, "exploitability/agent", "league/elo", "steps/env_steps"]


def compared_values(config: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, Any]:
    """Return a run's configuration (dotted keys) as it is compared: the names of options first, and no paths.

    options: group -> option, such as league/matchmaker -> pfsp; they stand for the import paths of classes.
    """
    # Left out: what does not affect training, import paths, for which the options stand, and paths of files.
    kept = {
        key: value
        for key, value in config.items()
        if not key.startswith(_LOCAL) and not key.endswith("_target_") and "/" not in str(value)
    }
    return {**options, **kept}


_LOCAL = ("output_dir", "resume", "run", "init_from", "trust", "task.", "callbacks.", "store.", "cache.")
"""Keys, or their beginnings, that say where a run is and what it writes, and not how it trains."""


def session_summary(values: Mapping[str, Any], start_time_s: float) -> Summary:
    """Return the hyperparameters of one run: numbers stay numbers, all else is text."""
    session = SessionStartInfo(start_time_secs=start_time_s)
    for key, value in values.items():
        plain = _plain(value)
        if isinstance(plain, str):
            session.hparams[key].string_value = plain
        else:
            session.hparams[key].number_value = plain
    # Hyperparameters are stored in the metadata of a summary; its tensor is empty.
    return _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=session))


def experiment_summary(values: Mapping[str, Any], metrics: Sequence[str], chosen: Collection[str]) -> Summary:
    """Return which hyperparameters and metrics the tab shows, those in `chosen` first.

    TensorBoard reads this from one of the runs only: a key that this run lacks is not shown for the others either.
    """
    # A type per key; `differs` puts the chosen ones first.
    infos = [
        HParamInfo(
            name=key,
            type=DATA_TYPE_STRING if isinstance(_plain(value), str) else DATA_TYPE_FLOAT64,
            differs=key in chosen,
        )
        for key, value in values.items()
    ]
    columns = [MetricInfo(name=MetricName(tag=key), description=find_metric(key).sentence) for key in metrics]
    return _summary(
        metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=Experiment(hparam_infos=infos, metric_infos=columns))
    )


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    about = metadata.create_summary_metadata(content)
    return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)])


def _plain(value: Any) -> float | str:
    """Return numbers unchanged and all else as text."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return value if isinstance(value, int | float) else str(value)
