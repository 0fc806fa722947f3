"""The settings that a sweep varies: each ``--over KEY=VALUES`` is one axis."""

import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from trigate.errors import ConfigError
from trigate.suggestions import nearest
from trigate.toml_config import parse_value

FORMS = "give LOW..HIGH, log:LOW..HIGH, or values between commas"
DIGITS = 4
"""Of a number that is drawn between two ends: best.toml stays readable, and no learner notices the rest."""
DECIDED = {
    "phase": "--phase",
    "ppo.seed": "--seeds",
    "ppo.devices": "--set, as it changes no number",
    "train_share": "--set, as it says what finally judges",
    "train_from": "--set, as it says what is trained on",
    "train_until": "--set, as it says what finally judges",
    "left_out": "--set, as it says what is trained on",
}
"""Key -> what decides it instead."""
_RANGE = re.compile(r"(log:)?(\S+?)\.\.(\S+)")


class Axis(NamedTuple):
    """One setting and the values that it may take: either of ``choices``, or of all between two ends."""

    key: str  # dotted
    said: str  # what was typed
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    logarithmic: bool = False
    whole: bool = False

    @property
    def size(self) -> float:
        """How many values there are; infinite between two ends that are no whole numbers."""
        if self.choices:
            return len(self.choices)
        return self.high - self.low + 1 if self.whole else math.inf

    @property
    def examples(self) -> tuple[Any, ...]:
        """Values that must be possible if all are to be: every choice, or both ends."""
        return self.choices or (self._number(self.low), self._number(self.high))

    def value(self, drawn: Any) -> Any:
        """The setting for what was drawn: a choice's label, or a number, rounded to a few digits within the ends."""
        if self.choices:
            return next(choice for choice in self.choices if label(choice) == drawn)
        rounded = float(f"{drawn:.{DIGITS}g}") if not self.whole else drawn
        return self._number(min(max(rounded, self.low), self.high))

    def _number(self, value: float) -> float | int:
        return int(value) if self.whole else float(value)


def label(choice: Any) -> str:
    """A choice as text: Optuna keeps no lists."""
    return json.dumps(choice)


def read_axes(given: Sequence[str], settings: Mapping[str, Any]) -> tuple[Axis, ...]:
    """The axes of several ``--over``.

    Args:
        given: each ``KEY=VALUES``; a key as in ``--set``, or its last part where only one setting is called so.
        settings: every dotted key that there is, and its value without the sweep.

    Raises:
        ConfigError: no such key, or none that may vary; values that say no range and no choice; the same key twice.
    """
    axes = tuple(_axis(text, settings) for text in given)
    keys = [axis.key for axis in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"--over {key}: given twice")
    return axes


def _axis(text: str, settings: Mapping[str, Any]) -> Axis:
    name, equals, values = text.partition("=")
    said = f"--over {text}"
    if not equals or not name or not values:
        raise ConfigError(f"{said}: expected KEY=VALUES; {FORMS}")
    key = _key(name, said, settings)
    if key in DECIDED:
        raise ConfigError(f"{said}: {key} is no setting to choose by; it is decided by {DECIDED[key]}")
    found = _RANGE.fullmatch(values)
    if found is None:
        return Axis(key, said, choices=_choices(values, said))
    return _between(key, said, found, settings[key])


def _key(name: str, said: str, settings: Mapping[str, Any]) -> str:
    if name in settings:
        return name
    ends = [key for key in settings if key.endswith(f".{name}")]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise ConfigError(f"{said}: which {name}? {' or '.join(ends)}")
    near = nearest(name, list(settings)) or nearest(name, [key.rpartition(".")[2] for key in settings])
    hint = f"did you mean {' or '.join(near)}?" if near else "rl-core show-config prints all"
    raise ConfigError(f"{said}: no such key; {hint}")


def _choices(values: str, said: str) -> tuple[Any, ...]:
    """``0,1,2``, ``[64, 64],[128, 128]`` or bare words, as TOML reads them in a list."""
    try:
        read = tomllib.loads(f"values = [{values}]")["values"]
    except ValueError:
        read = [parse_value(word.strip()) for word in values.split(",")]
    if len(read) < 2 or any(value == "" for value in read):
        raise ConfigError(f"{said}: there is nothing to choose from; {FORMS}")
    if len({label(value) for value in read}) < len(read):
        raise ConfigError(f"{said}: a value is given twice")
    return tuple(read)


def _between(key: str, said: str, found: "re.Match[str]", now: Any) -> Axis:
    try:
        low, high = float(found[2]), float(found[3])
    except ValueError as error:
        raise ConfigError(f"{said}: {found[2]} and {found[3]} are not both numbers; {FORMS}") from error
    whole = isinstance(now, int) and not isinstance(now, bool)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"{said}: {low:g} is not below {high:g}")
    if found[1] and low <= 0:
        raise ConfigError(f"{said}: on a logarithmic scale the lower end must be above 0")
    if whole and not (low.is_integer() and high.is_integer()):
        raise ConfigError(f"{said}: {key} is a whole number, and so must both ends be")
    return Axis(key, said, low=low, high=high, logarithmic=found[1] is not None, whole=whole)
