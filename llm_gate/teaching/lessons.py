"""What a gate may be taught on: recorded cases for tuning, outside the policy's training bars, by whole sessions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llm_gate.errors import RequestError
from llm_gate.evals.data.cases import Case, digest_of

LOWEST_R, HIGHEST_R = -2.0, 3.5
"""An outcome beyond counts as this, as in the promotion."""
LEAST_SESSIONS = 10
ACCEPT = "--accept-cases-the-policy-was-trained-on"


class Lessons(NamedTuple):
    """Cases to teach on [N], in order of their sessions."""

    cases: tuple[Case, ...]
    r: npt.NDArray[np.float64]
    """[N] what each earned alone, clipped."""
    session: npt.NDArray[np.int64]
    """[N]"""
    in_sample: bool
    """Some lie on bars that the policy was trained on, or it is not known of some."""

    @property
    def digest(self) -> str:
        """Of the cases, SHA-256 in hex."""
        return digest_of(self.cases)

    def folds(self, count: int) -> list[npt.NDArray[np.bool_]]:
        """[N] of each of ``count`` folds, which of the cases are in it: runs of whole sessions, in order of time."""
        blocks = np.array_split(np.unique(self.session), count)
        return [np.isin(self.session, block) for block in blocks]


def lessons_of(cases: Sequence[Case], *, accept_in_sample: bool = False) -> Lessons:
    """The recorded cases for tuning among ``cases``.

    Raises:
        RequestError: there are too few sessions of them, or some lie on bars that the policy was trained on (or may,
            as nothing says that they do not) and nobody accepts that.
    """
    chosen = sorted(
        (case for case in cases if case.source == "recorded" and case.split == "tune"), key=lambda case: _session(case)
    )
    sessions = {case.session for case in chosen}
    if len(sessions) < LEAST_SESSIONS:
        raise RequestError(
            f"{len(chosen)} recorded cases to tune on, of {len(sessions)} sessions; a gate is taught on "
            f"{LEAST_SESSIONS} sessions or more (orchestrator cases --tune-share says how many are to tune)"
        )
    inside = sum(case.in_sample is True for case in chosen)
    unknown = sum(case.in_sample is None for case in chosen)
    if (inside or unknown) and not accept_in_sample:
        raise RequestError(
            f"{inside} of {len(chosen)} cases lie on bars that the policy was trained on, and of {unknown} it is not "
            f"known: there its entries look better than they are. Write cases of a run with part = held_out, or say "
            f"{ACCEPT}"
        )
    r = np.array([(case.outcome_r_milli or 0) / 1000 for case in chosen], np.float64)
    return Lessons(
        cases=tuple(chosen),
        r=np.clip(r, LOWEST_R, HIGHEST_R),
        session=np.array([_session(case) for case in chosen], np.int64),
        in_sample=bool(inside or unknown),
    )


def _session(case: Case) -> int:
    assert case.session is not None, "a recorded case has one"
    return case.session
