"""Every prompt and every threshold that was tried, counted once: what a promotion is divided by."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from trigate.errors import ResourceError
from trigate.locks import wait_for_lock
from trigate.whole_files import disk_faults


class Trial(NamedTuple):
    """One thing that was tried on the cases and could have been chosen for its luck."""

    kind: Literal["prompt", "threshold"]
    prompt: str
    model: str
    mode: str
    setting: str = ""
    """Of a threshold: the map, the bound, the value and the data."""


def count_trials(path: Path, tried: Iterable[Trial]) -> int:
    """How many trials the record holds, once ``tried`` are in it; it only grows, but for a last line torn by a kill.

    Raises:
        ResourceError: the record cannot be read or written.
    """
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            wait_for_lock(file.fileno())
            file.seek(0)
            content = file.read()
            end = content.rfind(b"\n") + 1
            known = {_parsed(line, path) for line in content[:end].splitlines()}
            file.truncate(end)
            new = [trial for trial in dict.fromkeys(tried) if trial not in known]
            file.writelines(json.dumps(trial._asdict(), sort_keys=True).encode() + b"\n" for trial in new)
            return len(known) + len(new)


def _parsed(line: bytes, path: Path) -> Trial:
    try:
        trial = Trial(**json.loads(line))
        hash(trial)  # TypeError for a list or an object in it
        return trial
    except (ValueError, TypeError):
        raise ResourceError(f"{path}: is no record of trials; move it away, or name another in the suite") from None
