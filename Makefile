# make mine: set up and mine real KawPow against the test pool.  make test: the whole suite.
# Everything lands in .venv; nothing needs root. `make help` lists the targets.

PYTHON  ?= python3
VARIANT ?= kawpow
HEIGHT  ?= 1000
SHARES  ?= 5
SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help mine test check fuzz format bench packages release clean
.NOTPARALLEL:

# What was installed is remembered under the checksum of the files that decide it.
KEY     := $(shell cat pyproject.toml packaging/constraints.txt | cksum | cut -d' ' -f1)
RUNTIME := .venv/.installed-runtime-$(KEY)
DEVELOP := .venv/.installed-develop-$(KEY)
INSTALL := .venv/bin/python -m pip install --quiet --disable-pip-version-check \
           -c packaging/constraints.txt

help:
	@echo "make mine     mine $(VARIANT) at height $(HEIGHT) against the test pool, until $(SHARES) shares"
	@echo "              are accepted (VARIANT=, HEIGHT=, SHARES= choose others)"
	@echo "make test     run all tests"
	@echo "make check    check formatting, lint, types and the direction of imports"
	@echo "make fuzz     fuzz every wire protocol for SECONDS=$(SECONDS)"
	@echo "make format   format the Python files"
	@echo "make bench    measure the host's hashing and the kernels; with BASE=REVISION also against the"
	@echo "              kernels of that revision, side by side"
	@echo "make packages build the archives for farm systems into dist/; PYTHON_ARCHIVE= (URL or file)"
	@echo "              and SHA256= name the Python that goes into them"
	@echo "make release  build all that is published into dist/; WINDOWS_PYTHON= and WINDOWS_SHA256= name"
	@echo "              the Python for Windows, PYTHON_ARCHIVE= and SHA256= that for farm systems"
	@echo "make clean    remove .venv and everything else that was made here"
	@echo "Each sets up what it needs in .venv; PYTHON= chooses the Python (3.11 or newer)."

mine: $(RUNTIME)
	@.venv/bin/progpow-miner demo --variant "$(VARIANT)" --height "$(HEIGHT)" --shares "$(SHARES)" \
	  --datasets-on-disk

# The whole suite takes two processes; tests/schedule.py gives each its files.
test: $(DEVELOP)
	@.venv/bin/python -m pytest $(or $(PYTEST),-n 2 --dist loadfile)

check: $(DEVELOP)
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy --strict
	@.venv/bin/lint-imports

fuzz: $(DEVELOP)
	@mkdir -p dist
	@if .venv/bin/python -c 'import atheris' 2>/dev/null; then \
	  PYTHONPATH=. .venv/bin/python tests/fuzz/protocols.py -max_total_time=$(SECONDS) \
	    -artifact_prefix=dist/ -verbosity=0 -print_final_stats=1; \
	else echo "make fuzz: skipped, since atheris is only made for Linux on x86-64"; fi

format: $(DEVELOP)
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

bench: $(DEVELOP)
	@.venv/bin/python benchmarks/host.py
	@.venv/bin/python benchmarks/kernels.py
	@if [ -n "$(BASE)" ]; then .venv/bin/python benchmarks/against.py "$(BASE)"; fi

packages: $(DEVELOP)
	@.venv/bin/python packaging/build.py all --out dist \
	  --python-archive "$(PYTHON_ARCHIVE)" --sha256 "$(SHA256)"

release: $(DEVELOP)
	@.venv/bin/python packaging/build.py release --out dist \
	  --python-archive "$(PYTHON_ARCHIVE)" --sha256 "$(SHA256)" \
	  --windows-python "$(WINDOWS_PYTHON)" --windows-sha256 "$(WINDOWS_SHA256)"

clean:
	rm -rf .venv dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): | .venv/bin/python
	@$(call announce,1.2 GB,0.4 GB)
	@$(INSTALL) -e '.[cpu]'
	@rm -f .venv/.installed-*
	@touch $@

$(DEVELOP): | .venv/bin/python
	@$(call announce,1.7 GB,0.5 GB)
	@$(INSTALL) -e '.[cpu,dev]'
	@rm -f .venv/.installed-*
	@touch $(RUNTIME) $@

.venv/bin/python:
	@command -v "$(PYTHON)" >/dev/null || \
	  { echo "There is no '$(PYTHON)' here: install Python 3.11 or newer, or name it, as in 'make mine PYTHON=python3.12'."; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "'$(PYTHON)' is older than Python 3.11, which is needed: name a newer one, as in 'make mine PYTHON=python3.12'."; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "'$(PYTHON)' comes without venv, which is needed: install it (Debian and Ubuntu: python3-venv)."; exit 1; }
	@rm -rf .venv
	@"$(PYTHON)" -m venv .venv || { rm -rf .venv; exit 1; }

# Said before the download, and only where the large part is not there yet: sizes on disk and on
# the wire, seen with the pinned versions.
define announce
if [ "$$(uname -m)" = x86_64 ] && \
   ! .venv/bin/python -m pip --disable-pip-version-check show --quiet intel-opencl-rt 2>/dev/null; then \
  echo "Setting up .venv: about $(1) of packages, most of it an OpenCL runtime for the CPU; about $(2) to download."; \
fi
endef
