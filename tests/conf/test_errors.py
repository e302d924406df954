"""Every wrong input gives an error of one or two lines that name the key and the fix.

The table runs in this process; test_front_door.py runs a few of its lines in a new process, as users do.
"""

from pathlib import Path

import pytest

from marl_app.__main__ import prepare
from marl_app.assembly.instantiate import config_errors, env_factory
from marl_app.config.errors import ConfigError, place
from marl_app.config.explain import explain

CONF = Path(__file__).resolve().parents[2] / "conf"


def options(group):
    """The options of a group, as messages list them."""
    return ", ".join(sorted(file.stem for file in (CONF / group).glob("*.yaml")))


BAD = [  # (command line, part of the message)
    # Unknown keys.
    ("algorithm.lrr=1", "algorithm.lrr: unknown key. Did you mean algorithm.lr?"),
    ("algoritm.lr=1", "Did you mean algorithm.lr?"),
    ("minibatch_size=64", "Did you mean algorithm.minibatch_size?"),
    ("stop.steps=5", "Did you mean stop.env_steps?"),
    ("algorithm.learning_rate=1", "Did you mean algorithm.lr?"),
    ("algorithm.ent_coef=1", "Did you mean algorithm.entropy_coeff?"),
    ("total_timesteps=1", "Did you mean stop.env_steps?"),
    ("algorithm.xyzzy=1", "The keys of algorithm: "),
    ("sweep.objective=mcts_7", "sweep.objective=mcts_7 is not evaluated: add it to evaluation.anchors="),
    ("sweep.objective=speed", "sweep.objective=speed is not allowed"),
    (f"seed={2**32}", "seed=4294967296 is not allowed: give a value >= 0 and <= 4294967295"),
    ("foo=bar", "foo: unknown key. The keys of the configuration: algorithm,"),
    ("+algorithm.foo=1", "algorithm.foo: unknown key."),
    ("+foo=1", "foo: unknown key."),
    ("env.opening.low=2", "Did you mean env.openings"),
    ("model.hiden=[64]", "Did you mean model.hidden?"),
    ("hydra.foo=1", "hydra.foo: unknown key."),
    ("~foo", "~foo: unknown key, which cannot be deleted"),
    ("env=pursuit env.kwargs.agents=3", "added with a plus: +env.kwargs.agents=..."),
    ("runtime.num_envs_per_env_runner=3_000_000", "has no step of all 3,000,000 matches: give at most"),
    ("league/matchmaker=fixed", "league.matchmaker.probabilities has no value"),
    ("task=evaluate", "run=null: give the directory of a run, such as run=runs/league/<time>"),
    ("task=study", "run=null: give the directory of a sweep, such as run=runs/sweeps/<time>"),
    ("task=evaluate run=/nowhere", "run=/nowhere: there is no such directory: give the directory of a run"),
    ("policies.mapping={player_0: main}", "added with a plus: +policies.mapping=..."),
    # Unknown groups and options, and choices in the wrong form.
    ("env=conect_four", f"Did you mean connect_four?\nOptions: {options('env')}"),
    ("+experiment=leage", f"Did you mean league?\nOptions: {options('experiment')}"),
    ("league/matchmaker=pfspp", f"Did you mean pfsp?\nOptions: {options('league/matchmaker')}"),
    ("league/matchmakr=pfsp", "Did you mean league/matchmaker?"),
    ("callbacks=[metrics,foo]", "callbacks=foo: unknown option."),
    ("hydra/launcher=foo", "hydra/launcher=foo: unknown option."),
    (
        "experiment=league",
        f"+experiment=... with a plus. Options: {options('experiment')}",
    ),
    ("+experiment=league +experiment=self_play", "+experiment is given twice"),
    ("+model=cnn", "write model=... without the plus"),
    ("league.matchmaker=pfsp", f"choose an option with league/matchmaker=...: {options('league/matchmaker')}"),
    ("league=null", "write group=option, a name, not null or a number"),
    ("callbacks=5", "A group needs an option"),
    ("seed=${seed}", "seed refers to itself by ${...}: give a value"),
    (
        "+experiment=league policies=custom +policies.mapping.x=y",
        "give all of its entries at once, as '+policies.mapping={x: ...}'",
    ),
    ("~env", "env has no value: give env=..."),
    # Values of the wrong type.
    ("algorithm.lr=abc", "algorithm.lr=abc is not a number"),
    ("algorithm.lr=[1]", "algorithm.lr=[1] is not a schedule: give [[0, value], [env step, value], ...]"),
    ("algorithm.lr=null", "algorithm.lr=null is not allowed"),
    ("seed=1.5", "seed=1.5 is not a whole number"),
    ("stop.env_steps=3e5", "stop.env_steps=300000.0 is not a whole number: write 300_000"),
    ("runtime.pipeline=maybe", "runtime.pipeline=maybe is not true or false"),
    ("evaluation.anchors=random", "evaluation.anchors must be a list"),
    ("policies.mapping=5", "policies.mapping must be a mapping"),
    ("model.hidden={a:1}", "model.hidden must be a list"),
    ("model={hiden:1}", "model.hiden: unknown key. Did you mean model.hidden?"),
    ("stop=[1]", "stop must be a group of keys: stop.env_steps,"),
    ("stop={steps:1}", "stop.steps: unknown key. Did you mean stop.env_steps?"),
    (
        "+experiment=self_play league.learners.main={rol:x}",
        "league.learners.main.rol: unknown key. Did you mean league.learners.main.role?",
    ),
    ("name=[x]", "name=['x'] is not a string"),
    ("algorithm=[[1]]", "A group needs an option"),
    ("~store.path", "~store.path: a key that refers to others by ${...} cannot be deleted: give store.path=..."),
    ("stop=5", "stop must be a group of keys: stop.env_steps,"),
    ("seed=", "seed= is not a whole number"),
    ("seed=${foo}", "seed: ${foo} refers to a key that does not exist"),
    # Values out of bounds, and combinations that cannot work.
    ("seed=-1", "seed=-1 is not allowed: give a value >= 0"),
    ("algorithm.gamma=2", "algorithm.gamma=2.0 is not allowed: give a value >= 0 and <= 1"),
    ("algorithm.grad_clip_by=foo", "give one of value, norm, global_norm"),
    ("name=../elsewhere", "name=../elsewhere is not allowed"),
    ("runtime.num_env_runners=100000", "or fewer"),
    (
        "+experiment=qmix env=two_step runtime.num_learners=2",
        "runtime.num_learners=2: this algorithm trains in 1 process: give runtime.num_learners=1 or 0",
    ),
    ("algorithm.minibatch_size=100000", "give a minibatch that is not larger than the batch"),
    ("algorithm.train_batch_size_per_learner=5000", "give 5120"),
    ("env._target_=null", "env._target_=None: give the path of a class"),
    ("~env._target_", "env._target_ is missing: give the path of a class"),
    (
        "env._target_=marl_app.envs.nope.Nope",
        "env._target_=marl_app.envs.nope.Nope: the module marl_app.envs.nope does not exist",
    ),
    ("env._target_=nope.nope.Nope", "the module nope.nope does not exist"),
    ("env.openings._target_=nope", "env.openings._target_=nope: give the path of a class"),
    ("env=openspiel", "env.game has no value: give env.game=..."),
    ("env=pettingzoo", "env.name has no value: give env.name=..."),
    ("league.pool_limit=0", "league.pool_limit=0 is not allowed: give a value >= 1"),
    ("league/meta=nahs", f"Did you mean nash?\nOptions: {options('league/meta')}"),
    ("league.meta=nash", f"choose an option with league/meta=...: {options('league/meta')}"),
    ("algorithm.critic=global", "algorithm.critic=global is not allowed: give one of local, state, agent_state"),
    ("algorithm.huber_delta=0", "algorithm.huber_delta=0.0 is not allowed: give a value > 0"),
    ("policies.share=all", "policies.share=all is not allowed: give one of spaces, role, none"),
    ("policies=custom", "policies.mapping has no value: give policies.mapping=..."),
    ("policies=per_rol", "Did you mean per_role?\nOptions: custom, independent, per_role, shared"),
    ("model=rnn", f"Options: {options('model')}"),
    ("+league.guests.main=random", "league.guests.main has the name of a learner: give another name"),
    ("+league.guests.Bot=random", "league.guests.Bot is not allowed: give a name that matches"),
    # Keys that the chosen algorithm does not have.
    ("algorithm.tau=1", "algorithm.tau: not a key of the chosen algorithm; algorithm=qmix has it"),
    ("+experiment=qmix algorithm.clip_param=1", "algorithm=ppo has it"),
    ("+experiment=qmix env=circle", "env=circle sets algorithm.entropy_coeff: not a key of the chosen algorithm"),
    ("algorithm.entropy_coeff=[[0,-1]]", "growing steps and values >= 0"),
    ("algorithm.entropy_coeff=much", "algorithm.entropy_coeff=much is not a number"),
    ("+experiment=qmix algorithm.epsilon=[[1,2]]", "give [[0, value], [env step, value], ...]"),
    ("+experiment=qmix algorithm.replay_capacity=100", "give at least 6400"),
    # Command lines that cannot be parsed.
    ("seed", "seed: cannot be read. Write key=value"),
    ("a=b=c", "a=b=c: cannot be read."),
    ("seed=[1,2", "seed=[1,2: cannot be read."),
    ("env.game=go(board_size=9)", "quote a value that has special characters: \"env.game='go(board_size=9)'\""),
    ("league.learners.main.share=3", "is added with a plus: +league.learners.main.share=..."),
    ("+seed=1", "+seed: the key already exists: write seed=... without the plus"),
    ("seed=1,2", "Add -m for one run with each"),
    ("--foo", "unrecognized arguments: --foo"),
    ("--cfg everything", "invalid choice"),
    # Sweeps are checked before their first job starts.
    ("-m seed=1,-2", "seed=-2 is not allowed"),
    ("-m league/matchmaker=latest,pfspp", "Did you mean pfsp?"),
    ("-m +experiment=league,leage", "Did you mean league?"),
    # Resuming.
    ("resume=/nonexistent", "resume=/nonexistent: no such directory"),
    ("resume=conf", "not the directory of a run"),
    ("-m resume=conf", "leave out -m"),
    ("resume=a,b", "resume='a,b': no such directory"),  # a comma belongs to the name
    ("-m resume=a,b", "a resumed run is one run: leave out -m and give one directory"),
    ("-m task=exploit run=a,b", "task=exploit starts from one run: give one directory"),
    ("task=exploit run=/nonexistent", "run=/nonexistent: no such directory"),
]


def message(arguments):
    """The message for a command line, which must be refused."""
    with pytest.raises(Exception) as caught:
        prepare(arguments)
    return explain(caught.value)


@pytest.mark.parametrize(("line", "expected"), BAD, ids=[line for line, _ in BAD])
def test_message(line, expected):
    has_several_arguments = line.startswith(("-", "+experiment=", "task=", "env=pursuit "))
    text = message(line.split(" ") if has_several_arguments else [line])
    assert expected in text
    assert 1 <= len(text.splitlines()) <= 2
    assert "full_key" not in text and "Traceback" not in text


def test_a_text_that_hydra_does_not_print_is_no_existing_key():
    # Hydra names the key of its error: "Could not append to config. An item is already at 'seed'."
    assert explain(ValueError("Could not append to your configuration")) == "Could not append to your configuration"


def test_an_error_that_matches_no_pattern_is_passed_on_in_one_line():
    inner = ValueError("inner\nsecond line")
    outer = RuntimeError("outer")
    outer.__cause__ = inner
    assert explain(outer) == "outer: inner"


def test_the_place_of_a_cause_is_that_of_the_users_code(tmp_path, monkeypatch):
    (tmp_path / "broken_game.py").write_text(
        "import json\nclass Env:\n    reset = acting = observe = action_mask = step = scores = print\n"
        "class Raises(Env):\n    def __init__(self, num_matches):\n        self.table = {}[num_matches]\n"
        "class Calls(Env):\n    def __init__(self, num_matches):\n        json.loads('{')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name, line in (("Raises", 6), ("Calls", 9)):
        with pytest.raises(ConfigError) as raised, config_errors("env"):
            env_factory({"_target_": f"broken_game.{name}"})(1)
        assert place(raised.value) == f"{tmp_path}/broken_game.py:{line} in __init__"
    # Errors of our own checks, and of what our code calls of Python, have no place that helps.
    for wrong in ({"_target_": "marl_app.envs.circle.Circle", "num_strategies": -1}, {"_target_": "no_such.Game"}):
        with pytest.raises(ConfigError) as raised, config_errors("env"):
            env_factory(wrong)(1)
        assert place(raised.value) is None
