"""docs/config.md is what the schema and conf/ say."""

from marl_app.config import docs
from marl_app.config.tree import groups, options, schema_keys


def test_every_key_and_option_is_in_it():
    text = docs.render()
    for key in schema_keys():
        assert f"`{key.path}`" in text or f"### {key.path}\n" in text
    for group in groups():
        assert f"### {group}\n" in text
        assert all(f"**{option}**" in text for option in options(group))


def test_check_tells_stale_from_fresh(tmp_path, monkeypatch):
    monkeypatch.setattr(docs, "PATH", tmp_path / "docs" / "config.md")
    assert "stale" in docs.main(["--check"])
    assert docs.main([]) is None
    assert docs.main(["--check"]) is None
    docs.PATH.write_text(docs.PATH.read_text() + "x")
    assert "stale" in docs.main(["--check"])
    assert docs.main(["--chekc"]).startswith("usage")


def test_the_page_in_the_repository_is_fresh():
    assert docs.main(["--check"]) is None
