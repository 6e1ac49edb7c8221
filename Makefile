# Each target sets up what it needs in .venv, from nothing. See `make help`.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

RUNTIME := protos codec servicekit analyzers services/encoder services/decoder services/analytics services/console client
DEVELOPMENT := torchvision_cpu training evaluation
TOOLS := compose-spec constriction dnspython docker httpx hypothesis import-linter kubernetes-validate mypy onnx \
	playwright promql-parser pytest pytest-asyncio pytest-timeout pytest-xdist PyYAML ruff trustme types-grpcio \
	types-grpcio-health-checking types-grpcio-reflection types-protobuf

manifests = constraints.txt $(1:%=%/pyproject.toml)
pip_install = .venv/bin/python -m pip install --quiet --disable-pip-version-check \
	--constraint constraints.txt $(if $(TORCH_INDEX_URL),--extra-index-url "$(TORCH_INDEX_URL)")
runtime = $(RUNTIME:%=--editable ./%) --editable "./client[demo]" --editable "./servicekit[traces]"

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
	@echo
	@echo "  PYTHON=/path/to/python    the Python (3.11 or 3.12) that .venv is made from"
	@echo "  TORCH_INDEX_URL=...       an additional package index, such as PyTorch's own for CPU wheels"
	@echo "  PIP_VERBOSE=1             show what pip does"

.PHONY: demo
demo: .venv/.runtime ## stream photos through the three services (PHOTOS=folder for your own, CONSOLE=1 to look at it all in a browser)
	.venv/bin/ugicm demo $(if $(PHOTOS),--photos "$(PHOTOS)") $(if $(CONSOLE),--console)

.PHONY: test
test: .venv/.development ## run every test, two files at a time (WORKERS=1: one)
	.venv/bin/python -m pytest --numprocesses $(or $(WORKERS),2) --dist loadfile

.PHONY: check
check: .venv/.development ## lint, format, types, layers, stub drift
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/python protos/generate.py --check

.PHONY: drill
drill: .venv/.development ## kill, cut and fill everything between cameras and the store (DRILL=--help)
	.venv/bin/python -m tests.drill $(DRILL)

.PHONY: fuzz
fuzz: .venv/.fuzz ## search a parser for crashes by coverage (TARGET=picture FUZZ_SECONDS=600)
	.venv/bin/python -m tests.fuzz.coverage_guided $(or $(TARGET),stream) \
		-max_total_time=$(or $(FUZZ_SECONDS),60)

.PHONY: bench
bench: .venv/.development ## compare speed and size with CompressAI, side by side
	.venv/bin/python bench
	.venv/bin/python bench/training.py
	.venv/bin/python bench/mlicpp.py

.PHONY: load
load: .venv/.development ## load the services by a schedule (LOAD="--overload 2", LOAD=--help)
	.venv/bin/python bench/load.py $(LOAD)

.PHONY: protos
protos: .venv/.development ## generate the stubs from protos/ugicm/v1/*.proto
	.venv/bin/python protos/generate.py

.PHONY: format
format: .venv/.development ## format the code, and fix what ruff can
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

.PHONY: clean
clean: ## remove .venv, caches and what the demo and the benchmark wrote
	rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache \
		demo-output bench-output .ugicm-evaluation
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/.base:
	@for python in $(or $(PYTHON),python3.11 python3.12 python3); do \
		"$$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
			2>/dev/null && exec "$$python" -m venv --clear .venv; \
	done; \
	echo "UG-ICM needs Python 3.11 or 3.12 with venv; name one with PYTHON=/path/to/python" >&2; exit 1
	@touch $@

.venv/.runtime: .venv/.base $(call manifests,$(RUNTIME))
	@echo "Installing into .venv: a minute or two"
	@$(pip_install) hatchling editables
	@$(pip_install) --no-build-isolation $(runtime)
	@touch $@

.venv/.development: .venv/.base $(call manifests,$(RUNTIME) $(DEVELOPMENT))
	@echo "Installing into .venv: a minute or two"
	@$(pip_install) hatchling editables
	@$(pip_install) --no-build-isolation $(runtime) \
		$(DEVELOPMENT:%=--editable ./%) --editable "./protos[generate]" \
		--editable "./analyzers[onnx,open-clip,tflite,torchvision]" $(TOOLS)
	@touch .venv/.runtime $@

.venv/.fuzz: .venv/.development
	@$(pip_install) atheris
	@touch $@
