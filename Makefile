# Outrigger. `make help` lists what there is.

.DEFAULT_GOAL := help
.PHONY: mutants printed reproducible help demo build test drill fuzz check bench sim peers compare-tool compare compare-full compare-wires image chroot-proof tools clean

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a minute of trouble and what the proxy does about it; needs nothing but Rust
	$(CARGO) build --locked --profile quick-release
	$(TARGET)/quick-release/outrigger demo

build: ## the program as it is shipped: $(TARGET)/release/outrigger
	$(CARGO) build --locked --release

test: tools ## every test: pure, in-process, and against the real program
	$(CARGO) test --locked --profile quick --lib --test outrigger --test at_most_once --test allocations --test drills --bin outrigger-bench

drill: ## real faults against a real sidecar: do the first lines of `outrigger status` name each within ten seconds?
	$(CARGO) build --locked --profile quick-release --features bench --bin outrigger --bin outrigger-bench
	$(TARGET)/quick-release/outrigger-bench drill --outrigger $(TARGET)/quick-release/outrigger $(ARGS)

fuzz: ## what peers and operators write, made up by libFuzzer: SECONDS=60 for each target
	src/tests/fuzz/run $(or $(SECONDS),60)

mutants: ## changes the core in small ways and names what no test notices: ARGS="--file 'src/reliability/budget*'"; all: hours
	src/tests/mutants/run $(ARGS)

check: ## format, lints, docs, the wall around the pure core, dependencies
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items
	$(CARGO) check --locked --lib --no-default-features
	$(CARGO) check --locked --bin outrigger
	@if command -v cargo-deny > /dev/null; then $(CARGO) deny check bans licenses sources; \
	else echo "cargo-deny is not installed; src/architecture/dependencies.rs asserts bans, features and floors"; fi

bench: ## micro-benchmarks: nanoseconds per decision, cost of big policies, allocations per request
	$(CARGO) bench --locked --bench reliability --bench policy
	$(CARGO) test --locked --release --test allocations -- --nocapture

sim: ## the pure core's figures: what retries cost in a stall, in virtual time
	$(CARGO) run --locked --release --no-default-features --example metastability

peers: ## installs what Outrigger is compared with: nginx, HAProxy, Envoy, pingora; and strace
	@TARGET="$(abspath $(TARGET))" CARGO="$(CARGO)" loadtests/peers/install.sh

# Results: run.json, report.html, summary.txt.
OUT ?= $(TARGET)/compare/$(shell date -u +%Y%m%d-%H%M%S)
COMPARE = $(TARGET)/quick-release/outrigger-bench run --outrigger $(TARGET)/release/outrigger --out $(OUT)

compare-tool: # the program as it is shipped, and the tool that measures it
	$(CARGO) build --locked --release
	$(CARGO) build --locked --profile quick-release --features bench --bin outrigger-bench

compare: compare-tool ## next to every peer that is installed (make peers), in three minutes of load; ARGS adds options
	$(COMPARE) --quick $(ARGS)

compare-full: compare-tool ## every scenario, three rounds each: about two hours; OUT=DIR says where to
	$(COMPARE) $(ARGS)

WIRES = tls-h1 h2-mtls grpc-unary grpc-mtls handshakes idle-tls rapid-reset
compare-wires: compare-tool ## HTTP/2, gRPC and TLS next to every peer: about twenty minutes
	$(COMPARE) $(WIRES) $(ARGS)

image: ## the container image (needs docker, podman or buildah)
	$$(command -v docker || command -v podman || echo docker) build -t outrigger:dev .

chroot-proof: ## the image without an engine: in namespaces, read-only, as user 65532 (needs root)
	deploy/chroot-proof.sh

reproducible: ## builds the image's root twice, in two places, and compares every byte
	deploy/reproducible.sh

printed: ## shell completions and the manual page, from the words of the command line
	OUTRIGGER_WRITE_PRINTED=1 $(CARGO) test --locked --profile quick --lib cli::tests::printed

tools: # installs what the tests call, through apt
	@deploy/test-tools.sh

clean: ## removes what was built
	$(CARGO) clean
