# doppel: one makefile. Sources are found by wildcard, so a new file needs no edit here.
#   make                build ./doppel
#   make check-quick    unit, device and processor tests (under a minute)
#   make check          the same and the system tests;  make check T=name  runs one
# See `make help`.

-include config.mak

ifeq ($(wildcard config.mak),)
ifeq ($(filter clean distclean help deps,$(MAKECMDGOALS)),)
ifneq ($(filter demo check%,$(MAKECMDGOALS)),) # these install what is missing, a compiler too
DEPS_FOR := $(if $(filter-out demo,$(MAKECMDGOALS)),,build)
$(shell (scripts/deps check $(DEPS_FOR) || scripts/deps install $(DEPS_FOR)) >&2)
endif
$(shell ./configure >&2)
include config.mak
endif
endif

BUILD ?= build
prefix ?= $(PREFIX)
V ?= 0
Q := $(if $(filter 0,$(V)),@)
say = $(if $(filter 0,$(V)),@printf '  %-5s %s\n' $(1) $(2))

WARN := -Wall -Wextra -Wno-unused-parameter -Wshadow -Wvla -Wundef -Wformat=2 -Wwrite-strings \
        -Wstrict-prototypes -Wmissing-prototypes -Wimplicit-fallthrough \
        -Wno-missing-field-initializers # tables leave out what is zero
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -I. -I$(BUILD)/gen $(OPT) $(SAN_FLAGS) -fPIE -pthread \
             -fno-strict-aliasing -fstack-protector-strong $(WARN) $(WERROR) $(LIBS_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -pthread $(SAN_FLAGS) $(LDFLAGS)
ALL_LDLIBS = $(LIBS_LDLIBS) -lm $(LDLIBS)

# ---- what is built of what ----

ROOMS := base bus cpu accel hw block net chardev ui monitor machine
SRCS := $(sort $(wildcard $(foreach r,$(ROOMS),$(r)/*.c $(r)/*/*.c)))
LIB_SRCS := $(filter-out machine/main.c,$(SRCS))
TRACE_EVENTS := $(sort $(wildcard $(foreach r,$(ROOMS),$(r)/trace-events $(r)/*/trace-events)))
TRACE_HEADERS := $(TRACE_EVENTS:%/trace-events=$(BUILD)/gen/%/trace.h)
TRACE_TABLE := $(BUILD)/gen/trace-table.c
LIB_OBJS := $(LIB_SRCS:%.c=$(BUILD)/%.o) $(TRACE_TABLE:%.c=%.o)
MAIN_OBJ := $(BUILD)/machine/main.o
LIB := $(BUILD)/libdoppel.a

TEST_SRCS := $(sort $(wildcard tests/unit/test-*.c tests/device/test-*.c tests/cpu/test-*.c))
TESTS := $(TEST_SRCS:%.c=$(BUILD)/%)
TEST_LIB_SRCS := $(filter-out $(TEST_SRCS),$(sort $(wildcard tests/lib/*.c tests/cpu/*.c)))
TEST_LIB_OBJS := $(TEST_LIB_SRCS:%.c=$(BUILD)/%.o)
FUZZ_SRCS := $(sort $(wildcard tests/fuzz/fuzz-*.c))
FUZZERS := $(FUZZ_SRCS:%.c=$(BUILD)/%)
REPLAYS := $(FUZZ_SRCS:tests/fuzz/fuzz-%.c=$(BUILD)/tests/fuzz/replay-%)
HEADERS := $(sort $(wildcard $(foreach r,$(ROOMS),$(r)/*.h $(r)/*/*.h)))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: fuzzers all help deps need-deps need-build-deps demo tests check-quick check check-full check-interp check-sanitize check-thread fuzz soak \
        bench install install-links clean distclean check-headers

ifeq ($(BUILD),build)
PROGRAM := doppel
IMG := doppel-img
IO := doppel-io
NBD := doppel-nbd
else
PROGRAM := $(BUILD)/doppel
IMG := $(BUILD)/doppel-img
IO := $(BUILD)/doppel-io
NBD := $(BUILD)/doppel-nbd
endif

# Entry points that main() calls only if a room has them: taken from the archive when there.
WEAK := board_build|board_none|board_start|board_destroy|monitor_open|gdb_open|cpu_models_print

MANPAGE := $(BUILD)/doppel.1
NBD_MANPAGE := $(BUILD)/doppel-nbd.1

IMG_SRCS := $(sort $(wildcard img/*.c))
IMG_OBJS := $(IMG_SRCS:%.c=$(BUILD)/%.o)
IO_SRCS := $(sort $(wildcard img/io/*.c))
IO_OBJS := $(IO_SRCS:%.c=$(BUILD)/%.o)
NBD_SRCS := $(sort $(wildcard img/nbd/*.c))
NBD_OBJS := $(NBD_SRCS:%.c=$(BUILD)/%.o)

all: $(PROGRAM) $(IMG) $(IO) $(NBD) $(MANPAGE) $(NBD_MANPAGE)
	@:

help:
	@echo 'make [BUILD=dir] [V=1]   build ./doppel (runs ./configure when config.mak is missing)'
	@echo 'make deps                install the Debian packages of packages.txt'
	@echo 'make demo                show it working'
	@echo 'make check-quick         unit, device and processor tests'
	@echo 'make check [T=name]      those and the system tests, or just the ones named'
	@echo 'make check-full          check with all guests, check-sanitize and check-headers'
	@echo 'make check-interp        the system tests on the reference engine'
	@echo 'make check-sanitize      the tests of check-quick under ASan and UBSan'
	@echo 'make check-thread        those with threads under TSan'
	@echo 'make fuzz [FUZZ_TIME=s]  every fuzzer for some seconds (needs clang)'
	@echo 'make soak, make bench    long runs; the yardsticks'
	@echo 'make install [DESTDIR=] [prefix=]'
	@echo 'make install-links       the same, and links with the names of QEMU'
	@echo 'make check-headers       each header compiles alone'
	@echo 'make clean'

config.mak: config.log
	$(Q)[ -e config.mak ] || ./configure
config.log: configure
	$(Q)if [ -e config.mak ]; then echo "configure is newer than config.log: running it"; fi
	$(Q)./configure

$(PROGRAM): $(MAIN_OBJ) $(LIB)
	$(call say,LINK,$@)
	$(Q)have=$$(nm -g --defined-only $(LIB) 2>/dev/null | \
	    sed -nE 's/.* T ($(WEAK))$$/-Wl,-u,\1/p'); \
	$(CC) $(ALL_LDFLAGS) -o $@ $$have $(MAIN_OBJ) $(LIB) $(ALL_LDLIBS)

$(IMG): $(IMG_OBJS) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(IMG_OBJS) $(LIB) $(ALL_LDLIBS)

$(IO): $(IO_OBJS) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(IO_OBJS) $(LIB) $(ALL_LDLIBS)

$(NBD): $(NBD_OBJS) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(NBD_OBJS) $(LIB) $(ALL_LDLIBS)

$(LIB): $(LIB_OBJS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(LIB_OBJS)

$(BUILD)/%.o: %.c config.mak Makefile | $(TRACE_HEADERS)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(CFLAGS_$(subst /,_,$*)) -MMD -MP -c -o $@ $<

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c config.mak Makefile
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Called while vector registers hold the guest's values.
CFLAGS_accel_jit_gpr = -mgeneral-regs-only
# The translator waits for nothing: a guest's new code does, for it.
$(BUILD)/accel/jit/%.o: ALL_CFLAGS += $(if $(filter -O2,$(OPT)),-O3)

# cmocka's header is only on the include path of tests.
$(BUILD)/tests/%.o: ALL_CFLAGS += $(CMOCKA_CFLAGS)

$(TESTS): $(BUILD)/%: $(BUILD)/%.o $(TEST_LIB_OBJS) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(TEST_LIB_OBJS) $(LIB) $(CMOCKA_LIBS) $(ALL_LDLIBS)

# The decoder's judges; the test skips itself where they are not installed.
$(BUILD)/tests/cpu/test-decode $(BUILD)/tests/cpu/test-operands: ALL_LDLIBS += $(shell \
    printf '\#include <%s>\n' Zydis/Zydis.h capstone/capstone.h | $(CC) -E - >/dev/null 2>&1 && \
    echo -lZydis -lcapstone)

$(BUILD)/gen/%/trace.h: %/trace-events scripts/mktrace
	$(Q)mkdir -p $(@D)
	$(Q)scripts/mktrace header $< >$@

$(TRACE_TABLE): $(TRACE_EVENTS) scripts/mktrace
	$(Q)mkdir -p $(@D)
	$(Q)scripts/mktrace table $(TRACE_EVENTS) >$@

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# Options and manual page come from one table.
$(MANPAGE): docs/doppel.1.in scripts/mkman $(PROGRAM)
	$(call say,MAN,$@)
	$(Q)scripts/mkman ./$(PROGRAM) $< >$@

$(NBD_MANPAGE): docs/doppel-nbd.1.in scripts/mkman $(NBD)
	$(call say,MAN,$@)
	$(Q)scripts/mkman ./$(NBD) $< >$@

# ---- packages ----

deps:
	@scripts/deps install

need-deps:
	@scripts/deps check || scripts/deps install

need-build-deps:
	@scripts/deps check build || scripts/deps install build

demo: need-build-deps all
	@scripts/demo

# ---- tests ----

tests: $(TESTS) $(REPLAYS)
	@:

check-quick: need-deps
	@$(MAKE) --no-print-directory all tests
	@DIFF_COUNT=$${DIFF_COUNT:-100} tests/run --build $(BUILD) $(if $(T),--only '$(T)') unit device cpu \
	    fuzz

check: need-deps
	@$(MAKE) --no-print-directory all tests
	@tests/run --build $(BUILD) --times $(BUILD)/check-times $(FULL) $(if $(T),--only '$(T)') unit device cpu fuzz system

# The system tests on the reference: hours with FULL=--full.
check-interp: need-deps
	@$(MAKE) --no-print-directory all tests
	@DOPPEL_ENGINE=interp tests/run --build $(BUILD) $(FULL) --timeout 3600 $(if $(T),--only '$(T)') system

check-full: FULL = --full --timeout 900
check-full: export FAULTS_ALL = 1
check-full: export DIFF_COUNT ?= 2000
check-full: export DECODE_COUNT ?= 10000000
check-full: export LOCKSTEP_SECONDS ?= 60
check-full: check check-headers
	@env -u DIFF_COUNT -u DECODE_COUNT -u LOCKSTEP_SECONDS $(MAKE) --no-print-directory check-sanitize check-thread

SAN_MAKE = $(MAKE) --no-print-directory BUILD=build-san OPT='-O1 -g' \
           SAN_FLAGS='-fsanitize=address,undefined -fno-omit-frame-pointer'
check-sanitize: need-deps
	@$(SAN_MAKE) tests
	@UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	 ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 \
	 tests/run --build build-san $(if $(T),--only '$(T)') unit device cpu fuzz

# Races: the programs that have threads; the processors on the reference engine, whose code the sanitizer sees, and a whole
# machine there whose cards come and go.
TSAN_TESTS := clock memory chardev device block qcow2 host-file
check-thread: need-deps
	@$(MAKE) --no-print-directory BUILD=build-tsan OPT='-O1 -g -Wno-tsan' WERROR= SAN_FLAGS='-fsanitize=thread' \
	    $(TSAN_TESTS:%=build-tsan/tests/unit/test-%) build-tsan/tests/cpu/test-smp build-tsan/doppel
	@export TSAN_OPTIONS=allocator_may_return_null=1; for t in $(TSAN_TESTS); do \
	    tests/run --build build-tsan --only $$t unit || exit 1; done
	@DOPPEL_ENGINE=interp tests/run --build build-tsan --only smp cpu
	@DOPPEL=$(CURDIR)/build-tsan/doppel DOPPEL_ENGINE=interp DOPPEL_SLOW=40 tests/run --full --only plug_race system

check-headers: $(TRACE_HEADERS)
	@for h in $(HEADERS); do \
	    echo "#include \"$$h\"" | $(CC) $(ALL_CFLAGS) -fsyntax-only -Wno-unused -x c - || \
	    { echo "check-headers: $$h does not compile alone" >&2; exit 1; }; \
	done; echo "check-headers: $(words $(HEADERS)) headers compile alone"

# ---- fuzzing, long runs ----

FUZZ_TIME ?= 60
$(BUILD)/tests/fuzz/fuzz-%: $(BUILD)/tests/fuzz/fuzz-%.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $< $(LIB) $(ALL_LDLIBS)

$(REPLAYS): $(BUILD)/tests/fuzz/replay-%: $(BUILD)/tests/fuzz/fuzz-%.o $(BUILD)/tests/fuzz/replay.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LDLIBS)

fuzzers: $(FUZZERS)

# T=name runs one of them.
fuzz:
	@$(MAKE) --no-print-directory BUILD=build-fuzz CC=clang OPT='-O1 -g' WERROR= \
	    SAN_FLAGS='-fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer' fuzzers
	@for src in $(if $(T),tests/fuzz/fuzz-$(T).c,$(FUZZ_SRCS)); do \
	    name=$$(basename $$src .c); mkdir -p build-fuzz/corpus/$$name; \
	    [ ! -e tests/fuzz/corpus/$$name.pack ] || \
	        scripts/corpus unpack tests/fuzz/corpus/$$name.pack build-fuzz/corpus/$$name; \
	    echo "fuzz: $$name for $(FUZZ_TIME) s"; \
	    build-fuzz/tests/fuzz/$$name -max_total_time=$(FUZZ_TIME) -verbosity=0 -close_fd_mask=1 \
	        -artifact_prefix=build-fuzz/ build-fuzz/corpus/$$name || exit 1; \
	done

soak: all
	@if [ -x tests/soak/run ]; then tests/soak/run; else echo "soak: nothing to run yet"; fi

bench: all
	$(Q)bench/run && bench/vnc

# ---- install, clean ----

install: all
	install -d $(DESTDIR)$(prefix)/bin $(DESTDIR)$(prefix)/share/doc/doppel
	install -m 755 doppel $(DESTDIR)$(prefix)/bin/doppel
	install -m 755 doppel-img $(DESTDIR)$(prefix)/bin/doppel-img
	install -m 755 doppel-io $(DESTDIR)$(prefix)/bin/doppel-io
	install -m 755 doppel-nbd $(DESTDIR)$(prefix)/bin/doppel-nbd
	install -m 644 COPYING $(DESTDIR)$(prefix)/share/doc/doppel/COPYING
	install -d $(DESTDIR)$(prefix)/share/man/man1
	install -m 644 $(MANPAGE) $(DESTDIR)$(prefix)/share/man/man1/doppel.1
	install -m 644 $(NBD_MANPAGE) $(DESTDIR)$(prefix)/share/man/man1/doppel-nbd.1

# QEMU's names for it, where no QEMU is installed.
LINKS := qemu-system-x86_64 qemu-system-i386 kvm
install-links: install
	@for l in $(LINKS); do \
	    ln -sf doppel $(DESTDIR)$(prefix)/bin/$$l && \
	    ln -sf doppel.1 $(DESTDIR)$(prefix)/share/man/man1/$$l.1 || exit 1; done

clean:
	rm -rf build build-san build-tsan build-fuzz doppel doppel-img doppel-io doppel-nbd

distclean: clean
	rm -f config.mak config.h config.log
