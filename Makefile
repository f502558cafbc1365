# Two commands on a fresh machine:
#   make train   makes .venv, trains on handwritten digits, and shows the result
#   make test    makes .venv and passes the tests
# Both need Python 3.11 or later with venv; another one than python3 is named by PYTHON=python3.12.

PYTHON ?= python3
BIN := .venv/bin
RUN := runs/digits
# The quick tests compile much and run little. With these flags of XLA, compiling takes a seventh of the time; two processes share
# the rest. `make test-all` tests what is compiled as it is for use. JAX 0.12 has no fusion emitters to switch off.
# The tests start many processes, which would compile Python's modules anew where PYTHONDONTWRITEBYTECODE is set.
QUICK = --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_parallel_codegen_split_count=1 \
	$(shell $(BIN)/python -c 'from importlib.metadata import version; \
		print("--xla_cpu_use_fusion_emitters=false" if version("jaxlib") < "0.12" else "")')

.PHONY: help train test test-all lint format docs demo
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   //p' Makefile
	@echo "make test-all runs the slow tests too; make lint checks style; make format applies it;"
	@echo "make docs builds the documentation into site/, and fails on broken links;"
	@echo "make demo opens a page on which the models can be seen at work"

.venv/.installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or later is needed, $(PYTHON) is older: make PYTHON=python3.12"; exit 1; }
	@echo "== Installing into .venv (a minute or so; needs the network)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

train: $(RUN)/test.json $(RUN)/samples.png $(RUN)/completions.png
	@$(BIN)/python -c 'import json; s = json.load(open("$(RUN)/test.json")); \
		print("== %(split)s: %(nats).2f nats, %(bits_per_dim).4f bits/dim over %(num_images)d images" % s)'
	@echo "   uniform 4.09, independent pixels 2.41 bits/dim"
	@echo "   $(RUN)/samples.png      digits drawn by the model"
	@echo "   $(RUN)/completions.png  test digits of which it saw the top half"
	@echo "   $(RUN)/samples.gif      how it learned to draw them; samples/ has the sheets"
	@echo "   $(RUN)/curves.png       the course of the training"
	@echo "   (made already? remove $(RUN) to start anew)"

$(RUN)/test.json: | .venv/.installed
	@echo "== Training a Diagonal BiLSTM on 1,437 digits (about 90 seconds on two cores)"
	@mkdir -p $(RUN)
	@$(BIN)/python -m experiments.train --config=experiments/digits_diagonal_bilstm.py --workdir=$(RUN) --json=$@

$(RUN)/samples.png: $(RUN)/test.json
	@echo "== Drawing 100 digits"
	@$(BIN)/python -m experiments.sample --workdir=$(RUN) --num=100 --out=$@ >/dev/null

$(RUN)/completions.png: $(RUN)/test.json
	@echo "== Completing 8 test digits from their top half"
	@$(BIN)/python -m experiments.complete --workdir=$(RUN) --out=$@ >/dev/null

test: .venv/.installed
	@echo "== Tests"
	@PYTHONDONTWRITEBYTECODE= XLA_FLAGS="$(QUICK)" $(BIN)/python -m pytest -m "not slow" --numprocesses=2 --dist=loadfile

test-all: .venv/.installed-demo
	@echo "== Tests, the slow ones too"
	@$(BIN)/python -m pytest

lint: .venv/.installed
	@echo "== Style"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/shellcheck launch/*.sh

format: .venv/.installed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.venv/.installed-demo: .venv/.installed
	@echo "== Installing Gradio"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo,test_demo]'
	@touch $@

demo: .venv/.installed-demo
	@$(BIN)/pixel-rnn demo

.venv/.installed-docs: .venv/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

docs: .venv/.installed-docs
	@echo "== Documentation: site/index.html"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict # with --quiet it would let warnings pass
