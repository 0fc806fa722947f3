"""The case browser of an evaluation's page: every question as it was sent, with its answer, packed small.

What a model said is data here and text on the page: nothing of it is ever read as HTML.
"""

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from llm_gate.errors import PromptError
from llm_gate.evals.asking.questions import rendered_question
from llm_gate.evals.asking.run import Asked, SuiteRun
from llm_gate.evals.data.log import Row

MOST_ANSWERS = 1_500
MOST_BYTES = 1_200_000
"""Of the packed answers; long notes are left out sooner than the page grows beyond what a mail takes."""


class Browsed(NamedTuple):
    """What the browser holds."""

    data: str
    """JSON, gzipped, in base64."""
    kept: int
    of: int


def browsed(suite_run: SuiteRun, most: int = MOST_ANSWERS, most_bytes: int = MOST_BYTES) -> Browsed:
    """The answers of a suite, spread evenly over it where there are more than fit."""
    total = len(suite_run.rows)
    count = min(most, total)
    while True:
        numbers = [n * total // count for n in range(count)] if count else []
        data = _packed([(suite_run.rows[n], suite_run.asked[n]) for n in numbers])
        if len(data) <= most_bytes or count <= 1:
            return Browsed(data, count, total)
        count //= 2


def unpacked(data: str) -> dict[str, Any]:
    """What `browsed` packed."""
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(data)))
    return found


def judged(row: Row) -> str:
    """Whether the answer was right: by the label, or by what the proposal earned (a loss let through is wrong)."""
    if row.answer is None:
        return "no verdict"
    if row.truth is not None:
        return "right" if row.answer == row.truth else "wrong"
    if row.r is None:
        return "nothing to hold it against"
    return "right" if (row.r > 0) == (row.answer == "approve") else "wrong"


def _packed(answers: Sequence[tuple[Row, Asked]]) -> str:
    texts: dict[str, int] = {}
    rows = [_row(row, asked, texts) for row, asked in answers]
    text = json.dumps({"rows": rows, "texts": list(texts)}, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _row(row: Row, asked: Asked, texts: dict[str, int]) -> dict[str, Any]:
    """One answer; a text that many questions share is kept once, and named by its number."""
    chat, letters = _question(asked)
    return {
        "case": row.case_id,
        "model": row.model,
        "prompt": f"{row.prompt}, {row.mode}",
        "task": row.task,
        "split": row.split.replace("_", "-"),
        "regime": row.regime,
        "order": row.order,
        "repeat": row.repeat,
        "note": row.family,
        "answer": row.answer,
        "label": row.truth,
        "r": row.r,
        "judged": judged(row),
        "reason": row.reason,
        "error": row.error,
        "odds": row.probabilities,
        "letters": letters,
        "ms": round(1000 * row.latency_s, 1),
        "chat": [[role, texts.setdefault(text, len(texts))] for role, text in chat],
    }


def _question(asked: Asked) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """The chat as it was sent, and what each letter stands for; where the prompt refused the case, why."""
    try:
        rendered = rendered_question(asked.cell, asked.case)
    except PromptError as error:
        return [("never sent", str(error))], {}
    return [(turn.role, turn.text) for turn in rendered.chat], rendered.meanings
