"""A run derived again from its journal's inputs: every record comes out a second time, and nobody is asked.

The inputs in the journal are the bars, what the policy chose and what the gate said. What the trader saw besides, the
history before the first bar and the account's rules, is read again from the files that the manifest names, and each
must have the digest that it had.
"""

from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from llm_gate.contract import EntryProposal, Reviewed
from orchestrator.journal.journal import JournalMismatch, examine_journal
from orchestrator.journal.recording import Recording
from orchestrator.run.broker_questions import BrokerAnswer, BrokerAsked
from orchestrator.run.folder import RunFolder
from orchestrator.run.found_again import Sources, found_again
from orchestrator.run.runner import FeedBar, Finished, Runner, StopAskedError
from orchestrator.trader.state import PolicyAnswered
from trigate.errors import DataError


class Replayed(NamedTuple):
    """What came out again."""

    records: int
    """Of the journal that came out byte for byte, from the first on."""
    bars: int
    trades: int
    ended: bool
    """Whether they reach the end of the run."""
    head: str
    """Digest of the last of them."""
    difference: str
    """The first record that does not come out, or is damaged, in words; "" without one."""
    torn: int
    """Bytes behind the last whole record."""
    derived: bytes
    """The journal as it came out."""


def replay_run(folder: RunFolder, sources: Sources | None = None) -> Replayed:
    """Derive the journal of the run in ``folder`` again, up to the first record that differs.

    It works on a run that is alive, stopped, ended or damaged, and writes nothing.

    Raises:
        ConfigError: checkpoint, rule pack or code are not those of the run.
        DataError: the bars or the kept regimes are not.
        ResourceError: a file cannot be read.
    """
    manifest = folder.manifest()
    size = folder.journal.stat().st_size  # before it is read, as a living run writes on
    examined = examine_journal(folder.journal, manifest.known_head)
    found = found_again(folder, sources or Sources())
    recording = Recording(folder.journal, examined.verified)
    difference, bars, trades, ended = "", 0, 0, False
    try:
        finished: Finished = Runner(recording, _Nobody(), found.views, found.setting).run()
        bars, trades, ended = finished.bars, finished.state.trades, finished.complete
    except JournalMismatch as error:
        difference = str(error)
    except (DataError, ValueError, KeyError, TypeError, AssertionError) as error:
        # A record that is whole and still not what a run can have written: its maker was not this code.
        difference = f"record {recording.length + 1} cannot be followed: {type(error).__name__}: {error}"
    return Replayed(
        records=recording.length,
        bars=bars,
        trades=trades,
        ended=ended,
        head=recording.head,
        difference=difference or examined.fault,
        torn=max(0, size - examined.verified.end),
        derived=bytes(recording.derived),
    )


class _Nobody:
    """Answers nothing: where the recording ends, so does the replay."""

    def next_bar(self, seq: int) -> FeedBar | None:
        self._end()

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        self._end()

    def review(self, proposal: EntryProposal) -> Reviewed:
        self._end()

    def ask_broker(self, asked: BrokerAsked) -> BrokerAnswer:
        self._end()

    def _end(self) -> NoReturn:
        raise StopAskedError
