"""Old class paths -> current ones, so that recorded runs and saved players still resolve after a class moved.

Run directories record `_target_` paths, and players written before 0.2.0 record the path of their network's class.
A class that is renamed or moved gets a line here; the old path then works in `resume=`, `run=` and in users' YAML.
"""

from __future__ import annotations

RENAMED: dict[str, str] = {
    "callbacks.alarms.WarnOfAlarms": "marl_app.callbacks.alarms.WarnOfAlarms",
    "callbacks.checkpoint.SaveCheckpoints": "marl_app.callbacks.checkpoint.SaveCheckpoints",
    "callbacks.evaluation.EvaluateAnchors": "marl_app.callbacks.evaluation.EvaluateAnchors",
    "callbacks.exploit.TrainExploiters": "marl_app.callbacks.exploit.TrainExploiters",
    "callbacks.exploitability.MeasureExploitability": "marl_app.callbacks.exploitability.MeasureExploitability",
    "callbacks.freeze.FreezeAndPublish": "marl_app.callbacks.freeze.FreezeAndPublish",
    "callbacks.metrics.LogMetrics": "marl_app.callbacks.metrics.LogMetrics",
    "callbacks.opponents.SampleOpponents": "marl_app.callbacks.opponents.SampleOpponents",
    "callbacks.outcomes.RecordOutcomes": "marl_app.callbacks.outcomes.RecordOutcomes",
    "callbacks.payoffs.MeasurePayoffs": "marl_app.callbacks.payoffs.MeasurePayoffs",
    "callbacks.progress.ShowProgress": "marl_app.callbacks.progress.ShowProgress",
    "envs.batched.Openings": "marl_app.envs.batched.Openings",
    "envs.circle.Circle": "marl_app.envs.circle.Circle",
    "envs.connect_four.ConnectFour": "marl_app.envs.connect_four.ConnectFour",
    "envs.foraging.Foraging": "marl_app.envs.foraging.Foraging",
    "envs.matrix_game.MatrixGame": "marl_app.envs.matrix_game.MatrixGame",
    "envs.openspiel_adapter.OpenSpiel": "marl_app.envs.openspiel_adapter.OpenSpiel",
    "envs.openspiel_tree.OpenSpielTree": "marl_app.envs.openspiel_tree.OpenSpielTree",
    "envs.pettingzoo_adapter.PettingZoo": "marl_app.envs.pettingzoo_adapter.PettingZoo",
    "envs.predator_prey.PredatorPrey": "marl_app.envs.predator_prey.PredatorPrey",
    "envs.repeat_previous.RepeatPrevious": "marl_app.envs.repeat_previous.RepeatPrevious",
    "envs.simple_speaker_listener.SimpleSpeakerListener": "marl_app.envs.simple_speaker_listener.SimpleSpeakerListener",
    "envs.simple_spread.SimpleSpread": "marl_app.envs.simple_spread.SimpleSpread",
    "envs.simple_tag.SimpleTag": "marl_app.envs.simple_tag.SimpleTag",
    "envs.tic_tac_toe.TicTacToe": "marl_app.envs.tic_tac_toe.TicTacToe",
    "envs.two_step.TwoStep": "marl_app.envs.two_step.TwoStep",
    "marl_app.league.meta.uniform.Uniform": "marl_app.league.meta.uniform.UniformMixture",
    "marl_app.league.schedule.AlphaStar": "marl_app.league.schedule.AlphaStarSchedule",
    "marl_app.league.thinning.meta.Meta": "marl_app.league.thinning.meta.MetaThinning",
    "marl_app.rllib.modules.cnn.CNN": "marl_app.players.modules.cnn.CNN",
    "marl_app.rllib.modules.cnn.CNNModule": "marl_app.players.modules.cnn.CNNModule",
    "marl_app.rllib.modules.cnn.ChannelsFirst": "marl_app.players.modules.cnn.ChannelsFirst",
    "marl_app.rllib.modules.mlp.MLP": "marl_app.players.modules.mlp.MLP",
    "marl_app.rllib.modules.mlp.MLPModule": "marl_app.players.modules.mlp.MLPModule",
    "marl_app.rllib.modules.recurrent.Recurrent": "marl_app.players.modules.recurrent.Recurrent",
}
"""Old dotted path of a class -> its path now."""


def current_path(path: str) -> str:
    """Return the path under which a class is found now; paths that were never renamed are returned unchanged."""
    return RENAMED.get(path, path)
