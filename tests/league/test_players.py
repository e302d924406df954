"""Players and their ids convert into each other."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_app.league.players import Player

LINEAGES = st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True)
GENERATIONS = st.none() | st.integers(0, 10**6)


def test_ids() -> None:
    assert Player("main").id == "main"
    assert Player("main").snapshot(3).id == "main@0003"
    assert Player("main", 12345).id == "main@12345"  # four digits at least, not at most


@given(LINEAGES, GENERATIONS)
def test_parse_is_the_inverse_of_id(lineage: str, generation: int | None) -> None:
    player = Player(lineage, generation)
    assert Player.parse(player.id) == player
    assert player.is_snapshot == (generation is not None)


@given(st.text())
def test_parse_accepts_only_what_id_writes(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert Player.parse(text).id == text


@pytest.mark.parametrize(
    "text",
    [
        *["", "@", "main@", "main@3", "main@00003", "main@-001", "main@0003@0003", "main@0003\n"],
        "main@\u0660\u0660\u0660\u0663",  # 0003 in Arabic digits
        *["../x", "a\0b", "a/b", "CON", "Main", "main ", "-main", "1main", "m\u00e4in", "x" * 65],
    ],
)
def test_invalid_ids_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Player.parse(text)


def test_a_negative_generation_is_refused() -> None:
    with pytest.raises(ValueError, match=">= 0"):
        Player("main", -1)


def test_players_sort_by_lineage_then_age_and_the_learner_is_newest() -> None:
    ids = ["b@0000", "a", "a@10000", "a@0002"]  # as text, a@10000 would sort before a@0002
    assert [p.id for p in sorted(map(Player.parse, ids))] == ["a@0002", "a@10000", "a", "b@0000"]
