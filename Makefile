# Every target sets up what it needs by itself, on a bare Debian or Ubuntu machine too. The work is in scripts/.

.DEFAULT_GOAL := help
.PHONY: help image build test test-fast lint fuzz-smoke bench demo demo-down failover-demo faults soak mysql-suite suites

help: ## Lists these targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Brings up one primary, two replicas and dauphin in Docker, and shows on the screen what goes where.
	@scripts/demo up

demo-down: ## Removes the demo: containers, network and data.
	@scripts/demo down

failover-demo: ## Shows what clients feel while the primary is killed under load, live, and checks that nothing was lost.
	@scripts/failover-demo

faults: ## Every fault on real servers, several times each: gaps and errors as medians. Takes hours; scripts/faults takes less.
	@scripts/faults

soak: ## An hour of mixed load with random disconnects, kills and replica restarts: nothing may grow, leak, hang or be answered wrongly.
	@scripts/soak

mysql-suite: ## MySQL's own regression suite, direct and through dauphin. Takes hours; scripts/mysql-suite --quick takes minutes.
	@scripts/mysql-suite

suites: ## Drivers', ORMs' and tools' own tests, direct and through dauphin, on real MySQL.
	@scripts/suites

test: ## What CI runs: Docker, images, lint, unit tests, and the end-to-end tests on real MySQL and MariaDB.
	@scripts/test

test-fast: ## Only the tests that need no Docker.
	@scripts/test fast

lint: ## Formatting, clippy, dependencies' licences and advisories, and the shell scripts.
	@scripts/lint

build: ## Builds target/release/dauphin.
	@scripts/build

image: ## Makes the images of MySQL and MariaDB that the tests and the demo run, from Debian packages.
	@scripts/image

bench: ## Measures dauphin beside a direct connection, on this machine.
	@scripts/bench

fuzz-smoke: ## Fuzzes each target of proto/fuzz for some seconds.
	@scripts/fuzz-smoke
