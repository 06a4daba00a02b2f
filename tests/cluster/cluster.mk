# SPDX-License-Identifier: Apache-2.0
#
# Real clusters for tests and trying things out. NAME tells several of them apart.

NAME ?= dev
NODES ?= 1
LAPTOPS ?= 1
FAMILY ?= ipv4
RESOLVER ?= file
LAPTOP ?= 1
CMD ?=
# To make, AS is the assembler unless told otherwise.
ifneq ($(origin AS),command line)
AS := dev
endif

# The command itself is rebuilt when it must be; Go decides.
CLUSTER = mkdir -p .cluster/bin && CGO_ENABLED=0 go build -o .cluster/bin/cluster-$$$$ ./tests/cluster/cmd/cluster && \
	mv -f .cluster/bin/cluster-$$$$ .cluster/bin/cluster && .cluster/bin/cluster --name '$(NAME)'

.PHONY: cluster-build
cluster-build: ## Build what clusters are made of (about 5 minutes, once)
	@$(CLUSTER) build

.PHONY: cluster-up
cluster-up: ## Bring up a real cluster: NAME=dev NODES=1 LAPTOPS=1 FAMILY=ipv4|dual RESOLVER=file|resolved
	@$(CLUSTER) up --nodes '$(NODES)' --laptops '$(LAPTOPS)' --family '$(FAMILY)' --resolver '$(RESOLVER)'

.PHONY: cluster-down
cluster-down: ## Take a cluster down; nothing of it is left: NAME=dev
	@$(CLUSTER) down

.PHONY: cluster-status
cluster-status: ## Show a cluster's hosts and what they run: NAME=dev
	@$(CLUSTER) status

# CMD goes through the environment, so that its quotes survive.
.PHONY: laptop
laptop: export LAPTOP_COMMAND := $(value CMD)
laptop: ## A shell on a laptop, or CMD='…': NAME=dev LAPTOP=1 AS=dev|other|root
	@$(CLUSTER) laptop --laptop '$(LAPTOP)' --as '$(AS)' $(if $(value CMD),-- bash -c "$$LAPTOP_COMMAND")
