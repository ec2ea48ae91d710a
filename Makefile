# Parley: ten words for every day; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export CGO_ENABLED := 0
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BUF := tools/node_modules/.bin/buf
UI := internal/web/ui
FUZZTIME ?= 10s
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

.PHONY: help check test race fuzz gen gen-check lint web web-check web-test run release bench e2e e2e-web kill setup size

help: ## this list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

check: setup lint gen-check test web-check web-test fuzz-short e2e-short e2e-web ## all that CI runs

test: ## unit, property and simulated-network tests
	go test -timeout 10m $$(go list ./... | grep -v /parleytest/bench)

.PHONY: bench-short
bench-short: ## measurements against the committed figures, alone on the machine
	go test -count=1 -timeout 10m ./parleytest/bench

bench: ## measure one AREA of dm, dht, store, api, node (none: all): JSON lines
	@go test -count=1 -timeout 60m -v -run 'TestBench/^($(or $(AREA),.*))$$' ./parleytest/bench -args -full \
	  | awk '/^[{]/ { print; fflush(); next } { print > "/dev/stderr" }'

race: ## the same under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race -timeout 30m ./...

fuzz: ## every decoder for a minute each
	cd tools && go run ./fuzzall -root .. -time 60s

.PHONY: fuzz-long
fuzz-long: ## ten minutes each, before a release
	cd tools && go run ./fuzzall -root .. -time 10m

.PHONY: fuzz-short
fuzz-short: ## every decoder for a moment
	cd tools && go test ./fuzzall && go run ./fuzzall -root .. -time $(FUZZTIME)

gen: setup-gen ## regenerate stubs from proto/
	$(BUF) lint
	rm -rf gen internal/gen $(UI)/src/gen
	$(BUF) generate
	$(BUF) generate --template buf.gen.page.yaml

gen-check: gen ## generated code is not stale
	@git diff --exit-code --stat -- gen internal/gen $(UI)/src/gen || { echo "generated code is stale: run make gen and commit"; exit 1; }
	@test -z "$$(git ls-files --others --exclude-standard -- gen internal/gen $(UI)/src/gen)" || { echo "generated files are not committed"; exit 1; }

lint: setup-lint ## formatting, vet, staticcheck
	@files=$$(tools/bin/gofumpt -l $$(git ls-files '*.go' ':!gen' ':!internal/gen')); test -z "$$files" || { echo "not gofumpt-formatted:"; echo "$$files"; exit 1; }
	go vet ./...
	tools/bin/staticcheck ./...

web: setup-web ## rebuild the page bundle
	cd $(UI) && npm run build

web-check: web ## the committed bundle is what the sources build
	@git diff --exit-code --stat -- internal/web/dist || { echo "the page bundle is stale: run make web and commit"; exit 1; }
	@test -z "$$(git ls-files --others --exclude-standard -- internal/web/dist)" || { echo "bundle files are not committed"; exit 1; }

web-test: setup-web ## unit and type tests of the page
	cd $(UI) && npm run check && npm test

run: ## start a node from source and open the page
	go run ./cmd/parley

e2e: ## 10,000 chat lines between processes that are killed 20 times each
	go run ./parleytest/e2e -lines 10000 -kills 20

.PHONY: e2e-short
e2e-short: ## the same, short
	go run ./parleytest/e2e -lines 600 -kills 3

e2e-mail: ## 1,000 messages by mail between people who are never up together, past dying and dropping holders (20 min)
	go run ./parleytest/e2email

.PHONY: e2e-mail e2e-mail-short
e2e-mail-short: ## the same, in little
	go run ./parleytest/e2email -short

e2e-web: setup-web setup-debian ## Chromium drives the pages of two real nodes (SHOTS=folder keeps pictures)
	go run ./parleytest/e2e -page -shots "$(abspath $(SHOTS))"

.PHONY: sim-mail
sim-mail: ## does mail outlive its holders? days of churn in virtual time, as JSON lines
	go run ./parleytest/simmail

.PHONY: nat
nat: ## nodes behind home routers or on one local network meet (Linux, as root)
	go run ./parleytest/nat

kill: ## the store survives 10,000 kills
	PARLEY_KILLS=10000 go test -count=1 -timeout 3h -run Kill ./internal/store

release: ## static binaries for every platform, with checksums, in dist/
	rm -rf dist && mkdir -p dist
	for p in $(PLATFORMS); do \
	  os=$${p%/*} arch=$${p#*/} ext=; [ $$os = windows ] && ext=.exe; \
	  GOOS=$$os GOARCH=$$arch go build -trimpath -ldflags "-s -w -X parley/internal/cli.version=$(VERSION)" -o dist/parley-$(VERSION)-$$os-$$arch$$ext ./cmd/parley; done
	cd dist && sha256sum parley-* > SHA256SUMS && ls -l

include tools/setup.mk
