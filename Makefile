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

-include $(wildcard $B/*/*.d $B/*/*/*.d)
