# One command each; everything is installed into .venv, and again when the pins change.
#
#   make repro    photo pairs to an evaluated network, as params.yaml says (the demo, at first)
#   make test     every test; TESTS=tests/unit/align a part of them
#   make check    lint and unit tests, but for those that are slow by nature
#   make lint     ruff, mypy, and words that readers stumbled over
#   make format   let ruff rewrite the code
#   make docs     docs/tables.md, docs/presets.md and docs/parameters.md from the code
#   make site     the documentation as a web site, into dist/site
#   make bench-align  the registration beside other tools, to benchmarks/align.md; BENCH=--quick for a look
#   make bench-patches  search, cost and yield of the patches, to benchmarks/patches.md; BENCH=--quick likewise
#   make bench-train  cost of an iteration, speed of the loader, to benchmarks/train.md; BENCH=--quick likewise
#   make bench-enhance  seconds and memory of whole photos, to benchmarks/enhance.md; BENCH=--quick likewise
#   make bench-gpu  loader, training step and whole photos on a GPU, to benchmarks/gpu.json; BENCH=--quick likewise
#   make bench-release  time and memory of releases of DPED's size, to benchmarks/release.md; BENCH=--quick likewise
#   make bench-depth  patches of scenes with depth beside other ways, to benchmarks/depth.md; BENCH=--quick likewise
#   make bench-losses  losses that forgive beside plain ones, to benchmarks/losses.md; BENCH=--quick likewise
#   make bench-networks  ways to train, cross-validated, to benchmarks/networks.md; BENCH names the pairs
#   make bench-noise  patches at night and of other exposures, to benchmarks/noise.md; BENCH=--quick likewise
#   make bench-report  the report's list of 6000 pairs in Chromium, to benchmarks/report.md; BENCH=--quick likewise
#   make bench-interrupted  a session of 4000 pairs that is killed and runs out of disk, to benchmarks/interrupted.md;
#                     BENCH="--scratch DIR --fill" fills the disk of DIR as well
#   make bench-scale  every stage on sessions of 250 to 4000 pairs, to benchmarks/scale.md; BENCH=--quick likewise
#   make wheel    the package as one file, into dist/
#   make clean    remove .venv and the working copies of the results; DVC's cache and records stay
#
# PYTHON=python3.12 picks an interpreter, TORCH_INDEX=URL another build of torch (a GPU's, say).

PYTHON ?= python3
TORCH_INDEX ?=
BENCH ?=
TESTS ?=
VENV := .venv
BIN := $(VENV)/bin
PINS := constraints.txt
# Files in the order of their folders, so that the end-to-end tests, whose files take longest, come before the unit tests:
# by default, files of few tests come last, however long they take, and one process works while the others wait.
PYTEST = $(BIN)/python -m pytest --numprocesses=logical --maxprocesses=8 --dist=loadfile --no-loadscope-reorder
TORCH := $(shell grep '^torch==' $(PINS))

# uv looks for local wheels under a name of its own.
ifneq ($(PIP_FIND_LINKS),)
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif

ifneq ($(shell command -v uv 2>/dev/null),)
MAKE_VENV = uv venv --quiet --clear --python $(PYTHON) $(VENV)
INSTALL = uv pip install --quiet --python $(BIN)/python
MAKE_WHEEL = uv build --quiet --wheel --out-dir dist
else
MAKE_VENV = $(PYTHON) -m venv --clear $(VENV)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
MAKE_WHEEL = $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
endif

# Another interpreter or build of torch than last time asks for a new .venv; this file remembers which it was.
CHOICES := $(PYTHON) $(TORCH_INDEX)
ifneq ($(CHOICES),$(shell cat .venv.choices 2>/dev/null))
$(shell echo "$(CHOICES)" >.venv.choices)
endif

# The packages as they are imported, in links: mypy does not know that setup.py puts the folders below dpedtool.
define AS_IMPORTED
rm -rf $(VENV)/as-imported && mkdir -p $(VENV)/as-imported/dpedtool && cd $(VENV)/as-imported && \
ln -s ../../benchmarks . && cd dpedtool && \
ln -s ../../../dpedtool/*.py ../../../dpedtool/api ../../../pipeline ../../../dataset ../../../training .
endef

.PHONY: repro test check lint format docs site bench-align bench-patches bench-train bench-enhance bench-gpu bench-release bench-depth bench-losses bench-networks bench-noise bench-report bench-scale bench-interrupted wheel clean
.DELETE_ON_ERROR:

repro: $(VENV)/repro.stamp
	@PATH="$(CURDIR)/$(BIN):$$PATH" dpedtool run

# Each process of pytest has a processor of its own, on which more threads would only wait for each other.
test check: export OMP_NUM_THREADS = 1
# What was compiled is kept, where the surroundings say otherwise: the tests start Python hundreds of times.
test check: export PYTHONDONTWRITEBYTECODE =

test: $(VENV)/dev.stamp
	@$(PYTEST) $(TESTS)

check: lint
	@$(PYTEST) tests/unit -m "not slow"

lint: $(VENV)/dev.stamp
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python docs/plain_english.py
	@$(AS_IMPORTED)
	@cd $(VENV)/as-imported && ../bin/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache

format: $(VENV)/dev.stamp
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/dev.stamp
	@$(BIN)/python -c 'from dpedtool.dataset.schema import as_markdown; print(as_markdown(), end="")' > docs/tables.md
	@$(BIN)/python -c 'from dpedtool.dataset.preset_table import as_markdown; print(as_markdown(), end="")' > docs/presets.md
	@$(BIN)/python -c 'from dpedtool.dataset.params_table import as_markdown; print(as_markdown(), end="")' > docs/parameters.md
	@$(BIN)/python -c 'from dpedtool.pipeline.session.recipe import write_checkout_recipe as write; write()'

# A warning of Sphinx is an error: it is a broken link, or a docstring that would be shown wrong.
site: $(VENV)/dev.stamp
	@$(BIN)/python -m sphinx --quiet --builder html -W --keep-going --doctree-dir build/doctrees --conf-dir docs . dist/site
	@echo "The site is $(CURDIR)/dist/site/index.html"

bench-align: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.align $(BENCH)

bench-patches: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.patches $(BENCH)

bench-train: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.train $(BENCH)

bench-enhance: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.enhance $(BENCH)

bench-gpu: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.gpu $(BENCH)

bench-release: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.release $(BENCH)

bench-depth: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.depth $(BENCH)

bench-losses: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.losses $(BENCH)

bench-networks: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.networks $(BENCH)

bench-noise: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.noise $(BENCH)

bench-interrupted: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.interrupted $(BENCH)

bench-report: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.report $(BENCH)

bench-scale: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.scale $(BENCH)

# setuptools would take over what an earlier build has left in build/.
wheel: $(VENV)/python.stamp
	@rm -rf build
	@$(MAKE_WHEEL)
	@rm -rf build
	@ls dist/*.whl

clean:
	rm -rf $(VENV) .venv.choices results demo/captures

$(VENV)/repro.stamp: EXTRAS = demo,repro
$(VENV)/dev.stamp: EXTRAS = demo,repro,dev

$(VENV)/python.stamp: .venv.choices
	@$(MAKE_VENV)
	@$(if $(TORCH_INDEX),$(INSTALL) --index-url $(TORCH_INDEX) $(TORCH))
	@touch $@

# Make says what it does here: the first time it takes minutes.
$(VENV)/%.stamp: $(VENV)/python.stamp pyproject.toml setup.py $(PINS)
	@echo "Installing into $(VENV) ($(EXTRAS)) ..."
	@$(INSTALL) --constraint $(PINS) --editable '.[$(EXTRAS)]'
	@touch $@
