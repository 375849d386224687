# mcpbox: build, check, show. Start with `make demo`.

# A Go that scripts/setup fetched into build/ goes before the machine's.
export PATH := $(CURDIR)/build/go/bin:$(PATH)

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PREFIX  ?= /usr/local
DESTDIR ?=
# Not every shell expands the ~ of an argument.
prefix  := $(DESTDIR)$(patsubst ~/%,$(HOME)/%,$(PREFIX))

# The program that runs inside boxes: small, static, without cgo, because it is
# started twice for each box and is what a server could attack.
INITPROG := sandbox/native/initprog.bin
# The same for containers, of which it is the first process.
CTRINIT  := sandbox/containerd/initprog.bin
# netgo and osusergo keep glibc's name services, which cannot be linked
# statically, out of the launcher.
TAGS := embedinit,netgo,osusergo,static_build
static = CGO_ENABLED=1 go build -trimpath -tags $(TAGS)$(1) -ldflags '-s -w -X main.version=$(VERSION) -linkmode external -extldflags "-static"' -o bin/$(2) ./cmd/mcpbox

comma := ,

.DEFAULT_GOAL := help
.PHONY: help setup build test test-vm demo bench lint install clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-9s %s\n' "$$name" "$$text"; done

setup: ## install what building needs (Debian, Ubuntu)
	@scripts/setup build

build: ## bin/mcpbox, static, and the same with containerd's client
	@pkg-config --exists libseccomp || { echo 'make: libseccomp-dev or pkg-config is missing: run scripts/setup' >&2; exit 1; }
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o $(INITPROG) ./sandbox/native/initprog
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o $(CTRINIT) ./sandbox/containerd/initprog
	$(call static,$(comma)nocontainerd,mcpbox)
	$(call static,,mcpbox-containerd)

demo: ## run a public server in the jail, and show what it cannot do
	@scripts/setup demo
	@$(MAKE) --no-print-directory build
	@scripts/demo

test: ## every check there is; as root also as an ordinary user
	@scripts/setup test
	@scripts/test

test-vm: ## tests in a virtual machine with stock Debian: its kernel, systemd, control groups
	@scripts/setup vm
	@$(MAKE) --no-print-directory build
	@scripts/vm

bench: ## what the jail costs, as a table
	@scripts/setup test
	@$(MAKE) --no-print-directory build
	@scripts/bench

lint: ## gofmt, vet, staticcheck and the house rules (hygiene_test.go)
	@scripts/lint

# Builds only what is missing or older than its sources, so that `sudo make
# install` after `make build` leaves no file of root's in the tree.
SOURCES := bridge cmd netfilter policy profiles sandbox go.mod
install: ## copy mcpbox and its completions to PREFIX (/usr/local)
	@test -x bin/mcpbox && test -x bin/mcpbox-containerd && test -z "$$(find $(SOURCES) -type f -newer bin/mcpbox ! -name '*_test.go' ! -path $(INITPROG) ! -path $(CTRINIT) ! -path '*/testdata/*')" || \
		$(MAKE) --no-print-directory build
	install -Dm755 bin/mcpbox $(prefix)/bin/mcpbox
	install -Dm755 bin/mcpbox-containerd $(prefix)/bin/mcpbox-containerd
	install -d $(prefix)/share/bash-completion/completions $(prefix)/share/zsh/site-functions $(prefix)/share/fish/vendor_completions.d
	bin/mcpbox completion bash > $(prefix)/share/bash-completion/completions/mcpbox
	bin/mcpbox completion zsh > $(prefix)/share/zsh/site-functions/_mcpbox
	bin/mcpbox completion fish > $(prefix)/share/fish/vendor_completions.d/mcpbox.fish

clean: ## remove everything built or fetched
	rm -rf bin $$(readlink -f build) build $(INITPROG) $(CTRINIT)
