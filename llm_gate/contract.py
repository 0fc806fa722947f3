"""What the gate is asked and what it answers: the wire messages of this package."""

import json
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_gate.errors import MalformedVerdictError

Label = Literal["approve", "shrink", "veto"]
FailureCause = Literal["timeout", "http", "malformed", "unavailable", "foreign", "breaker_open", "conflict"]
ReasonSource = Literal["code", "rule", "model", "none"]
Mode = Literal["choice", "json"]
"""One constrained letter with its probabilities, or a whole constrained object with a reason."""

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
LONGEST_REASON = 280
Reason = Annotated[str, Field(max_length=LONGEST_REASON)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

LARGEST = 10**12
"""No figure of a proposal is larger, either way: so the longest text that a model can be shown is known."""

MOST_PROPOSALS = 8
"""In one message: a model server that has its hands full would answer the last of many too late."""

Figure = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Positive = Annotated[int, Field(ge=1, le=LARGEST)]
Percent = Annotated[int, Field(ge=0, le=100)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class RegimeContext(_Message):
    """The state of the market and of the account, in physical units; integers only, so that it can be journalled.

    A trend over ``h`` minutes is the close minus the close ``h`` minutes ago, in thousandths of the ATR, over 14 bars
    or as many as the policy was trained with; so are the distances within the session. None: not known.
    """

    trend_15_atr_milli: Figure
    trend_60_atr_milli: Figure
    trend_240_atr_milli: Figure
    volatility_percentile: Percent = Field(description="of the ATR among the recent past")
    regime: str = Field(pattern=r"^(down|flat|up)/(calm|normal|wild)$", description="direction/volatility")
    session_part: Literal["opening", "midday", "afternoon", "late"]
    minutes_to_flat: Count
    room_to_floor_risks_milli: Figure = Field(description="room to the drawdown floor over this trade's risk, x 1000")
    losing_streak: Count = Field(description="closed trades in a row that lost")
    volume_percentile: Percent | None = Field(None, description="of the volume, as for volatility")
    to_session_high_atr_milli: Count | None = Field(None, description="session's high minus the close")
    to_session_low_atr_milli: Count | None = Field(None, description="close minus the session's low")
    vwap_atr_milli: Figure | None = Field(None, description="close minus the session's volume-weighted mean price")
    wild_percent: Percent | None = Field(None, description="filtered probability of the wildest hidden state")


class Note(_Message):
    """Text from outside the system: news, a desk's remark. Never trusted; `outside_text` says how it is shown."""

    source: str = Field(min_length=1, max_length=64)
    text: str = Field(min_length=1, max_length=4000)


class EntryProposal(_Message):
    """An entry the policy wants to make. Blind: no date, no symbol, no price level."""

    kind: Literal["entry_proposal"] = "entry_proposal"
    proposal_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    side: Literal["buy", "sell"]
    quantity: Positive = Field(description="contracts")
    stop_atr_milli: Positive = Field(description="distance of the stop in thousandths of the ATR")
    target_atr_milli: Positive = Field(description="distance of the target in thousandths of the ATR")
    context: RegimeContext
    notes: tuple[Note, ...] = Field((), max_length=16)


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
    mode: Mode = "choice"
    cached: bool = Field(False, description="the answer to the same question, given before")
    prompt_tokens: int | None = Field(None, ge=0, description="None where the engine counts none")
    completion_tokens: int | None = Field(None, ge=0)
    calibration: Sha256 | None = Field(None, description="of the calibration that made the verdict")
    calibrated: Probability | None = Field(None, description="its probability of approve")
    sized: Sha256 | None = Field(None, description="of the size line that halved it near the account's floor")


class EntryProposals(_Message):
    """Entries of several accounts, each judged by itself and under its own deadline, all at the same time."""

    kind: Literal["entry_proposals"] = "entry_proposals"
    proposals: tuple[EntryProposal, ...] = Field(min_length=1, max_length=MOST_PROPOSALS)


class Reviews(_Message):
    """The reply to each of the proposals, in their order."""

    kind: Literal["reviews"] = "reviews"
    reviews: tuple[Reviewed, ...] = Field(min_length=1, max_length=MOST_PROPOSALS)


MessageT = TypeVar("MessageT", bound=BaseModel)


def parse_message(kind: type[MessageT], data: bytes | str) -> MessageT:
    """The message in ``data``, JSON in UTF-8, or MalformedVerdictError; nothing is repaired.

    Pydantic alone takes the last of two equal keys in silence; here they are refused.
    """
    parse_json(data)
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise MalformedVerdictError(first_fault(error)) from None


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


def first_fault(error: ValidationError, whole: str = "message") -> str:
    """Where the first fault is, and what it is; ``whole`` names what was read, if the fault is in no field of it."""
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"]) or whole
    return f"{where}: {fault['msg']}"
