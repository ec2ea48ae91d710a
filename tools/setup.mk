# What the checks need and how it is installed when missing. Nothing here is
# needed to build or run Parley itself.
.PHONY: setup setup-gen setup-lint setup-web
DEBIAN := chromium tmux

setup: setup-gen setup-lint setup-web setup-debian ## install what the checks need

.PHONY: setup-debian
setup-debian:
	@missing=; for p in $(DEBIAN); do command -v $$p >/dev/null || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  command -v apt-get >/dev/null || { echo "please install:$$missing"; exit 1; }; \
	  echo "installing Debian packages:$$missing"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; fi

setup-gen: tools/bin/protoc-gen-go tools/node_modules/.stamp

setup-lint: tools/bin/staticcheck

setup-web: $(UI)/node_modules/.stamp

tools/bin/protoc-gen-go: tools/go.mod
	@echo "building the generators"
	cd tools && GOBIN=$(CURDIR)/tools/bin go install google.golang.org/protobuf/cmd/protoc-gen-go connectrpc.com/connect/cmd/protoc-gen-connect-go
	@touch $@

tools/bin/staticcheck: tools/go.mod
	@echo "building the linters"
	cd tools && GOBIN=$(CURDIR)/tools/bin go install mvdan.cc/gofumpt honnef.co/go/tools/cmd/staticcheck
	@touch $@

tools/node_modules/.stamp: tools/package.json tools/package-lock.json
	@echo "installing the generators' npm packages"
	# Not npm ci: it refuses a lock without the binaries of every platform.
	cd tools && npm install --no-save --no-audit --no-fund --ignore-scripts --loglevel=error
	@touch $@

$(UI)/node_modules/.stamp: $(UI)/package.json $(UI)/package-lock.json
	@echo "installing the page's npm packages"
	cd $(UI) && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
	@touch $@
