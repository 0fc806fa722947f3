"""`rl-core evaluate --checklist`: the list, answered by the engine of the evaluation under the pack that is named."""

from pathlib import Path
from typing import TYPE_CHECKING

from trigate.errors import ConfigError

if TYPE_CHECKING:
    from rl_core.evaluation.accounts import AccountKind
    from rl_core.evaluation.checklist import Line
    from rl_core.evaluation.evaluate import Evaluation
    from rl_core.evaluation.inputs import EvaluationInputs
    from rl_core.evaluation.pack_odds import NamedPack
    from rl_core.training.sources import EvaluationJob


def check_asked(packs: list["NamedPack"], *, checklist: bool, phase1: Path | None) -> None:
    """Refuse what the list cannot be asked with.

    Raises:
        ConfigError: several packs are named, or phase 1 is named without the list.
    """
    if checklist and len(packs) > 1:
        raise ConfigError("--checklist asks for the rules of one account: name one pack with --rules PACK")
    if phase1 is not None and not checklist:
        raise ConfigError("--phase1 is what --checklist compares with; give both")


def answered(
    job: "EvaluationJob", inputs: "EvaluationInputs", kind: "AccountKind", packs: list["NamedPack"], phase1: Path | None
) -> tuple[list["Line"], str]:
    """The lines of the list, and the pack that they are of: the one that is named, else that of the evaluation.

    Raises:
        ConfigError, FitError: phase 1 cannot be read, or was trained for other lengths.
    """
    from rl_core.evaluation.accounts import play_account
    from rl_core.evaluation.checklist import Judged, checklist
    from rl_core.evaluation.choices import ChoicesSeen
    from rl_core.evaluation.entrants import Trained
    from rl_core.evaluation.pack_odds import under_pack
    from rl_core.features.market_view import view_of

    pack = packs[0].pack if packs else inputs.trading.pack
    if pack != inputs.trading.pack:
        trading = under_pack(inputs.trading, pack)
        view = view_of(inputs.view.bars, pack, trading.hours, trading.yardstick)
        inputs = inputs._replace(trading=trading, view=view)
    who, seen, why = inputs.who, None, ""
    if not isinstance(who, Trained):
        why = "entries that were known before are no policy"
    elif kind != "fresh":
        why = "a carried account is not looked at where it is flat; --account fresh is"
    else:
        seen = ChoicesSeen(who.policy)
    judged = Judged(
        evaluation=play_account(kind, inputs, seen),
        pack=pack,
        choices=None if seen is None else seen.so_far,
        no_choices=why,
        out_of_sample=_not_unseen(job),
        by_hand=not isinstance(who, Trained),
        phase1=None if phase1 is None else _of_phase1(phase1, inputs, kind),
    )
    return checklist(judged), packs[0].name if packs else pack.name


def _not_unseen(job: "EvaluationJob") -> str:
    if job.in_sample:
        return "bars are played that were trained on, or seen"
    return "; ".join(job.doubts)


def _of_phase1(run: Path, inputs: "EvaluationInputs", kind: "AccountKind") -> "Evaluation":
    """Phase 1 on the same bars, under the same account."""
    from rl_core.checkpoints.manifest import find_checkpoint
    from rl_core.checkpoints.policy import check_yardstick, load_trader
    from rl_core.evaluation.accounts import play_account
    from rl_core.evaluation.entrants import Trained

    checkpoint = find_checkpoint(run, phase=1)
    policy = load_trader(checkpoint)
    assert policy.identity is not None, "a loaded policy knows what it is"
    check_yardstick(checkpoint, policy.identity, inputs.trading.yardstick)
    return play_account(kind, inputs._replace(who=Trained(policy)))
