# Two commands set everything up on a fresh machine that has Go: "make run" and "make test".

GO       ?= go
ARGS     ?=
FUZZTIME ?= 10s
CONNS    ?= 20000
BIN      ?= bin
LINTER   := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
RACY     := ./redisbridge/... ./loop/... ./server/... ./bench/load ./bench/fleet ./bench/proof ./bench/client

# All builds use the same flags, so that programs, tests and linters share the build cache.
export GO
export CGO_ENABLED := 0
export GOFLAGS     := $(shell $(GO) env GOFLAGS) -trimpath

.PHONY: help run build docs check-docs test test-tools test-plain test-build faults lint soak adapters fuzz bench smoke scale microbench clean
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: ## serve on http://localhost:8000/ (settings: make run ARGS="--listen=:9000")
	$(GO) build -o $(BIN)/dotsd ./cmd/dotsd
	@exec $(BIN)/dotsd --with-parent $(ARGS)

build: ## build static programs into bin/
	$(GO) build -o bin/ $$($(GO) list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' ./cmd/...)

# These tests compare the generated documents with the code. With -update they write the documents.
DOCS = $(GO) test -count=1 ./server ./server/web ./cmd/dotsd \
	-run 'TheTableOf|TestHelpNames|TestTheExampleFile|TestMistakesAre|TestTheDocumentsShow|TestThePackageIsTheClient'

docs: ## write the tables, help texts and examples that are generated from the code
	$(DOCS) -update

check-docs: ## check that these documents match the code
	$(DOCS)

# Most tests spend their time waiting, so six of a package run at once. Meanwhile the tests for the race detector and the fuzzer
# are built, at the lowest priority.
test: test-tools ## test everything, with the race detector and each fuzz target for 10 s (installs missing tools)
	@$(MAKE) --no-print-directory -j2 test-plain test-build
	CGO_ENABLED=1 $(GO) test -race -vet=off -parallel 6 -p 3 -timeout 6m $(RACY)
	@$(MAKE) --no-print-directory fuzz FUZZTIME=10s

test-plain:
	DOTS_TEST_ALL=1 $(GO) test -parallel 6 -timeout 6m ./cmd/dotsd ./...

test-build:
	@CGO_ENABLED=1 nice -n 19 $(GO) test -race -vet=off -run '^$$' $(RACY) >/dev/null
	@nice -n 19 .ci/fuzz build

# The tests use, besides Go: a real Redis, HAProxy and nginx, a real browser with a wide and a narrow font, Python with a WebSocket
# client, and a C compiler for the race detector.
test-tools:
	@font() { find /usr/share/fonts /usr/local/share/fonts -name "$$1" 2>/dev/null | grep -q .; }; \
	missing() { \
		command -v redis-server >/dev/null || echo redis-server; \
		command -v haproxy >/dev/null || test -x /usr/sbin/haproxy || echo haproxy; \
		command -v nginx >/dev/null || test -x /usr/sbin/nginx || echo nginx-light; \
		/usr/bin/python3 -c 'import websockets' 2>/dev/null || echo python3-websockets; \
		command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || echo chromium; \
		font DejaVuSans.ttf || echo fonts-dejavu-core; \
		font LiberationSans-Regular.ttf || echo fonts-liberation; \
		command -v gcc >/dev/null || echo gcc libc6-dev; \
	}; \
	packages=$$(missing | tr '\n' ' '); \
	if [ -z "$$packages" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing $$packages"; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends $$packages >/dev/null || true; \
		packages=$$(missing | tr '\n' ' '); \
	fi; \
	if [ -n "$$packages" ]; then \
		echo "make test needs $$packages: install it (Debian, Ubuntu: apt-get install $$packages), or run make test as root there." >&2; \
		echo "To run only the tests that need Go alone: go test ./..." >&2; \
		exit 1; \
	fi

# Some rows are only in this table. "make test" runs the other rows too, but with faults that are shorter than usual.
faults: ## print the table of faults of Redis and of nodes, with their effects (needs redis-server; 2 min)
	DOTS_FAULTS=long $(GO) test -C redisbridge -count=1 -parallel 6 -timeout 20m -run '^TestFaultTable$$'

soak: ## send a million messages through the bridge during faults in random order (needs redis-server; 5 min)
	$(GO) test -C redisbridge -count=1 -timeout 30m -run '^TestSoak$$' -v -soak.messages=1000000 -soak.fsync=always

adapters: ## try the example clients in all languages, and build and try every server of bench/peers (takes minutes the first time)
	DOTS_ADAPTERS=all $(GO) test ./server -count=1 -run '^TestTheExampleClients$$' -v
	DOTS_ADAPTERS=all $(GO) test -C bench/adapter -count=1 -timeout 30m -run '^TestPeers$$' -v

lint: ## check formatting, go vet, golangci-lint (the first time builds the linter, which takes minutes)
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .); \
	if [ -n "$$files" ]; then echo "not formatted (gofmt -w):"; echo "$$files"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(LINTER) run ./...

fuzz: ## run each fuzz target (FUZZTIME=10s)
	.ci/fuzz $(FUZZTIME)

bench: ## compare with other servers, in one table (15 min; ARGS=--quick: half a minute)
	$(GO) build -o bin/ ./cmd/dotsd ./cmd/dotsbench
	bin/dotsbench peers $(ARGS)

# Exit code 3 of dotsbench means that the machine was too busy to measure rates and latencies. That is not a fault of the code.
smoke: ## run a small version of every scenario of dotsbench against dotsd, and the generator's self-test (90 s)
	$(GO) build -o bin/ ./cmd/dotsd ./cmd/dotsbench
	bin/dotsbench selftest || test $$? = 3
	bin/dotsbench suite smoke --invalid ok --server-cmd "bin/dotsd --listen 127.0.0.1:{port} --admin= --log-level warn"

microbench: ## run the micro-benchmarks of the code
	$(GO) test -run '^$$' -bench . -benchmem ./...

# make prints the exit code: 3 the machine cannot do it, 4 a delivery was lost or a connection was not held, 5 the server died.
scale: ## hold CONNS=20000 connections in a virtual machine and broadcast to all of them (250000: 5 GB, 8 min)
	GOOS=linux GOARCH=amd64 GOAMD64=v1 $(GO) build -o bin/ ./cmd/dotsd ./bench/scale
	bin/scale lab --conns $(CONNS)

clean: ## remove the built programs
	rm -rf bin
