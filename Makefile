# make test works on a fresh machine with Go and apt: it fetches what it needs.

.PHONY: test test-long check servers bench fuzz build

build:
	go build -trimpath -o cachectl ./cmd/cachectl

# Real servers, several versions of each: the system's, and newer ones in the
# user's cache folder.
servers:
	bash backends/backendtest/servers/fetch.sh

# Tests wait for servers more than they compute: more of them than processors run at once.
# Those of loadgen keep to a clock, and have the machine to themselves.
test: servers
	go test -parallel 4 -timeout 9m $$(go list ./... | grep -v /loadgen)
	go test -p 1 -timeout 9m ./loadgen/...

# Long fault and scale tests, which CI leaves out.
test-long: servers
	CACHECTL_LONG=1 go test -timeout 60m -count=1 ./...

check:
	@test -z "$$(gofmt -l .)" || { echo "not gofmt'ed:"; gofmt -l .; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go mod tidy -diff

# Beside the peers, in the same run; the figure is the ratio.
bench: servers
	go test ./bench -run '^$$' -bench . -benchtime 5x -timeout 30m

# A minute for each parser; FUZZTIME=10m for more.
FUZZTIME ?= 60s
fuzz: servers
	@go list -f '{{.ImportPath}}' ./... | while read -r pkg; do \
		go test -list '^Fuzz' "$$pkg" | grep '^Fuzz' | while read -r name; do \
			echo "$$pkg $$name"; go test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) "$$pkg" || exit 1; \
		done || exit 1; \
	done
