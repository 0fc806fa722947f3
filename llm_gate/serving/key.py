"""The API key of a model server: from a file or from the environment, never from a command line."""

import os
import stat
from pathlib import Path

from llm_gate.errors import RequestError

KEY_VARIABLE = "VLLM_API_KEY"

_LARGEST_BYTES = 4096


def key_of(path: Path | None) -> str:
    """The API key in ``path``, or without one in the environment, "" where there is none.

    Raises:
        RequestError: the file cannot be read, holds no key, or may be read by others.
    """
    if path is None:
        return os.environ.get(KEY_VARIABLE, "")
    try:
        with path.open("rb") as file:
            mode, content = os.fstat(file.fileno()).st_mode, file.read(_LARGEST_BYTES)
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}; name a file that holds the server's key") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise RequestError(f"{path}: others may read it; chmod 600 {path}")
    key = content.decode("ascii", "replace").strip()
    if not key or not key.isprintable() or "\ufffd" in key or " " in key:
        raise RequestError(f"{path}: holds no key; write the server's key into it, on one line")
    return key
