#!/bin/sh
# make lock: resolve both environments for 3.11 to 3.13 into hashed files without addresses; needs no torch wheel at hand
set -e
uv=${UV:-.venv/bin/uv}
compile() {
  $uv pip compile pyproject.toml --extra dev --extra sweep --universal --fork-strategy fewest --generate-hashes \
    --no-emit-index-url --no-header --no-annotate --quiet "$@" > /dev/null
}
compile --extra cpu --python-version 3.11 --override requirements/overrides-cpu.txt \
  --no-emit-package torch --no-emit-package triton --output-file requirements/cpu.txt
# vLLM on a GPU needs Python 3.12 or newer here; resolved on paper, not yet run
compile --extra cuda --python-version 3.12 --output-file requirements/cuda.txt
# The other learner of docs/gymnasium.md, which one test trains: what it needs is in cpu.txt
printf 'stable-baselines3\nsb3-contrib\n' | $uv pip compile - --universal --python-version 3.11 --no-deps --generate-hashes \
  --no-emit-index-url --no-header --no-annotate --quiet --output-file requirements/gym.txt > /dev/null
# What llm-gate tune --method lora needs beside cpu.txt or cuda.txt
printf 'peft\n' | $uv pip compile - --universal --python-version 3.11 --no-deps --generate-hashes \
  --no-emit-index-url --no-header --no-annotate --quiet --output-file requirements/tune.txt > /dev/null
