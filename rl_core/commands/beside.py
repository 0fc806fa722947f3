"""What `rl-core evaluate` says beside the judgement itself: nulls, rule packs, the checklist, regimes."""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rl_core.evaluation.by_regime import RegimeTrades
    from rl_core.evaluation.checklist import Line
    from rl_core.evaluation.evaluate import Evaluation
    from rl_core.evaluation.nulls import AmongDraws, WrittenRule
    from rl_core.evaluation.pack_odds import PackOdds
    from rl_core.regimes.fitted import Frozen


class Beside(NamedTuple):
    """Each part as a row of the JSON, and as a table for the terminal."""

    evaluation: "Evaluation"
    random: "AmongDraws | None"
    shuffled: "AmongDraws | None"
    written: list["WrittenRule"]
    odds: list["PackOdds"]
    draws: int  # attempts of each pack
    checklist: list["Line"]
    checklist_pack: str
    groups: list["RegimeTrades"]
    regimes: "Frozen"

    def rows(self) -> dict[str, Any]:
        """What JSON adds to the judgement."""
        rows: dict[str, Any] = {} if self.random is None else dict(self.random.row())
        rows |= {} if self.shuffled is None else self.shuffled.row()
        rows |= {"rule_packs": [each.row() for each in self.odds]} if self.odds else {}
        lines = [line.row() for line in self.checklist]
        rows |= {"checklist": lines, "checklist_pack": self.checklist_pack} if lines else {}
        rows["written_rules"] = [rule.row() for rule in self.written]
        rows["regimes_digest"], rows["by_regime"] = self.regimes.digest, [group.row() for group in self.groups]
        return rows

    def tables(self) -> list[list[str]]:
        """Lines of each table."""
        from rl_core.evaluation.by_regime import regime_table_lines
        from rl_core.evaluation.checklist import checklist_lines
        from rl_core.evaluation.nulls import null_lines
        from rl_core.evaluation.pack_odds import odds_lines

        sessions = self.evaluation.sessions
        tables = [null_lines(self.evaluation.trades, self.random, self.shuffled, self.written, sessions)]
        tables += [odds_lines(self.odds, sessions, self.draws)] if self.odds else []
        tables += [checklist_lines(self.checklist, self.checklist_pack)] if self.checklist else []
        tables += [regime_table_lines(self.groups, self.regimes)] if self.groups else []
        return tables
