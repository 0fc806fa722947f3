"""States outlive a kill, a torn end is cut, and damage is refused."""

from pathlib import Path

import numpy as np
import pytest

from llm_gate.errors import RequestError
from llm_gate.teaching.states_file import StatesFile
from trigate.errors import ResourceError

KEYS = [bytes([n]) * 32 for n in range(3)]


def written(path: Path) -> Path:
    """Three states of width 4."""
    with StatesFile(path, 4) as kept:
        for n, key in enumerate(KEYS):
            kept.append(key, np.full(4, n + 0.5, np.float32))
    return path


def test_what_was_kept_reads_back_and_a_torn_end_is_cut(tmp_path: Path) -> None:
    path = written(tmp_path / "taught.states")
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])

    with StatesFile(path, 4) as kept:
        assert list(kept.known) == KEYS[:2] and kept.known[KEYS[1]].tolist() == [1.5] * 4
        kept.append(KEYS[2], np.full(4, 2.5, np.float32))

    assert path.read_bytes() == whole


@pytest.mark.parametrize("at", [0, 40, 51, 60])
def test_a_record_with_a_bit_turned_round_is_refused_and_left_as_it_is(tmp_path: Path, at: int) -> None:
    path = written(tmp_path / "taught.states")
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)

    with pytest.raises(RequestError, match=r"record [12] is damaged, or of another model; remove the file"):
        StatesFile(path, 4)
    assert path.read_bytes() == bytes(content)


def test_only_one_process_writes_it(tmp_path: Path) -> None:
    path = written(tmp_path / "taught.states")

    with StatesFile(path, 4), pytest.raises(ResourceError, match="another command teaches with it"):
        StatesFile(path, 4)
