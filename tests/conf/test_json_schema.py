"""docs/config.schema.json accepts every composed configuration and experiment, and refuses what the app refuses."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from omegaconf import OmegaConf

from marl_app.config import docs
from marl_app.config.compose import compose_job
from marl_app.config.tree import options, schema_keys

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(docs.SCHEMA_PATH.read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def problems(validator, content):
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(content)]


CHOICES = [
    [],
    *([f"+experiment={name}"] for name in options("experiment")),
    ["runtime=gpu", "store=object_store", "store.url=s3://bucket/league"],
    ["+league.learners.second={role: league_exploiter, share: 2}", "+league.guests.old=DIR:main@0003"],
]


@pytest.mark.parametrize("overrides", CHOICES, ids=" ".join)
def test_composed_configurations_are_valid(validator, overrides):
    cfg = compose_job(overrides)
    assert problems(validator, OmegaConf.to_container(cfg, resolve=True)) == []
    assert problems(validator, OmegaConf.to_container(cfg)) == []  # with interpolations, as a run records it


class Editor(yaml.SafeLoader):
    """YAML 1.2 as editors read it: 500_000 is a text, which the schema has to accept as a number."""


Editor.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":int", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
NUMBERS = {"int": r"[-+]?[0-9]+$", "float": r"[-+]?([0-9]+\.[0-9]*([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"}
for name, pattern in NUMBERS.items():
    Editor.add_implicit_resolver(f"tag:yaml.org,2002:{name}", re.compile(pattern), list("-+0123456789"))


@pytest.mark.parametrize("group", ["experiment", "debug"])
def test_files_of_the_whole_configuration_are_valid_in_an_editor(validator, group):
    assert yaml.load("[500_000, 5, 1e-4]", Editor) == ["500_000", 5, 1e-4]
    for file in (ROOT / "conf" / group).glob("*.yaml"):
        assert problems(validator, yaml.load(file.read_text(), Editor)) == [], file


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({"agorithm": {}}, "$"),
        ({"stop": {"minute": 1}}, "$.stop"),
        ({"stop": {"minutes": 0}}, "$.stop.minutes"),
        ({"stop": {"minutes": "soon"}}, "$.stop.minutes"),
        ({"seed": 1.5}, "$.seed"),
        ({"seed": None}, "$.seed"),
        ({"algorithm": {"gamma": 1.1}}, "$.algorithm.gamma"),
        ({"policies": {"share": "all"}}, "$.policies.share"),
        ({"evaluation": {"anchors": ["mcts"]}}, "$.evaluation.anchors"),
        ({"league": {"learners": {"main": {"roll": "main_agent"}}}}, "$.league.learners.main"),
        ({"league": {"guests": {"old": 3}}}, "$.league.guests"),
        ({"env": "tic_tac_toe"}, "$.env"),
    ],
)
def test_wrong_keys_and_values_are_found(validator, content, where):
    assert [line.partition(": ")[0] for line in problems(validator, content)] == [where]


def test_every_key_has_its_sentence():
    text = docs.SCHEMA_PATH.read_text()
    for key in schema_keys():
        assert json.dumps(key.field.metadata["help"]) in text, key.path
