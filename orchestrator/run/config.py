"""What one run is: its bars, policy, account and gate; read once, saved beside its results."""

from decimal import Decimal
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llm_gate.review.gate import GateConfig
from rl_core.trading.setup import MAX_ENTRIES_PER_SESSION, TradingConfig

NAME = "^[a-z0-9][a-z0-9_-]{0,63}$"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GateSection(_Section):
    """Who reviews the entries."""

    engine: Literal["vllm", "rules", "off"] = "vllm"
    model: str = Field("package", description="package, tiny, or a folder with a model")
    prompt: Path = Path("prompts/entry_review.v1.md")
    shadow: bool = Field(False, description="judge and record, do not act")
    on_failure: str = Field("veto", pattern="^(veto|approve|resize:0\\.[0-9]{1,3})$")
    i_understand_unprotected_approve: bool = False
    ready_deadline_s: float = Field(180.0, gt=0, description="for the model server to prove itself")
    review: GateConfig = GateConfig()

    @model_validator(mode="after")
    def _approve_is_said_twice(self) -> Self:
        if self.on_failure == "approve" and not self.i_understand_unprotected_approve:
            raise ValueError(
                "on_failure = 'approve' lets entries through while the gate is down; it also needs "
                "i_understand_unprotected_approve = true"
            )
        return self

    @property
    def fail_factor(self) -> Decimal:
        """Share of the proposed size that a failed gate lets through."""
        mode, _, factor = self.on_failure.partition(":")
        return Decimal(factor) if factor else Decimal(mode == "approve")


class RunConfig(_Section):
    """One simulated run."""

    name: str = Field("sim", pattern=NAME)
    bars: Path = Path(".cache/demo/NQ_D1M.parquet")
    market: str | None = Field(None, description="none: from the file's name, else NQ")
    timezone: str | None = Field(None, description="of naive times in the bars file")
    seconds: Path | None = None
    checkpoint: Path = Path(".cache/demo/phase2")
    trading: TradingConfig | None = Field(None, description="none: as the checkpoint was trained")
    part: Literal["held_out", "all"] = Field("held_out", description="the bars after those trained on, or all")
    sessions: int | None = Field(None, gt=0, description="trade at most so many sessions")
    max_entries_per_session: int = Field(MAX_ENTRIES_PER_SESSION, gt=0)
    gate: GateSection = GateSection()
    runs: Path = Path("runs")
