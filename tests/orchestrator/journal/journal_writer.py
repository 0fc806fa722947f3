"""A process that writes, or after a kill continues, a journal of made-up records: JOURNAL COUNT [PAUSE_S]."""

import sys
import time
from pathlib import Path
from typing import Any

from orchestrator.journal.journal import Journal


def payload(number: int) -> dict[str, Any]:
    """What record ``number`` says."""
    return {"bar_seq": number, "note": "é" * (number % 7), "side": None, "legal": [True, number % 2 == 0]}


def main(path: Path, count: int, pause_s: float) -> None:
    """Write ``count`` records, every fifth one durably; ends with 7 if the disk fails."""
    with Journal.open(path) as journal:
        for number in range(count):
            journal.append("bar", payload(number), sync=number % 5 == 4)
            time.sleep(0 if journal.replaying else pause_s)


if __name__ == "__main__":
    from trigate.errors import ResourceError

    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
    except ResourceError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
