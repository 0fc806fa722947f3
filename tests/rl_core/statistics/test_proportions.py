"""A share's interval is Wilson's."""

import pytest
from scipy.stats import binomtest

from rl_core.statistics.proportions import wilson_interval


@pytest.mark.parametrize(("right", "count"), [(0, 10), (3, 10), (10, 10), (170, 400)])
def test_it_is_the_interval_of_another_implementation(right: int, count: int) -> None:
    expected = binomtest(right, count).proportion_ci(method="wilson")

    assert wilson_interval(right / count, count) == pytest.approx((expected.low, expected.high))


def test_cases_that_are_worth_less_than_one_widen_it() -> None:
    low, high = wilson_interval(0.5, 2.5)

    assert low < wilson_interval(0.5, 3)[0] and high > wilson_interval(0.5, 3)[1]
