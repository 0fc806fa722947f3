"""Training as it runs: started, continued where it was left, saved on the way, stopped, recorded."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jax
import numpy as np

from rl_core.bars.bars import Bars
from rl_core.bars.rungs import Ladder
from rl_core.checkpoints.checkpoint import (
    Learned,
    from_named_arrays,
    named_arrays,
    restore_state,
    save_checkpoint,
    write_records,
)
from rl_core.checkpoints.manifest import Expected, installed_versions, is_final, read_manifest
from rl_core.errors import FitError
from rl_core.ppo.devices import gathered
from rl_core.ppo.loop import gave_up, train
from rl_core.ppo.metrics import Summary, adjustments
from rl_core.ppo.networks import Parameters
from rl_core.ppo.normaliser import Normaliser
from rl_core.ppo.train import TrainState, initial_state
from rl_core.ppo.transfer import TransferReport, transfer
from rl_core.training.config import TrainConfig
from rl_core.training.folder import (
    CHECKPOINTS,
    OTHER,
    RunCard,
    Say,
    hold,
    known_run,
    newest_whole,
    prune,
    tidy,
    write_card,
)
from rl_core.training.metric_log import append_row, rows_until
from rl_core.training.plan import TrainingPlan, identity_of, inputs_of, plan_training
from rl_core.training.processes import any_of, check_same, from_first, leads
from rl_core.training.tensorboard_log import tensorboard_log
from trigate.errors import TrigateError
from trigate.whole_files import write_whole

TRANSFER_STATES = 4096
TENSORBOARD = "tb"
NOT_FINITE = "losses, gradients or rewards were not finite; lower the learning rate, with --new-run"
NO_RECORDS: Mapping[str, str] = MappingProxyType({})


class Trained(NamedTuple):
    """What a run left."""

    checkpoint: Path
    rows: list[Summary]
    transfer: TransferReport | None
    stop: str
    began: int = 0  # step that it went on from


def train_run(
    config: TrainConfig,
    bars: Bars,
    out: Path,
    *,
    parent: Path | None = None,
    ladder: Ladder | None = None,
    on_update: Callable[[Summary], bool] = lambda row: False,
) -> Trained:
    """Train one phase on ``bars`` in the folder ``out``: `plan_training`, then `continue_run`."""
    return continue_run(plan_training(config, bars, parent=parent, ladder=ladder), out, on_update=on_update)


def continue_run(
    plan: TrainingPlan,
    out: Path,
    *,
    records: Mapping[str, str] = NO_RECORDS,
    new_run: bool = False,
    say: Say = lambda line: None,
    on_update: Callable[[Summary], bool] = lambda row: False,
) -> Trained:
    """Train ``plan`` in ``out`` from the newest whole checkpoint of the same run there, else from its start.

    Args:
        plan: of `plan_training`.
        out: the run's folder; nobody else may work in it meanwhile.
        records: text files to lay beside the checkpoints, by name.
        new_run: set another run that lies in ``out`` aside instead of refusing.
        say: told what a restart found.
        on_update: called with each row of metrics; True asks to stop (and save).

    Raises:
        FitError: another run is in ``out``.
        DamagedCheckpointError: no checkpoint in ``out`` is whole.
        ResourceError: the disk failed, or another process works in ``out``.
        TrigateError: training met what is not finite and was stopped.
    """
    check_same(f"{plan.config.model_dump_json()} {inputs_of(plan).model_dump_json()}")
    if not leads():
        return _followed(plan, out, on_update)
    with hold(out):
        card = known_run(out, inputs_of(plan), new_run=new_run, say=say)
        tidy(out, say)
        began = _start(plan, out, records) if card is None else _resume(plan, out, card, say)
        began = began._replace(state=_shared(began.state, finished=began.finished is not None)[0])
        if began.finished is not None:
            say(f"{out} has finished: {plan.total} of {plan.total} steps")
            return _recorded(plan, out, began, began.finished, "finished")
        return _trained(plan, out, began, on_update)


class _Began(NamedTuple):
    """Where training starts or goes on."""

    state: TrainState
    rows: list[Summary]
    card: RunCard | None  # None in a process that keeps no records
    report: TransferReport | None = None
    finished: Path | None = None  # the final checkpoint, if there is nothing left to do


def _followed(plan: TrainingPlan, out: Path, on_update: Callable[[Summary], bool]) -> Trained:
    """The part of a process that neither reads nor writes ``out``: it is told where to go on."""
    state, finished = _shared(initial_state(plan.config.ppo, plan.env, plan.world), finished=False)
    if finished:
        return Trained(out, [], None, "finished")
    return _trained(plan, out, _Began(state, [], None), on_update)


def _shared(state: TrainState, *, finished: bool) -> tuple[TrainState, bool]:
    """What process 0 has restored or begun, the same in every process."""
    told = from_first({**named_arrays(state), "finished": np.array(finished)})
    finished = bool(told.pop("finished"))
    return from_named_arrays(Path(CHECKPOINTS), told, state), finished


def _start(plan: TrainingPlan, out: Path, records: Mapping[str, str]) -> _Began:
    state, report = _first_state(plan)
    moved = None
    if report is not None:
        moved = {"divergence": report.divergence, "states": report.states, "fates": report.fates}
    for name, text in records.items():
        write_whole(out / name, text)
    # The card comes last: without it nothing has begun.
    return _Began(state, rows_until(out, 0), write_card(out, inputs_of(plan), moved), report)


def _resume(plan: TrainingPlan, out: Path, card: RunCard, say: Say) -> _Began:
    checkpoint = newest_whole(out, say)
    if checkpoint is None:
        say(f"{out} has no checkpoint yet: starting again")
        return _Began(_first_state(plan)[0], rows_until(out, 0), card)
    like = initial_state(plan.config.ppo, plan.env, plan.world)
    state, identity = restore_state(checkpoint, like, expected=Expected())
    if identity != identity_of(plan, identity.step):
        raise FitError(f"checkpoint {checkpoint} is of another run than {out}; {OTHER}")
    if gave_up(plan.config.ppo, state):
        raise TrigateError(f"{checkpoint} is where this run stopped: {NOT_FINITE}")
    for line in _other_versions(card):
        say(line)
    finished = checkpoint if is_final(checkpoint) and identity.step == plan.total else None
    if finished is None:
        say(f"going on from {checkpoint}, step {identity.step} of {plan.total}")
    return _Began(state, rows_until(out, identity.step), card, finished=finished)


def _first_state(plan: TrainingPlan) -> tuple[TrainState, TransferReport | None]:
    start, report = (None, None) if plan.parent is None else _transferred(plan, plan.parent)
    return initial_state(plan.config.ppo, plan.env, plan.world, start=start), report


def _transferred(plan: TrainingPlan, learned: Learned) -> tuple[tuple[Parameters, Normaliser], TransferReport]:
    """Phase 2's first parameters, from phase 1's last."""
    env, world, ppo = plan.env, plan.world, plan.config.ppo
    key_states, key_new = jax.random.split(jax.random.key(ppo.seed + 1))
    shown = env.observe(*world, env.reset(*world, key_states, TRANSFER_STATES))
    moved = transfer(ppo, (learned.parameters, learned.normaliser), shown, key=key_new)
    return (moved.parameters, moved.normaliser), moved.report


def _other_versions(card: RunCard) -> list[str]:
    now = installed_versions()
    return [
        f"warning: {name} was {was} when this run began and is {now.get(name)}: the last bits may differ"
        for name, was in card.versions.items()
        if now.get(name) != was
    ]


def _trained(plan: TrainingPlan, out: Path, began: _Began, on_update: Callable[[Summary], bool]) -> Trained:
    """Train, save on the way and at the end, and leave the records."""
    rows, ppo = began.rows, plan.config.ppo
    first, every = int(began.state.updates), plan.config.checkpoint_every_updates
    saved = [first]

    def note(state: TrainState, row: Summary) -> bool:
        rows.append(row)
        keep(row)
        done = int(state.updates)
        asked = any_of(on_update(row))
        # Counted from the run's start: a run that was interrupted saves at the same steps as one that was not.
        if done // every > saved[0] // every and done < ppo.num_updates and not asked:
            saved[0] = done
            _save(plan, out, state, final=False)
        return asked

    with _kept(out, rows) as keep:
        result = train(ppo, plan.env, plan.world, began.state, note)
    checkpoint = _save(plan, out, result.state, final=result.stop == "finished")
    if result.stop == "not_finite":
        raise TrigateError(f"training stopped at step {rows[-1]['step']}, saved in {checkpoint}: {NOT_FINITE}")
    return _recorded(plan, out, began, checkpoint, result.stop)._replace(began=first * ppo.batch_size)


@contextmanager
def _kept(out: Path, rows: list[Summary]) -> Iterator[Callable[[Summary], None]]:
    """Where each row goes: into the files of the run, which one process writes."""
    if not leads():
        yield lambda row: None
        return
    with tensorboard_log(out / TENSORBOARD, rows) as log:

        def keep(row: Summary) -> None:
            append_row(out, row)
            log(row)

        yield keep


def _save(plan: TrainingPlan, out: Path, state: TrainState, *, final: bool) -> Path:
    identity = identity_of(plan, int(state.updates) * plan.config.ppo.batch_size)
    state = gathered(state, plan.config.ppo.devices)
    if not leads():
        return out
    checkpoint = save_checkpoint(out / CHECKPOINTS, state, identity, final=final, extra=plan.extra)
    prune(out, plan.config.checkpoints_kept)
    return checkpoint


def _recorded(plan: TrainingPlan, out: Path, began: _Began, checkpoint: Path, stop: str) -> Trained:
    if began.card is None:
        return Trained(checkpoint, began.rows, None, stop)
    identity = read_manifest(checkpoint).identity
    metadata = {"checkpoint": checkpoint.name, "stop": stop, **identity.model_dump(mode="json")}
    metadata["regimes"] = plan.regimes
    metadata["rows_left_out"] = [line for bars in (plan.bars, *plan.others) for line in bars.left_out]
    if began.card.transfer is not None:
        metadata["transfer"] = began.card.transfer
    moved = adjustments(began.rows)
    write_records(out, market=identity.market, metrics=began.rows, metadata=metadata, adjustments=moved)
    return Trained(checkpoint, began.rows, began.report, stop, identity.step)
