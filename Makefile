# SPDX-License-Identifier: Apache-2.0
#
# make build         fairlead, fairlead-helper, fairlead-agent and fairlead-sidecar in bin/
# make test          everything, as CI runs it
# make demo          a real cluster on this machine, a shop in it, and this laptop connected to it
# make help          the rest

SHELL := /bin/bash
VERSION ?= 0.1.0
GOFLAGS := -trimpath
LDFLAGS := -s -w -X main.version=$(VERSION)
# A Go toolchain that build/install-deps.sh had to fetch is used without being asked for.
export PATH := $(CURDIR)/.cluster/toolchain/bin:$(PATH)

PROGRAMS := bin/fairlead bin/fairlead-helper bin/fairlead-agent bin/fairlead-sidecar

.PHONY: help
help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

# The page is part of the programs. Without npm they are built all the same, and 'fairlead open' says what is missing.
PAGE := $(if $(shell command -v npm),frontend/dist/index.html)

.PHONY: build
build: $(PAGE) $(PROGRAMS) ## Build the programs into bin/

# Go decides what is out of date; every program is static, so that it runs on any Linux of its architecture.
.PHONY: $(PROGRAMS)
bin/fairlead:
	CGO_ENABLED=0 go build $(GOFLAGS) -ldflags '$(LDFLAGS)' -o $@ ./app/cli
bin/fairlead-helper:
	CGO_ENABLED=0 go build $(GOFLAGS) -ldflags '$(LDFLAGS)' -o $@ ./helper
bin/fairlead-agent:
	CGO_ENABLED=0 go build $(GOFLAGS) -ldflags '$(LDFLAGS)' -o $@ ./agent
bin/fairlead-sidecar:
	CGO_ENABLED=0 go build $(GOFLAGS) -ldflags '$(LDFLAGS)' -o $@ ./agent/sidecar

.PHONY: frontend desktop
frontend: frontend/dist/index.html ## Build the page that the programs then contain; needs node and npm

frontend/dist/index.html: frontend/node_modules/.package-lock.json $(shell find frontend/src frontend/index.html frontend/*.ts frontend/*.js -type f)
	cd frontend && npm run --silent build -- --logLevel warn

frontend/node_modules/.package-lock.json: frontend/package-lock.json
	cd frontend && npm ci --no-audit --no-fund --loglevel=error

# The window is linked with the system's web view: on Debian, build/install-deps.sh desktop installs what that needs.
desktop: frontend bin/fairlead ## Build the window, bin/fairlead-desktop, beside bin/fairlead
	CGO_ENABLED=1 go build $(GOFLAGS) -tags desktop,production,webkit2_41 -ldflags '$(LDFLAGS)' -o bin/fairlead-desktop .

.PHONY: packages
# TARGETS='linux-amd64 …' limits it; build/packages/build.sh says which there are. WINTUN_ZIP=… goes into the installer for Windows.
packages: frontend ## For Linux, Windows and macOS, in dist/
	@build/install-deps.sh packages
	@WINTUN_ZIP='$(WINTUN_ZIP)' build/packages/build.sh '$(VERSION)' $(TARGETS)

.PHONY: generate
generate: ## Regenerate what is generated: deepcopy, CRDs, golden files
	go generate ./...

.PHONY: lint
lint: ## gofmt, vet and staticcheck, and the same for macOS and Windows
	@tests/lint.sh

.PHONY: test
test: ## Everything CI runs: installs what it needs, then lints, tests, and runs the programs on a real cluster
	@build/install-deps.sh
	@tests/run.sh

.PHONY: screenshots
screenshots: ## Take the pictures of the README anew, on a real cluster
	@build/install-deps.sh
	go test ./tests/e2e/page -count 1 -run TestThePicturesOfTheReadme -v -screenshots

.PHONY: bench
bench: build ## Measure against the plain route and kubectl port-forward; prints a table of ratios
	@build/install-deps.sh
	go run ./tests/bench

.PHONY: demo demo-ui demo-down
# A KUBECONFIG of the environment does not count: the demo must not touch somebody's cluster unasked.
demo: ## A cluster, a shop, a connected laptop and its page, with one command; KUBECONFIG=… uses your own cluster
	@DEMO_KUBECONFIG='$(if $(filter command line,$(origin KUBECONFIG)),$(KUBECONFIG))' build/demo.sh up
demo-ui: ## A new address of the demo's page
	@DEMO_KUBECONFIG='$(if $(filter command line,$(origin KUBECONFIG)),$(KUBECONFIG))' build/demo.sh ui
demo-down: ## Take the demo down
	@DEMO_KUBECONFIG='$(if $(filter command line,$(origin KUBECONFIG)),$(KUBECONFIG))' build/demo.sh down

include tests/cluster/cluster.mk
