"""The token of `orchestrator watch`: from a file only where nobody else can read it."""

from pathlib import Path

import pytest

from orchestrator.commands.watch import _token_in
from trigate.errors import ConfigError


def kept(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_token_is_read_from_a_private_file(tmp_path: Path) -> None:
    assert _token_in(kept(tmp_path, "0123456789abcdef-_\n")) == "0123456789abcdef-_"


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("0123456789abcdef", 0o640, "others can read it"),
        ("short", 0o600, "16 to 128 letters"),
        ("0123456789 abcdef", 0o600, "16 to 128 letters"),
        ("0123456789abcd\u00e9f", 0o600, "cannot be read"),
    ],
)
def test_one_that_keeps_nobody_out_is_refused(tmp_path: Path, text: str, mode: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        _token_in(kept(tmp_path, text, mode))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-token: cannot be read"):
        _token_in(tmp_path / "no-token")
