"""Rule packs in words: what is kept anyway, what is left out, and that no field goes unread."""

import ast
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel

from rl_core.rules.fields import Consistency, DailyLoss, DaysSection, Fees, TradeSection
from rl_core.rules.pack import RulePack, read_rule_pack
from rl_core.rules.text import kept_by_construction, left_out
from tests.rl_core.markets import RULES_FOLDER

ROOT = Path(__file__).parents[3]
READERS = (
    "rl_core/rules",
    "rl_core/trading",
    "orchestrator/commands/rules.py",
    "orchestrator/report",
    "rl_core/market",
)
PLAIN = read_rule_pack(RULES_FOLDER / "plain_static.toml")


def sections(model: type[BaseModel]) -> set[type[BaseModel]]:
    """``model`` and every table below it."""
    below = {
        part
        for field in model.model_fields.values()
        for part in (field.annotation, *getattr(field.annotation, "__args__", ()))
        if isinstance(part, type) and issubclass(part, BaseModel)
    }
    return {model}.union(*(sections(part) for part in below))


def test_every_field_of_a_pack_is_read_somewhere() -> None:
    """A field that nothing reads promises a rule that no run keeps."""
    files = [file for reader in READERS for file in sorted((ROOT / reader).rglob("*.py")) or [ROOT / reader]]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    read = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    by_string = {"floor", "max_mini", "daily_loss"}  # of an example, compared field by field
    templates = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "orchestrator").rglob("*.j2"))
    fields = {name for section in sections(RulePack) for name in section.model_fields}

    assert len(sections(RulePack)) > 10
    unread = {name for name in fields - read - by_string if f".{name}" not in templates}
    assert unread == {"effective", "sources"}  # for people: `rules show` prints every field


def test_rules_that_no_run_can_break_are_said() -> None:
    pack = PLAIN.model_copy(
        update={
            "days": DaysSection(),
            "daily_loss": DailyLoss(amount=Decimal(500), action="pause"),
            "consistency": Consistency(percent=30, scope="payout"),
            "trade": TradeSection(stop_required=True, one_direction=True),
        }
    )

    assert kept_by_construction(pack) == [
        "the trading day opens at 18:00 ET",
        "the daily loss starts afresh at 18:00 ET",
        "the best day is held against the net profit",
        "every entry carries its stop",
        "there is one position at a time, so never one in each direction",
    ]
    assert kept_by_construction(PLAIN) == ["the trading day opens at 18:00 ET"]


def test_what_fields_name_and_no_run_does_stands_beside_what_the_pack_says() -> None:
    pack = PLAIN.model_copy(
        update={
            "not_simulated": ("payouts",),
            "session": PLAIN.session.model_copy(update={"hold_over_close": True}),
            "fees": Fees(evaluation=Decimal(147), monthly=Decimal("85.50")),
        }
    )

    assert left_out(pack) == [
        "payouts",
        "holding over the close, which the firm allows",
        "the account's fees (evaluation $147, monthly $85.50)",
    ]
    assert left_out(PLAIN) == [] == left_out(PLAIN.model_copy(update={"fees": Fees()}))
