"""Any bytes a model server may send, through parser, check and trader: none may do more than shrink or stop an entry.

    python -m tests.campaigns.fuzz_replies [--replies 1000000] [--seed 1]

Each reply is a good one of either mode, changed none to three times in its bytes, its fields or its text. Prints one
JSON object: how the replies ended, how many differed, and the first violation; exit status 100 if there is one.
"""

import argparse
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from llm_gate.contract import (
    Approve,
    EntryProposal,
    FailureCause,
    GateFailed,
    Label,
    Mode,
    Outcome,
    Resize,
    Reviewed,
    Veto,
    parse_message,
)
from llm_gate.engines.base import Answer, Question
from llm_gate.engines.replies import JSON_EXAMPLES, ExpectedReply, parse_completion, parse_json_completion
from llm_gate.errors import ForeignVerdictError, MalformedVerdictError
from llm_gate.review.verdicts import verdict_of
from orchestrator.messaging.catalogue import Bar
from orchestrator.trader.machine import advance, opening_state
from orchestrator.trader.seen_at_close import CloseView
from orchestrator.trader.state import AskGate, BarClosed, GateAnswered, PolicyAnswered, TraderState
from rl_core.contract import BUY, SELL
from rl_core.market.types import NO_ORDER, Order
from tests.llm_gate.completions import json_completion, letter_completion
from tests.orchestrator.driven_trader import REGIME, settings_for

LETTERS: dict[str, Label] = {"A": "approve", "B": "shrink", "C": "veto"}
SHRINK = Decimal("0.5")
SETTING = settings_for()
Judge = Callable[[Mode, bytes, Question], Outcome]


class Ask(NamedTuple):
    """A trader that waits for a verdict."""

    state: TraderState
    proposal: EntryProposal

    @property
    def planned(self) -> Order:
        """The order as proposed."""
        assert self.state.pending is not None
        return self.state.pending.order


def violation(ask: Ask, reviewed: Reviewed, after: TraderState) -> str:
    """Which promise the state after a reply breaks; empty if none. The invariant, whole.

    An order after a verdict has the proposed side, at most the size that the verdict leaves of the proposed one, a
    stop no wider and a target no other than planned. It is no exit, and nothing else of the account has changed.
    """
    order, planned = after.broker.order, ask.planned
    side = 1 if ask.proposal.side == "buy" else -1
    rest = ask.state.broker._replace(order=NO_ORDER)
    found = {
        "an account or a position was touched": after.broker._replace(order=NO_ORDER) != rest,
        "the side was changed": order.quantity * side < 0,
        "the size was raised": abs(order.quantity) > _left(ask.proposal.quantity, reviewed.outcome),
        "the stop was loosened": order.quantity != 0 and order.stop_ticks > planned.stop_ticks,
        "the target was moved": order.quantity != 0 and order.target_ticks != planned.target_ticks,
        "an exit was touched": bool(order.flatten),
    }
    return next((name for name, broken in found.items() if broken), "")


def _left(quantity: int, outcome: Outcome) -> int:
    if isinstance(outcome, Approve):
        return quantity
    return int(outcome.size_factor * quantity) if isinstance(outcome, Resize) else 0


def asks() -> list[Ask]:
    """A trader before the verdict on a small and a large entry, long and short."""
    found = []
    for true_range_sum in (140, 900):
        for action in (BUY, SELL):
            bar = Bar(seq=0, ts_event_ns=60_000_000_000, open=80_000, high=80_010, low=79_990, close=80_000, volume=1)
            view = CloseView(np.zeros(220, np.float32), true_range_sum, True, False, 0, 25, REGIME, 1)
            state = advance(opening_state(SETTING), BarClosed(bar, view), SETTING).state
            step = advance(state, PolicyAnswered(action, "policy"), SETTING)
            assert isinstance(step.question, AskGate)
            found.append(Ask(step.state, step.question.proposal))
    return found


def judged(mode: Mode, data: bytes, question: Question) -> Outcome:
    """What the gate makes of a reply."""
    parse: Callable[..., Answer] = parse_json_completion if mode == "json" else parse_completion
    try:
        answer = parse(data, ExpectedReply(question.proposal.proposal_id, "gate", LETTERS))
        return verdict_of(answer, question, shrink_factor=SHRINK)
    except MalformedVerdictError:
        return GateFailed(cause="malformed")
    except ForeignVerdictError:
        return GateFailed(cause="foreign")


class Campaign(NamedTuple):
    """What was found."""

    replies: int
    different: int
    ended: dict[str, int]
    changed: dict[str, int]
    violation: str
    seconds: float


def campaign(replies: int, seed: int, judge: Judge = judged) -> Campaign:
    """Send ``replies`` generated replies through ``judge`` and the trader; ends at the first violation."""
    draw, waiting = random.Random(seed), asks()
    ended: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    seen: set[int] = set()
    started_s, broken = time.monotonic(), ""
    for number in range(replies):
        ask = waiting[number % len(waiting)]
        mode: Mode = "json" if draw.random() < 0.6 else "choice"
        data, changes = generated(draw, mode, ask.proposal.proposal_id)
        changed.update(changes or ["nothing"])
        seen.add(hash(data))
        outcome = judge(mode, data, Question(ask.proposal, (), LETTERS, mode))
        ended[outcome.cause if isinstance(outcome, GateFailed) else outcome.kind] += 1
        reviewed = _reviewed(ask.proposal, mode, outcome)
        if broken := violation(ask, reviewed, advance(ask.state, GateAnswered(reviewed), SETTING).state):
            broken = f"{broken}: reply {number} of seed {seed}: {data!r}"
            break
    seconds = time.monotonic() - started_s
    return Campaign(sum(ended.values()), len(seen), dict(ended), dict(changed), broken, round(seconds, 1))


def generated(draw: random.Random, mode: Mode, proposal_id: str) -> tuple[bytes, list[str]]:
    """A reply of ``mode`` and what was done to it."""
    content = draw.choice(list(JSON_EXAMPLES.values()) if mode == "json" else list(LETTERS))
    changes: list[str] = []
    for _ in range(draw.choice((0, 0, 1, 1, 2))):
        name, change = draw.choice(TEXT_CHANGES)
        content = change(draw, content)
        changes.append(f"text {name}")
    message = _completion(draw, mode, proposal_id, content)
    for _ in range(draw.choice((0, 0, 0, 1, 2))):
        changes.append("field " + _change_field(draw, message))
    data = json.dumps(message).encode("utf-8", "surrogatepass")
    for _ in range(draw.choice((0, 0, 0, 1))):
        name, alter = draw.choice(BYTE_CHANGES)
        data = alter(draw, data)
        changes.append(f"bytes {name}")
    return data, changes


def _completion(draw: random.Random, mode: Mode, proposal_id: str, content: str) -> dict[str, Any]:
    weights = {letter: draw.random() + 1e-9 + (letter == content) for letter in LETTERS}
    total = sum(weights.values())
    probabilities = {letter: weight / total for letter, weight in weights.items()}
    if mode == "choice":
        return letter_completion(proposal_id, content, probabilities)
    return json_completion(proposal_id, content)


VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 99, 100, 101, 1 << 64, -(1 << 70), 0.5, 1e308, 5e-324, math.nan,
    math.inf, -math.inf,
    "", "A", "B", "C", "approve", "shrink", "veto", "resize", "buy", "sell", "50", "0.5", "stop", "length",
    "\x00", "\ud800",
    [], {}, ["A"], {"A": 1}, "x" * 300, "A\n", " A", "\u202eA", "Ａ",
)  # fmt: skip
NAMES = (
    "decision",
    "size_percent",
    "reason",
    "side",
    "quantity",
    "stop",
    "target",
    "exit",
    "id",
    "size_factor",
    "kind",
)


def _change_field(draw: random.Random, message: dict[str, Any]) -> str:
    """Sets, drops, adds or doubles one member somewhere in ``message``."""
    inner: Any = message
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = draw.choice(keys) if keys else None
        if key is None or not isinstance(inner[key], dict | list) or draw.random() < 0.2:
            break
        inner = inner[key]
    kind = draw.choice(("set", "drop", "add", "repeat"))
    if isinstance(inner, list):
        inner.extend(deepcopy(inner if kind == "repeat" else [draw.choice(VALUES)]))
    elif kind == "drop" and key is not None:
        del inner[key]
    else:
        inner[draw.choice(NAMES) if kind == "add" or key is None else key] = deepcopy(draw.choice(VALUES))
    return kind


def _with_member(draw: random.Random, text: str) -> str:
    """One more member, at the front or the back, whose name may be there already."""
    member = f"{json.dumps(draw.choice(NAMES))}:{json.dumps(draw.choice(VALUES))}"
    if not text.startswith("{"):
        return member
    return f"{{{member},{text[1:]}" if draw.random() < 0.5 else f"{text[:-1]},{member}}}"


def _with_number(draw: random.Random, text: str) -> str:
    numbers = (
        "150",
        "0",
        "-50",
        "1e2",
        "1e400",
        "0x32",
        "50.0",
        "5_0",
        "NaN",
        "Infinity",
        "true",
        '"50"',
        "100",
        "99",
        "1",
    )
    return text.replace("50", draw.choice(numbers))


def _with_decision(draw: random.Random, text: str) -> str:
    words = ["approve", "shrink", "veto"]
    return text.replace(draw.choice(words), draw.choice([*words, "APPROVE", "approve ", "resize", "sell", "exit", ""]))


def _spliced(draw: random.Random, data: bytes) -> bytes:
    a, b, c = (draw.randrange(len(data) + 1) for _ in range(3))
    return data[:a] + data[min(b, c) : max(b, c)] + data[a:]


def _flipped(draw: random.Random, data: bytes) -> bytes:
    if not data:
        return b"\x00"
    changed = bytearray(data)
    changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


TEXT_CHANGES: tuple[tuple[str, Callable[[random.Random, str], str]], ...] = (
    ("cut", lambda draw, t: t[: draw.randrange(len(t) + 1)]),
    ("fence", lambda draw, t: f"```json\n{t}\n```"),
    ("prose before", lambda draw, t: f"Sure, here it is: {t}"),
    ("prose after", lambda draw, t: f"{t} I hope that helps."),
    ("twice", lambda draw, t: t + t),
    ("member", _with_member),
    ("number", _with_number),
    ("decision", _with_decision),
    ("sign", lambda draw, t: t.replace(draw.choice('{}":,AaBbCc '), draw.choice('{}":,\\ABC \n\x00\u202e'), 1)),
    ("long reason", lambda draw, t: t.replace('"reason":"', '"reason":"' + "x" * draw.choice((100, 240, 300)))),
    ("space", lambda draw, t: draw.choice((" ", "\n", "\t", "\ufeff", "\u00a0")) + t),
    (
        "word",
        lambda draw, t: draw.choice(("approve", "A", "BUY 99", "", "null", "[]", "0.5", '{"decision":"approve"}')),
    ),
)
BYTE_CHANGES: tuple[tuple[str, Callable[[random.Random, bytes], bytes]], ...] = (
    ("cut", lambda draw, d: d[: draw.randrange(len(d) + 1)]),
    ("flip", _flipped),
    ("splice", _spliced),
    ("mark", lambda draw, d: b"\xef\xbb\xbf" + d),
    ("UTF-16", lambda draw, d: d.decode("utf-8", "replace").encode("utf-16")),
    ("junk", lambda draw, d: draw.randbytes(draw.randrange(64))),
    ("HTML", lambda draw, d: b"<html>" + d),
    ("twice", lambda draw, d: d + d),
    ("raw values", lambda draw, d: d.replace(b"null", b"NaN").replace(b"-0.", b"-1e999")),
)


def _reviewed(proposal: EntryProposal, mode: Mode, outcome: Outcome) -> Reviewed:
    """The gate's reply, over the wire and back."""
    cause: FailureCause | None = outcome.cause if isinstance(outcome, GateFailed) else None
    sent = Reviewed(
        proposal_id=proposal.proposal_id,
        outcome=outcome,
        probabilities=None,
        latency_s=0.0,
        prompt_digest="0" * 64,
        engine="vllm",
        model="fuzz",
        reason_source="none" if cause or not isinstance(outcome, Veto | Resize) else "model",
        mode=mode,
    )
    return parse_message(Reviewed, sent.model_dump_json())


def main() -> None:
    """Run the campaign and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replies", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = campaign(given.replies, given.seed)
    sys.stdout.write(json.dumps({"campaign": "fuzz_replies", "seed": given.seed, **found._asdict()}) + "\n")
    sys.exit(100 if found.violation else 0)


if __name__ == "__main__":
    main()
