# millrace: everything a developer runs. `make` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
OUT ?= $(or $(TMPDIR),/tmp)/millrace-words
LOG := $(or $(TMPDIR),/tmp)/millrace-test-$(shell id -u).log

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.PHONY: build
build: ## The one binary, ./millrace
	go build -o millrace ./cmd/millrace

.PHONY: run
run: build ## Count the words of the books in testdata/text and show the first rows
	./millrace run wordcount 'testdata/text/*.txt' -o $(OUT) --overwrite

.PHONY: test
test: ## All tests, those on real S3 servers and with Python readers included
	@go test -v -timeout 15m ./... 2>&1 | tee $(LOG) | grep --line-buffered -E '^(ok|FAIL|---|panic:|\s+---) ?.*(FAIL|ok|panic)' || status=$$?; \
	if grep -qE '^(FAIL|panic:)' $(LOG) || ! grep -qE '^ok' $(LOG); then \
		echo; echo "The whole output: $(LOG)"; exit 1; fi; \
	if grep -q 'LEFT OUT: ' $(LOG); then echo; grep -oh 'LEFT OUT: .*' $(LOG) | sort -u; fi

.PHONY: race
race: ## The tests again under the race detector, without the long ones
	go test -race -short -timeout 15m ./...

.PHONY: check
check: ## Format, vet, staticcheck, and the rules of the house
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "not gofmt'd: $$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	go test ./cmd/internal/layering

.PHONY: bench
bench: ## Go benchmarks of the hot paths
	go test -run '^$$' -bench . -benchtime 1s ./jobs/... ./storage/... ./worker/... ./master/...

.PHONY: cluster
cluster: build ## A demo: a real S3 server, a master, 4 workers, and a job submitted to them
	go run ./cmd/internal/demo -millrace ./millrace
