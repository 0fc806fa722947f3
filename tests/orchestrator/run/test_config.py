"""A run's configuration: unknown keys are named, and what is dangerous is said twice."""

from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.run.config import RunConfig
from trigate.errors import ConfigError
from trigate.toml_config import read_config

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("gate.shadw=true", "did you mean 'gate.shadow'"),
        ("chekpoint=x", "did you mean 'checkpoint'"),
        ("gate.review.deadline=3", "did you mean 'gate.review.deadline_s'"),
        ("trading.max_contarcts=3", "did you mean 'trading.max_contracts'"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(setting: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="unknown key") as refused:
        read_config(RunConfig, None, [setting])

    assert hint in str(refused.value) and refused.value.exit_code == 2


def test_letting_entries_through_without_a_verdict_is_said_twice() -> None:
    with pytest.raises(ConfigError, match="i_understand_unprotected_approve"):
        read_config(RunConfig, None, ["gate.on_failure=approve"])

    both = read_config(RunConfig, None, ["gate.on_failure=approve", "gate.i_understand_unprotected_approve=true"])
    assert both.gate.fail_factor == 1


@pytest.mark.parametrize(("mode", "factor"), [("veto", "0"), ("resize:0.5", "0.5"), ("resize:0.125", "0.125")])
def test_the_fail_mode_is_a_share_of_the_size(mode: str, factor: str) -> None:
    config = read_config(RunConfig, None, [f'gate.on_failure="{mode}"'])

    assert config.gate.fail_factor == Decimal(factor)


@pytest.mark.parametrize(
    "setting",
    [
        "gate.on_failure=resize:1.5",
        "gate.on_failure=resize:0.000",
        "gate.on_failure=resize:0.0",
        'sessions="5"',
        "gate.on_failure=ignore",
        "gate.engine=oracle",
        "name=../up",
        "name=",
        "sessions=0",
        "max_entries_per_session=0",
        "gate.review.deadline_s=0",
        "broker_parts=3",
        "broker_parts_a_bar=1",
    ],
)
def test_values_out_of_bounds_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError):
        read_config(RunConfig, None, [setting])


@pytest.mark.parametrize(("a_bar", "fits"), [(0, True), (2, True), (3, False)])
def test_what_a_bar_fills_of_an_exit_is_less_than_all_of_it(a_bar: int, fits: bool) -> None:
    lines = ['broker="simulated"', "broker_parts=3", f"broker_parts_a_bar={a_bar}"]

    if fits:
        named = read_config(RunConfig, None, lines).identity
        assert named.get("broker_parts_a_bar", 0) == a_bar and ("broker_parts_a_bar" in named) == (a_bar > 0)
        return
    with pytest.raises(ConfigError, match="leaves nothing open"):
        read_config(RunConfig, None, lines)


def test_the_default_fails_closed_and_acts() -> None:
    config = read_config(RunConfig, None)

    assert (config.gate.on_failure, config.gate.fail_factor, config.gate.shadow) == ("veto", 0, False)
    assert config.gate.review.deadline_s == 10


def test_the_file_of_the_demo_run_is_valid() -> None:
    assert read_config(RunConfig, ROOT / "configs/sim.toml").gate.engine == "vllm"
