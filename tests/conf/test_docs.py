"""docs/config.md and docs/config.schema.json are generated from the schema and conf/."""

import pytest

from marl_app.config import docs
from marl_app.config.tree import groups, options, schema_keys


@pytest.fixture(scope="module")
def page():
    return docs.render()


def test_the_page_has_every_key_and_option(page):
    for key in schema_keys():
        assert f"`{key.path}`" in page or f"### {key.path}\n" in page
    for group in groups():
        assert f"### {group}\n" in page
        assert all(f"**{option}**" in page for option in options(group))


def test_check_tells_stale_from_fresh(page, tmp_path, monkeypatch):
    monkeypatch.setattr(docs, "PATH", tmp_path / "docs" / "config.md")
    monkeypatch.setattr(docs, "SCHEMA_PATH", tmp_path / "docs" / "config.schema.json")
    monkeypatch.setattr(docs, "render", lambda: page)
    monkeypatch.setattr(docs, "render_schema", lambda: "{}")
    assert "stale" in docs.main(["--check"])
    assert docs.main([]) is None
    assert docs.main(["--check"]) is None
    for path in (docs.PATH, docs.SCHEMA_PATH):
        before = path.read_text()
        path.write_text(before + "x")
        assert docs.main(["--check"]) == f"{path.name} is stale: run python -m marl_app.config.docs"
        path.write_text(before)
    assert docs.main(["--chekc"]).startswith("usage")


def test_the_page_in_the_repository_is_fresh(page, monkeypatch):
    monkeypatch.setattr(docs, "render", lambda: page)
    assert docs.main(["--check"]) is None
