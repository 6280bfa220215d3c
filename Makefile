# One command each; everything is installed into .venv, which a change of the pins renews.
#
#   make repro    photo pairs to an evaluated network, as params.yaml says (the demo, at first)
#   make test     every test
#   make lint     ruff and mypy
#   make docs     docs/tables.md, from the schemas
#   make clean    remove .venv and what the pipeline made
#
# PYTHON=python3.12 picks an interpreter, TORCH_INDEX=URL another build of torch (a GPU's, say).

PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
PINS := constraints.txt
TORCH := $(shell sed -n 's/^torch==/torch==/p' $(PINS))

# uv looks for local wheels under a name of its own.
ifneq ($(PIP_FIND_LINKS),)
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif

ifneq ($(shell command -v uv 2>/dev/null),)
MAKE_VENV = uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
INSTALL = uv pip install --quiet --python $(BIN)/python
else
MAKE_VENV = $(PYTHON) -m venv $(VENV)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: repro test lint format docs clean
.DELETE_ON_ERROR:

repro: $(VENV)/repro.stamp
	@PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro
	@echo "The report is $(CURDIR)/results/report/report.html"

test: $(VENV)/dev.stamp
	@$(BIN)/python -m pytest

lint: $(VENV)/dev.stamp
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/dev.stamp
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/dev.stamp
	@$(BIN)/python -c 'from dataset.schema import as_markdown; print(as_markdown(), end="")' > docs/tables.md

clean:
	rm -rf $(VENV) results demo/captures .dvc/cache .dvc/tmp dvc.lock demo/dvc.lock

$(VENV)/repro.stamp: EXTRAS = demo,repro
$(VENV)/dev.stamp: EXTRAS = demo,repro,dev

# Make says what it does here: the first time it takes minutes.
$(VENV)/%.stamp: pyproject.toml $(PINS) Makefile
	@echo "Installing into $(VENV) ($(EXTRAS)) ..."
	@$(MAKE_VENV)
	@$(if $(TORCH_INDEX),$(INSTALL) --index-url $(TORCH_INDEX) $(TORCH))
	@$(INSTALL) --constraint $(PINS) --editable '.[$(EXTRAS)]'
	@touch $@
