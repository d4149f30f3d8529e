# Two commands set everything up on a fresh machine that has Go: "make run" and "make test".

GO       ?= go
ARGS     ?=
FUZZTIME ?= 10s
CONNS    ?= 20000
BIN      ?= bin
LINTER   := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: help run build test test-tools lint fuzz bench smoke scale microbench clean
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: ## serve on http://localhost:8000/ (settings: make run ARGS="--listen=:9000")
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/dotsd ./cmd/dotsd
	@exec $(BIN)/dotsd --with-parent $(ARGS)

build: ## build static programs into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ $$($(GO) list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' ./cmd/...)

test: test-tools ## test everything, with the race detector and each fuzz target for 10 s (installs what that needs)
	DOTS_TEST_ALL=1 $(GO) test -timeout 6m ./...
	CGO_ENABLED=1 $(GO) test -race -timeout 6m ./loop/... ./server/... ./redisbridge/... ./bench/load ./bench/fleet ./bench/proof ./bench/client
	@$(MAKE) --no-print-directory fuzz FUZZTIME=10s

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

lint: ## check formatting, go vet, golangci-lint (the first time builds it, which takes minutes)
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .); \
	if [ -n "$$files" ]; then echo "not formatted (gofmt -w):"; echo "$$files"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(LINTER) run ./...

fuzz: ## run each fuzz target (FUZZTIME=10s)
	@set -e; targets=$$($(GO) test -list '^Fuzz' ./...); \
	echo "$$targets" | \
	awk '/^Fuzz/ { names[++n] = $$1 } /^ok/ { for (i = 1; i <= n; i++) print names[i], $$2; n = 0 }' | \
	while read -r name package; do \
		echo "fuzz $$name for $(FUZZTIME)"; \
		log=$$(mktemp); \
		if $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$$package" </dev/null >"$$log" 2>&1; then \
			tail -n 3 "$$log"; rm "$$log"; \
		elif grep -q '^ *context deadline exceeded$$' "$$log" && ! grep -qi 'failing input\|panic\|_test.go:' "$$log"; then \
			echo "ended by its own time limit, which go test sometimes takes for a failure; no input failed"; rm "$$log"; \
		else \
			cat "$$log"; rm "$$log"; exit 1; \
		fi; \
	done

bench: ## compare with other servers, in one table (a quarter of an hour; ARGS=--quick: half a minute)
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/dotsd ./cmd/dotsbench
	bin/dotsbench peers $(ARGS)

# Exit 3 of dotsbench says that the machine was too busy for rates and latencies to count: no fault of the code.
smoke: ## every scenario of dotsbench against dotsd, small, and the generator's test of itself (90 s)
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/dotsd ./cmd/dotsbench
	bin/dotsbench selftest || test $$? = 3
	bin/dotsbench suite smoke --invalid ok --server-cmd "bin/dotsd --listen 127.0.0.1:{port} --admin= --log-level warn"

microbench: ## run the micro-benchmarks of the code
	$(GO) test -run '^$$' -bench . -benchmem ./...

# The exit code that make prints: 3 the machine is not able, 4 a delivery was lost or a connection not held, 5 the
# server died.
scale: ## hold CONNS=20000 connections in a virtual machine, and broadcast to each (250000: 5 GB, 8 min)
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 GOAMD64=v1 $(GO) build -trimpath -o bin/ ./cmd/dotsd ./bench/scale
	bin/scale lab --conns $(CONNS)

clean: ## remove what was built
	rm -rf bin
