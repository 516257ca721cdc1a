# Quiesce. `make help` lists the targets.
SHELL   := /bin/bash
GO      ?= go
STRIP   := -ldflags='-s -w'
LAMBDA  := -tags lambda.norpc $(STRIP)
SHARDS  ?= $(shell nproc)
export CGO_ENABLED ?= 0

# The longest of the real runs, each of which others resemble.
LENGTHY := TestRealRestoreTest$$/postgresql|TestRealRestoreTestAbroad/mariadb|TestRealRestoreThatComesToLife/aliyun
LENGTHY := $(LENGTHY)|TestRealRestore/(aliyun_mariadb|aws_postgresql)|TestRealServers/(less_will_not|rewrite|redis,_(its|the)|postgresql,_checkpoint)
LENGTHY := $(LENGTHY)|TestRealMariaDB/(will_do|stages|helper)|TestRealAlibaba/(xfs|somebody)|TestReal$$/runs/(nothing|xfs)
# And of the tables of every single fault those of the other cloud, of which the run that looks for races tries some.
LENGTHY := $(LENGTHY)|TestRestore(Test)?Abroad(AsImage)?SurvivesEverySingleFault|TestRealControl|TestRealMariaDB/read_lock|TestRealPlugin/ext4

.PHONY: help run test thorough check build simulation simulation-test simulate mutants dist package package-aliyun synth deploy lint-infra soak bench deps clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: deps build ## Take, restore and check a snapshot on this machine.
	bin/quiesce run $(ARGS)

test: deps check lint-infra simulation-test ## Vet, lint and run every test, the real ones on loop devices included.
	CGO_ENABLED=1 $(GO) tool gotestsum --format pkgname -- -race -short -vet=off -timeout 12m $$($(GO) list ./... | grep -v /infra/)
	$(GO) tool gotestsum --format pkgname -- -vet=off -timeout 12m -skip '$(LENGTHY)' ./local ./functions/prune ./functions/curate
	$(GO) tool gotestsum --format pkgname -- -vet=off ./infra/...

thorough: deps ## Run what `make test` leaves out: the longest of the real runs.
	$(GO) tool gotestsum --format testname -- -timeout 30m -run '$(LENGTHY)' ./local

check:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'gofmt would change these'; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

build: ## Build the command, the functions of both clouds and the helper for this machine into bin/.
	$(GO) build -o bin/quiesce ./cmd/quiesce
	$(GO) build $(LAMBDA) -o bin/bootstrap ./functions/lambda
	$(GO) build $(STRIP) -o bin/main ./functions/fc
	$(GO) build $(STRIP) -o bin/quiesce-guest ./guest

simulation:
	CGO_ENABLED=0 $(GO) test -c -o bin/simulation ./local/simulation

# What a test run lives through: every single fault, and always the same pairs and seeds.
simulation-test: simulation
	cd local/simulation && ../../bin/simulation -shards $(SHARDS) -summary

simulate: simulation ## Live through every fault at every point, pairs of them and N random schedules, in virtual time. SEED= is the first one's.
	bin/simulation -test.run 'Singles|Pairs|Random' -test.timeout 0 -shards $(SHARDS) -summary -n $(or $(N),10000) -from $(or $(SEED),1) -pairs $(or $(PAIRS),1500) $(if $(FOR),-for $(FOR)) -table docs/simulation.md

mutants: ## Plant bugs one at a time and have the simulation find each. ARGS='--only REGEXP' for some of them.
	$(GO) run ./cmd/mutants $(or $(ARGS),--page docs/mutants.md)

dist: # What the stack deploys: the functions, and the helper for both architectures.
	GOOS=linux GOARCH=arm64 $(GO) build -trimpath $(LAMBDA) -o dist/arm64/bootstrap ./functions/lambda
	@for arch in arm64 amd64; do \
	  GOOS=linux GOARCH=$$arch $(GO) build -trimpath $(STRIP) -o dist/$$arch/quiesce-guest ./guest || exit 1; done

package: dist ## Build what is deployed, for both architectures, into dist/.
	GOOS=linux GOARCH=amd64 $(GO) build -trimpath $(LAMBDA) -o dist/amd64/bootstrap ./functions/lambda
	@ls -l dist/*/*

package-aliyun: ## Build what is deployed on Alibaba Cloud into dist/: the archive of the functions, and the helper.
	GOOS=linux GOARCH=amd64 $(GO) build -trimpath $(STRIP) -o dist/aliyun/code/main ./functions/fc
	$(GO) run ./infra/aliyun/pack dist/aliyun/functions.zip dist/aliyun/code/main
	@for arch in arm64 amd64; do \
	  GOOS=linux GOARCH=$$arch $(GO) build -trimpath $(STRIP) -o dist/$$arch/quiesce-guest ./guest || exit 1; done
	@ls -l dist/aliyun/functions.zip dist/aliyun/code/main dist/*/quiesce-guest

node_modules: package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund && touch node_modules

synth: dist node_modules ## Write the AWS template into cdk.out; needs no account. ARGS='-c policies=policies' and so on.
	npx cdk synth --quiet $(ARGS)

deploy: dist node_modules ## Deploy it into the account and Region of the environment.
	npx cdk deploy $(ARGS)

# The template differs from a deployed one in its assets' hashes alone: they are
# this machine's, which the tests have compiled anyway.
lint-infra: build node_modules ## Have the definitions, the template and the PowerShell judged by validators that are not ours.
	@for arch in arm64 amd64; do mkdir -p bin/lint/$$arch && cp bin/bootstrap bin/quiesce-guest bin/lint/$$arch/ || exit 1; done
	npx cdk synth --quiet -o bin/lint/cdk.out -c policies=policies -c dist=bin/lint
	node scripts/lint-infra.mjs bin/lint/cdk.out/Quiesce.template.json
	cd shared/cloud/awscloud && node ../../../scripts/lint-powershell.mjs windows.ps1 shadow.ps1 revert.ps1

soak: deps build ## Run every database N times in a row (N=100): snapshot under load, restore, check.
	scripts/soak $(or $(N),100)

bench: deps build ## Print windows beside other ways, servers held and not held, the freeze with and without presync, sizes and start times.
	$(GO) run ./cmd/bench $(ARGS)

deps: ## Install what the real runs need, on Debian as root; elsewhere say what is missing.
	@scripts/deps

clean: ## Remove what was built.
	rm -rf bin dist cdk.out
