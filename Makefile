# Everything happens in .venv, which `make` builds when it is first needed and again when the pins change.

PYTHON ?= python3
TORCH_INDEX ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH := torch==$(shell sed -n 's/^torch==//p' constraints.txt)
TORCH_FROM = $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)")

.DEFAULT_GOAL := help
.PHONY: help venv demo test check bench soak audit image-check docs constraints clean
.PHONY: bench-train bench-evaluate bench-evaluate-speed bench-evaluate-large bench-encode bench-teachers bench-quality
.PHONY: bench-distil bench-extract bench-large bench-compress bench-compress-methods bench-peers bench-peers-speed bench-peers-epochs bench-judges
.PHONY: bench-search bench-runtime bench-request bench-serve

help: ## Show these lines
	@echo "make TARGET [PYTHON=python3.12] [TORCH_INDEX=address] [ARGS=...]"
	@sed -n 's/^\([a-z-]*\):.*## /  \1|/p' Makefile | awk -F'|' '{ printf "%-23s %s\n", $$1, $$2 }'
	@echo "TORCH_INDEX is where torch alone is fetched from, for a build without CUDA, say."

venv: $(VENV)/.dev ## Build .venv with everything for development

demo: $(VENV)/.train ## Install, then distil a recommender from a real language model on real data
	$(BIN)/distilrec demo --out runs/demo

test: $(VENV)/.dev ## Run the tests; ARGS="-k bootstrap" chooses
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev ## What CI runs: lint, format, types, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory test

bench: bench-train bench-evaluate-speed bench-evaluate-large bench-encode bench-search bench-large bench-teachers ## Those that need neither ARGS, nor a finished run, nor other libraries (hours)

bench-train: $(VENV)/.dev ## Time one epoch of training beside the plain way
	$(BIN)/python benchmarks/train_speed.py $(ARGS)

bench-evaluate: $(VENV)/.dev ## Time our evaluation beside RecBole's, RecTools' and ranx's, of the same scores of ML-1M
	$(BIN)/python benchmarks/evaluate_peers.py $(ARGS)

bench-evaluate-speed: $(VENV)/.dev ## Time and memory of ranking the whole catalogue for every test user
	$(BIN)/python benchmarks/evaluate_speed.py $(ARGS)

bench-evaluate-large: $(VENV)/.dev ## Evaluate over a million items: memory, seconds a user, by size of the catalogue
	$(BIN)/python benchmarks/evaluate_large.py $(ARGS)

bench-encode: $(VENV)/.bench ## Time the encoding of a catalogue beside sentence-transformers
	$(BIN)/python benchmarks/encode_speed.py $(ARGS)

bench-teachers: $(VENV)/.dev ## Make teachers of every kind on ML-1M and Beauty: one table each (an hour or more)
	$(BIN)/python benchmarks/teachers.py $(ARGS)

bench-quality: $(VENV)/.dev ## What distillation gives, with controls, on Beauty and ML-1M (after bench-teachers; resumes)
	$(BIN)/python benchmarks/quality.py $(ARGS)

bench-distil: $(VENV)/.dev ## What an epoch costs with a teacher beside one without (after bench-teachers)
	$(BIN)/python benchmarks/distil_speed.py $(ARGS)

bench-extract: $(VENV)/.dev ## Writing a teacher's knowledge against asking it alone (after bench-teachers)
	$(BIN)/python benchmarks/extract_speed.py $(ARGS)

bench-compress-methods: $(VENV)/.dev ## What each method of compression costs on a finished run of Beauty (an hour; resumes)
	$(BIN)/python benchmarks/compress_methods.py runs/beauty $(ARGS)

bench-large: $(VENV)/.dev ## Distil over a million items: peak memory, seconds a step, what is learnt (ten minutes or so)
	$(BIN)/python benchmarks/large_catalogue.py $(ARGS)

bench-peers: $(VENV)/.dev ## RecTools, RecBole and implicit beside our models, one table (hours; resumes; ARGS="beauty --peers als")
	$(BIN)/python benchmarks/peers/side_by_side.py $(ARGS)

bench-judges: $(VENV)/.dev ## Our models judged by RecBole, RecTools and ranx beside us; ARGS="runs/demo runs/beauty"
	$(BIN)/python benchmarks/peers/judge_runs.py $(ARGS)

bench-peers-speed: $(VENV)/.dev ## Seconds an epoch of the same SASRec in RecTools, RecBole and here, in turns
	$(BIN)/python benchmarks/peers/training_speed.py $(ARGS)

bench-peers-epochs: $(VENV)/.dev ## What the same SASRec has learnt after equal epochs there and here (an hour; resumes)
	$(BIN)/python benchmarks/peers/equal_epochs.py $(ARGS)

bench-compress: $(VENV)/.dev ## Every compression side by side: bytes, time, energy, quality; ARGS="runs/beauty --max-size 1MB"
	$(BIN)/python benchmarks/compress.py $(ARGS)

bench-runtime: $(VENV)/.dev ## Milliseconds from ids to ranked ids without torch and with it; ARGS names exported folders
	$(BIN)/python benchmarks/runtime_speed.py $(ARGS)

bench-request: $(VENV)/.dev ## What a request costs when a language model answers it, beside a student; ARGS as before
	$(BIN)/python benchmarks/request_speed.py $(ARGS)

bench-serve: $(VENV)/.dev ## Requests a second over HTTP beside FastAPI + torch and LitServe; ARGS names an exported folder
	$(BIN)/python benchmarks/serve_speed.py $(ARGS)

bench-search: $(VENV)/.dev ## Milliseconds to find the best of up to a million items on one thread, and what a fast scan misses
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/search_speed.py $(ARGS)

soak: $(VENV)/.dev ## A server under load and faults for ten minutes, and its promises; ARGS="EXPORTED --minutes 3"
	$(BIN)/python benchmarks/soak.py $(ARGS)

audit: ## Ask the advisory database about every package of constraints.txt
	$(PYTHON) .ci/audit.py

image-check: ## Do the steps of the Dockerfile in a new virtual environment: small, without torch, and it serves
	bash deploy/check_image.sh

docs: $(VENV)/.docs ## Build the pages of the Python interface into site/
	$(BIN)/python -m pdoc --docformat markdown --output-directory site distilrec

constraints: ## Write constraints.txt anew from the ranges in pyproject.toml
	rm -rf build/fresh
	$(PYTHON) -m venv build/fresh
	build/fresh/bin/python -m pip --quiet install $(TORCH_FROM) "$(TORCH)"
	build/fresh/bin/python -m pip --quiet install "$(TORCH)" -e '.[bench,docs]'
	sed -n '/^#/p' constraints.txt > build/constraints.txt
	build/fresh/bin/python -m pip freeze --all --exclude-editable > build/freeze.txt
	sed -E -e '/^(pip|wheel|triton|nvidia-.*|cuda-.*)==/d' -e 's/^(torch==[^+]*)\+.*/\1/' \
	  build/freeze.txt >> build/constraints.txt
	mv build/constraints.txt constraints.txt

clean: ## Remove what was built; .venv and runs/ stay
	rm -rf build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis src/*.egg-info
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# Stamps: each says that a set of packages is installed, and is newer than the pins it was installed from.

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"$(PYTHON) is Python {v[0]}.{v[1]}; distilrec needs 3.11 or newer. Run: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.torch: $(VENV)/.made constraints.txt
	$(PIP) install $(TORCH_FROM) "$(TORCH)"
	@touch $@

$(VENV)/.train $(VENV)/.dev $(VENV)/.docs $(VENV)/.bench: $(VENV)/.%: $(VENV)/.torch pyproject.toml constraints.txt
	$(PIP) --quiet install -c constraints.txt -e '.[$*]'
	@touch $@
