# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Two commands for everybody:   make run    make test
# For C hosts:                  make lib    make install PREFIX=/usr/local    make install-vtd    make c-example    make vtd-example
# For developers:               make lint   make format   make tsan   make asan   make ubsan   make check   make count
#                               make model    make coverage   make fuzz SECONDS=60   make fuzz-mutants   make test-all
#                               make soak MINUTES=30   make mutants   make sanitized   make portable   make aarch64
# How fast it is here:          make report   make benchmark   make swift-cost
#
# Swift builds go to SCRATCH, everything else to build/.

VERSION := 0.1.0
SO_MAJOR := 0

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig

SWIFT ?= swift
SCRATCH ?= .build
BUILD := build
comma := ,

# `cc` is missing where Swift's clang is the only compiler.
ifeq ($(origin CC),default)
CC := $(shell command -v cc || command -v gcc || command -v clang || echo cc)
endif
AR ?= ar
CFLAGS ?= -O2

SHARED := libciommu.so.$(VERSION)
SONAME := libciommu.so.$(SO_MAJOR)
HEADERS := $(addprefix CSources/CIOMMU/include/,ciommu.h ciommu_inline.h ciommu_domains.h \
	ciommu_invalidation.h ciommu_faults.h ciommu_pages.h ciommu_interrupts.h)
SOURCES := $(wildcard CSources/CIOMMU/*.c)
OBJECTS := $(SOURCES:CSources/CIOMMU/%.c=$(BUILD)/obj/%.o)
# Looked up when a rule runs, not before: `deps` may have to install what it asks for.
URCU_CFLAGS = $(shell pkg-config --cflags liburcu-bp)
URCU_LIBS = $(shell pkg-config --libs liburcu-bp)
LIBRARY_CFLAGS = -std=c17 -DNDEBUG -DCIOMMU_TRACEPOINTS -fPIC -fvisibility=hidden -pthread -Wall -Wextra \
	-ICSources/CIOMMU/include $(URCU_CFLAGS)

.PHONY: help run test test-all fuzz fuzz-mutants fuzz-program count model coverage soak mutants broken-rules sanitized portable aarch64 report benchmark swift-cost deps c-deps aarch64-deps need-swift tsan asan ubsan lint format clang-format \
	check-readme lib vtd-lib check install install-vtd uninstall c-example vtd-example clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# \{0,1\}//; 3,10p' Makefile

# ---------------------------------------------------------------------------------------------------------------------
# The two commands

run: deps need-swift
	$(SWIFT) build -c release --scratch-path $(SCRATCH) --product iommu
	$(SWIFT) run -c release --scratch-path $(SCRATCH) --skip-build iommu replay

# These suites race threads against each other and break the engine on purpose: they run alone and one after the other.
ALONE := CIOMMUTests|CIOMMUDomainTests|CIOMMUBatchTests|CIOMMUFaultTests|IOMMUFailureTests|IOMMUStressTests

# $(call swift_test,flags of every step,flags of the suites that run alone): builds, then the other suites, then those.
define swift_test
$(SWIFT) build --build-tests $(1)
$(SWIFT) test --skip-build $(1) --skip '$(ALONE)'
$(SWIFT) test --skip-build $(1) --no-parallel --filter '$(ALONE)' $(2)
endef

test: deps need-swift check-readme count
	$(call swift_test,--scratch-path $(SCRATCH))
	$(SWIFT) run --scratch-path $(SCRATCH) --skip-build IOMMUExample

# Hits and walks allocate nothing, take no lock and make no system call. The names of what is counted stand in counters.c.
COUNT_SOURCES := $(wildcard Tests/CIOMMUCounting/*.c CSources/CIOMMUBench/*.c) $(SOURCES)
COUNTED = $(shell sed -n 's/.*__real_\([a-z0-9_]*\)(.*);$$/\1/p' Tests/CIOMMUCounting/counters.c | sort -u)

count: $(BUILD)/count
	$(BUILD)/count

$(BUILD)/count: $(COUNT_SOURCES) $(wildcard Tests/CIOMMUCounting/*.h CSources/CIOMMU/*.h CSources/CIOMMUBench/*.h \
		CSources/*/include/*.h) | c-deps
	@mkdir -p $(@D)
	@$(CC) -std=gnu17 -DNDEBUG -D_GNU_SOURCE= -D_LGPL_SOURCE= -pthread -Wall -Wextra $(CFLAGS) -ICSources/CIOMMU/include -ICSources/CIOMMUBench/include \
		-ICSources/CIOMMUBench $(URCU_CFLAGS) $(COUNT_SOURCES) $(addprefix -Wl$(comma)--wrap=,$(COUNTED)) \
		$(LDFLAGS) $(URCU_LIBS) -lurcu-cds -o $@

# The protocol between translations and invalidations, searched exhaustively by spin; and with its rules broken one by one.
model:
	$(call ensure,,spin)
	@CC='$(CC)' Tests/Model/run

# Lines and branches that the tests reach: build/coverage/html, and the kernel's lines that none does.
coverage: deps need-swift
	@.ci/coverage '$(SWIFT)' .build-coverage '$(BUILD)/coverage' '$(ALONE)'

# ---------------------------------------------------------------------------------------------------------------------
# The kernel's tests in one C program, Tests/CIOMMUProof: cases, randomised trials, mutants. PROOF_FLAGS are its options, such as
# --only 'host *' or --seed 1.

PROOF_SOURCES := $(SOURCES) $(wildcard Tests/CIOMMUProbe/*.c Tests/CIOMMUProof/*.c)
PROOF_CFLAGS := -std=gnu17 -D_GNU_SOURCE= -pthread -Wall -Wextra -ICSources/CIOMMU/include -ICSources/CIOMMU \
	-ITests/CIOMMUProbe/include -ITests/CIOMMUProbe
PROOF := $(BUILD)/proof
PROOF_FLAGS ?=
MINUTES ?= 30
AARCH64_CC ?= aarch64-linux-gnu-gcc

# $(call proof_build,kind,compiler,flags,libraries): the rules of build/proof-kind/proof.
define proof_build
$(PROOF)-$(1)/%.o: %.c | $(5)
	@mkdir -p $$(@D)
	@$(2) $(PROOF_CFLAGS) $(3) -MMD -MP -c $$< -o $$@
$(PROOF)-$(1)/proof: $(PROOF_SOURCES:%.c=$(PROOF)-$(1)/%.o)
	@$(2) -pthread $(LDFLAGS) $$^ $(4) -o $$@
-include $(PROOF_SOURCES:%.c=$(PROOF)-$(1)/%.d)
endef

PROOF_CHECKED := -O1 -g -DCIOMMU_INTERNAL_CHECKS
PROOF_ASAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fsanitize-ignorelist=$(CURDIR)/.ci/ubsan-ignore
# The Swift toolchain's compiler: gcc's ThreadSanitizer knows no annotations. Its own wants libdispatch.
CLANG ?= clang
SWIFT_RESOURCES = $(shell $(SWIFT) -print-target-info | sed -n 's/.*"runtimeResourcePath": "\(.*\)".*/\1/p')
PROOF_TSAN_LIBS = -fsanitize=thread -L$(SWIFT_RESOURCES)/linux -Wl$(comma)-rpath$(comma)$(SWIFT_RESOURCES)/linux -ldispatch -lBlocksRuntime
$(eval $(call proof_build,debug,$(CC),$(PROOF_CHECKED) $$(URCU_CFLAGS),$$(URCU_LIBS),c-deps))
$(eval $(call proof_build,release,$(CC),-O2 -DNDEBUG $$(URCU_CFLAGS),$$(URCU_LIBS),c-deps))
$(eval $(call proof_build,tsan,$(CLANG),$(PROOF_CHECKED) -fsanitize=thread $$(URCU_CFLAGS),$(PROOF_TSAN_LIBS) $$(URCU_LIBS),c-deps))
$(eval $(call proof_build,asan,$(CLANG),$(PROOF_CHECKED) $(PROOF_ASAN) $$(URCU_CFLAGS),$(PROOF_ASAN) $$(URCU_LIBS),c-deps))
$(eval $(call proof_build,portable,$(CC),$(PROOF_CHECKED) -DCIOMMU_PORTABLE $$(URCU_CFLAGS),$$(URCU_LIBS),c-deps))
$(eval $(call proof_build,aarch64,$(AARCH64_CC),$(PROOF_CHECKED),-lurcu-bp -lurcu-common,aarch64-deps))

# All trials over and over; slices of a build with wide races alternate with slices of a release build.
soak: $(PROOF)-debug/proof $(PROOF)-release/proof
	$< soak --minutes $(MINUTES) --release $(PROOF)-release/proof $(PROOF_FLAGS)

# Every rule broken in turn: what notices it, and how fast. First the kernel's, then those of the Swift side (BrokenRule.swift): all, or
# RULES, such as RULES='restore*'.
RULES ?= *

mutants: $(PROOF)-debug/proof
	$< mutants $(PROOF_FLAGS)
	@$(MAKE) --no-print-directory broken-rules

broken-rules: deps need-swift
	$(call ensure,,pkill=procps)
	$(SWIFT) build --build-tests --scratch-path $(SCRATCH)
	@set -f; .ci/broken-rules '$(SWIFT)' '$(SCRATCH)' $(RULES)

# Cases and trials under ThreadSanitizer, under AddressSanitizer with UndefinedBehaviorSanitizer, and as released.
# (Every case has a process of its own, and ThreadSanitizer's would sleep a second before it ends.)
sanitized: $(PROOF)-tsan/proof $(PROOF)-asan/proof $(PROOF)-release/proof
	@export TSAN_OPTIONS="atexit_sleep_ms=0 $$TSAN_OPTIONS"; for program in $^; do \
		for tests in cases trials; do \
			$$program $$tests $(PROOF_FLAGS) >$$program-$$tests.log 2>&1 || { cat $$program-$$tests.log; exit 1; }; \
			echo "$$program: $$(tail -n 1 $$program-$$tests.log)"; \
		done; \
	done

# What processors without AVX get, on this one.
portable: $(PROOF)-portable/proof
	$< cases
	$< trials $(PROOF_FLAGS)

# The same built for Arm, and emulated.
aarch64: $(PROOF)-aarch64/proof
	qemu-aarch64 $< cases
	qemu-aarch64 $< trials $(PROOF_FLAGS)

# libFuzzer with AddressSanitizer, UndefinedBehaviorSanitizer and assertions, over what a guest or a stranger's file decides: SECONDS of
# each target, or of TARGET alone; 0 replays the corpora. INPUT is one file for TARGET.
SECONDS ?= 60
TARGET ?=
INPUT ?=
FUZZ_SCRATCH := .build-fuzz
FUZZ_LIBRARY = $(firstword $(wildcard $(SWIFT_RESOURCES)/../clang/*/lib/linux/libclang_rt.fuzzer_no_main-$(shell uname -m).a))

FUZZ_PROGRAM := $(FUZZ_SCRATCH)/release/IOMMUFuzz

fuzz: fuzz-program
	@Tests/Fuzz/run $(FUZZ_PROGRAM) '$(SECONDS)' '$(TARGET)' '$(INPUT)'

# Rules of the kernel broken in turn: each target's corpus must notice; what it does not, a search of MUTANT_SECONDS.
MUTANT_SECONDS ?= 60

fuzz-mutants: fuzz-program
	@Tests/Fuzz/mutants $(FUZZ_PROGRAM) '$(MUTANT_SECONDS)' '$(TARGET)'

fuzz-program: deps need-swift
	@test -n '$(FUZZ_LIBRARY)' || { echo "libFuzzer is missing in this Swift toolchain" >&2; exit 1; }
	IOMMU_FUZZ=1 $(SWIFT) build -c release --scratch-path $(FUZZ_SCRATCH) --product IOMMUFuzz --sanitize=address \
		-Xcc -fsanitize=undefined$(comma)fuzzer-no-link -Xcc -fsanitize-trap=undefined \
		-Xcc -fsanitize-ignorelist=$(CURDIR)/.ci/ubsan-ignore \
		-Xswiftc -sanitize-coverage=edge$(comma)inline-8bit-counters$(comma)pc-table \
		-Xswiftc -assert-config -Xswiftc Debug -Xlinker '$(FUZZ_LIBRARY)' -Xlinker -lstdc++

# Everything.
test-all:
	$(MAKE) test
	$(MAKE) tsan
	$(MAKE) asan
	$(MAKE) ubsan
	$(MAKE) model
	$(MAKE) mutants
	$(MAKE) sanitized
	$(MAKE) portable
	$(MAKE) fuzz SECONDS=60
	$(MAKE) fuzz-mutants

# ---------------------------------------------------------------------------------------------------------------------
# Figures

# Both inline from IOMMUCore what the module IOMMU re-exports; the package manager does not see when that changed, so it is told.

# Instructions and time of a hit from Swift, beside C.
swift-cost: deps need-swift
	$(call ensure,valgrind=valgrind)
	@touch Benchmarks/SwiftCost/Loops.swift
	$(SWIFT) build --package-path Benchmarks -c release --product SwiftCost
	@.ci/swift-cost Benchmarks/.build/release/SwiftCost

# FILTER is a regular expression for names, such as 'translate/.*/batch/.*'.
FILTER ?= .*

# What every kind of call costs from C and from Swift, in nanoseconds of 1,000 calls.
benchmark: deps need-swift
	@touch Benchmarks/Engine/Translations.swift
	$(SWIFT) package --package-path Benchmarks benchmark --target Engine --filter '$(FILTER)' --scale --no-progress
# A page about the speed of the engine on this machine, in about three minutes; REPORT_FLAGS=--quick for a first look.
REPORT := $(BUILD)/report
BENCHMARKS_SCRATCH ?= Benchmarks/.build

report: deps need-swift
	@mkdir -p $(REPORT)
	$(SWIFT) build -c release --scratch-path $(SCRATCH) --product iommu
	$(SWIFT) build -c release --package-path Benchmarks --scratch-path $(BENCHMARKS_SCRATCH) --product Scaling
	$(SWIFT) run -c release --scratch-path $(SCRATCH) --skip-build iommu bench --format json > $(REPORT)/bench.json
	$(SWIFT) run -c release --package-path Benchmarks --scratch-path $(BENCHMARKS_SCRATCH) --skip-build Scaling \
		$(REPORT_FLAGS) --rows $(REPORT)/bench.json --csv $(REPORT) --html $(REPORT)/report.html
	@echo "the report: $(CURDIR)/$(REPORT)/report.html"

# ---------------------------------------------------------------------------------------------------------------------
# What must be there

# $(call ensure,module=package ...,command ...,path=package ...): what pkg-config does not know is installed through apt, or named;
# so are commands (command=package where they differ), and files that are missing.
define ensure
@set -eu; missing=; \
for pair in $(1); do \
	pkg-config --exists "$${pair%%=*}" 2>/dev/null || missing="$$missing $${pair#*=}"; \
done; \
for tool in $(2); do command -v "$${tool%%=*}" >/dev/null || missing="$$missing $${tool#*=}"; done; \
for pair in $(3); do [ -e "$${pair%%=*}" ] || missing="$$missing $${pair#*=}"; done; \
command -v pkg-config >/dev/null || missing="pkg-config$$missing"; \
command -v "$(firstword $(CC))" >/dev/null || missing="$$missing gcc libc6-dev"; \
if [ -z "$$missing" ]; then exit 0; fi; \
if ! command -v apt-get >/dev/null; then \
	echo "missing (names of the Debian packages): $$missing" >&2; exit 1; \
fi; \
if [ "$$(id -u)" = 0 ]; then root=; \
elif command -v sudo >/dev/null; then root=sudo; \
else echo "missing; install as root: apt-get install $$missing" >&2; exit 1; fi; \
echo "installing:$$missing"; \
case "$$missing" in *:arm64*) $$root dpkg --add-architecture arm64;; esac; \
$$root apt-get update -q; \
$$root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing
endef

deps:
	$(call ensure,liburcu-bp=liburcu-dev zlib=zlib1g-dev)

c-deps:
	$(call ensure,liburcu-bp=liburcu-dev)

aarch64-deps:
	$(call ensure,,$(AARCH64_CC)=gcc-aarch64-linux-gnu qemu-aarch64=qemu-user,\
		/usr/lib/aarch64-linux-gnu/liburcu-bp.so=liburcu-dev:arm64)

need-swift:
	@command -v $(SWIFT) >/dev/null || { echo "Swift 6.2 or later is missing: https://www.swift.org/install" >&2; exit 1; }

# ---------------------------------------------------------------------------------------------------------------------
# Sanitizers. ThreadSanitizer runs what has threads, the others run everything; but none the engine with a broken protocol: there a
# race is the point, and whether it shows in time depends on full speed; nor what measures memory, which sanitizers multiply.

SOUND := --skip aBrokenRuleIsNoticed --skip ManyPASIDsTests
# What has no threads, and takes long.
SINGLE := IOMMUCaptureTests|IOMMUBenchTests
TSAN_MUTEX := $(BUILD)/tsan-mutex.so
TSAN_RUN := LD_PRELOAD=$(CURDIR)/$(TSAN_MUTEX) TSAN_OPTIONS="atexit_sleep_ms=0 $$TSAN_OPTIONS" $(SWIFT) test --skip-build \
	--scratch-path .build-tsan --sanitize=thread $(SOUND)

$(TSAN_MUTEX): .ci/tsan-mutex.c
	@mkdir -p $(@D)
	$(CLANG) -shared -fPIC -O1 -Wall -Wextra $< -o $@ -ldl

tsan: deps need-swift $(TSAN_MUTEX)
	$(SWIFT) build --build-tests --scratch-path .build-tsan --sanitize=thread
	$(TSAN_RUN) --skip '$(ALONE)|$(SINGLE)'
	$(TSAN_RUN) --no-parallel --filter '$(ALONE)'

asan: deps need-swift
	$(call swift_test,--scratch-path .build-asan --sanitize=address --disable-xctest,$(SOUND))

ubsan: deps need-swift
	$(call swift_test,--scratch-path .build-ubsan -Xcc -fsanitize=undefined -Xcc -fsanitize-trap=undefined \
		-Xcc -fsanitize-ignorelist=$(CURDIR)/.ci/ubsan-ignore,$(SOUND))

# ---------------------------------------------------------------------------------------------------------------------
# Format

CLANG_FORMAT_VERSION := 21.1.2
CLANG_FORMAT_VENV := $(BUILD)/clang-format
SWIFT_FILES := Sources Tests Package.swift $(addprefix Benchmarks/,Package.swift BusyThread Engine RegisterCost Scaling SwiftCost)
C_FILES = $(shell find CSources Tests Benchmarks -path "*/.build*" -prune -o -name '*.[ch]' -print)

# The one on the path if it is the right version, else one from PyPI, else none.
define find_clang_format
tool=clang-format; \
is_right() { "$$tool" --version 2>/dev/null | grep -q 'version $(CLANG_FORMAT_VERSION)'; }; \
if ! is_right; then \
	tool=$(CLANG_FORMAT_VENV)/bin/clang-format; \
	if ! is_right; then \
		rm -rf $(CLANG_FORMAT_VENV); \
		python3 -m venv $(CLANG_FORMAT_VENV) >/dev/null 2>&1 && \
		$(CLANG_FORMAT_VENV)/bin/pip install -q --disable-pip-version-check \
			clang-format==$(CLANG_FORMAT_VERSION) || true; \
		is_right || tool=; \
	fi; \
fi
endef

lint: need-swift check-readme
	$(SWIFT) format lint --strict --recursive $(SWIFT_FILES)
	@set -eu; $(find_clang_format); \
	if [ -z "$$tool" ]; then \
		echo "skipped: the format of C, for want of clang-format $(CLANG_FORMAT_VERSION) (no python3-venv or no network?)"; \
	else \
		"$$tool" --dry-run --Werror $(C_FILES); \
		echo "the format of C is fine"; \
	fi

format: need-swift
	$(SWIFT) format --in-place --recursive $(SWIFT_FILES)
	@set -eu; $(find_clang_format); \
	if [ -z "$$tool" ]; then echo "clang-format $(CLANG_FORMAT_VERSION) is missing" >&2; exit 1; fi; \
	"$$tool" -i $(C_FILES)

# The examples in README.md are the compiled ones, word for word.
check-readme:
	@.ci/check-readme README.md

# ---------------------------------------------------------------------------------------------------------------------
# The C library

lib: $(BUILD)/libciommu.a $(BUILD)/$(SHARED)

$(BUILD)/obj/%.o: CSources/CIOMMU/%.c | c-deps
	@mkdir -p $(@D)
	$(CC) $(LIBRARY_CFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

-include $(OBJECTS:.o=.d)

$(BUILD)/libciommu.a: $(OBJECTS)
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/$(SHARED): $(OBJECTS) CSources/ciommu.map
	$(CC) -shared -pthread $(LDFLAGS) -Wl,-soname,$(SONAME) -Wl,--version-script=CSources/ciommu.map -Wl,-z,defs \
		$(OBJECTS) $(URCU_LIBS) -o $@
	ln -sf $(SHARED) $(BUILD)/$(SONAME)
	ln -sf $(SONAME) $(BUILD)/libciommu.so

# The shared library exports exactly the functions that the public headers declare.
check: $(BUILD)/$(SHARED)
	@.ci/check-exports $(BUILD)/$(SHARED) '$(CC)' $(HEADERS)

# $(call pkgconfig,library,description): its file for pkg-config.
pkgconfig = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	-e 's|@LIBRARY@|$(1)|' -e 's|@DESCRIPTION@|$(2)|' CSources/library.pc.in > $(DESTDIR)$(PKGCONFIGDIR)/$(1).pc

install: lib
	install -d $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(PKGCONFIGDIR)
	install -m 644 $(HEADERS) $(DESTDIR)$(INCLUDEDIR)
	install -m 644 $(BUILD)/libciommu.a $(DESTDIR)$(LIBDIR)
	install -m 755 $(BUILD)/$(SHARED) $(DESTDIR)$(LIBDIR)
	ln -sf $(SHARED) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libciommu.so
	$(call pkgconfig,ciommu,A software IOMMU as a library)

uninstall:
	rm -f $(addprefix $(DESTDIR)$(INCLUDEDIR)/,$(notdir $(HEADERS)))
	rm -f $(DESTDIR)$(INCLUDEDIR)/iommu_vtd.h $(DESTDIR)$(LIBDIR)/libiommu-vtd.so
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libciommu.a libciommu.so $(SONAME) $(SHARED))
	rm -f $(addprefix $(DESTDIR)$(PKGCONFIGDIR)/,ciommu.pc iommu-vtd.pc)

# Installs to a place of its own, and builds and runs the example there as a user of the library would.
EXAMPLE_PREFIX := $(CURDIR)/$(BUILD)/prefix

c-example: check
	rm -rf $(EXAMPLE_PREFIX)
	$(MAKE) --no-print-directory install DESTDIR= PREFIX=$(EXAMPLE_PREFIX) LIBDIR=$(EXAMPLE_PREFIX)/lib \
		INCLUDEDIR=$(EXAMPLE_PREFIX)/include PKGCONFIGDIR=$(EXAMPLE_PREFIX)/lib/pkgconfig
	@.ci/c-example $(EXAMPLE_PREFIX) $(BUILD)/c-example

# libiommu-vtd, for hosts in C that want a virtual VT-d. It needs Swift's runtime libraries where it runs.
vtd-lib: deps need-swift
	$(SWIFT) build -c release --scratch-path $(SCRATCH) --product iommu-vtd

install-vtd: vtd-lib
	install -d $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(PKGCONFIGDIR)
	install -m 644 $(HEADERS) CSources/CVirtualVTd/include/iommu_vtd.h $(DESTDIR)$(INCLUDEDIR)
	install -m 755 $(SCRATCH)/release/libiommu-vtd.so $(DESTDIR)$(LIBDIR)
	$(call pkgconfig,iommu-vtd,A virtual Intel IOMMU as a library)

# A host in C with a virtual VT-d, and the guest's driver that programs it: built as a user of the library would.
VTD_PREFIX := $(CURDIR)/$(BUILD)/vtd-prefix

vtd-example:
	rm -rf $(VTD_PREFIX)
	$(MAKE) --no-print-directory install-vtd DESTDIR= PREFIX=$(VTD_PREFIX) LIBDIR=$(VTD_PREFIX)/lib \
		INCLUDEDIR=$(VTD_PREFIX)/include PKGCONFIGDIR=$(VTD_PREFIX)/lib/pkgconfig
	$(CC) -std=c17 -Wall -Wextra $(CFLAGS) $(wildcard Tests/VirtualVTdHost/*.c) \
		$$(PKG_CONFIG_PATH=$(VTD_PREFIX)/lib/pkgconfig pkg-config --cflags --libs iommu-vtd) \
		-Wl$(comma)-rpath$(comma)$(VTD_PREFIX)/lib -o $(BUILD)/vtd-example
	$(BUILD)/vtd-example

clean:
	rm -rf $(BUILD) $(SCRATCH) $(BENCHMARKS_SCRATCH) .build-tsan .build-asan .build-ubsan .build-coverage $(FUZZ_SCRATCH)
