"""The rows of an evaluation in the log format of inspect-ai: one EvalLog of version 2, in JSON, for each answerer.

Written by hand, since inspect-ai cannot be installed beside this project's locked packages.
Source: https://inspect.aisi.org.uk/reference/inspect_ai.log.html, read back with inspect-ai 0.3.285.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llm_gate.evals.data.log import Row
from llm_gate.evals.report.findings import Findings
from llm_gate.evals.scoring.scores import ALL, Score, Who
from trigate.whole_files import disk_faults, write_whole

VERSION = 2
SCORER = "label"
CORRECT, INCORRECT = "C", "I"


def write_inspect_logs(found: Findings, folder: Path) -> list[Path]:
    """Write one log for each answerer into ``folder``; ResourceError if the disk refuses."""
    rows: dict[Who, list[Row]] = {}
    for row in found.ran.rows:
        rows.setdefault(Who(row.task, row.model, row.prompt, row.mode), []).append(row)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    paths = []
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for who, own in rows.items():
            scores = [score for score in found.scores if score.who == who and score.regime == ALL]
            path = folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', who.name)}.json"
            write_whole(path, json.dumps(inspect_log(who, own, scores, created=created)))
            paths.append(path)
    return paths


def inspect_log(who: Who, rows: Sequence[Row], scores: Sequence[Score], *, created: str) -> dict[str, Any]:
    """One EvalLog as JSON can hold it; a case asked again, or in another order of letters, is an epoch more."""
    name = hashlib.sha256(who.name.encode()).hexdigest()[:22]
    case_ids = list(dict.fromkeys(row.case_id for row in rows))
    samples = _samples(rows)
    return {
        "version": VERSION,
        "status": "success",
        "eval": {
            "eval_id": name,
            "run_id": name,
            "created": created,
            "task": f"trigate_{who.task}",
            "task_id": name,
            "dataset": {"name": "trigate", "samples": len(case_ids), "sample_ids": case_ids, "shuffled": False},
            "model": f"{who.model}/{rows[0].model_digest}",
            "config": {"epochs": max(sample["epoch"] for sample in samples)},
            "packages": {"trigate": version("trigate")},
            "metadata": {"prompt": who.prompt, "prompt_digest": rows[0].prompt_digest, "mode": who.mode},
        },
        "plan": {"name": "plan", "steps": [{"solver": f"{who.prompt} in {who.mode}", "params": {}}]},
        "results": {
            "total_samples": len(samples),
            "completed_samples": sum(row.answer is not None for row in rows),
            "scores": [_result(score) for score in scores],
        },
        "stats": {"started_at": created, "completed_at": created, "model_usage": {}},
        "samples": samples,
    }


def _samples(rows: Sequence[Row]) -> list[dict[str, Any]]:
    epochs: dict[str, int] = {}
    samples = []
    for row in rows:
        epochs[row.case_id] = epochs.get(row.case_id, 0) + 1
        samples.append(_sample(row, epochs[row.case_id]))
    return samples


def _sample(row: Row, epoch: int) -> dict[str, Any]:
    asked = f"{row.prompt} about case {row.case_id} ({row.regime})"
    said = row.answer or ""
    usage = {"input_tokens": row.prompt_tokens or 0, "output_tokens": row.completion_tokens or 0}
    sample: dict[str, Any] = {
        "id": row.case_id,
        "epoch": epoch,
        "input": asked,
        "target": row.truth or "",
        "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said, "source": "generate"}],
        "output": {
            "model": row.model,
            "choices": [{"message": {"role": "assistant", "content": said}, "stop_reason": "stop"}],
            "usage": {**usage, "total_tokens": sum(usage.values())},
        },
        "scores": {},
        "metadata": row.model_dump(mode="json", exclude={"case_id", "answer", "truth"}),
        "total_time": row.latency_s,
    }
    if row.truth is not None:
        value = CORRECT if row.answer == row.truth else INCORRECT
        sample["scores"] = {SCORER: {"value": value, "answer": said, "explanation": row.error or ""}}
    if row.answer is None:
        message = row.error or "no verdict"
        sample["error"] = {"message": message, "traceback": message, "traceback_ansi": message}
    return sample


def _result(score: Score) -> dict[str, Any]:
    said = {name: one for name, one in score.figures.items() if one.value is not None}
    return {
        "name": f"{score.split}_{score.group}",
        "scorer": SCORER,
        "metrics": {
            name: {"name": name, "value": one.value, "metadata": {"low": one.low, "high": one.high, "n": one.rows}}
            for name, one in said.items()
        },
    }
