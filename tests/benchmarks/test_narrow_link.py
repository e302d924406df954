"""A store behind a link of limited bandwidth: bytes and times agree with the plan."""

import os
import shutil

import pytest

from benchmarks.narrow_link import main


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("tc") or os.geteuid() != 0, reason="needs ip, tc and root")
def test_no_design_is_faster_than_its_link(capfd):
    main(["--mbit", "100", "task.real_pool=[16]"])
    rows = [line.split(" | ") for line in capfd.readouterr().out.splitlines() if line.startswith("| 8 processes")]
    assert [row[1] for row in rows] == ["a", "b", "c", "d"]
    for _, design, _, needed, planned, measured in rows:
        link, expected, took = (float(cell.split()[0]) for cell in (needed, planned, measured.strip("| ")))
        assert took >= 0.95 * link and link == pytest.approx(expected, rel=0.15), design
        assert design in "cd" or took < 1.2 * link
