"""The layout of TensorBoard's tab Custom Scalars: how strong and how robust the agent is, in a few charts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.custom_scalar import metadata
from tensorboard.plugins.custom_scalar.layout_pb2 import (
    Category,
    Chart,
    Layout,
    MarginChartContent,
    MultilineChartContent,
)
from tensorboard.util.tensor_util import make_tensor_proto

from marl_app.metrics.names import curve_name

MODES = ("sampled", "greedy")


def custom_scalars(keys: Collection[str]) -> Summary | None:
    """Return the layout for a run that has these curves; None if it has none of those that are shown.

    Anchors are in the order of `keys`. A chart without curves is left out.
    """
    categories = {"Strength": list(_strength(keys)), "Robustness": list(_robustness(keys))}
    shown = [Category(title=title, chart=charts) for title, charts in categories.items() if charts]
    if not shown:
        return None
    # TensorBoard reads the layout as a serialized message inside of a summary with a reserved tag.
    layout = make_tensor_proto(Layout(category=shown).SerializeToString())
    about = metadata.create_summary_metadata()
    return Summary(value=[Summary.Value(tag=metadata.CONFIG_SUMMARY_TAG, tensor=layout, metadata=about)])


def _strength(keys: Collection[str]) -> Iterator[Chart]:
    """Yield Elo, and a band for each anchor, for the return of a team, and for solved positions."""
    yield from _lines("Elo: the main agent, and the mean of its pool", keys, "league/elo", "league/elo_pool_mean")
    # The measurements (anchor, mode, score) among the keys, as an ordered set.
    measured = dict.fromkeys(match.groups() for key in keys if (match := re.fullmatch(_MEASURED, key)))
    for anchor, score in dict.fromkeys((anchor, score) for anchor, _, score in measured):
        against = "Return per agent" if score == "agent_return" else f"Score against {anchor}"
        yield _band(
            f"{against}, sampled and greedy actions",
            *(f"evaluation/{anchor}/{mode}/{score}" for mode in MODES if (anchor, mode, score) in measured),
        )
    if _SOLVED in keys:
        yield _band("Share of solved positions in which the move keeps the value", _SOLVED)


def _robustness(keys: Collection[str]) -> Iterator[Chart]:
    """Yield win rates by age, exploitability, and the Elo of several learners."""
    bands = [f"league/win_rate/{band}" for band in ("oldest", "middle", "newest")]
    yield from _lines("Win rate of the main agent by age of the snapshot", keys, *bands)
    both = ("exploitability/agent", "exploitability/meta_strategy")
    yield from _lines("Exploitability (0: no opponent can gain)", keys, *both)
    learners = [key for key in keys if re.fullmatch("learners/[^/]+/elo", key)]
    yield from _lines("Elo of each learner", keys, *learners)


_MEASURED = rf"evaluation/([^/]+)/({'|'.join(MODES)})/(score|agent_return)"
_SOLVED = "evaluation/value_preserving_moves"


def _lines(title: str, keys: Collection[str], *curves: str) -> Iterator[Chart]:
    """Yield a chart of those curves that the run has, if it has any."""
    # TensorBoard reads each tag as a regular expression.
    shown = [f"^{re.escape(curve)}$" for curve in curves if curve in keys]
    if shown:
        yield Chart(title=title, multiline=MultilineChartContent(tag=shown))


def _band(title: str, *curves: str) -> Chart:
    """Return a chart of curves, each with the band between its interval's ends `.../low` and `.../high`."""
    series = []
    for curve in curves:
        # The ends of an interval stand next to the score; those of solved positions are below it.
        ends = curve if curve == _SOLVED else curve.rpartition("/")[0]
        series.append(
            MarginChartContent.Series(value=curve, lower=curve_name(f"{ends}/low"), upper=curve_name(f"{ends}/high"))
        )
    return Chart(title=title, margin=MarginChartContent(series=series))
