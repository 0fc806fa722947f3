"""Writes a run's TensorBoard files with the `tensorboard` package alone: one scalar for each figure of a metric row."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary as Scalars
from tensorboard.summary.writer.record_writer import RecordWriter

from rl_core.ppo.metrics import MetricRow
from trigate.errors import ResourceError

FILE = "events.out.tfevents.{number:010d}.trigate"
VERSION = "brain.Event:2"
AXES = ("step", "update")
GROUPS = {
    "trading": ("trades", "wins", "pnl_cents", "win_rate", "mean_r", "mean_pnl_cents", "mean_bars_held", "drawdown_r"),
    "policy": ("entries", "p_entry_flat", "long_share", "choices", "entropy_choice"),
    "episodes": ("episodes", "episode_return"),
    "speed": ("steps_per_s",),
}
GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}


@contextmanager
def tensorboard_log(folder: Path, rows_to_keep: Sequence[MetricRow] = ()) -> Iterator[Callable[[MetricRow], None]]:
    """Add rows to the event file in ``folder``; each is on disk when the call returns.

    A resumed run gives the rows that it keeps: they are written anew and the older files removed, so that no step
    appears twice, even if training had gone beyond its last checkpoint.

    Raises:
        ResourceError: the disk failed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stale = sorted(folder.glob("events.out.tfevents.*"))
        path = folder / FILE.format(number=_next_number(stale))
        with path.open("xb") as file:
            writer = RecordWriter(file)
            writer.write(Event(wall_time=time.time(), file_version=VERSION).SerializeToString())
            for row in rows_to_keep:
                writer.write(_event(row))
            file.flush()
            for old in stale:
                old.unlink()
            yield lambda row: _add(file, writer, row)
    except OSError as error:
        raise ResourceError(f"cannot write {folder}: {error.strerror}; make room or choose another folder") from error


def _add(file: BinaryIO, writer: RecordWriter, row: MetricRow) -> None:
    writer.write(_event(row))
    file.flush()


def _event(row: MetricRow) -> bytes:
    values = [
        Scalars.Value(tag=f"{GROUP_OF.get(name, 'learning')}/{name}", simple_value=float(value))
        for name, value in row.items()
        if name not in AXES and value is not None
    ]
    event = Event(wall_time=time.time(), step=int(row["step"] or 0), summary=Scalars(value=values))
    return bytes(event.SerializeToString())


def _next_number(stale: Sequence[Path]) -> int:
    numbers = [part for path in stale for part in path.name.split(".") if part.isdigit()]
    return 1 + max(map(int, numbers), default=0)
