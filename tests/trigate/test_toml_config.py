"""One TOML file, settings on top, and every unknown key refused."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from trigate.errors import ConfigError
from trigate.toml_config import Given, overlaid, read_config, read_with_origins, shown_values


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
        ("inner.rat=3", "--set inner.rat=3: unknown key 'inner.rat': did you mean 'inner.rate'?"),
        ("other.nam=x", "unknown key 'other.nam': did you mean 'other.name'?"),
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


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("rate=3", "unknown key 'rate': did you mean 'inner.rate' or 'other.rate'?"),
        ("inner.label=x", "did you mean 'inner.name_of_label'?"),
        ("inner.nol=x", "did you mean 'inner.name_of_label'?"),
    ],
)
def test_a_key_is_suggested_by_its_words_its_initials_and_from_any_level(setting: str, said: str) -> None:
    class Labelled(Inner):
        name_of_label: str = ""

    class Whole(Outer):
        inner: Labelled = Labelled()

    with pytest.raises(ConfigError) as caught:
        read_config(Whole, None, [setting])

    assert said in str(caught.value)


def test_a_fault_of_the_command_line_names_what_was_typed_and_a_fault_of_the_file_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("steps = 'x'\n", encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        read_config(Outer, path, ["inner.rate=-1", Given("inner.name", 3, "--name 3")])

    in_file, by_set, by_option = str(caught.value).split("; ")
    assert in_file.startswith(f"{path}: steps: ")
    assert by_set.startswith("--set inner.rate=-1: inner.rate: ")
    assert by_option.startswith("--name 3: inner.name: ")


def test_a_section_that_does_not_hold_together_names_the_setting_in_it() -> None:
    class Ordered(BaseModel):
        low: int = 1
        high: int = 2

        @model_validator(mode="after")
        def _ordered(self) -> "Ordered":
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    class Whole(BaseModel):
        span: Ordered = Ordered()

    with pytest.raises(ConfigError, match=r"^--set span.low=3: span: low is above high$"):
        read_config(Whole, None, ["span.low=3"])


@pytest.mark.parametrize("setting", ['steps="5"', "steps=2.5", "steps=true", 'inner.rate="0.5"', "inner.name=5"])
def test_a_value_of_another_type_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"^--set {setting}: "):
        read_config(Outer, None, [setting])


def test_a_whole_number_may_be_written_as_a_power_and_a_share_as_a_whole_number() -> None:
    config = read_config(Outer, None, ["steps=2e6", "inner.rate=1"])

    assert config == Outer(steps=2_000_000, inner=Inner(rate=1.0))


def test_paths_tuples_dates_and_amounts_are_read_as_what_they_are(tmp_path: Path) -> None:
    class Kinds(BaseModel):
        path: Path
        names: tuple[str, ...]
        day: date
        at: AwareDatetime
        amount: Decimal
        share: Decimal

    path = tmp_path / "kinds.toml"
    path.write_text(
        'path = "a/b"\nnames = ["x"]\nday = 2024-01-02\nat = 2024-01-02T03:04:05Z\namount = 250\nshare = "0.05"\n'
    )

    read = read_config(Kinds, path)

    assert (read.path, read.names, read.day) == (Path("a/b"), ("x",), date(2024, 1, 2))
    assert (read.at, read.amount, read.share) == (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), 250, Decimal("0.05"))


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    path = tmp_path / "run.toml"
    path.write_bytes(b"\xef\xbb\xbfsteps = 20\n")

    assert read_config(Outer, path).steps == 20


def test_a_section_given_in_part_changes_only_what_it_names() -> None:
    base = Outer(steps=7, inner=Inner(rate=0.5, name="base"), other=Inner(rate=0.9))

    over = read_config(Outer, None, ["inner.rate=0.25"])

    assert overlaid(base, over) == Outer(steps=7, inner=Inner(rate=0.25, name="base"), other=Inner(rate=0.9))
    assert overlaid(base, read_config(Outer, None)) == base


def test_a_section_that_the_base_lacks_is_taken_whole() -> None:
    over = read_config(Outer, None, ["other.name=x"])

    assert overlaid(Outer(steps=7), over) == Outer(steps=7, other=Inner(name="x"))


def test_a_value_given_back_to_its_default_counts_as_given() -> None:
    """Else `--set steps=10` could not undo what a checkpoint holds."""
    assert overlaid(Outer(steps=7), read_config(Outer, None, ["steps=10"])).steps == 10


def test_every_value_is_shown_with_its_origin(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[inner]\nrate = 0.5\nname = 'file'\n", encoding="utf-8")

    read = read_with_origins(Outer, path, ["inner.name=typed"])

    assert shown_values(read.config, read.origins) == [
        ("steps", 10, "default"),
        ("inner.rate", 0.5, f"file {path}"),
        ("inner.name", "typed", "command line"),
        ("other", None, "default"),
    ]
