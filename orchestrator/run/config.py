"""What one run is: its bars, policy, account and gate; read once, saved beside its results."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llm_gate.engines.base import TemplateValue
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT, is_prompt_name
from llm_gate.review.gate import GateConfig
from llm_gate.serving.model_folders import MADE_HERE
from orchestrator.trader.guards import Guards
from rl_core.bars.layouts import Stamp
from rl_core.bars.rows import RowKind
from rl_core.trading.setup import MAX_ENTRIES_PER_SESSION, TradingConfig

FOLLOWING = ("paper", "advisory", "live")
"""Modes whose bars come as they happen."""
SIMULATED = "simulated"
"""The broker that comes with the project, and sends nothing."""
ON_FAILURE = "^(veto|approve|resize:0\\.([1-9][0-9]{0,2}|0[1-9][0-9]?|00[1-9]))$"
NAME = "^[a-z0-9][a-z0-9_-]{0,63}$"
ACCOUNT = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GateSection(_Section):
    """Who reviews the entries."""

    engine: Literal["vllm", "logistic", "rules", "off"] = "vllm"
    model: str = Field(
        "package",
        description="package, tiny, a folder, or the file of a regression; with url: the name it is served under",
    )
    url: str | None = Field(None, description="a server of your own: on the loopback address, or https with a key")
    key_file: Path | None = Field(None, description="with url: holds its key, chmod 600; none: VLLM_API_KEY, if set")
    chat_template_kwargs: dict[str, TemplateValue] = Field(
        default_factory=dict, description="what the model's chat template is told, e.g. enable_thinking = false"
    )
    prompt: Path = Field(Path(DEFAULT_PROMPT), description="a prompt's name, or the path of its file")
    prompts: Path | None = Field(
        None, description="a folder of your own prompts, looked in first; then prompts/ here, then what ships"
    )
    shadow: bool = Field(False, description="judge and record, do not act")
    on_failure: str = Field("veto", pattern=ON_FAILURE, description="veto, approve, or resize:0.5 for that share")
    i_understand_unprotected_approve: bool = False
    ready_deadline_s: float = Field(180.0, gt=0, description="without a sign of progress of a server that starts")
    review: GateConfig = GateConfig()

    @model_validator(mode="after")
    def _approve_is_said_twice(self) -> Self:
        if self.on_failure == "approve" and not self.i_understand_unprotected_approve:
            raise ValueError(
                "on_failure = 'approve' lets entries through while the gate is down; it also needs "
                "i_understand_unprotected_approve = true"
            )
        return self

    @model_validator(mode="after")
    def _a_server_serves_a_named_model(self) -> Self:
        if self.url is not None and self.model in MADE_HERE:
            raise ValueError(
                "url needs model, the name under which that server serves its model: 'gate' for llm-gate serve"
            )
        if self.url is None and self.key_file is not None:
            raise ValueError("key_file is for the server at url; a server that the run starts has a key of its own")
        return self

    @model_validator(mode="after")
    def _own_prompts_are_looked_in_for_a_name(self) -> Self:
        if self.prompts is not None and not is_prompt_name(str(self.prompt)):
            raise ValueError(
                f"prompts is a folder in which prompt is looked for by its name, like {DEFAULT_PROMPT}, "
                f"and {self.prompt} is the path of a file; give the name, or leave prompts out"
            )
        return self

    @property
    def fail_factor(self) -> Decimal:
        """Share of the proposed size that a failed gate lets through."""
        mode, _, factor = self.on_failure.partition(":")
        return Decimal(factor) if factor else Decimal(mode == "approve")


class GuardsSection(_Section):
    """A person's own limits, apart from policy and gate; each is off unless it is set, and can only take risk away."""

    contracts: int | None = Field(None, gt=0, description="no order is larger")
    entries_a_day: int | None = Field(None, gt=0, description="no more in one session")
    loss_a_day_dollars: Decimal | None = Field(None, gt=0, description="so far below the session's opening: flat")
    floor_margin_dollars: Decimal | None = Field(None, ge=0, description="kept above the drawdown floor")
    policy_silent: int | None = Field(None, gt=0, description="so many answers in a row not the policy's own: flat")
    close_buffer_minutes: int | None = Field(None, ge=0, description="so long before the flat time: flat")

    @property
    def limits(self) -> Guards:
        """As the trader takes them, in cents."""
        return Guards(
            contracts=self.contracts,
            entries_a_day=self.entries_a_day,
            loss_a_day=_cents(self.loss_a_day_dollars),
            floor_margin=_cents(self.floor_margin_dollars),
            policy_silent=self.policy_silent,
            close_buffer=self.close_buffer_minutes,
        )


class PaperSection(_Section):
    """How a run in paper mode keeps time."""

    clock: Path | None = Field(None, description="the clock of orchestrator feed; none: the market's time is UTC")
    late_after_s: float = Field(10.0, gt=0, description="a bar that comes so long after its end is not decided on")
    policy_deadline_s: float = Field(1.0, gt=0, description="for an answer; none in time is a hold")
    settle_s: float = Field(
        1.0, ge=0, description="of seconds or ticks: so long after its end a minute is made if no later row has come"
    )
    silent_after_s: float = Field(180.0, gt=0, description="an open market without a bar for so long is an alarm")


class FeedSection(_Section):
    """Where the bars of a run in paper mode come from, if not from rows that are appended to ``bars``."""

    source: str | None = Field(
        None, description="tcp://127.0.0.1:PORT, ipc:///PATH, or a csv file that grows; none: bars itself grows"
    )
    rows: RowKind = Field(
        "minutes", description="what its rows are; minutes are made of seconds and ticks, which decide fills"
    )


class LiveSection(_Section):
    """Where the orders of a run in live mode go."""

    account: str | None = Field(
        None, pattern=ACCOUNT, description="name of the account at the broker; --send-orders-to has to say the same"
    )
    settings: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="handed to the adapter, and kept with the run: name a secret's file, not it"
    )


def _cents(dollars: Decimal | None) -> int | None:
    return None if dollars is None else int(dollars * 100)


class RunConfig(_Section):
    """One run over bars that are recorded, or that come as they happen; in live mode alone orders leave the machine."""

    mode: Literal["sim", "paper", "advisory", "live"] = Field(
        "sim",
        description="sim: recorded bars; paper, advisory: bars as they come; live: orders are sent, by an adapter",
    )
    name: str = Field("sim", pattern=NAME)
    bars: Path = Path(".cache/demo/NQ_D1M.parquet")
    market: str | None = Field(None, description="none: from the file's name, else NQ")
    timezone: str | None = Field(None, description="of naive times in the bars file")
    stamp: Stamp | None = Field(None, description="which end of its bar a time marks; none: as the vendor documents")
    seconds: Path | None = None
    checkpoint: Path = Path(".cache/demo/phase2")
    entries: Path | None = Field(None, description="a trader's own entries, judged in the place of the checkpoint")
    seen_until: date | None = Field(
        None, description="with entries: the last day of bars that were seen when they were made; none: nobody says"
    )
    trading: TradingConfig | None = Field(
        None, description="none: as the checkpoint was trained; for entries, the defaults"
    )
    part: Literal["held_out", "all"] = Field("held_out", description="the bars after those trained on, or seen; or all")
    sessions: int | None = Field(None, gt=0, description="trade at most so many sessions")
    max_entries_per_session: int = Field(MAX_ENTRIES_PER_SESSION, gt=0)
    gate: GateSection = GateSection()
    guards: GuardsSection = GuardsSection()
    broker: str | None = Field(
        None,
        pattern=NAME,
        description="who fills the orders: simulated, a broker in a process of its own that is asked through the "
        "adapter protocol; in live mode the name of an installed adapter; none: the run computes the fills",
    )
    broker_parts: int = Field(
        1,
        ge=1,
        le=8,
        description="executions that the simulated broker fills in, each a tick worse than the one before",
    )
    broker_parts_a_bar: int = Field(
        0,
        ge=0,
        le=7,
        description="of these, those of an exit that the simulated broker fills in one bar: the rest stays open for "
        "the bars that follow; 0: all of them",
    )
    paper: PaperSection = PaperSection()
    feed: FeedSection = FeedSection()
    live: LiveSection = LiveSection()
    on_shutdown: Literal["hold", "flatten"] = Field(
        "hold", description="what a SIGTERM or Ctrl-C does with an open position: keep it, or close it at the next fill"
    )
    runs: Path = Path("runs")
    min_free_mb: int = Field(200, ge=0, description="no start with less room on the disk of runs")

    @model_validator(mode="after")
    def _only_entries_were_seen(self) -> Self:
        if self.seen_until is not None and self.entries is None:
            raise ValueError("seen_until belongs to entries: a checkpoint knows itself what it was trained on")
        return self

    @model_validator(mode="after")
    def _only_a_broker_fills_in_parts(self) -> Self:
        if self.broker_parts != 1 and self.broker != SIMULATED:
            raise ValueError("broker_parts belongs to the simulated broker: give --broker simulated with it")
        if self.broker_parts_a_bar and self.broker_parts_a_bar >= self.broker_parts:
            raise ValueError(
                f"broker_parts_a_bar {self.broker_parts_a_bar} leaves nothing open: it has to be below broker_parts, "
                f"{self.broker_parts}"
            )
        return self

    @property
    def follows(self) -> bool:
        """Whether its bars are still to come."""
        return self.mode in FOLLOWING

    @property
    def has_seconds(self) -> bool:
        """Whether fills can read seconds: of a file beside the bars, or those and the ticks that bars are made of."""
        return self.seconds is not None or (self.follows and self.feed.rows != "minutes")

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this run and no other: every setting from which a record may follow.

        Where a run lies, and what a signal or the clock does to it (which is recorded itself), make no other run;
        guards that are off, simulation, fills that are computed and bars that grow, as in runs that were made before
        there was anything else, do not either.
        Of a checkpoint and entries only what decides is named.
        """
        left_out = {"runs", "min_free_mb", "on_shutdown", "paper"} | (
            {"guards"} if self.guards == GuardsSection() else set()
        )
        left_out |= {"feed"} if self.feed == FeedSection() else set()
        left_out |= {"mode"} if self.mode == "sim" else set()
        left_out |= {"broker"} if self.broker is None else set()
        left_out |= {"live"} if self.live == LiveSection() else set()
        left_out |= {"broker_parts"} if self.broker_parts == 1 else set()
        left_out |= {"broker_parts_a_bar"} if self.broker_parts_a_bar == 0 else set()
        left_out |= {"entries", "seen_until"} if self.entries is None else {"checkpoint"}
        return self.model_dump(mode="json", exclude=left_out)
