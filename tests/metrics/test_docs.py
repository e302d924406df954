"""docs/metrics.md is generated from the code and up to date."""

from marl_app.metrics import docs
from marl_app.metrics.metric import ALWAYS, NEVER, NONZERO
from marl_app.metrics.names import METRICS


def test_every_metric_is_documented():
    text = docs.render()
    for metric in METRICS:
        unit = f"{metric.unit}, total" if metric.is_total else metric.unit
        unit += {ALWAYS: "", NONZERO: ", curve once nonzero", NEVER: ", no curve"}[metric.curve]
        assert f"| `{metric.key}` | {metric.sentence} | {unit} |\n" in text


def test_check_passes_after_writing_and_fails_after_an_edit(tmp_path, monkeypatch):
    monkeypatch.setattr(docs, "PATH", tmp_path / "docs" / "metrics.md")
    assert "stale" in docs.main(["--check"])
    assert docs.main([]) is None
    assert docs.main(["--check"]) is None
    docs.PATH.write_text(docs.PATH.read_text() + "\n")
    assert "stale" in docs.main(["--check"])


def test_the_committed_page_is_fresh():
    assert docs.main(["--check"]) is None
