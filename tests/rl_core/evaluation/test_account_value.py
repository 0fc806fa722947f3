"""What an account is worth: by hand where every day wins a fixed sum, and against a loop over accounts one by one."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from rl_core.evaluation.account_value import ATTEMPTS, value_of, with_values
from rl_core.evaluation.attempts_at_once import PASSED, Setting, play_attempts
from rl_core.evaluation.funded import PayoutRule, funded_payouts, payout_rule
from rl_core.evaluation.pack_odds import (
    NamedPack,
    PackOdds,
    _prices_read,
    calendar_days,
    chosen_packs,
    odds_lines,
    odds_of,
    once_a_flat_time,
    orders,
)
from rl_core.evaluation.tapes import Tape
from rl_core.market.types import ANY_PERCENT, STATIC, UNLIMITED, Rules
from rl_core.rules.prices import AccountPrice, read_prices
from rl_core.trading.hours import EntryHours
from rl_core.trading.setup import Trading
from tests.rl_core.evaluation.test_pack_odds import LIMITS, TERMS, tape
from tests.rl_core.markets import MNQ, RULES_FOLDER, legacy_pack, mnq_limits, mnq_venue
from trigate.errors import ConfigError

START = 5_000_000
RULES = Rules(START, UNLIMITED, 250_000, STATIC, 1 << 30)
PRICE = AccountPrice(
    as_of=date(2026, 11, 27),
    source="made up",
    evaluation=Decimal(100),
    reset=Decimal(60),
    monthly=Decimal(10),
    activation=Decimal(80),
    funded="apex_legacy#50k-pa",
    split_percent=Decimal(90),
    least=Decimal(500),
    most=Decimal(2_000),
    keep=Decimal(100),
)
RULE = PayoutRule(50_000, (200_000,), 10_000, 10_000, UNLIMITED, 5, 5, 5_000, ANY_PERCENT, True, False)


def paid(gains: list[int], rule: PayoutRule, horizon: int) -> int:
    """Cents of one account that plays the sessions in their order, each worth 5 dollars a tick."""
    order = np.arange(horizon)[None] % len(gains)
    setting = Setting(RULES, LIMITS, TERMS)
    return int(funded_payouts(tape(gains), setting, rule, order, calendar_days(horizon))[0])


def test_an_account_that_wins_500_a_day_pays_2000_every_five_days() -> None:
    """2,500 less 100 that stay allow 2,000 on day 5; 500 stay, and five days later 3,000 allow 2,000 again."""
    assert paid([100], RULE, 4) == 0
    assert [paid([100], RULE, days) for days in (5, 9, 10, 15)] == [200_000, 200_000, 400_000, 600_000]
    assert paid([100], RULE._replace(most=(UNLIMITED,)), 10) == 240_000 + 250_000
    assert paid([100], RULE._replace(most_payouts=2), 30) == 400_000
    assert paid([100], RULE._replace(least=240_001), 6) == 200_000, "not on day 5, when 2,400 are free, but on day 6"


def test_a_payout_waits_for_its_days_and_for_a_steady_profit() -> None:
    """Days of +500 and -100 in turn: five won days take nine; a best day of 500 is 30 % of the profit from 1,700 on."""
    assert [paid([100, -20], RULE, days) for days in (8, 9)] == [0, 200_000]
    steady = RULE._replace(days=1, winning_days=1, best_day_percent=30)
    assert [paid([100, -20], steady, days) for days in (6, 7)] == [0, 160_000]
    assert paid([-100], RULE, 30) == 0
    small = [100, 100, 8, 8, 8, 100, 100, 100]
    assert [paid(small, RULE, days) for days in (5, 8)] == [0, 200_000], "$40 is under the $50 of a winning day"


def test_many_accounts_are_as_many_one_by_one() -> None:
    """Random sessions, floor, days, cap and buffer, against a loop over plain integers."""
    rng = np.random.default_rng(1)
    gains = rng.integers(-100, 110, 60).tolist()
    order = orders(len(gains), draws=300, horizon=80)
    caps = {"most": (150_000, 60_000, 250_000), "share": 7_000, "floor_to_start": True}
    rule = RULE._replace(days=3, winning_days=2, most_payouts=4, best_day_percent=60, **caps)

    found = funded_payouts(tape(gains), Setting(RULES, LIMITS, TERMS), rule, order, calendar_days(80))

    assert found.tolist() == [one_account([500 * gains[n] for n in row], rule) for row in order.tolist()]
    assert 0 < (found > 0).mean() < 1 and len(set(found.tolist())) > 50


def one_account(results: list[int], rule: PayoutRule) -> int:
    """Cents paid by an account that makes ``results`` cents a day."""
    cash, out, times, days, won, best, earned = START, 0, 0, 0, 0, 0, 0
    floor = START - RULES.max_loss
    for result in results:
        if cash - floor > 50_000:
            cash, days = cash + result, days + 1
        if cash <= floor:
            return out
        won, best, earned = won + (result >= rule.winning_day), max(best, result), earned + result
        free = min(cash - START - rule.keep, (cash - START) * rule.share // 10_000)
        steady = 100 * best <= rule.best_day_percent * earned
        if free >= rule.least and days >= rule.days and won >= rule.winning_days and steady:
            amount = min(free, rule.most[min(times, len(rule.most) - 1)])
            floor = max(floor, START) if rule.floor_to_start else floor
            cash, out, times, days, won, best, earned = cash - amount, out + amount, times + 1, 0, 0, 0, 0
            if times == rule.most_payouts:
                return out
        if cash - floor <= 50_000:
            return out
    return out


def test_the_value_of_a_lifetime_by_hand() -> None:
    """Half pass: 1 + 1/2 + 1/4 + 1/8 + 1/16 attempts are bought, and 31 of 32 lifetimes reach a funded account."""
    found = value_of(PRICE, 0.5, 2.0, 1_000.0)

    assert found.attempt == pytest.approx(0.5 * (1_000 - 80) - 100 - 20)
    assert (found.attempts, ATTEMPTS) == (1.9375, 5)
    assert found.fees == pytest.approx(100 + 0.9375 * 60 + 1.9375 * 20 + 31 / 32 * 80)
    assert found.lifetime == pytest.approx(31 / 32 * 1_000 - found.fees)
    assert value_of(PRICE, 0.0, 0.0, 9.9).lifetime == -100 - 4 * 60
    assert value_of(PRICE.model_copy(update={"reset": None}), 0.0, 0.0, 9.9).lifetime == -500


def test_the_value_is_that_of_lifetimes_lived_one_by_one() -> None:
    """Attempts and funded accounts drawn and added up in a loop: the mean of 20,000 lifetimes is the value."""
    rng = np.random.default_rng(2)
    gains = rng.integers(-110, 125, 40).tolist()
    setting = Setting(RULES._replace(target=150_000), LIMITS, TERMS)
    order = orders(40, draws=4_000, horizon=60)
    ended = play_attempts(tape(gains), setting, order, calendar_days(60))
    dollars = funded_payouts(tape(gains), setting, RULE, orders(40, draws=4_000, horizon=60, seed=1), calendar_days(60))
    passed, renewed, dollars = ended.ending == PASSED, (ended.sessions - 1) // 21, dollars * 0.9 / 100

    value = value_of(PRICE, float(passed.mean()), float(renewed.mean()), float(dollars.mean()))

    lives = []
    for _ in range(20_000):
        money, fee = 0.0, 100
        for attempt in rng.integers(0, 4_000, ATTEMPTS):
            money, fee = money - fee - 10 * renewed[attempt], 60
            if passed[attempt]:
                money += dollars[rng.integers(4_000)] - 80
                break
        lives.append(money)
    error = np.std(lives) / np.sqrt(len(lives))
    assert 0.2 < passed.mean() < 0.8
    assert value.lifetime == pytest.approx(np.mean(lives), abs=4 * error)


def test_caps_rise_a_share_stays_and_the_floor_is_lifted() -> None:
    """$500 a day: $2,500 after five days, of which half is $1,250; what stays is $1,250, and after five more $3,750."""
    halves = RULE._replace(most=(100_000, 500_000), share=5_000, keep=0)

    assert [paid([100], halves, days) for days in (4, 5, 9, 10)] == [0, 100_000, 100_000, 300_000]
    all_out = RULE._replace(most=(500_000,), keep=0)
    falls = [100, 100, 100, 100, 100, -200, 100, 100, 100, 100, 100]
    assert paid(falls, all_out, 11) == 250_000 + 150_000
    assert paid(falls, all_out._replace(floor_to_start=True), 11) == 250_000, "nothing is left above the floor"


def test_a_pack_without_a_price_has_no_value(tmp_path: Path) -> None:
    trading, asked = Trading(legacy_pack(), MNQ, mnq_venue(), mnq_limits(), EntryHours()), list[str]()

    def under(there: Trading) -> Tape:
        asked.append(there.pack.name)
        return tape([100] * 12)

    packs = [NamedPack("priced", legacy_pack()), NamedPack("other", legacy_pack())]
    found = with_values(odds_of(trading, packs, under, draws=20), {"priced": PRICE}, trading, under, draws=20)

    rows = {odds.name: odds.row()["expected_value"] for odds in found}
    assert rows["other"] == {"unknown": "no price of other in configs/account_prices.toml"}
    assert rows["priced"]["payouts"] > 0 and rows["priced"]["source"] == "made up"
    assert "PA" in asked[1] and len(asked) == 3
    text = "\n".join(odds_lines(found, 12))
    assert "list prices read on 2026-11-27; write what you would pay\ninto configs/account_prices.toml" in text
    assert f"{rows['priced']['lifetime']:,.0f}" in text and "no expected value for 1 packs" in text
    wrong = tmp_path / "prices.toml"
    wrong.write_text('["one"]\nas_of = 2026-11-27\nsource = "x"\nevaluation = 1\nsplit_percent = 190\n')
    with pytest.raises(ConfigError, match=r"prices\.toml, one: .*monthly"):
        read_prices(wrong)


def valued(gains: list[int], asked: list[str], price: AccountPrice = PRICE) -> PackOdds:
    """One pack with a price, over sessions with these gains."""
    draws = 2_000
    trading = Trading(legacy_pack(), MNQ, mnq_venue(), mnq_limits(), EntryHours())

    def under(there: Trading) -> Tape:
        asked.append(there.pack.name)
        return tape(gains)

    tapes = once_a_flat_time(under)
    odds = odds_of(trading, [NamedPack("priced", legacy_pack())], tapes, draws=draws)
    return with_values(odds, {"priced": price}, trading, tapes, draws=draws)[0]


def test_sessions_that_are_all_alike_leave_nothing_open() -> None:
    """Whatever else might have come in their place is the same; packs with one flat time share what was played."""
    asked = list[str]()
    found = valued([100] * 12, asked)

    assert found.value is not None and found.lifetime_between is not None
    assert found.lifetime_between == pytest.approx((found.value.lifetime,) * 2)
    assert len(asked) == 1, "the funded pack closes at the same time"
    half = valued([100] * 12, [], PRICE.model_copy(update={"split_percent": Decimal(45)}))
    assert half.value is not None and 0 < half.value.payouts == pytest.approx(found.value.payouts / 2)


def test_the_interval_of_a_lifetime_holds_what_a_funded_account_might_earn() -> None:
    """Days of +500 and a few of +2,000 and -400: nearly all pass, and what is paid out leans on the few."""
    gains = np.array([100, -80] * 20 + [400] * 4)
    found = valued(np.random.default_rng(3).permutation(gains).tolist(), [])
    assert found.value is not None and found.lifetime_between is not None and found.interval is not None
    low, high = found.lifetime_between
    by_passing = [value_of(PRICE, edge, found.renewals, found.value.payouts).lifetime for edge in found.interval]

    assert low < found.value.lifetime < high
    assert high - low > 3 * (max(by_passing) - min(by_passing))


def test_under_ten_sessions_a_lifetime_has_no_interval() -> None:
    found = valued([100] * 9, [])

    assert found.value is not None and found.lifetime_between is None


def test_a_price_is_of_a_pack_by_any_of_its_names_and_of_no_other(tmp_path: Path) -> None:
    """The default of every configuration stands for another pack, which is listed; a misspelt name is told."""
    body = """as_of = 2026-11-27\nsource = "made up"\nevaluation = 100\nmonthly = 10\nactivation = 80
funded = "apex_legacy#50k-pa"\nsplit_percent = 90\nleast = 500\nkeep = 0\n"""
    file = tmp_path / "prices.toml"

    file.write_text(f"[apex_legacy_50k_eval]\n{body}")
    assert list(read_prices(file)) == ["apex_legacy#50k-eval-rithmic"]
    file.write_text(f'[apex_legacy_50k_eval]\n{body}["apex_legacy#50k-eval-rithmic"]\n{body}')
    with pytest.raises(ConfigError, match="a second price of apex_legacy#50k-eval-rithmic"):
        read_prices(file)
    file.write_text(f'["topstep_combine#5k"]\n{body}')
    with pytest.raises(ConfigError, match=r"topstep_combine#5k: a price of no pack: .*did you mean '50k'"):
        read_prices(file)


def test_every_shipped_price_names_its_day_its_source_and_a_funded_pack_that_says_when_it_pays() -> None:
    prices = read_prices(RULES_FOLDER.parent / "account_prices.toml")

    assert {name.partition("#")[0] for name in prices} == {"topstep_combine", "apex_4_0"}
    for name, price in prices.items():
        evaluation, funded = (named.pack for named in chosen_packs(f"{name},{price.funded}"))
        assert evaluation.target is not None and funded.target is None
        assert (evaluation.start, evaluation.max_loss.amount) == (funded.start, funded.max_loss.amount)
        assert funded.payout is not None and funded.payout.min_winning_days == 5
        assert "quoted" in price.source and price.as_of < date(2026, 11, 28)
        assert list(price.caps) == sorted(price.caps) and price.least < price.caps[0]


def test_prices_of_long_ago_are_told() -> None:
    old = PRICE.model_copy(update={"as_of": date(2026, 8, 1)})

    assert PRICE.staleness(date(2027, 2, 25)) is None and PRICE.staleness(date(2027, 2, 26)) is not None
    assert _prices_read([PRICE, old], date(2026, 11, 28)) == [
        "list prices read from 2026-08-01 to 2026-11-27; write what you would pay",
        "into configs/account_prices.toml, which names their sources",
        "warning: 1 of these prices were read more than 90 days ago",
    ]


def test_a_funded_packs_own_rules_say_after_which_days_it_pays() -> None:
    rule = payout_rule(PRICE, chosen_packs(PRICE.funded)[0].pack.compiled())

    assert (rule.days, rule.winning_days, rule.winning_day, rule.best_day_percent) == (8, 5, 5_000, 30)
    assert (rule.least, rule.most, rule.keep, rule.most_payouts) == (50_000, (200_000,), 10_000, UNLIMITED)
