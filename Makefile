# Each target makes what it needs in .venv. PYTHON names the interpreter to make it with.
PYTHON ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
QUIET := TF_CPP_MIN_LOG_LEVEL=3
BACKENDS := jax torch tensorflow
DAMAGE ?= 3000
# Tests that need a backend. The others run without one, and check that they import none.
ON_KERAS := $(shell find tests -name 'test_*_on_keras.py' -not -path '*/scenarios/*')
# Those that are run on tf_keras 2, too.
ON_BOTH := $(filter %contract_on_keras.py %document_example_on_keras.py %retention_on_keras.py %resume_on_keras.py \
	%checkpointer_on_keras.py %signals_on_keras.py %permissions_on_keras.py %long_names_on_keras.py \
	%onlookers_on_keras.py %exceptions_on_keras.py %overrides_on_keras.py %threads_on_keras.py \
	%several_optimizers_on_keras.py %states_of_layers_on_keras.py %automatic_names_on_keras.py \
	%tf_distribute_on_keras.py, $(ON_KERAS))
# What needs no framework, and what is tried with one backend beside those: whole programs, and what crosses rooms.
NO_KERAS := $(filter-out tests/scenarios tests/on_tf_keras tests/cli tests/docs tests/versions tests/helpers tests/conftest.py \
	tests/__pycache__, $(wildcard tests/*))
ON_JAX := tests/cli tests/docs tests/versions $(addprefix tests/scenarios/, attacks crowds damage environments file_systems hosts install \
	systems test_older_checkpoints.py)
ON_TORCH := tests/scenarios/buckets
ON_TF_KERAS := tests/on_tf_keras tests/scenarios/damage tests/scenarios/test_older_checkpoints.py
ON_ANY := tests/scenarios/crash tests/scenarios/resume  # each of these tests picks its backend
# Three on two cores, since tests wait for processes and disks; tests/conftest.py has the longest files begin first.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder

.PHONY: help demo docs test test-quick test-resume test-long test-whole crash buckets hosts blows systems versions dist damage soak lint types check bench bench-tf-keras bench-digests bench-disk bench-sharing bench-hooks bench-state bench-command bench-first bench-hosts bench-objects bench-gpu screenshot clean

help:  ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(PIP) --upgrade "pip>=25.1"  # the first that knows groups of dependencies

.venv/demo.stamp: .venv/bin/python pyproject.toml
	$(PIP) -e . --group demo
	touch $@

.venv/docs.stamp: .venv/demo.stamp
	$(PIP) --group docs
	touch $@

.venv/test.stamp: .venv/demo.stamp
	$(PIP) --group test
	touch $@

demo: .venv/demo.stamp  ## train on a real dataset with checkpoints, load the best with stock Keras
	KERAS_BACKEND=jax $(BIN)/python examples/digits.py

test: .venv/test.stamp  ## run a seeded sample of the tests: without a framework, then on each backend
	env -u KERAS_BACKEND $(PYTEST) $(NO_KERAS)
	$(QUIET) KERAS_BACKEND=jax $(PYTEST) $(ON_KERAS) $(ON_JAX)
	$(QUIET) KERAS_BACKEND=torch $(PYTEST) $(ON_KERAS) $(ON_TORCH)
	$(QUIET) KERAS_BACKEND=tensorflow $(PYTEST) $(ON_KERAS)
	$(QUIET) KERAS_BACKEND=tensorflow TF_USE_LEGACY_KERAS=1 $(PYTEST) $(ON_BOTH) $(ON_TF_KERAS)
	$(QUIET) env -u KERAS_BACKEND $(PYTEST) $(ON_ANY)

docs: .venv/docs.stamp  ## build the documentation in English and Chinese into build/site
	$(QUIET) $(BIN)/python docs/build.py

crash: .venv/test.stamp  ## kill saves at every system call, cut the power, fill the disk; compare with other tools (half an hour or more)
	$(QUIET) $(BIN)/python tests/scenarios/crash/matrix.py --peers

buckets: .venv/test.stamp  ## make an object store fail at each request of a training and of a restart (hours; BUCKETS="--most 300" for less)
	$(QUIET) KERAS_BACKEND=torch $(BIN)/python tests/scenarios/buckets/matrix.py $(BUCKETS)

hosts: .venv/test.stamp  ## train in several processes on loopback, and kill them (make test-long runs a part of it)
	$(QUIET) LASTGOOD_MATRIX=whole KERAS_BACKEND=jax $(BIN)/python -m pytest tests/scenarios/hosts

blows: .venv/test.stamp  ## kill or stop one of two processes while they save or restart; compare with OrbaxCheckpoint (an hour; BLOWS="--most 5" for less)
	$(QUIET) $(BIN)/python tests/scenarios/hosts/blows.py $(BLOWS)

systems: .venv/test.stamp  ## simulate Windows and macOS: run the tests that need no framework, and train
	$(QUIET) LASTGOOD_MATRIX=whole KERAS_BACKEND=jax $(BIN)/python -m pytest -n 2 tests/scenarios/systems

versions: .venv/test.stamp  ## run a set of tests with each installed Python and each release of Keras (an hour or more; VERSIONS="--only nightly" for less)
	$(BIN)/python tests/versions/matrix.py $(VERSIONS)

dist: .venv/test.stamp  ## build the wheel and the sdist, install them into empty environments, and test them there
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist
	LASTGOOD_DIST=dist LASTGOOD_MATRIX=whole KERAS_BACKEND=jax $(BIN)/python -m pytest tests/scenarios/install

damage: .venv/test.stamp  ## damage checkpoints of every format in every region, and check that it is found (DAMAGE=300 for less)
	$(QUIET) LASTGOOD_DAMAGE=$(DAMAGE) KERAS_BACKEND=jax $(BIN)/python -m pytest tests/scenarios/damage
	$(QUIET) LASTGOOD_DAMAGE=$(DAMAGE) TF_USE_LEGACY_KERAS=1 KERAS_BACKEND=tensorflow $(BIN)/python -m pytest tests/scenarios/damage

test-resume: .venv/test.stamp  ## kill and restart trainings in every combination (make test runs a sample)
	LASTGOOD_MATRIX=whole $(BIN)/python -m pytest -n 2 tests/scenarios/resume

test-long: .venv/test.stamp  ## run the long tests that make test leaves out: jobs of several processes, the site in a browser, the demo
	env -u KERAS_BACKEND LASTGOOD_MATRIX=long $(PYTEST) tests/storage/test_object_stores.py
	$(QUIET) LASTGOOD_MATRIX=long KERAS_BACKEND=jax $(PYTEST) $(ON_KERAS) $(ON_JAX)
	$(QUIET) LASTGOOD_MATRIX=long KERAS_BACKEND=torch $(PYTEST) $(filter %/test_killed_on_keras.py, $(ON_KERAS))

test-whole:  ## run each test on each backend with all its parameters, and the matrices (hours)
	LASTGOOD_MATRIX=whole $(MAKE) test

test-quick: .venv/test.stamp  ## run the tests that need no framework, and those on jax
	env -u KERAS_BACKEND $(PYTEST) $(NO_KERAS)
	$(QUIET) KERAS_BACKEND=jax $(PYTEST) $(ON_KERAS)

soak: .venv/test.stamp  ## save 5,000 times with retention on each backend, and list, prune and verify 10,000 checkpoints (make test-long runs a part of it)
	set -e; for backend in $(BACKENDS); do echo "== $$backend"; \
		$(QUIET) KERAS_BACKEND=$$backend LASTGOOD_MATRIX=whole LASTGOOD_SOAK=5000 $(BIN)/python -m pytest -s tests/scenarios/crowds/test_soak.py; done
	$(QUIET) KERAS_BACKEND=jax LASTGOOD_MATRIX=whole LASTGOOD_SOAK=5000 $(BIN)/python -m pytest -s tests/scenarios/crowds/test_ten_thousand.py

lint: .venv/test.stamp  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/test.stamp  ## check types
	$(BIN)/mypy

check: lint types test  ## run lint, types and test

bench: .venv/test.stamp  ## measure what saves cost, against stock Keras, Orbax and the machine (BENCH="--size 0.1" for less)
	$(BIN)/python benchmarks/saves.py $(BENCH)

bench-tf-keras: .venv/test.stamp  ## measure what saves cost on tf_keras 2, against stock
	$(BIN)/python benchmarks/tf_keras_saves.py $(BENCH)

bench-first: .venv/test.stamp  ## compare the first save with later ones
	$(BIN)/python benchmarks/first_save.py $(BENCH)

bench-gpu: .venv/test.stamp  ## measure what saves cost on a GPU, with jax and torch (install a torch for your GPU first)
	$(BIN)/python benchmarks/saves.py --backends torch,jax --every 200 --repeats 2 --parts saves --name saves-gpu $(BENCH)
	$(BIN)/python benchmarks/gpu_fetch.py

bench-digests: .venv/test.stamp  ## measure what the digests of a save cost, which the writer computes
	$(QUIET) KERAS_BACKEND=jax $(BIN)/python benchmarks/digests.py $(BENCH)

bench-disk: .venv/test.stamp  ## compare ways to write a file
	$(BIN)/python benchmarks/disk_writes.py

bench-sharing: .venv/test.stamp  ## measure what a save costs where files share blocks (BENCH="--directory ..." on XFS or Btrfs)
	$(BIN)/python benchmarks/shared_blocks.py $(BENCH)

bench-hooks: .venv/test.stamp  ## measure what a callback that saves by epoch costs a batch
	set -e; for backend in $(BACKENDS); do $(QUIET) KERAS_BACKEND=$$backend $(BIN)/python benchmarks/batch_hooks.py; done

bench-state: .venv/test.stamp  ## measure what the training state adds to a save
	set -e; for backend in $(BACKENDS); do $(QUIET) KERAS_BACKEND=$$backend $(BIN)/python benchmarks/training_state.py; done

bench-command: .venv/test.stamp  ## measure how long the command takes to list 200 checkpoints
	$(QUIET) KERAS_BACKEND=jax $(BIN)/python benchmarks/command.py

bench-hosts: .venv/test.stamp  ## measure what saves and restores of a state split over two processes cost, against OrbaxCheckpoint
	$(QUIET) $(BIN)/python benchmarks/several_processes.py $(BENCH)

bench-objects: .venv/test.stamp  ## measure what a save into a bucket costs, on a server on loopback
	$(QUIET) KERAS_BACKEND=jax $(BIN)/python benchmarks/object_store.py $(BENCH)

screenshot: .venv/test.stamp  ## take the pictures of a report that the documents show (needs chromium)
	$(QUIET) KERAS_BACKEND=jax $(BIN)/python docs/report_screenshot.py

clean:  ## remove what the targets made
	rm -rf .venv runs build
