"""The file by which a person halts, flattens or resumes a run: one word in the run's folder.

It says how the run is to stand, not what happened: reading it twice changes nothing, and a run that was killed finds
it again. ``echo halt > RUN/control`` does what `orchestrator halt RUN` does.
"""

from pathlib import Path

from orchestrator.journal.lines import record_of
from orchestrator.trader.state import Standing
from trigate.whole_files import read_faults, write_whole

CONTROL = "control"
COMMANDS: dict[str, Standing] = {"resume": "trading", "halt": "halted", "flatten": "flat"}
_MOST = 64  # bytes that are read: one word is expected


class Control:
    """The control file of one run, as its runner reads it; without a file it is to trade."""

    def __init__(self, folder: Path) -> None:
        """Look for it in ``folder``."""
        self._path = folder / CONTROL
        self.overridden: Standing | None = None
        """How the run is to stand whatever the file says, as when it is asked to stop."""

    def wanted(self) -> Standing:
        """How the run is to stand: a word that is none, or a file that cannot be read, halts it."""
        if self.overridden is not None:
            return self.overridden
        try:
            with self._path.open("rb") as file:
                word = file.read(_MOST)
        except FileNotFoundError:
            return "trading"
        except OSError:
            return "halted"
        return COMMANDS.get(word.decode("ascii", "replace").strip(), "halted")


def standing_in_force(journal: Path) -> Standing:
    """How the run stands by the last word that its journal has recorded.

    Raises:
        ResourceError: the journal cannot be read.
    """
    with read_faults(journal):
        content = journal.read_bytes()
    # Canonical JSON escapes the quotes of every text, so this is found in no other record.
    found = content.rfind(b'"t":"operator"')
    if found < 0:
        return "trading"
    first = content.rfind(b"\n", 0, found) + 1
    line = content[first : content.find(b"\n", found) + 1]
    standing: Standing = record_of(line).payload["standing"] if line else "trading"
    return standing


def ask(folder: Path, command: str) -> None:
    """Write the ``command`` into the run's folder, whole or not at all, for its owner alone.

    Raises:
        ResourceError: the disk failed.
    """
    assert command in COMMANDS
    write_whole(folder / CONTROL, f"{command}\n", mode=0o600)
