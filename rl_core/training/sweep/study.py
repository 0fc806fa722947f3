"""The record of a sweep, an Optuna study in one file (https://optuna.org), and the settings that it draws next.

What is drawn depends on the members of the rounds before and on nothing else: a member's generator is seeded with its
number. So a sweep that was killed goes on to the same members, and it does not matter how many are trained at once.
"""

import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from rl_core.errors import FitError
from rl_core.jobs.job import Result
from rl_core.training.sweep.axes import Axis, label
from rl_core.training.sweep.member import JUDGED
from rl_core.training.sweep.pruning import Curve
from trigate.errors import ConfigError
from trigate.whole_files import disk_faults

STUDY = "study.sqlite"
NAME = "sweep"
CARD, TOLD = "card", "told"
"""Attributes of the study and of its trials: what the sweep was given; what a member's job returned."""
DRAWN_AT_RANDOM = 8
"""Members before Optuna's estimator (TPE) looks at what the others earned."""
REDRAWN = 64
"""How often settings that a member has already are drawn again."""
LEAST_FOR_IMPORTANCE = 8

Drawn = dict[str, Any]
"""Key of an axis -> what was drawn: a number, or the label of a choice."""


class Member(NamedTuple):
    """A member that has been told."""

    number: int
    drawn: Drawn
    told: Result

    @property
    def judged(self) -> bool:
        """Whether it was trained to its end and played the tune sessions."""
        return bool(self.told["state"] == JUDGED)

    @property
    def curve(self) -> Curve:
        """What its first seed's training reported."""
        return {int(part): value for part, value in self.told["curve"].items()}


class Study:
    """The members of the sweep in one folder, kept in a file that Optuna's own tools read too."""

    def __init__(self, out: Path, axes: Sequence[Axis], card: dict[str, Any], seed: int) -> None:
        """Open the study in ``out``, or begin it.

        Args:
            out: the sweep's folder.
            axes: what varies.
            card: everything that its members depend on, but for how many there are.
            seed: of what is drawn.

        Raises:
            ConfigError: Optuna is not installed.
            FitError: another sweep is in ``out``; the message names what differs.
            ResourceError: the disk refuses it.
        """
        self._optuna = _optuna()
        self._axes, self._seed = axes, seed
        with disk_faults(out):
            out.mkdir(parents=True, exist_ok=True)
        self._study: Any = self._optuna.create_study(
            storage=f"sqlite:///{(out / STUDY).resolve()}", study_name=NAME, direction="maximize", load_if_exists=True
        )
        known = self._study.user_attrs.get(CARD)
        if known is None:
            self._study.set_user_attr(CARD, card)
            return
        card = json.loads(json.dumps(card))
        differing = sorted(name for name in known.keys() | card.keys() if known.get(name) != card.get(name))
        if differing:
            raise FitError(f"{out} holds another sweep: its {', '.join(differing)} differ; give another --out")

    def members(self) -> list[Member]:
        """Those that have been told, in order."""
        return [
            Member(trial.number, trial.params, json.loads(trial.user_attrs[TOLD]))
            for trial in self._study.get_trials(deepcopy=False)
        ]

    def tell(self, member: Member) -> None:
        """Keep what became of ``member``, in one transaction: a kill leaves all of it or nothing."""
        states = self._optuna.trial.TrialState
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=states.COMPLETE if member.judged else states.PRUNED,
                value=member.told["r_a_session"] if member.judged else None,
                params=member.drawn,
                distributions=self._distributions(),
                intermediate_values=member.curve,
                user_attrs={TOLD: json.dumps(member.told)},
            )
        )

    def drawn(self, before: int, more: int) -> list[Drawn]:
        """The settings of the ``more`` members that follow the first ``before``, which alone they depend on.

        They are fewer where the axes leave no other values.
        """
        known = self._study.get_trials(deepcopy=False)[:before]
        taken = [trial.params for trial in known]
        for number in range(before, before + more):
            found = self._draw(known, taken, number)
            if found is None:
                break
            taken.append(found)
        return taken[before:]

    def importances(self) -> dict[str, float]:
        """How much of what members earned each key explains, shares that add up to 1; empty while they are too few."""
        judged = [member for member in self.members() if member.judged]
        if len(judged) < LEAST_FOR_IMPORTANCE or len(self._axes) < 2:
            return {}
        found: dict[str, float] = self._optuna.importance.get_param_importances(self._study)
        return found

    def _draw(self, known: list[Any], taken: list[Drawn], number: int) -> Drawn | None:
        """Settings that nobody has taken; where chance does not find them, the first that are left; else None."""
        for attempt in range(REDRAWN):
            mixed = hashlib.sha256(f"{self._seed} {number} {attempt}".encode()).digest()
            sampler = self._optuna.samplers.TPESampler(
                seed=int.from_bytes(mixed[:4], "big"), n_startup_trials=DRAWN_AT_RANDOM
            )
            study = self._optuna.create_study(direction="maximize", sampler=sampler)
            study.add_trials(known)
            params = study.ask(self._distributions()).params
            found = {axis.key: _again(axis, params[axis.key]) for axis in self._axes}
            if found not in taken:
                return found
        return self._first_left(taken)

    def _first_left(self, taken: list[Drawn]) -> Drawn | None:
        if any(not axis.choices for axis in self._axes):
            return None
        for labels in itertools.product(*([label(choice) for choice in axis.choices] for axis in self._axes)):
            found = dict(zip((axis.key for axis in self._axes), labels, strict=True))
            if found not in taken:
                return found
        return None

    def _distributions(self) -> dict[str, Any]:
        return {axis.key: self._distribution(axis) for axis in self._axes}

    def _distribution(self, axis: Axis) -> Any:
        kinds = self._optuna.distributions
        if axis.choices:
            return kinds.CategoricalDistribution([label(choice) for choice in axis.choices])
        if axis.whole:
            return kinds.IntDistribution(int(axis.low), int(axis.high), log=axis.logarithmic)
        return kinds.FloatDistribution(axis.low, axis.high, log=axis.logarithmic)


def _again(axis: Axis, drawn: Any) -> Any:
    """What is kept of a draw: the number that is trained with, not one with digits that nobody sees."""
    return drawn if axis.choices else axis.value(drawn)


def _optuna() -> ModuleType:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("rl-core sweep needs Optuna: uv pip install optuna, or trigate[sweep]") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
