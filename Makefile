# AgentJobs. `make` lists the targets.
.DEFAULT_GOAL := help
PYTHON ?= python3
comma := ,
BIN := .venv/bin
# CI runs a few failed tests again, with tests/secondrun.py.
PYTEST := $(BIN)/python -m pytest -q
# WORKERS=n: processes of pytest. Without it 2, and 3 for system tests, which wait more than they compute.
# System tests that can run on any API server.
SYSTEM := $(wildcard tests/system/test_*.py) tests/system/dev
# Without bytecode every process that a test starts would compile our modules again.
unexport PYTHONDONTWRITEBYTECODE
# The pages that are generated from the code.
PAGES := $(addprefix docs/reference/,agentjob.md agenttemplate.md agentschedule.md agentqueue.md conditions.md)

help: ## List the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.demo ## Create .venv for `agentjobs dev` and the demo

setup: .venv/.installed ## The same, with packages for tests and checks

# $(call pip,EXTRAS): on a terminal one line shows pip's progress; after a failure the end of its output is printed.
define pip
	@{ $(BIN)/python -u -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e '.[$(1)]' 2>&1; echo "pip: $$?"; } \
	  | tee .venv/pip.log | if [ -t 1 ]; then while IFS= read -r line; do printf '\r  %-70.70s' "$$line"; done; printf '\r%72s\r' ''; else cat >/dev/null; fi
	@grep -qx 'pip: 0' .venv/pip.log || { tail -n 20 .venv/pip.log >&2; exit 1; }
	@touch $@
endef

.venv/.demo: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is required; this is " + sys.version)'
	@echo "Installing what agentjobs dev needs into .venv: about a minute, 550 MB on disk."
	@$(PYTHON) -m venv .venv
	$(call pip,dev)

.venv/.installed: .venv/.demo
	@echo "Installing what tests and checks need: less than a minute, another 120 MB."
	$(call pip,test)

fmt: setup ## Format the code
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

check: setup ## Check format, lint, types, import contracts, generated files
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports
	$(BIN)/python -m agentjobs.api.generate.crd --check crds && $(BIN)/python -m agentjobs.api.generate.crd --check helm/agentjobs/files/crds
	$(BIN)/python -m agentjobs.rbac.chart --check helm/agentjobs/templates/_rules.tpl
	$(BIN)/python helm/values_page.py --check docs/reference/values.md && cmp docs/reference/alerts.yaml helm/agentjobs/files/alerts.yaml
	$(BIN)/python -m agentjobs.api.generate.reference --check $(PAGES)

crds: setup ## Regenerate CRDs, reference pages, the chart's copies
	$(BIN)/python -m agentjobs.api.generate.crd crds && $(BIN)/python -m agentjobs.api.generate.crd helm/agentjobs/files/crds
	$(BIN)/python -m agentjobs.rbac.chart helm/agentjobs/templates/_rules.tpl
	$(BIN)/python helm/values_page.py docs/reference/values.md && cp docs/reference/alerts.yaml helm/agentjobs/files/alerts.yaml
	$(BIN)/python -m agentjobs.api.generate.reference $(PAGES)

test: setup ## Run the unit tests
	$(BIN)/python -m pytest -q -n $(or $(WORKERS),2) --dist loadgroup tests/unit

test-integration: setup ## Run the integration tests: PostgreSQL, API server, gateway, model proxy
	$(PYTEST) -n $(or $(WORKERS),2) --dist loadgroup -- tests/integration

test-system: setup ## Run system tests: clusters, runners, CLI, dashboard in a browser, crashes
	$(PYTEST) -n $(or $(WORKERS),3) --dist loadgroup -- tests/system tests/crash

properties: setup ## Run property tests with 200 examples each instead of 30 [EXAMPLES=n]
	EXAMPLES=$(or $(EXAMPLES),200) $(BIN)/python -m pytest -q -n $(or $(WORKERS),2) --hypothesis-profile=full --timeout=1200 -m hypothesis tests/unit

test-devcluster: setup ## Run the development cluster's own tests
	cd devcluster && ../$(BIN)/python -m pytest -q -n $(or $(WORKERS),2) --dist loadgroup

# ONLY=alone: only tests that test-cluster skips; devcluster has none.
test-real: setup ## Run API server tests on the server in KUBEBUILDER_ASSETS
	$(PYTEST) -n $(or $(WORKERS),3) --dist loadgroup --apiserver=envtest $(ONLY:%=-m %) -- $(addprefix tests/integration/,kube gateway) $(SYSTEM) tests/system/storm
	$(if $(ONLY),,cd devcluster && ../$(BIN)/python -m pytest -q -n $(or $(WORKERS),3) --dist loadgroup --apiserver=envtest tests/integration/node)

test-cluster: setup ## Run API server tests on the cluster of KUBECONFIG
	$(PYTEST) -n $(or $(WORKERS),3) --dist loadgroup --apiserver=kubeconfig -- $(addprefix tests/integration/,kube gateway) $(SYSTEM)
	cd devcluster && ../$(BIN)/python -m pytest -q -n $(or $(WORKERS),3) --dist loadgroup --apiserver=agentjobs.dev.shared:SharedCluster tests/integration/node

e2e-setup: .venv/.helm

.venv/.helm: .venv/.installed
	@echo "Installing Helm's engine: another 244 MB."
	$(call pip,test$(comma)helm)

# The real CLI, against a test API only, in the version of the tests' recordings.
CLAUDE ?= .venv/claude/node_modules/.bin/claude
test-claude: setup $(if $(filter .venv/%,$(CLAUDE)),.venv/claude/.installed) ## Run Claude Code's tests with its real CLI, installed by npm [CLAUDE=path]
	AGENTJOBS_CLAUDE=$(abspath $(CLAUDE)) $(BIN)/python -m pytest -q -n $(or $(WORKERS),2) --dist loadgroup tests/system/runner/claude_code tests/integration/modelproxy/test_claude_code.py tests/system/test_coding_examples.py

.venv/claude/.installed:
	@command -v npm >/dev/null || { echo "make test-claude needs npm, or CLAUDE=<path of the CLI>" >&2; exit 3; }
	@echo "Installing Claude Code into .venv/claude: about a minute, 390 MB on disk."
	@mkdir -p .venv/claude && npm install --prefix .venv/claude --no-fund --no-audit --loglevel=error @anthropic-ai/claude-code@2.1.332
	@touch $@

# With KUBEBUILDER_ASSETS also on a real API server.
chart: .venv/.helm ## Test the chart with Helm's engine
	$(BIN)/python -m pytest -q tests/unit/chart tests/integration/chart

kind: ## Install into a new kind cluster; needs docker, kind and helm
	@for tool in docker kind helm; do command -v $$tool >/dev/null || { echo "make kind needs $$tool, which is not installed" >&2; exit 3; }; done
	kind get clusters | grep -qx agentjobs || kind create cluster --name agentjobs
	KIND=agentjobs tests/e2e/images.sh
	helm upgrade --install agentjobs helm/agentjobs --kube-context kind-agentjobs -n agentjobs-system --create-namespace --wait \
	  --set image.repository=localhost/agentjobs-operator,image.tag=dev,runner.image.repository=localhost/agentjobs-runner,runner.image.tag=dev,postgresql.enabled=true

# The cluster's nodes need the images of tests/e2e/images.sh. The chart's tests install for themselves; the others share an installation.
e2e: .venv/.helm ## Install into the cluster of KUBECONFIG and run end-to-end tests
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTEST) -- tests/e2e/test_chart.py
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTEST) -n $(or $(WORKERS),2) --dist loadgroup --ignore=tests/e2e/test_chart.py -- tests/e2e

bench-cluster: .venv/.helm ## Measure jobs per second against batch/v1 Jobs on the cluster of KUBECONFIG
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -q tests/e2e/burst.py

conformance: setup ## Record a real API server's responses and compare ours
	cd devcluster && DEVCLUSTER_RECORD=1 ../$(BIN)/python -m pytest -q --apiserver=envtest tests/conformance -k golden
	cd devcluster && ../$(BIN)/python -m pytest -q tests/conformance

images: ## Build the images with docker or buildah (TAG=…, BASE_IMAGE=…)
	@tool=$$(command -v docker || command -v buildah) || { echo "docker or buildah is needed to build images" >&2; exit 3; }; \
	version=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml); \
	for image in operator:operator runner:runner_image; do \
	  $$tool build -t agentjobs-$${image%%:*}:$${TAG:-$$version} -f $${image##*:}/Dockerfile --build-arg VERSION=$$version \
	    $${BASE_IMAGE:+--build-arg BASE_IMAGE=$$BASE_IMAGE} . || exit 1; \
	done

# ADK=2.12.0 uses that version of google-adk, in its own environment on top of .venv.
crash-matrix: $(if $(ADK),.venv/adk-$(ADK)/.installed,setup) ## Kill agents at every effect and compare with uninterrupted runs [ADK=2.12.0]
	$(if $(ADK),.venv/adk-$(ADK)/bin,$(BIN))/python -m pytest -q -n $(or $(WORKERS),2) --dist worksteal --tb=short $(if $(ADK),-W default) tests/crash --every-point

.venv/adk-%/.installed: .venv/.installed
	@$(BIN)/python -m venv .venv/adk-$*
	@base=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	  echo "import site; site.addsitedir('$$base')" > $$(.venv/adk-$*/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth
	@.venv/adk-$*/bin/python -m pip install -q --disable-pip-version-check google-adk==$*
	@touch $@

storm: setup ## Run random failures: SEED=n [MINUTES=10] [APISERVER=embedded|envtest]
	$(BIN)/python -m tests.storm --seed $(or $(SEED),1) --minutes $(or $(MINUTES),10) --apiserver $(or $(APISERVER),embedded)

demo: .venv/.demo ## Run the examples in a development cluster and show them live
	$(BIN)/agentjobs demo

bench: setup ## Measure the figures of docs/reference/performance.md
	$(BIN)/python -m tests.bench

.PHONY: help install setup fmt check crds test test-integration test-system properties test-devcluster test-real test-cluster test-claude chart kind e2e e2e-setup bench-cluster conformance storm images demo bench crash-matrix
