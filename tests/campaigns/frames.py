"""Good messages of every kind, and what a hostile or broken sender makes of their frames."""

import json
import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel

from llm_gate.contract import Approve, EntryProposal, EntryProposals, GateFailed, Resize, Reviewed, Reviews, Veto
from orchestrator.messaging import broker, catalogue, row_feed
from orchestrator.messaging.wire import MAX_FRAME, Array, Heartbeat, Ready, Refused, Shutdown, WorkerFailed
from rl_core.contract import PolicyQueries, PolicyQuery, PolicyReplies, PolicyReply
from tests.campaigns.fuzz_replies import BYTE_CHANGES
from tests.proposals import CONTEXT

Frames = list[bytes]


class Example(NamedTuple):
    """A message with its arrays."""

    message: BaseModel
    arrays: tuple[Array, ...] = ()


def own_messages() -> list[Example]:
    """What every worker and the runner may say."""
    return [
        Example(Ready(serves={"code": "c" * 64, "model": "m"})),
        Example(Heartbeat()),
        Example(WorkerFailed(cause="no model")),
        Example(Refused(cause="a request of another run")),
        Example(Shutdown()),
    ]


def run_messages() -> list[Example]:
    """Of every kind between a runner and its workers."""
    query = PolicyQuery(bar_seq=7, legal_actions=(True, False, True))
    reply = PolicyReply(bar_seq=7, action=2, probabilities=(0.25, 0.0, 0.75))
    proposal = EntryProposal.model_validate(
        {
            "proposal_id": "0123456789abcdef" * 2,
            "side": "sell",
            "quantity": 3,
            "stop_atr_milli": 1500,
            "target_atr_milli": 4500,
            "context": CONTEXT,
            "notes": ({"source": "desk", "text": "é\n"},),
        }
    )
    outcomes = (
        Approve(),
        Veto(reason="no"),
        Resize.model_validate_json('{"size_factor":"0.5","reason":"small"}'),
        GateFailed(cause="timeout"),
    )
    reviews = [_review(proposal.proposal_id, outcome) for outcome in outcomes]
    return [
        *own_messages(),
        Example(catalogue.NextBars(seq=0, most=catalogue.BARS_AHEAD)),
        *blocks(),
        Example(catalogue.EndOfBars(seq=12)),
        Example(query, (np.arange(20, dtype="<f4"),)),
        Example(reply),
        Example(PolicyQueries(queries=(query, query)), (np.zeros((2, 20), "<f4"),)),
        Example(PolicyReplies(replies=(reply,))),
        Example(proposal),
        Example(EntryProposals(proposals=(proposal,))),
        *(Example(review) for review in reviews),
        Example(Reviews(reviews=tuple(reviews))),
    ]


def blocks() -> list[Example]:
    """Bars, without their seconds and with them."""
    long = np.array([[60 * 10**9, 120 * 10**9], [100, 0], [0, 0]], "<i8")
    prices = np.array([[80, 81], [90, 82], [70, 79], [85, 80]], "<i4")
    counts, rows = np.array([2, 1], "<i4"), np.array([[0, 1, 2, 0, 1], [59, 1, 1, 1, 1], [3, 9, 9, 9, 9]], "<i4")
    block = catalogue.BarBlock(seq=64, count=2)
    return [Example(block, (long, prices)), Example(block, (long, prices, counts, rows))]


def broker_messages() -> list[Example]:
    """Of every kind between the orchestrator and a broker."""
    execution = broker.Execution(number=1, order_id="o.1", leg="entry", quantity=-2, price=80_000, ts_event_ns=1)
    bar = catalogue.Bar(seq=0, ts_event_ns=1, open=1, high=2, low=1, close=2, volume=3)
    account = broker.AccountThen(cash=5_000_000, floor=4_750_000, day_floor=-1, locked=0)
    seconds = ((0, 1, 2, 1, 1), (59, 1, 2, 1, 2))
    return [
        *own_messages(),
        Example(broker.Bracket(order_id="o.1", quantity=2, stop_ticks=40, target_ticks=80)),
        Example(
            broker.Bracket(order_id="o.2", quantity=-1, stop_ticks=9, target_ticks=7, stop_price=79_990, target_price=1)
        ),
        Example(broker.OrderState(order_id="o.1", status="filled", filled=2, reason="", stop=79_980)),
        Example(broker.OrderAsked(order_id="o.1", wanted="cancel")),
        Example(broker.StopAsked(order_id="o.1", revision=2, stop=79_990)),
        Example(broker.ExecutionsAfter(after=0)),
        Example(broker.Executions(executions=(execution, execution))),
        Example(broker.Acknowledge(through=1)),
        Example(broker.HoldingsAsked()),
        Example(broker.Holdings(quantity=-2, working=("o.1",), executions=1, stop=80_040)),
        Example(broker.Done()),
        Example(execution),
        Example(bar),
        Example(account),
        Example(broker.MarketMinute(bar=bar, seconds=seconds, slippage_ticks=1, fillable=2, account=account)),
        Example(broker.MarketOver(after=0, close=2, ts_event_ns=1, slippage_ticks=1, account=account)),
    ]


def feed_messages() -> list[Example]:
    """Of every kind between a run in paper mode and a feed, which speaks without keys."""
    given = row_feed.RowsGiven(
        feed="f.1", columns="time,open,high,low,close,volume", count=9, first=2, rows=("2024-01-02T00:00Z,1,2,1,2,3",)
    )
    return [Example(row_feed.RowsAsked(first=2, most=500)), Example(given), Example(Refused(cause="no question"))]


def _review(proposal_id: str, outcome: BaseModel) -> Reviewed:
    probabilities: dict[str, float] | None = {"approve": 0.5, "shrink": 0.25, "veto": 0.25}
    return Reviewed.model_validate(
        {
            "proposal_id": proposal_id,
            "outcome": outcome,
            "probabilities": None if isinstance(outcome, GateFailed) else probabilities,
            "latency_s": 0.25,
            "prompt_digest": "0" * 64,
            "engine": "rules",
            "model": "",
            "reason_source": "none",
        }
    )


VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 64, 65, 1 << 31, 1 << 63, -(1 << 63) - 1, 1 << 70, 0.5, 7.0, 1e308, -0.0,
    math.nan, math.inf, -math.inf, "", "0", "a-1", "a-1\n", "../a", "x" * 65, "\x00", "\ud800", "\u202e",
    "approve", "buy", "ready", "worker_failed", "shutdown", "<f4", "|O", ">i8", [], {}, [0], [-2, -3], [1, 1, 1, 1, 1],
    [10**18, 0], {"kind": "approve"}, [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]],
)  # fmt: skip
NAMES = ("v", "run", "id", "re", "kind", "body", "arrays", "dtype", "shape", "seq", "count", "quantity", "more", "")
NUMBERS = ("NaN", "Infinity", "-Infinity", "1e400", "-0", "1E2", "0x32", "1_0", "01", "9" * 400, "true", '"1"', "1.")


def changed(frames: Frames, draw: random.Random) -> Frames:
    """The frames, changed one to three times."""
    frames = list(frames)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        frames = draw.choice(CHANGES)(frames, draw)
    return frames


def _field(frames: Frames, draw: random.Random) -> Frames:
    """A member somewhere in the header is set, dropped or added."""
    try:
        header = json.loads(frames[0])
    except (ValueError, IndexError, RecursionError):
        return frames
    inner, key = header, None
    while isinstance(inner, dict | list) and inner:
        key = draw.choice(list(inner)) if isinstance(inner, dict) else draw.randrange(len(inner))
        if draw.random() < 0.4 or not isinstance(inner[key], dict | list) or not inner[key]:
            break
        inner = inner[key]
    if isinstance(inner, dict):
        _change_member(inner, key, draw)
    elif isinstance(inner, list):
        inner.append(draw.choice(VALUES))
    else:
        header = draw.choice(VALUES)
    return [json.dumps(header).encode("utf-8", "surrogatepass"), *frames[1:]]


def _change_member(inner: dict[str, Any], key: Any, draw: random.Random) -> None:
    kind = draw.random()
    if kind < 0.6 and key is not None:
        inner[key] = draw.choice(VALUES)
    elif kind < 0.8 and key is not None:
        del inner[key]
    else:
        inner[draw.choice(NAMES)] = draw.choice(VALUES)


def _text(frames: Frames, draw: random.Random) -> Frames:
    """The header's text: a member twice, another number, another sign."""
    if not frames:
        return frames
    text = frames[0]
    kind, place = draw.randrange(4), draw.randrange(len(text) + 1)
    if kind == 0:
        member = f"{json.dumps(draw.choice(NAMES))}:{draw.choice(NUMBERS)},".encode()
        text = text.replace(b"{", b"{" + member, draw.randint(1, 3))
    elif kind == 1:
        text = text.replace(draw.choice((b":1", b":7", b": 1", b":0", b":2")), b":" + draw.choice(NUMBERS).encode())
    elif kind == 2:
        text = text[:place] + draw.choice(b'{}[]":, \n\\u\x00\xff').to_bytes(1, "big") + text[place:]
    else:
        text = text[:place] + b"[" * draw.choice((20, 2000)) + text[place:]
    return [text, *frames[1:]]


def _bytes(frames: Frames, draw: random.Random) -> Frames:
    """The bytes of one frame."""
    if not frames:
        return frames
    place = 0 if draw.random() < 0.7 else draw.randrange(len(frames))
    frames[place] = draw.choice(BYTE_CHANGES)[1](draw, frames[place])
    return frames


def _frames(frames: Frames, draw: random.Random) -> Frames:
    """Whole frames come twice, too many, in another order, or not at all."""
    kind = draw.randrange(6)
    if kind == 0:
        return frames[: draw.randrange(len(frames) + 1)]
    if kind == 1:
        return draw.sample(frames, len(frames))
    if kind == 2:
        return frames + [draw.randbytes(draw.choice((0, 1, 4, 80)))] * draw.choice((1, 2, 9))
    if kind == 3 and draw.random() < 0.02:
        return [*frames[:1], bytes(MAX_FRAME + draw.randrange(2)), *frames[2:]]
    if kind == 4 and len(frames) > 1:
        return [frames[0], *(frame[: draw.randrange(len(frame) + 1)] for frame in frames[1:])]
    return frames * draw.choice((1, 2))


def _shape(frames: Frames, draw: random.Random) -> Frames:
    """Other arrays than the message has, rightly announced."""
    try:
        header = json.loads(frames[0])
        arrays = [draw.choice(ARRAYS) for _ in range(draw.randrange(5))]
        header["arrays"] = [{"dtype": array.dtype.str, "shape": list(array.shape)} for array in arrays]
    except (ValueError, IndexError, TypeError, RecursionError):
        return frames
    return [json.dumps(header).encode("utf-8", "surrogatepass"), *(array.tobytes() for array in arrays)]


ARRAYS: tuple[Array, ...] = (
    np.zeros((3, 2), "<i8"),
    np.full((3, 2), -1, "<i8"),
    np.zeros((4, 2), "<i4"),
    np.zeros((4, 3), "<i4"),
    np.full(2, 1, "<i4"),
    np.full(2, -5, "<i4"),
    np.full(2, 2**31 - 1, "<i4"),
    np.zeros((2, 5), "<i4"),
    np.zeros((0, 5), "<i4"),
    np.full((3, 5), 61, "<i4"),
    np.zeros((), "<i4"),
    np.zeros((2, 20), "<f4"),
    np.full(20, np.nan, "<f4"),
    np.ones(3, "|b1"),
)
CHANGES: tuple[Callable[[Frames, random.Random], Frames], ...] = (_field, _field, _text, _bytes, _frames, _shape)
