# millrace: everything a developer runs. `make` lists it. It works in folders whose names have spaces, and needs Go, a C
# compiler for `make race`, and awk; what else is needed is built or fetched once and kept in the user's cache folder.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
TMPDIR ?= /tmp
OUT ?= $(TMPDIR)/millrace-words
LOG ?= $(TMPDIR)/millrace-test-$(shell id -u).log
PKG ?= ./...
# mawk reads pipes in blocks unless it is told to show each line when it comes.
AWK := awk$(shell awk -W version 2>/dev/null </dev/null | grep -q mawk && echo ' -W interactive')

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

.PHONY: build
build: ## The one binary, ./millrace
	go build -o millrace ./cmd/millrace

.PHONY: run
run: build ## Count the words of the books in testdata/text and show the first rows
	./millrace run wordcount 'testdata/text/*.txt' -o '$(OUT)' --overwrite

# make check vets, so the tests need not.
.PHONY: test
test: ## All tests, those on real S3 servers and with Python readers too (PKG=./jobs/... for some)
	@go test -v -vet=off -ldflags=-w -count=1 -timeout 15m $(PKG) 2>&1 | tee '$(LOG)' | $(AWK) -v strict='$(STRICT)' -v log_file='$(LOG)' -f .ci/summary.awk

.PHONY: soak
soak: ## The simulation of failing clusters, as long as it is given time for (DURATION=1h, or SEEDS=1000000; FROM=1 is the first seed)
	@go test ./master/sched -run 'TestSimulation$$' -v -timeout 0 -sim.from $(or $(FROM),1) $(if $(SEEDS),-sim.seeds $(SEEDS),-sim.for $(or $(DURATION),10m))

# What the detector does not watch is left out: the pages, whose commands run the real binary; in cmd/internal/e2e the tests of its processes,
# and those that only look at rows. It watches all that runs in the tests' own processes; the processes of that package's own binary, of which workers are killed and
# cut off from each other; and those of cmd/millrace, which are built for it, and of which clusters of three
# masters are made. Without DWARF, which no report needs, linking takes a third less.
.PHONY: race
race: ## The tests again under the race detector, without the long ones
	go test -race -short -skip '^(TestReadme|TestFirstJob|TestJobsPage|TestBadRecordsPage|TestCommandsPage)$$' -vet=off -ldflags=-w -timeout 15m $(PKG)

.PHONY: check
check: ## Format, vet, staticcheck, and the rules of the house
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "run gofmt -w on:"; echo "$$bad"; exit 1; fi
	go vet ./... ./testdata/imports ./testdata/bench/byhand
	go run $(STATICCHECK) ./... ./testdata/imports ./testdata/bench/byhand
	go test ./cmd/internal/layering

.PHONY: kills
kills: ## 200 leaders killed by kill -9 in all phases of jobs, and 100 pairs of processes (KILLS=, PAIRS=, SEED= for others)
	go test -v -vet=off -count=1 -timeout 3h -run 'TestLeadersDie$$|TestAnyTwoDie$$' ./cmd/internal/e2e -kills.leader $(or $(KILLS),200) -kills.pairs $(or $(PAIRS),100) -kills.seed $(or $(SEED),20)

.PHONY: bench
bench: ## Go benchmarks of the hot paths, compared with the baseline in testdata/bench: what is over 10 % slower is named
	@PKG='$(if $(filter command%,$(origin PKG)),$(PKG))' .ci/bench

.PHONY: bench-baseline
bench-baseline: ## The same, to write that baseline
	@.ci/bench save

.PHONY: bench-peers
bench-peers: ## millrace beside DuckDB, ClickHouse, Polars, Spark and others, into docs/benchmarks.md (JOB=wordcount for one)
	@python=$$(testdata/bench/environment) && "$$python" testdata/bench/peers.py

.PHONY: bench-scale
bench-scale: ## A master under a million tasks of a thousand workers, and under ten thousand idle ones (TASKS=10000,100000 for less)
	@go build -o '$(TMPDIR)/millrace-scale' ./cmd/internal/scale
	@'$(TMPDIR)/millrace-scale' $(if $(TASKS),--tasks '$(TASKS)') $(SCALE); rm '$(TMPDIR)/millrace-scale'

.PHONY: bench-faults
bench-faults: ## What workers that die or are slow cost a job of sixteen workers: some fifteen minutes, half of it waiting
	@go test -run '^$$' -bench 'WorkersInTrouble|SortLosesWorkers' -benchtime 1x -timeout 30m -v ./cmd/internal/e2e

.PHONY: cluster
cluster: build ## A demo: a real S3 server, a master, 4 workers, and a job submitted to them
	@go build -o millrace-demo ./cmd/internal/demo
	@exec ./millrace-demo
