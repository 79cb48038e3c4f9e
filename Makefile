# mpq: build, tests, demo, benchmarks. One file, not recursive.
#
#   make            the programs, in bin/
#   make check      all tests (installs what is missing, see tests/deps.sh)
#   make demo       quantizes a real model from end to end
#   make asan       the tests under the address and undefined-behavior sanitizers
#   make bench      measured figures; PEER=DIR compares with llama.cpp in DIR/bin
#   make fuzz       fuzzers with clang's libFuzzer, FUZZ_SECONDS each
#   make lint       formatting, man pages, include directions
#   make install    DESTDIR= PREFIX=
#
# A folder under build/ for each variant; bin/ holds the optimized programs.

VERSION := 0.1.0
B       ?= build/opt
CC      ?= cc
CFLAGS  ?= -O3 -g
PREFIX  ?= /usr/local
PKGS    := openblas lapacke zlib yaml-0.1 jansson
PKG_CONFIG ?= pkg-config

WARN  := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Wstrict-prototypes \
         -Wmissing-prototypes -Wwrite-strings
FLAGS := -std=c11 -D_POSIX_C_SOURCE=200809L -DMPQ_VERSION='"$(VERSION)"' -Ilib -Icmd \
         -I$B -ffp-contract=off -pthread -MMD -MP $(WARN) $(addprefix -fsanitize=,$(SAN))
FLAGS += $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
LIBS  := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null) -lm -lpthread

tools   := $(patsubst cmd/%.c,$B/%,$(wildcard cmd/mpq-*.c))
lib_obj := $(patsubst %.c,$B/%.o,$(wildcard lib/*/*.c))
rules   := $(wildcard lib/rules/*.yaml)
units   := $(patsubst tests/unit/%.c,$B/tests/%,$(wildcard tests/unit/t_*.c))
fuzzers := $(patsubst tests/fuzz/%.c,$B/fuzz/%,$(wildcard tests/fuzz/f_*.c))

.PHONY: all deps check asan demo bench fuzz lint format install uninstall clean
.DELETE_ON_ERROR:
.SECONDARY:

all: deps bin

# The programs. `make` alone ends with bin/ filled.
.PHONY: bin
bin: $(tools)
	@mkdir -p bin
	@for t in $(notdir $(tools)); do ln -sf ../$B/$$t bin/$$t; done

deps:
	@sh tests/deps.sh build

$B/libmpq.a: $(lib_obj)
	@rm -f $@
	$(AR) rcs $@ $^

$(tools): $B/%: $B/cmd/%.o $B/cmd/cli.o $B/cmd/bar.o $B/libmpq.a
	$(CC) $(CFLAGS) $(FLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$B/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(FLAGS) $(CPPFLAGS) -c -o $@ $<

# Tests: a program for each t_MODULE.c, then the tools in real pipes.
check: deps-check
	@$(MAKE) --no-print-directory B=$B run-tests

.PHONY: run-tests units clis corpus deps-check
run-tests: $(units) $(tools) $(fuzzers)
	@sh tests/run.sh $B

deps-check:
	@sh tests/deps.sh check

$(units): $B/tests/%: $B/tests/unit/%.o $B/tests/unit/main.o $B/libmpq.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(FLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) $(shell $(PKG_CONFIG) --libs check)

asan:
	CK_FORK=no ASAN_OPTIONS=detect_leaks=1 $(MAKE) check B=build/asan \
	    SAN=address,undefined CFLAGS='-O1 -g -fno-sanitize-recover=all -fno-omit-frame-pointer'

# Fuzz targets: with any compiler a program that replays files, with `make fuzz` libFuzzer.
$(fuzzers): $B/fuzz/%: $B/tests/fuzz/%.o $B/tests/fuzz/replay.o $B/libmpq.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(FLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

-include $(wildcard $B/*/*.d $B/*/*/*.d)
