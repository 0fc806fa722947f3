"""The JSON Schemas that editors are given: each shipped file fits its own, and a misspelt key does not."""

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.import_graph import ROOT
from tests.processes.commands import call_here

PROGRAMS = {
    "phase1_nq.toml": "rl-core",
    "phase2_nq.toml": "rl-core",
    "phase1_demo.toml": "rl-core",
    "phase2_demo.toml": "rl-core",
    "sim.toml": "orchestrator",
    "live.toml": "orchestrator",
    "gate_eval.toml": "llm-gate",
}
"""File in configs/ -> who reads it."""
NO_SCHEMA = {
    "account_prices.toml": "any pack may be a key",
    "fees.toml": "any symbol may be a key",
    "verdict.toml": "numbers, which a misspelt key does not pass",
    "selftest.toml": "the selftest's own worlds, which nobody writes anew",
    "selftest_quick.toml": "the selftest's own worlds, which nobody writes anew",
}


@cache
def validator(program: str) -> Draft202012Validator:
    """Of the file that ``program`` reads, as it prints it."""
    printed = call_here(program, "show-config", "--schema")
    assert printed.returncode == 0
    schema = json.loads(printed.stdout)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def faults(program: str, text: str) -> list[str]:
    """What an editor would mark."""
    content = json.loads(json.dumps(tomllib.loads(text), default=str))
    return [error.message for error in validator(program).iter_errors(content)]


@pytest.mark.parametrize(("name", "program"), PROGRAMS.items())
def test_a_shipped_file_fits_and_a_misspelt_key_of_it_does_not(name: str, program: str) -> None:
    text = (ROOT / "configs" / name).read_text("utf-8")
    key = next(line.split(" = ")[0] for line in reversed(text.splitlines()) if " = " in line and line[0] not in "#[")

    assert faults(program, text) == []
    (found,) = faults(program, text.replace(f"\n{key} =", f"\n{key}x ="))
    assert f"'{key}x' was unexpected" in found or "is not valid under any of the given schemas" in found


def test_every_shipped_file_has_a_schema_or_an_excuse() -> None:
    assert {path.name for path in Path(ROOT / "configs").glob("*.toml")} == PROGRAMS.keys() | NO_SCHEMA.keys()


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("rl-core", "[ppo]\ntotal_steps = 0"),
        ("rl-core", '[trading]\nat_target = "sometimes"'),
        ("orchestrator", '[gate]\nengine = "gpt"'),
        ("orchestrator", "sessions = -1"),
        ("llm-gate", "[[models]]\nveto_rate = 1.5"),
    ],
)
def test_a_value_out_of_bounds_is_marked(program: str, text: str) -> None:
    assert len(faults(program, text)) == 1


def test_what_eval_would_use_is_shown_with_its_origin() -> None:
    shown: dict[str, Any] = json.loads(call_here("llm-gate", "show-config", "--set", "deadline_s=3.5", "--json").stdout)

    assert shown["deadline_s"] == {"value": 3.5, "origin": "command line"}
    assert shown["name"]["origin"] == "file configs/gate_eval.toml"
    assert shown["concurrency"] == {"value": 1, "origin": "default"}
