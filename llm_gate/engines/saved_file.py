"""What a command of ours saved as JSON, read again as strictly as a reply: a regression, a calibration, a size line."""

from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from llm_gate.contract import first_fault, parse_json
from llm_gate.errors import MalformedVerdictError, RequestError

Saved = TypeVar("Saved", bound=BaseModel)


class Kind(NamedTuple):
    """What a file is, in words."""

    name: str
    saved_by: str
    """The command."""
    largest_bytes: int = 1024 * 1024


def read_saved(path: Path, model: type[Saved], kind: Kind) -> tuple[Saved, bytes]:
    """The ``model`` in ``path``, and its bytes.

    Raises:
        RequestError: it cannot be read, is too large, or is none.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}; name a file that {kind.saved_by} saved") from None
    if len(content) > kind.largest_bytes:
        raise RequestError(f"{path}: is larger than {kind.largest_bytes} bytes, so it is no {kind.name}")
    try:
        parse_json(content)
        return model.model_validate_json(content), content
    except MalformedVerdictError as error:
        raise RequestError(f"{path}: is no {kind.name}: {error}") from None
    except ValidationError as error:
        raise RequestError(f"{path}: is no {kind.name}: {first_fault(error, 'file')}") from None
