"""`resume=DIR` repeats the overrides and values of a recorded run, followed by the overrides given now."""

import pytest
from omegaconf import OmegaConf

from marl_app.config.compose import compose_job, load
from marl_app.config.errors import ConfigError
from marl_app.config.resume import expand


@pytest.fixture
def recorded(tmp_path):
    """A function that writes the `.hydra` directory of a run with these overrides."""

    def make(overrides, edit=None):
        cfg = compose_job(overrides, output_dir="${hydra:runtime.output_dir}")
        cfg = OmegaConf.create(OmegaConf.to_container(cfg))  # without the schema, as in a file
        if edit:
            edit(cfg)
        (tmp_path / ".hydra").mkdir(exist_ok=True)
        OmegaConf.save(cfg, tmp_path / ".hydra" / "config.yaml")
        OmegaConf.save(overrides, tmp_path / ".hydra" / "overrides.yaml")
        return tmp_path

    return make


def resumed(directory, *overrides):
    lines = expand([f"resume={directory}", *overrides], multirun=False)
    return load(lines), lines


def test_without_resume_nothing_changes():
    assert expand(["seed=1", "resume=null"], multirun=False) == ["seed=1", "resume=null"]


def test_new_values_replace_those_of_the_recorded_run(recorded):
    directory = recorded(["+experiment=self_play", "env=tic_tac_toe", "stop.minutes=1", "seed=7"])
    config, lines = resumed(directory, "stop.minutes=60")
    assert (config.name, config.seed, config.stop.minutes) == ("self_play", 7, 60)
    assert config.env["_target_"].endswith("TicTacToe")
    assert config.resume == str(directory)
    assert f"hydra.run.dir='{directory}'" in lines
    assert "hydra.mode=RUN" in lines


def test_groups_can_be_changed(recorded):
    directory = recorded(["+experiment=league", "runtime=local", "runtime.opponent_slots=3"])
    config, lines = resumed(directory, "runtime=gpu")
    assert config.runtime.num_gpus_per_learner == 1
    assert config.runtime.opponent_slots == 3
    assert "runtime=local" not in lines


def test_resuming_twice_keeps_one_override_per_key(recorded):
    directory = recorded(["+experiment=league", "seed=1"])
    _, lines = resumed(directory, "seed=2")
    task_lines = [line for line in lines if not line.startswith("hydra.")]
    recorded(task_lines)
    config, again = resumed(directory, "++seed=3")
    assert config.seed == 3
    assert sorted(line.lstrip("+").split("=")[0] for line in again) == sorted(
        ["experiment", "seed", "resume", "hydra.run.dir", "hydra.mode"]
    )


def test_recorded_values_replace_those_of_a_changed_conf(recorded):
    def as_it_was(cfg):
        cfg.algorithm.num_epochs = 9
        cfg.algorithm.vf_clip_param = 3.5
        cfg.evaluation.anchors = ["random"]
        cfg.env.openings = None
        cfg.model.activation = 'it\'s \\ "odd", {a: 1}'
        cfg.league.matchmaker.rules[0].probability = 0.25
        cfg.policies.mapping = {"adversary_*": "adversary", "*": "good"}
        cfg.algorithm.dropped_since = 1  # a key that was removed

    directory = recorded(["+experiment=league", "league/matchmaker=latest_pfsp"], as_it_was)
    config, _ = resumed(directory, "evaluation.games=20")
    assert (config.algorithm.num_epochs, config.algorithm.vf_clip_param) == (9, 3.5)
    assert config.evaluation.anchors == ["random"] and config.evaluation.games == 20
    assert config.env["openings"] is None
    assert config.model["activation"] == 'it\'s \\ "odd", {a: 1}'
    assert config.league.matchmaker["rules"][0]["probability"] == 0.25
    assert config.league.matchmaker["rules"][1]["matchmaker"]["weighting"] == "squared"
    assert config.policies.mapping == {"adversary_*": "adversary", "*": "good"}
    assert (
        resumed(directory, "algorithm.num_epochs=4")[0].algorithm.num_epochs == 4
    )  # the override given now replaces both


def test_a_leaf_that_was_another_class_loses_the_arguments_of_the_new_one(recorded):
    """As if the default network had changed from an MLP to tables, which have `windows`."""
    mlp = compose_job(["env=connect_four", "model=mlp", "model.hidden=[33]"]).model

    def as_it_was(cfg):
        cfg.model = mlp

    directory = recorded(["+experiment=league", "env=connect_four"], as_it_was)
    config, lines = resumed(directory)
    assert "~model.windows" in lines and config.model == dict(mlp) | {"hidden": [33]}
    recorded([line for line in lines if not line.startswith("hydra.")])
    assert resumed(directory)[0].model == config.model  # resumed once more


def test_keys_that_are_newer_than_a_run_have_no_effect_on_it(recorded):
    """As if the run were of a release without magnets, averages and scaling, which today's option of its game sets."""
    newer = ("magnet", "magnet_coeff", "uniform_kl_coeff", "advantage_filter")

    def as_it_was(cfg):
        for key in newer:
            del cfg.algorithm[key]
        del cfg.league.freeze, cfg.model.scale_observations, cfg.model.image_filters

    directory = recorded(["+experiment=league", "env=leduc_poker", "model=cnn"], as_it_was)
    OmegaConf.save({"hydra": {"runtime": {"choices": {"algorithm": "ppo"}}}}, directory / ".hydra" / "hydra.yaml")
    today, (config, _) = load(["env=leduc_poker"]), resumed(directory)
    assert (today.algorithm.magnet, today.algorithm.uniform_kl_coeff, today.league.freeze) == (
        "snapshot",
        0.03,
        "average",
    )
    assert (config.algorithm.magnet, config.algorithm.uniform_kl_coeff, config.league.freeze) == (
        "none",
        0.0,
        "weights",
    )
    assert (config.model["scale_observations"], config.model["image_filters"]) == (False, None)
    assert config.algorithm.gamma == today.algorithm.gamma == 1.0  # what was recorded stays
    assert resumed(directory, "algorithm.magnet=uniform")[0].algorithm.magnet == "uniform"


def test_what_was_added_can_be_taken_away(recorded):
    directory = recorded(["+experiment=league", "+league.guests.r=random", "+league.learners.spy.role=main_exploiter"])
    config, lines = resumed(directory, "~league.guests.r", "~league.learners.spy")
    assert not config.league.guests and list(config.league.learners) == ["main"]
    assert not [line for line in lines if "guests" in line or "spy" in line]
    # A key that conf/ has, and that an override has changed, is deleted; one that nothing has is still an error.
    directory = recorded(["+experiment=league", "callbacks.alarms.thresholds.cycling.rise=0.5"])
    config, lines = resumed(directory, "~callbacks.alarms.thresholds.cycling")
    assert "cycling" not in config.callbacks["alarms"]["thresholds"] and "~callbacks" in "".join(lines)


def test_an_unchanged_conf_needs_no_extra_overrides(recorded):
    _, lines = resumed(recorded(["+experiment=league"]))
    assert not [line for line in lines if line.startswith("++")]


def test_a_directory_that_was_moved(recorded, tmp_path_factory):
    directory = recorded(["+experiment=league", "resume='/where/it/was'"])
    moved = tmp_path_factory.mktemp("with space") / "run=1"
    directory.rename(moved)
    lines = expand([f"resume='{moved}'"], multirun=False)
    assert load(lines).resume == str(moved)


def test_unreadable_records(recorded):
    directory = recorded(["+experiment=league"])
    (directory / ".hydra" / "config.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="cannot be read"):
        resumed(directory)
    (directory / ".hydra" / "config.yaml").unlink()
    with pytest.raises(ConfigError, match="config.yaml is missing"):
        resumed(directory)


@pytest.mark.timeout(30)  # with every alias a copy is made of what it names
@pytest.mark.parametrize("name", ["config.yaml", "overrides.yaml"])
@pytest.mark.parametrize(
    "content",
    ["a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)), "5", "[[" * 9_999],
    ids=["aliases", "number", "deep"],
)
def test_malformed_records(recorded, name, content):
    directory = recorded(["+experiment=league"])
    (directory / ".hydra" / name).write_text(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        resumed(directory)


def test_a_linked_log_or_record_is_refused(recorded, tmp_path_factory):
    # The run would append to the file, or write its record into the folder, of the user who resumes it.
    directory, mine = recorded(["+experiment=league"]), tmp_path_factory.mktemp("mine")
    (directory / "marl_app.log").symlink_to(mine / "notes")
    with pytest.raises(ConfigError, match=r"marl_app\.log is a link"):
        resumed(directory)
    (directory / "marl_app.log").unlink()
    (directory / ".hydra").rename(mine / "record")
    (directory / ".hydra").symlink_to(mine / "record")
    with pytest.raises(ConfigError, match=r"\.hydra is a link"):
        resumed(directory)
