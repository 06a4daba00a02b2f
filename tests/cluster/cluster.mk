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

CLUSTER_COMMAND := .cluster/bin/cluster
CLUSTER = $(CLUSTER_COMMAND) --name '$(NAME)'

# Make, not Go, decides if the command is out of date, so that `make laptop` begins at once.
$(CLUSTER_COMMAND): go.mod go.sum $(filter-out %_test.go,$(wildcard tests/cluster/*.go tests/cluster/*/*.go tests/cluster/cmd/cluster/*.go)) \
		$(wildcard tests/cluster/manifests/*.yaml tests/shop/manifests/*)
	@mkdir -p $(@D)
	@CGO_ENABLED=0 go build -trimpath -o $@.new ./tests/cluster/cmd/cluster && mv -f $@.new $@

.PHONY: cluster-build
cluster-build: $(CLUSTER_COMMAND) ## Build what clusters are made of (about 5 minutes, once)
	@$(CLUSTER) build

.PHONY: cluster-up
cluster-up: $(CLUSTER_COMMAND) ## Bring up a real cluster: NAME=dev NODES=1 LAPTOPS=1 FAMILY=ipv4|dual RESOLVER=file|resolved
	@$(CLUSTER) up --nodes '$(NODES)' --laptops '$(LAPTOPS)' --family '$(FAMILY)' --resolver '$(RESOLVER)'

.PHONY: cluster-down
cluster-down: $(CLUSTER_COMMAND) ## Take a cluster down; nothing of it is left: NAME=dev
	@$(CLUSTER) down

.PHONY: cluster-status
cluster-status: $(CLUSTER_COMMAND) ## Show a cluster's hosts and what they run: NAME=dev
	@$(CLUSTER) status

# CMD goes through the environment, so that its quotes survive.
.PHONY: laptop
laptop: export LAPTOP_COMMAND := $(value CMD)
laptop: $(CLUSTER_COMMAND) ## A shell on a laptop, or CMD='…': NAME=dev LAPTOP=1 AS=dev|other|root
	@$(CLUSTER) laptop --laptop '$(LAPTOP)' --as '$(AS)' $(if $(value CMD),-- bash -c "$$LAPTOP_COMMAND")
