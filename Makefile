# make sim | teach | test | lint | shape | crash | fuzz | storm | soak | mutants | lock | clean          EXTRA=cpu (default) or cuda (another .venv: both builds write the folder vllm)
PYTHON ?= python3
EXTRA  ?= cpu
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv
STAMP  := $(VENV)/.ready-$(EXTRA)
PYTAG  := $(shell $(PYTHON) -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
WHEEL  := $(firstword $(foreach d,$(PIP_FIND_LINKS),$(wildcard $(d)/torch-2.13.0+cpu-$(PYTAG)-*$(shell uname -m).whl)))
FIND   := $(foreach d,$(PIP_FIND_LINKS),--find-links $(d))
# CPU torch: the local wheel where there is one, else TORCH_INDEX=cpu (uv's own name for PyTorch's CPU index), else the registry's CUDA build
ifeq ($(EXTRA),cpu)
LOCKS  := requirements/cpu.txt requirements/model.txt requirements/gym.txt requirements/tune.txt $(if $(WHEEL)$(TORCH_INDEX),requirements/torch-cpu.txt,requirements/torch-registry.txt)
else
LOCKS  := requirements/cuda.txt requirements/model.txt requirements/tune.txt
endif
INSTALL = $(UV) pip install --python $(BIN)/python --no-deps --compile-bytecode

# The demo: a synthetic world, and one policy trained on it in two phases; made once
DEMO   := .cache/demo
WORLD  := $(DEMO)/NQ_D1M.parquet
PHASE1 := $(DEMO)/phase1/metadata.json
PHASE2 := $(DEMO)/phase2/metadata.json
# Later sessions of the same world, which that policy never saw
LATER  := $(DEMO)/later/NQ_D1M.parquet

.PHONY: setup sim teach test lint shape crash fuzz storm soak mutants lock clean
setup: $(STAMP)

$(UV): requirements/uv.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/uv.txt
	@touch $@

$(STAMP): $(UV) $(LOCKS) pyproject.toml
	$(INSTALL) --require-hashes $(FIND) $(if $(WHEEL),,$(if $(TORCH_INDEX),--torch-backend $(TORCH_INDEX))) $(foreach l,$(LOCKS),-r $(l))
	$(INSTALL) --no-build-isolation --no-index --editable .
	@touch $@

sim: setup $(PHASE2)
	$(BIN)/llm-gate model
	$(BIN)/orchestrator run --mode sim --config configs/sim.toml

# After make sim: its gate is taught on what the policy earns, and judged later; goes on where it was stopped
teach: setup $(PHASE2) $(LATER)
	$(BIN)/llm-gate model
	$(BIN)/orchestrator teach --config configs/sim.toml --bars $(LATER) --out runs/taught

$(LATER): | $(STAMP)
	$(BIN)/rl-core data demo --out $(@D) --sessions 220 --seed 8 --first-day 2027-07-01

$(WORLD): | $(STAMP)
	$(BIN)/rl-core data demo --out $(DEMO) --sessions 900 --seed 7

$(PHASE1): configs/phase1_demo.toml $(WORLD) | $(STAMP)
	$(BIN)/rl-core train --phase 1 --config $< --bars $(WORLD) --out $(@D) --new-run

$(PHASE2): configs/phase2_demo.toml $(PHASE1) | $(STAMP)
	$(BIN)/rl-core train --phase 2 --config $< --from $(dir $(PHASE1)) --out $(@D) --new-run

# Four at a time on two cores: a third of the time that tests of processes take is waiting for them. NumPy's threads wait busily for
# each other where cores are few, and XLA's share one program out among threads of which there are none to spare.
test: setup
	OPENBLAS_NUM_THREADS=1 XLA_FLAGS=--xla_cpu_parallel_codegen_split_count=1 $(BIN)/python -m pytest -q -n 4 --dist loadfile \
	  --no-loadscope-reorder --durations=15 tests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Entries of each folder, longest files, arrows between folders, cycles
shape: setup
	$(BIN)/python -m tests.shape

# 100 kills of a training run; runs and their broker killed at every system call that matters (over 2,000), 1,000 at random,
# and 50 with the gate on vLLM; each continued and compared, and nothing of it done twice: goes on where it was interrupted. Then 100,000 disks
# after a loss of power and 20,000 with damaged bits
crash: setup
	$(BIN)/python -m tests.campaigns.crash --kills 50 --out .cache/crash.jsonl
	$(BIN)/python -m tests.campaigns.run_kills --random 1000 --out .cache/run_kills.jsonl
	$(BIN)/python -m tests.campaigns.run_kills --gate vllm --random 50 --out .cache/run_kills.jsonl
	$(BIN)/python -m tests.campaigns.power_loss --images 100000 --flips 20000

# 1,000 damages of a checkpoint, each to be refused; 1,000,000 replies to the gate, none of which may raise a risk; 10,000,000
# messages for each decoder (some hours: it goes on where it was interrupted), each read or refused by the one documented error;
# and ten attacks on the socket of a run that plays
fuzz: setup
	$(BIN)/python -m tests.campaigns.corrupt --times 1000
	$(BIN)/python -m tests.campaigns.fuzz_replies --replies 1000000
	$(BIN)/python -m tests.campaigns.fuzz_frames --frames 10000000 --out .cache/fuzz_frames.jsonl
	$(BIN)/python -m tests.campaigns.socket_attacks

# 20,000 calls through a proxy that breaks them, 64 at a time, against the gate's deadline
storm: setup
	$(BIN)/python -m tests.campaigns.storm --calls 20000

# Sixty sessions with seconds, then half an hour on paper while workers die and stand still: nothing may grow. Some 35 minutes
soak: setup $(PHASE2)
	$(BIN)/python -m tests.campaigns.soak --out .cache/soak.jsonl

# Lines broken on purpose, one at a time: at least 95 % must fail a test; then planted defects that only a kill, a loss of
# power or a stranger shows; goes on where it was interrupted
mutants: setup
	$(BIN)/python -m tests.campaigns.mutants
	$(BIN)/python -m tests.campaigns.mutants --list planted

lock: $(UV)
	sh requirements/lock.sh

clean:
	rm -rf $(VENV) .cache
