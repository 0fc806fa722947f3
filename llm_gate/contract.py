"""What the gate is asked and what it answers: the wire messages of this package."""

import json
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_gate.errors import MalformedVerdictError

Label = Literal["approve", "shrink", "veto"]
FailureCause = Literal["timeout", "http", "malformed", "unavailable", "foreign", "breaker_open"]
ReasonSource = Literal["code", "rule", "model", "none"]

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Reason = Annotated[str, Field(max_length=280)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class RegimeContext(_Message):
    """The state of the market and of the account, in physical units; integers only, so that it can be journalled.

    A trend over ``h`` minutes is the close minus the close ``h`` minutes ago, in thousandths of ATR14.
    """

    trend_15_atr_milli: int
    trend_60_atr_milli: int
    trend_240_atr_milli: int
    volatility_percentile: int = Field(ge=0, le=100, description="of ATR14 among the recent past")
    regime: str = Field(pattern=r"^[a-z_]{1,16}(/[a-z_]{1,16})?$", description="direction/volatility, e.g. up/calm")
    session_part: Literal["opening", "midday", "afternoon", "late"]
    minutes_to_flat: int = Field(ge=0)
    room_to_floor_risks_milli: int = Field(description="room to the drawdown floor over this trade's risk, x 1000")
    losing_streak: int = Field(ge=0, description="closed trades in a row that lost")


class EntryProposal(_Message):
    """An entry the policy wants to make. Blind: no date, no symbol, no price level."""

    kind: Literal["entry_proposal"] = "entry_proposal"
    proposal_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    side: Literal["buy", "sell"]
    quantity: int = Field(ge=1, description="contracts")
    stop_atr_milli: int = Field(gt=0, description="distance of the stop in thousandths of ATR14")
    target_atr_milli: int = Field(gt=0, description="distance of the target in thousandths of ATR14")
    context: RegimeContext


class Approve(_Message):
    """Enter as proposed."""

    kind: Literal["approve"] = "approve"


class Veto(_Message):
    """Do not enter."""

    kind: Literal["veto"] = "veto"
    reason: Reason


class Resize(_Message):
    """Enter smaller."""

    kind: Literal["resize"] = "resize"
    size_factor: Decimal = Field(gt=0, lt=1, decimal_places=3, description="share of the proposed contracts")
    reason: Reason


class GateFailed(_Message):
    """No verdict. The fail mode decides; this never counts as a veto."""

    kind: Literal["gate_failed"] = "gate_failed"
    cause: FailureCause


Verdict = Annotated[Approve | Veto | Resize, Field(discriminator="kind")]
Outcome = Annotated[Approve | Veto | Resize | GateFailed, Field(discriminator="kind")]


class Reviewed(_Message):
    """The gate's reply to one proposal: the outcome and how it came about."""

    kind: Literal["reviewed"] = "reviewed"
    proposal_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    outcome: Outcome
    probabilities: dict[Label, Probability] | None = Field(description="sum to 1; None where the engine has none")
    latency_s: float = Field(ge=0.0)
    prompt_digest: Sha256
    engine: str
    model: str
    reason_source: ReasonSource


MessageT = TypeVar("MessageT", bound=BaseModel)


def parse_message(kind: type[MessageT], data: bytes | str) -> MessageT:
    """The message in ``data``, JSON in UTF-8, or MalformedVerdictError; nothing is repaired.

    Pydantic alone takes the last of two equal keys in silence; here they are refused.
    """
    parse_json(data)
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise MalformedVerdictError(_first_fault(error)) from None


def parse_json(data: bytes | str) -> Any:
    """Strict JSON: UTF-8, finite numbers, no key twice; MalformedVerdictError otherwise."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedVerdictError(f"not JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key appears twice")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"]) or "message"
    return f"{where}: {fault['msg']}"
