"""One TOML file, settings on top, and every unknown key refused."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from trigate.errors import ConfigError
from trigate.toml_config import read_config


class Inner(BaseModel):
    """A section."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rate: float = Field(0.1, gt=0)
    name: str = "plain"


class Outer(BaseModel):
    """A file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    steps: int = 10
    inner: Inner = Inner()
    other: Inner | None = None


def test_no_file_gives_the_defaults() -> None:
    assert read_config(Outer, None) == Outer()


def test_settings_are_applied_after_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("steps = 20\n[inner]\nrate = 3e-4\n", encoding="utf-8")

    config = read_config(Outer, path, ["steps=1_000", "inner.name=nearest", "other.rate=2.5"])

    assert config == Outer(steps=1000, inner=Inner(rate=3e-4, name="nearest"), other=Inner(rate=2.5))


def test_a_value_is_toml_or_else_a_bare_word() -> None:
    config = read_config(Outer, None, ['inner.name="16:59"'])

    assert config == read_config(Outer, None, ["inner.name=16:59"])
    assert config.inner.name == "16:59"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("step=3", "unknown key 'step': did you mean 'steps'?"),
        ("inner.rat=3", "unknown key 'inner.rat': did you mean 'rate'?"),
        ("other.nam=x", "unknown key 'other.nam': did you mean 'name'?"),
        ("zzz=3", "known keys: steps, inner, other"),
        ("steps=many", "steps: "),
        ("inner.rate=-1", "inner.rate: "),
        ("steps", "expected a.b=value"),
        ("=3", "expected a.b=value"),
        ("inner..rate=3", "expected a.b=value"),
    ],
)
def test_a_wrong_setting_is_refused_with_a_suggestion(setting: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(Outer, None, [setting])

    assert said in str(caught.value)


def test_a_value_is_no_section() -> None:
    with pytest.raises(ConfigError, match="'steps' is a value, not a section"):
        read_config(Outer, None, ["steps=3", "steps.more=4"])


def test_all_faults_are_listed_in_one_line() -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(Outer, None, ["stepps=1", "inner.rate=0"])

    assert "stepps" in str(caught.value) and "inner.rate" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"steps = ", b"\xff\xfe", b"steps = 1\nsteps = 2"])
def test_a_file_that_is_not_toml_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"broken\.toml: not valid TOML"):
        read_config(Outer, path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        read_config(Outer, tmp_path / "none.toml")
