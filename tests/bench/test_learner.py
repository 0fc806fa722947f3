"""What compares settings over worlds: bars to most of the optimum, and the interval of what differs."""

import math

import pytest

from bench.learner import bars_to, compared, interval


def look(bars: int, *shares: float) -> dict[str, object]:
    return {"bars": bars, "shares": list(shares), "seconds": 1.0}


def test_bars_to_a_share_lie_on_a_straight_line_between_two_looks() -> None:
    """From 0.4 (mean of 0.3 and 0.5) after 100 bars to 1.0 after 200, 0.8 is two thirds of the way."""
    looks = [look(100, 0.3, 0.5), look(200, 1.0, 1.0)]

    assert bars_to(looks, 0.0, 0.8) == pytest.approx(100 + 100 * 2 / 3)
    assert bars_to(looks, -0.4, 0.2) == pytest.approx(100 * 0.6 / 0.8)
    assert bars_to(looks, 0.0, 1.1) is None


def test_the_interval_is_student_s_over_worlds() -> None:
    """Of 1, 2, 3: mean 2, deviation 1, t of two degrees of freedom 4.303, over the root of 3."""
    assert interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), abs=1e-3)
    assert math.isnan(interval([1.0])[1])


def test_settings_are_compared_world_by_world_with_the_first() -> None:
    """Differences 0.1 and 0.3 of shares, -10 and -30 of bars."""
    rows = [
        {"name": name, "looks": [look(100, share)], "bars_to_80": bars}
        for world in ((0.5, 0.6, 90.0, 80.0), (0.6, 0.9, 90.0, 60.0))
        for name, share, bars in (("a", world[0], world[2]), ("b", world[1], world[3]))
    ]

    first, second = compared(rows)

    assert first.startswith("b less a after 100 bars: +0.200 (")
    assert second.startswith("b less a, bars to 80 %: -20 (")
    rows[0]["bars_to_80"] = None
    assert "not reached" in compared(rows)[1]
