#!/bin/bash
# What trigate has to be measured by on a GPU, within nine minutes: fills against the CPU's, then speed. Run in the root.
#
#   bench/gpu.sh                 rows to $OUT/rows.jsonl (default .cache/gpu)
#   TINY=1 bench/gpu.sh          sizes for a trial on a CPU
#   WHEELS=folder bench/gpu.sh   wheels that the machine lacks (requirements/gpu-wheels.txt), installed beside it
#
# Every step has a limit of its own; one that fails is a row, and the rest goes on. Exit 1 if any failed.
set -u
cd "$(dirname "$0")/.." || exit 1
OUT=${OUT:-.cache/gpu}
LIMIT=${LIMIT:-540}
PY=${PY:-python3}
TINY=${TINY:-0}
mkdir -p "$OUT"
ROWS=$OUT/rows.jsonl
: > "$ROWS"
START=$(date +%s)
FAILED=0
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
export PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=2 XLA_PYTHON_CLIENT_PREALLOCATE=false XDG_CACHE_HOME="$WORK/cache"
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
if [ -n "${WHEELS:-}" ]; then
  "$PY" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$WORK/site" "$WHEELS"/*.whl || exit 1
  export PYTHONPATH=$WORK/site:$PYTHONPATH
fi

# step NAME SECONDS COMMAND...: its JSON lines and one row about itself
step() {
  local name=$1 most=$2 left began rc
  shift 2
  left=$((LIMIT - ($(date +%s) - START)))
  if [ "$left" -lt 15 ]; then
    echo "{\"step\": \"$name\", \"rc\": null, \"why\": \"no time left\"}" >> "$ROWS"
    FAILED=1
    return
  fi
  [ "$most" -gt "$left" ] && most=$left
  began=$(date +%s)
  timeout "$most" "$@" > "$OUT/$name.out" 2> "$OUT/$name.err"
  rc=$?
  grep '^{' "$OUT/$name.out" >> "$ROWS"
  echo "{\"step\": \"$name\", \"rc\": $rc, \"seconds\": $(($(date +%s) - began))}" >> "$ROWS"
  if [ "$rc" -ne 0 ]; then
    FAILED=1
    echo "== $name failed ($rc)" >&2
    tail -5 "$OUT/$name.err" >&2
  fi
}

if [ "$TINY" = 1 ]; then
  STEPS=65536 WIDE=64 ENVS=64 SESSIONS=40 REPEATS=1 SMALL=--tiny
else
  STEPS=20000000 WIDE=4096 ENVS=16384 SESSIONS=900 REPEATS=3 SMALL=
fi
command -v nvidia-smi > /dev/null && step smi 20 nvidia-smi
step same_fills 90 "$PY" bench/same_fills.py $SMALL
step env 80 "$PY" bench/env.py --json --repeats "$REPEATS"
step demo 60 "$PY" -m rl_core data demo --out "$WORK/demo" --sessions "$SESSIONS" --seed 7
step train 110 "$PY" -m rl_core train --phase 1 --config configs/phase1_nq.toml --bars "$WORK/demo/NQ_D1M.parquet" \
  --out "$WORK/run" --new-run --set ppo.total_steps="$STEPS" --set ppo.num_envs="$WIDE" --json
step networks 170 "$PY" bench/train.py --json --only networks --repeats "$REPEATS"
step scale_envs 120 "$PY" bench/scale.py --json --only envs --most-envs "$ENVS" $([ "$TINY" = 1 ] && echo --quick)
step operations 240 "$PY" bench/train.py --json --only operations
cp "$WORK"/run/metrics.jsonl "$OUT/" 2> /dev/null || echo "no metrics: the training step failed" >&2
cat "$ROWS"
echo "== $(($(date +%s) - START)) s" >&2
exit $FAILED
