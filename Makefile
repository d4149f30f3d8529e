# Two commands set everything up on a fresh machine that has Go: "make run" and "make test".

GO       ?= go
ARGS     ?=
FUZZTIME ?= 10s
CONNS    ?= 20000
BIN      ?= bin
LINTER   := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
RACY     := ./redisbridge/... ./loop/... ./server/... ./bench/load ./bench/fleet ./bench/proof ./bench/client

# All builds are of one kind, so that programs, tests and linters share what is compiled.
export GO
export CGO_ENABLED := 0
export GOFLAGS     := $(shell $(GO) env GOFLAGS) -trimpath

.PHONY: help run build docs test test-tools test-plain test-build faults lint soak adapters fuzz bench smoke scale microbench clean
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: ## serve on http://localhost:8000/ (settings: make run ARGS="--listen=:9000")
	$(GO) build -o $(BIN)/dotsd ./cmd/dotsd
	@exec $(BIN)/dotsd --with-parent $(ARGS)

build: ## build static programs into bin/
	$(GO) build -o bin/ $$($(GO) list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' ./cmd/...)

docs: ## write the tables, help texts and examples that are made from the code
	$(GO) test -count=1 ./server ./cmd/dotsd -run 'TheTableOf|TestHelpNames|TestTheExampleFile|TestMistakesAre' -update

# Most tests wait for something: six of a package run at once. What the race detector and the fuzzer need is built while
# they wait, at the lowest priority.
test: test-tools ## test everything, with the race detector and each fuzz target for 10 s (installs what that needs)
	@$(MAKE) --no-print-directory -j2 test-plain test-build
	CGO_ENABLED=1 $(GO) test -race -vet=off -parallel 6 -p 3 -timeout 6m $(RACY)
	@$(MAKE) --no-print-directory fuzz FUZZTIME=10s

test-plain:
	DOTS_TEST_ALL=1 $(GO) test -parallel 6 -timeout 6m ./cmd/dotsd ./...

test-build:
	@CGO_ENABLED=1 nice -n 19 $(GO) test -race -vet=off -run '^$$' $(RACY) >/dev/null
	@nice -n 19 .ci/fuzz build

# What the tests use beside Go: a real Redis, HAProxy and nginx, a real browser with a wide and a narrow font, Python with a
# WebSocket client, and a C compiler for the race detector.
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
		echo "What can be tested without: go test ./..." >&2; \
		exit 1; \
	fi

# The rows that make test has too take as long here as such faults mostly do, and some are only here.
faults: ## print the table of what faults of Redis and of nodes cost (needs redis-server; 2 min)
	DOTS_FAULTS=long $(GO) test -C redisbridge -count=1 -parallel 6 -timeout 20m -run '^TestFaultTable$$'

soak: ## a million messages through the bridge while faults befall it in a random order (needs redis-server; 5 min)
	$(GO) test -C redisbridge -count=1 -timeout 30m -run '^TestSoak$$' -v -soak.messages=1000000 -soak.fsync=always

adapters: ## build every server of bench/peers, and try each of them (minutes the first time)
	DOTS_ADAPTERS=all $(GO) test -C bench/adapter -count=1 -timeout 30m -run '^TestPeers$$' -v

lint: ## check formatting, go vet, golangci-lint (the first time builds it, which takes minutes)
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .); \
	if [ -n "$$files" ]; then echo "not formatted (gofmt -w):"; echo "$$files"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(LINTER) run ./...

fuzz: ## run each fuzz target (FUZZTIME=10s)
	.ci/fuzz $(FUZZTIME)

bench: ## compare with other servers, in one table (a quarter of an hour; ARGS=--quick: half a minute)
	$(GO) build -o bin/ ./cmd/dotsd ./cmd/dotsbench
	bin/dotsbench peers $(ARGS)

# Exit 3 of dotsbench says that the machine was too busy for rates and latencies to count: no fault of the code.
smoke: ## every scenario of dotsbench against dotsd, small, and the generator's test of itself (90 s)
	$(GO) build -o bin/ ./cmd/dotsd ./cmd/dotsbench
	bin/dotsbench selftest || test $$? = 3
	bin/dotsbench suite smoke --invalid ok --server-cmd "bin/dotsd --listen 127.0.0.1:{port} --admin= --log-level warn"

microbench: ## run the micro-benchmarks of the code
	$(GO) test -run '^$$' -bench . -benchmem ./...

# The exit code that make prints: 3 the machine is not able, 4 a delivery was lost or a connection not held, 5 the
# server died.
scale: ## hold CONNS=20000 connections in a virtual machine, and broadcast to each (250000: 5 GB, 8 min)
	GOOS=linux GOARCH=amd64 GOAMD64=v1 $(GO) build -o bin/ ./cmd/dotsd ./bench/scale
	bin/scale lab --conns $(CONNS)

clean: ## remove what was built
	rm -rf bin
