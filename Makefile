# mpq: build, tests, demo, benchmarks. One file, not recursive.
#
#   make            the programs, in bin/
#   make help       this list
#   make check      all tests (installs what is missing, see tests/deps.sh)
#   make demo       quantizes the project's model, end to end; MODEL=smollm2|m.gguf: that one
#   make asan       the tests under the address and undefined-behavior sanitizers
#   make bench      measured figures; PEER=DIR compares with llama.cpp in DIR/bin
#   make fuzz       fuzzers with clang's libFuzzer, FUZZ_SECONDS each
#   make lint       formatting, man pages, include directions
#   make install    into PREFIX (/usr/local), below DESTDIR; make uninstall
#   make deps       sees to everything that build, tests and demo need
#   make clean      removes build/ and bin/
#
# Variables: CC, CFLAGS, PREFIX, DESTDIR, V=1 (show commands), B=build/NAME (a build of
# its own).
#
# A folder under build/ for each variant; bin/ holds the optimized programs.

VERSION := 0.1.0
B       ?= build/opt
CC      ?= cc
CFLAGS  ?= -O3 -g
PREFIX  ?= /usr/local
PKG_CONFIG ?= pkg-config
# Where OpenBLAS has LAPACKE in it there is no package of that name.
PKGS    := openblas $(shell $(PKG_CONFIG) --exists lapacke 2>/dev/null && echo lapacke) \
           zlib yaml-0.1 jansson libpcre2-8
Q       := $(if $(V),,@)# make V=1 shows the commands

WARN  := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Wstrict-prototypes \
         -Wmissing-prototypes -Wwrite-strings
FLAGS := -std=c11 -D_POSIX_C_SOURCE=200809L -DMPQ_VERSION='"$(VERSION)"' -Ilib -Icmd \
         -I$B -ffp-contract=off -pthread -MMD -MP $(WARN) $(addprefix -fsanitize=,$(SAN))
FLAGS += $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
LIBS  := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null) -lm -lpthread

tools   := $(patsubst cmd/%.c,$B/%,$(wildcard cmd/mpq-*.c))
cli_obj := $(patsubst %.c,$B/%.o,$(filter-out cmd/mpq-% cmd/calibmix_% cmd/eval_% cmd/pack_% cmd/rounding% cmd/score_% cmd/stats_%,$(wildcard cmd/*.c)))
lib_obj := $(patsubst %.c,$B/%.o,$(wildcard lib/*/*.c)) $B/rules_data.o
rules   := $(sort $(wildcard lib/rules/*.yaml))
units   := $(patsubst tests/unit/%.c,$B/tests/%,$(wildcard tests/unit/t_*.c))
fuzzers := $(patsubst tests/fuzz/%.c,$B/fuzz/%,$(wildcard tests/fuzz/f_*.c))

.PHONY: all deps check asan demo bench fuzz lint format install uninstall clean
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

# What pkg-config finds is read when make starts: after an installation, start again,
# on all cores where the user did not say how many.
again = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

all: deps-build
	+@$(again) B=$B programs

# The list at the top of this file.
.PHONY: help
help:
	@sed -n '/^# *make /s/^# *//p; /^# Variables/,/^#$$/s/^# *//p' Makefile

.PHONY: programs deps-build deps-check deps-demo
programs: $(tools)
ifeq ($B,build/opt)
	@mkdir -p bin
	@for t in $(notdir $(tools)); do ln -sf ../$B/$$t bin/$$t; done
endif

deps:
	@for what in build check demo; do CC='$(CC)' sh tests/deps.sh $$what || exit 1; done

deps-build deps-check deps-demo: deps-%:
	@CC='$(CC)' sh tests/deps.sh $*

$B/libmpq.a: $(lib_obj)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# What runtimes load (lib/rules), compiled in.
$B/rules_data.c: lib/rules/embed.sh $(rules)
	@mkdir -p $(@D)
	$(Q)sh lib/rules/embed.sh $(rules) >$@

$B/rules_data.o: $B/rules_data.c
	@echo '  CC  $<'
	$(Q)$(CC) $(CFLAGS) $(FLAGS) $(CPPFLAGS) -c -o $@ $<

$(tools): $B/%: $B/cmd/%.o $(cli_obj) $B/libmpq.a
	@echo '  LD  $@'
	$(Q)$(CC) $(CFLAGS) $(FLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

# Tools in several files.
$B/mpq-calibmix: $(patsubst %.c,$B/%.o,$(wildcard cmd/calibmix_*.c))
$B/mpq-eval: $(patsubst %.c,$B/%.o,$(wildcard cmd/eval_*.c))
$B/mpq-eval $B/mpq-pack: $B/cmd/rounding.o
$B/mpq-pack: $(patsubst %.c,$B/%.o,$(wildcard cmd/pack_*.c))
$B/mpq-score: $(patsubst %.c,$B/%.o,$(wildcard cmd/score_*.c))
$B/mpq-stats: $(patsubst %.c,$B/%.o,$(wildcard cmd/stats_*.c))

$B/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC  $<'
	$(Q)$(CC) $(CFLAGS) $(FLAGS) $(CPPFLAGS) -c -o $@ $<

# Tests: a program for each t_MODULE.c, then the tools in real pipes.
check: deps-check
	+@$(again) B=$B run-tests

.PHONY: run-tests
run-tests: $(units) $(tools) $(fuzzers)
	@sh tests/run.sh $B

$(units): $B/tests/%: $B/tests/unit/%.o $B/tests/unit/main.o $B/libmpq.a
	@mkdir -p $(@D)
	@echo '  LD  $@'
	$(Q)$(CC) $(CFLAGS) $(FLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) $(shell $(PKG_CONFIG) --libs check)

asan:
	CK_FORK=no ASAN_OPTIONS=detect_leaks=1 $(MAKE) check B=build/asan \
	    SAN=address,undefined CFLAGS='-O1 -g -fno-sanitize-recover=all -fno-omit-frame-pointer'

# Fuzz targets: with any compiler a program that replays files, with `make fuzz` libFuzzer.
$(fuzzers): $B/fuzz/%: $B/tests/fuzz/%.o $B/tests/fuzz/replay.o $B/libmpq.a
	@mkdir -p $(@D)
	@echo '  LD  $@'
	$(Q)$(CC) $(CFLAGS) $(FLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# libFuzzer: every target for FUZZ_SECONDS, new inputs beside the build.
FUZZ_SECONDS ?= 60
fuzz:
	+@$(again) B=build/fuzz CC=clang SAN=fuzzer-no-link,address,undefined \
	    CFLAGS='-O1 -g -fno-sanitize-recover=all' run-fuzz

.PHONY: run-fuzz
run-fuzz: $(patsubst %,$B/tests/%.o,$(patsubst tests/%.c,%,$(wildcard tests/fuzz/f_*.c))) $B/libmpq.a
	@for t in $(patsubst tests/fuzz/f_%.c,%,$(wildcard tests/fuzz/f_*.c)); do \
	    mkdir -p $B/new/$$t; \
	    clang -fsanitize=fuzzer,address,undefined -o $B/f_$$t $B/tests/fuzz/f_$$t.o \
	        $B/libmpq.a $(LIBS) && \
	    $B/f_$$t -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 \
	        -artifact_prefix=$B/ $B/new/$$t tests/fuzz/corpus/$$t || exit 1; \
	done

# MODEL: nothing (the shipped model), smollm2 (fetched), or a GGUF file.
demo: deps-demo
	+@$(again) B=$B programs
	@sh examples/demo.sh $(MODEL)

bench: deps-demo
	+@$(again) B=$B programs $B/bench/rates
	@sh tests/bench/run.sh $(PEER)

$B/bench/%: $B/tests/bench/%.o $B/libmpq.a
	@mkdir -p $(@D)
	@echo '  LD  $@'
	$(Q)$(CC) $(CFLAGS) $(FLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

lint:
	@sh tests/lint.sh

format:
	clang-format -i cmd/*.[ch] lib/*/*.[ch] tests/*/*.[ch]

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 \
	    $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man7
	install -m 755 $(tools) $(DESTDIR)$(PREFIX)/bin
	for s in 1 5 7; do \
	    install -m 644 man/*.$$s $(DESTDIR)$(PREFIX)/share/man/man$$s || exit 1; done

uninstall:
	for t in $(notdir $(tools)); do rm -f $(DESTDIR)$(PREFIX)/bin/$$t; done
	for p in $(notdir $(wildcard man/*.[157])); do \
	    rm -f $(DESTDIR)$(PREFIX)/share/man/man$${p##*.}/$$p; done

clean:
	rm -rf build bin

-include $(wildcard $B/*.d $B/*/*.d $B/*/*/*.d)
