"""Faster compositions: the tests of this folder compose hundreds of times, at a third of a second each."""

import copy

import pytest
import yaml
from hydra._internal import defaults_list


@pytest.fixture(scope="session", autouse=True)
def interpolation_maps_only_where_needed():
    """For each node of the defaults tree Hydra builds a map that only interpolations in defaults lists read.

    It takes a third of a composition. Nodes that have such an interpolation still get their map.
    """
    build = defaults_list._create_interpolation_map

    def build_if_needed(overrides, defaults, self_added):
        needed = any(default.is_interpolation() for default in defaults)
        return build(overrides, defaults, self_added) if needed else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(defaults_list, "_create_interpolation_map", build_if_needed)
        yield


@pytest.fixture(scope="session", autouse=True)
def yaml_is_parsed_once():
    """Hydra parses every file again for each composition; here equal texts are parsed once, and copied."""
    parse, parsed = yaml.load, {}

    def parse_once(stream, Loader):
        text = stream.read() if hasattr(stream, "read") else stream
        if text not in parsed:
            parsed[text] = parse(text, Loader=Loader)
        return copy.deepcopy(parsed[text])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "load", parse_once)
        yield
