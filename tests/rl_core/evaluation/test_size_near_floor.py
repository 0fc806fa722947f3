"""Half the size near the floor: fitted where an edge needs time, and nowhere else; by passes, or by dollars."""

from decimal import Decimal

import numpy as np
import pytest

from rl_core.evaluation.account_value import value_of
from rl_core.evaluation.attempts_at_once import Setting
from rl_core.evaluation.funded import funded_payouts, payout_rule
from rl_core.evaluation.pack_odds import calendar_days, orders
from rl_core.evaluation.size_near_floor import (
    DRAWS,
    HORIZON,
    LINES,
    SEED,
    Accounts,
    NearFloorFit,
    fit_near_floor,
    worth_on,
)
from rl_core.evaluation.tapes import Tape
from rl_core.market.types import UNLIMITED
from rl_core.rules.prices import AccountPrice
from tests.rl_core.evaluation.test_account_value import PRICE
from tests.rl_core.evaluation.test_pack_odds import LIMITS, TERMS, pack, tape
from trigate.errors import ConfigError

RULES = pack().compiled()._replace(min_days=0)
SETTING = Setting(RULES, LIMITS, TERMS)
FREE = PRICE.model_copy(update={"evaluation": Decimal(0), "monthly": Decimal(0), "activation": Decimal(0)})


def drawn(wins: float, sessions: int = 400) -> Tape:
    """Sessions with one trade each: 3 R where it wins, so often, and -1 R where not."""
    won = np.random.default_rng(3).random(sessions) < wins
    return tape(np.where(won, 300, -100).tolist())


def fitted(wins: float, sessions: int = 400, price: AccountPrice | None = None) -> NearFloorFit:
    return fit_near_floor(drawn(wins, sessions), Accounts(SETTING, price, SETTING if price else None))


def test_who_has_an_edge_takes_half_near_the_floor_though_it_earns_less_r() -> None:
    """At +0.5 R a trade every entry that is halved gives some R away, and more attempts live to pass."""
    fit = fitted(0.40)

    assert fit.r > 0.4 and fit.halve_under == 4_000 and fit.by == "passes"
    assert fit.worth[4_000].passes > fit.worth[0].passes + 0.05 and min(fit.gains) > 0
    assert fit.worth[4_000].sessions > fit.worth[0].sessions + 1 > 7, (
        "half the size takes longer; six wins in a row pass"
    )
    assert fit.tried == LINES and len(fit.worth) == 1 + len(LINES) and fit.worth[0].dollars is None


@pytest.mark.parametrize("wins", [0.20, 0.25])
def test_who_has_none_is_only_ruined_more_slowly_so_the_size_stays(wins: float) -> None:
    """In a game that loses, or is fair, bold play passes most often (Dubins and Savage 1965)."""
    fit = fitted(wins)

    assert fit.r < 0.05 and fit.halve_under == 0
    assert fit.worth[4_000].passes < fit.worth[0].passes


def test_a_line_that_left_out_folds_do_not_confirm_is_not_drawn() -> None:
    """At a small edge half the size looks best over all sessions, and the folds disagree."""
    fit = fitted(0.32)

    assert max(fit.worth, key=lambda line: fit.worth[line].passes) > 0
    assert fit.halve_under == 0


def test_dollars_are_fees_and_what_the_funded_account_pays_by_the_same_line() -> None:
    """With a price the same sessions are played through the funded account too; by hand from the same draws."""
    made, accounts = drawn(0.40, 60), Accounts(SETTING, PRICE, SETTING)

    found = worth_on(made, accounts, (0, 3_000))

    order = orders(60, draws=DRAWS, horizon=HORIZON, seed=SEED - 1)
    days = calendar_days(HORIZON)
    for line, worth in found.items():
        funded = SETTING._replace(halved_under=line)
        paid = funded_payouts(made, funded, payout_rule(PRICE, RULES), order, days).mean() / 100 * 0.9
        # This attempt passes or ends within a month, so nothing is renewed.
        at_most = value_of(PRICE, worth.passes, 0.0, paid).attempt
        assert worth.dollars is not None and at_most - 20 < worth.dollars <= at_most
    assert found[0].dollars != found[3_000].dollars


def test_by_dollars_a_line_that_passes_more_is_not_drawn_where_it_costs_more_than_it_brings() -> None:
    """Nothing is paid for a pass here, and a month costs: who is halved passes more often, and pays longer."""
    dear = PRICE.model_copy(update={"monthly": Decimal(900), "split_percent": Decimal("0.01")})

    by_passes, by_dollars, free = fitted(0.40), fitted(0.40, price=dear), fitted(0.40, price=FREE)

    assert (by_passes.halve_under, by_dollars.halve_under, by_dollars.by) == (4_000, 0, "dollars")
    assert free.halve_under > 0 and min(free.gains) > 100, "payouts alone: dollars"


def test_nothing_is_fitted_without_a_target_or_on_few_sessions() -> None:
    with pytest.raises(ConfigError, match="has no target"):
        endless = Setting(RULES._replace(target=UNLIMITED), LIMITS, TERMS)
        fit_near_floor(tape([100, -100] * 50), Accounts(endless))
    with pytest.raises(ConfigError, match="49 sessions to fit a size on"):
        fitted(0.4, sessions=49)
