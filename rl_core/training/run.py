"""Runs a planned training in its folder: starts or resumes it, saves on the way, stops, and writes its records."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jax
import numpy as np

from rl_core.checkpoints.checkpoint import (
    LearnedParameters,
    from_named_arrays,
    named_arrays,
    restore_state,
    save_checkpoint,
    write_records,
)
from rl_core.checkpoints.manifest import Expected, installed_versions, is_final, read_manifest
from rl_core.errors import FitError, NotFiniteError
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import gather
from rl_core.ppo.environment import EnvArrays, Environment, ObservedBatch
from rl_core.ppo.loop import gave_up, train
from rl_core.ppo.metrics import MetricRow, entropy_adjustments
from rl_core.ppo.networks import Parameters
from rl_core.ppo.normaliser import Normaliser
from rl_core.ppo.train import TrainState, initial_state
from rl_core.ppo.transfer import TransferReport, transfer
from rl_core.training.folder import (
    CHECKPOINTS,
    USE_ANOTHER_FOLDER,
    RunCard,
    Say,
    lock_folder,
    newest_undamaged,
    prune,
    remove_partial_saves,
    run_found_in,
    write_card,
)
from rl_core.training.metric_log import append_row, rows_until
from rl_core.training.plan import TrainingPlan, identity_of, inputs_of
from rl_core.training.processes import any_process, broadcast_from_writer, check_same_in_all, is_writer
from rl_core.training.tensorboard_log import tensorboard_log
from trigate.whole_files import write_whole

TRANSFER_STATES = 4096
TENSORBOARD = "tb"
NO_RECORDS: Mapping[str, str] = MappingProxyType({})


class TrainingResult(NamedTuple):
    """What a training run left."""

    checkpoint: Path
    rows: list[MetricRow]
    transfer: TransferReport | None
    stop: str
    began: int = 0  # step that this call went on from


def continue_run(
    plan: TrainingPlan,
    out: Path,
    *,
    records: Mapping[str, str] = NO_RECORDS,
    new_run: bool = False,
    say: Say = lambda line: None,
    on_update: Callable[[MetricRow], bool] = lambda row: False,
) -> TrainingResult:
    """Train ``plan`` in ``out`` from the newest whole checkpoint of the same run there, else from its start.

    Args:
        plan: of `plan_training`.
        out: the run's folder; nobody else may work in it meanwhile.
        records: text files to lay beside the checkpoints, by name.
        new_run: set another run that lies in ``out`` aside instead of refusing.
        say: called with a line for the user for each thing that a restart found.
        on_update: called with each row of metrics; True asks to stop (and save).

    Raises:
        FitError: another run is in ``out``.
        DamagedCheckpointError: no checkpoint in ``out`` is whole.
        ResourceError: the disk failed, or another process works in ``out``.
        NotFiniteError: training met what is not finite and was stopped.
    """
    check_same_in_all(f"{plan.config.model_dump_json()} {inputs_of(plan).model_dump_json()}")
    if not is_writer():
        return _train_without_folder(plan, out, on_update)
    with lock_folder(out):
        card = run_found_in(out, inputs_of(plan), new_run=new_run, say=say)
        remove_partial_saves(out, say)
        began = _start(plan, out, records) if card is None else _resume(plan, out, card, say)
        began = began._replace(state=_broadcast_start(began.state, finished=began.finished is not None)[0])
        if began.finished is not None:
            say(f"{out} has finished: {plan.total} of {plan.total} steps")
            return _write_run_records(plan, out, began, began.finished, "finished")
        return _train_and_save(plan, out, began, on_update)


class _StartPoint(NamedTuple):
    """The state that training starts from or goes on from."""

    state: TrainState
    rows: list[MetricRow]
    card: RunCard | None  # None in a process that keeps no records
    report: TransferReport | None = None
    finished: Path | None = None  # the final checkpoint, if there is nothing left to do


def _train_without_folder(plan: TrainingPlan, out: Path, on_update: Callable[[MetricRow], bool]) -> TrainingResult:
    """Train in a process that neither reads nor writes ``out``: process 0 sends it the state to go on from."""
    state, finished = _broadcast_start(initial_state(plan.config.ppo, plan.env, plan.env_arrays), finished=False)
    if finished:
        return TrainingResult(out, [], None, "finished")
    return _train_and_save(plan, out, _StartPoint(state, [], None), on_update)


def _broadcast_start(state: TrainState, *, finished: bool) -> tuple[TrainState, bool]:
    """Give every process the state that process 0 has restored or begun, and whether the run had finished."""
    received = broadcast_from_writer({**named_arrays(state), "finished": np.array(finished)})
    finished = bool(received.pop("finished"))
    return from_named_arrays(Path(CHECKPOINTS), received, state), finished


def _start(plan: TrainingPlan, out: Path, records: Mapping[str, str]) -> _StartPoint:
    state, report = _first_state(plan)
    transfer_record = None
    if report is not None:
        transfer_record = {"divergence": report.divergence, "states": report.states, "fates": report.origins}
    for name, text in records.items():
        write_whole(out / name, text)
    # The card comes last: a folder without one holds no run yet, so that a kill before this line costs nothing.
    return _StartPoint(state, rows_until(out, 0), write_card(out, inputs_of(plan), transfer_record), report)


def _resume(plan: TrainingPlan, out: Path, card: RunCard, say: Say) -> _StartPoint:
    checkpoint = newest_undamaged(out, say)
    if checkpoint is None:
        say(f"{out} has no checkpoint yet: starting again")
        return _StartPoint(_first_state(plan)[0], rows_until(out, 0), card)
    like = initial_state(plan.config.ppo, plan.env, plan.env_arrays)
    state, identity = restore_state(checkpoint, like, expected=Expected())
    if identity != identity_of(plan, identity.step):
        raise FitError(f"checkpoint {checkpoint} is of another run than {out}; {USE_ANOTHER_FOLDER}")
    if gave_up(plan.config.ppo, state):
        raise NotFiniteError(f"{checkpoint} is where this run stopped: {_diverged(plan.config.ppo)}")
    for line in _other_versions(card):
        say(line)
    finished = checkpoint if is_final(checkpoint) and identity.step == plan.total else None
    if finished is None:
        say(f"going on from {checkpoint}, step {identity.step} of {plan.total}")
    return _StartPoint(state, rows_until(out, identity.step), card, finished=finished)


def _first_state(plan: TrainingPlan) -> tuple[TrainState, TransferReport | None]:
    start, report = (None, None) if plan.parent is None else _first_parameters_of_phase_2(plan, plan.parent)
    return initial_state(plan.config.ppo, plan.env, plan.env_arrays, start=start), report


def _first_parameters_of_phase_2(
    plan: TrainingPlan, learned: LearnedParameters
) -> tuple[tuple[Parameters, Normaliser], TransferReport]:
    """Phase 2's first parameters and normaliser, made of phase 1's last."""
    env, env_arrays, ppo = plan.env, plan.env_arrays, plan.config.ppo
    key_states, key_new = jax.random.split(jax.random.key(ppo.seed + 1))
    states_seen = _drawn_states(env_arrays, key_states, env=env)
    started = transfer(ppo, (learned.parameters, learned.normaliser), states_seen, key=key_new)
    return (started.parameters, started.normaliser), started.report


@partial(jax.jit, static_argnames=("env",))
def _drawn_states(env_arrays: EnvArrays, key: jax.Array, *, env: Environment) -> ObservedBatch:
    """What is observed at `TRANSFER_STATES` first bars."""
    return env.observe(*env_arrays, env.reset(*env_arrays, key, TRANSFER_STATES))


def _other_versions(card: RunCard) -> list[str]:
    now = installed_versions()
    return [
        f"warning: {name} was {was} when this run began and is {now.get(name)}: the last bits may differ"
        for name, was in card.versions.items()
        if now.get(name) != was
    ]


def _train_and_save(
    plan: TrainingPlan, out: Path, began: _StartPoint, on_update: Callable[[MetricRow], bool]
) -> TrainingResult:
    """Train, save on the way and at the end, and leave the records."""
    rows, ppo = began.rows, plan.config.ppo
    first, every = int(began.state.updates), plan.config.checkpoint_every_updates
    saved = [first]

    def note(state: TrainState, row: MetricRow) -> bool:
        rows.append(row)
        keep(row)
        done = int(state.updates)
        asked = any_process(on_update(row))
        # Multiples are counted from the run's start, so that an interrupted run saves at the same steps as any other.
        if done // every > saved[0] // every and done < ppo.num_updates and not asked:
            saved[0] = done
            _save(plan, out, state, final=False)
        return asked

    with _metric_writers(out, rows) as keep:
        result = train(ppo, plan.env, plan.env_arrays, began.state, note)
    checkpoint = _save(plan, out, result.state, final=result.stop == "finished")
    if result.stop == "not_finite":
        raise NotFiniteError(f"training stopped at step {rows[-1]['step']}, saved in {checkpoint}: {_diverged(ppo)}")
    return _write_run_records(plan, out, began, checkpoint, result.stop)._replace(began=first * ppo.batch_size)


def _diverged(ppo: PPOConfig) -> str:
    """Why the training stopped, and the setting to look at."""
    return (
        f"losses, gradients or rewards were not finite with ppo.learning_rate {ppo.learning_rate:g}; give a lower one "
        f"(the default is {PPOConfig().learning_rate:g}) with --new-run"
    )


@contextmanager
def _metric_writers(out: Path, rows: list[MetricRow]) -> Iterator[Callable[[MetricRow], None]]:
    """Yield the function that records a row of metrics; it does nothing in a process other than the writer."""
    if not is_writer():
        yield lambda row: None
        return
    with tensorboard_log(out / TENSORBOARD, rows) as log:

        def keep(row: MetricRow) -> None:
            append_row(out, row)
            log(row)

        yield keep


def _save(plan: TrainingPlan, out: Path, state: TrainState, *, final: bool) -> Path:
    identity = identity_of(plan, int(state.updates) * plan.config.ppo.batch_size)
    state = gather(state, plan.config.ppo.devices)
    if not is_writer():
        return out
    checkpoint = save_checkpoint(out / CHECKPOINTS, state, identity, final=final, extra=plan.extra)
    prune(out, plan.config.checkpoints_kept)
    return checkpoint


def _write_run_records(
    plan: TrainingPlan, out: Path, began: _StartPoint, checkpoint: Path, stop: str
) -> TrainingResult:
    if began.card is None:
        return TrainingResult(checkpoint, began.rows, None, stop)
    identity = read_manifest(checkpoint).identity
    metadata = {"checkpoint": checkpoint.name, "stop": stop, **identity.model_dump(mode="json")}
    metadata["regimes"] = plan.regimes
    metadata["rows_left_out"] = [line for bars in (plan.bars, *plan.others) for line in bars.left_out]
    if began.card.transfer is not None:
        metadata["transfer"] = began.card.transfer
    entropy_history = entropy_adjustments(began.rows)
    write_records(out, market=identity.market, metrics=began.rows, metadata=metadata, adjustments=entropy_history)
    return TrainingResult(checkpoint, began.rows, began.report, stop, identity.step)
