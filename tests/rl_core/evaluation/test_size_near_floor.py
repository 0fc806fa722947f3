"""Half the size near the floor: fitted where an edge needs time, and nowhere else."""

import numpy as np
import pytest

from rl_core.evaluation.attempts_at_once import Setting
from rl_core.evaluation.size_near_floor import LINES, NearFloorFit, fit_near_floor
from rl_core.market.types import UNLIMITED
from tests.rl_core.evaluation.test_pack_odds import LIMITS, TERMS, pack, tape
from trigate.errors import ConfigError

RULES = pack().compiled()._replace(min_days=0)


def fitted(wins: float, sessions: int = 400) -> NearFloorFit:
    """Of sessions with one trade each: 3 R where it wins, so often, and -1 R where not."""
    won = np.random.default_rng(3).random(sessions) < wins
    return fit_near_floor(tape(np.where(won, 300, -100).tolist()), Setting(RULES, LIMITS, TERMS))


def test_who_has_an_edge_takes_half_near_the_floor_though_it_earns_less_r() -> None:
    """At +0.5 R a trade every entry that is halved gives some R away, and more attempts live to pass."""
    fit = fitted(0.40)

    assert fit.r > 0.4 and fit.halve_under == 4_000
    assert fit.passes[4_000] > fit.passes[0] + 0.05 and min(fit.gains) > 0
    assert fit.tried == LINES and len(fit.passes) == 1 + len(LINES)


@pytest.mark.parametrize("wins", [0.20, 0.25])
def test_who_has_none_is_only_ruined_more_slowly_so_the_size_stays(wins: float) -> None:
    """In a game that loses, or is fair, bold play passes most often (Dubins and Savage 1965)."""
    fit = fitted(wins)

    assert fit.r < 0.05 and fit.halve_under == 0
    assert fit.passes[4_000] < fit.passes[0]


def test_a_line_that_left_out_folds_do_not_confirm_is_not_drawn() -> None:
    """At a small edge half the size looks best over all sessions, and the folds disagree."""
    fit = fitted(0.32)

    assert max(fit.passes, key=lambda line: fit.passes[line]) > 0
    assert fit.halve_under == 0


def test_nothing_is_fitted_without_a_target_or_on_few_sessions() -> None:
    with pytest.raises(ConfigError, match="has no target"):
        fit_near_floor(tape([100, -100] * 50), Setting(RULES._replace(target=UNLIMITED), LIMITS, TERMS))
    with pytest.raises(ConfigError, match="49 sessions to fit a size on"):
        fitted(0.4, sessions=49)
