"""Replies as a vLLM server writes them, for tests that change one thing."""

import json
import math
from typing import Any

SIXTY_THIRTY_TEN = {"A": 0.6, "B": 0.3, "C": 0.1}


def letter_completion(
    request_id: str, letter: str = "A", probabilities: dict[str, float] = SIXTY_THIRTY_TEN, model: str = "gate"
) -> dict[str, Any]:
    """One constrained letter with the probability of each, in the fields and order of vLLM 0.1x."""
    top = [
        {"token": token, "logprob": math.log(p), "bytes": list(token.encode())} for token, p in probabilities.items()
    ]
    chosen = math.log(probabilities.get(letter, 1.0))
    position = {"token": letter, "logprob": chosen, "bytes": list(letter.encode()), "top_logprobs": top}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": letter, "refusal": None, "function_call": None, "tool_calls": []},
        "logprobs": {"content": [position]},
        "finish_reason": "length",
        "stop_reason": None,
    }
    return _completion(request_id, choice, completion_tokens=1, model=model)


def json_completion(request_id: str, content: object, model: str = "gate") -> dict[str, Any]:
    """One constrained object, whatever ``content`` is."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, "refusal": None, "function_call": None, "tool_calls": []},
        "logprobs": None,
        "finish_reason": "stop",
        "stop_reason": None,
    }
    return _completion(request_id, choice, completion_tokens=21, model=model)


def as_bytes(reply: dict[str, Any]) -> bytes:
    """The reply as it travels."""
    return json.dumps(reply).encode()


def _completion(request_id: str, choice: dict[str, Any], *, completion_tokens: int, model: str) -> dict[str, Any]:
    usage = {"prompt_tokens": 700, "completion_tokens": completion_tokens, "total_tokens": 700 + completion_tokens}
    return {
        "id": f"chatcmpl-{request_id}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [choice],
        "usage": {**usage, "prompt_tokens_details": None},
        "prompt_logprobs": None,
    }
