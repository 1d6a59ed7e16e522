/* The command line, as far as it is parsed: what ends up in MachineConfig. */
#include "tests/test.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"
#include "base/loop.h"
#include "base/optlist.h"
#include "chardev/chardev.h"
#include "machine/config.h"
#include "machine/drives.h"

static bool done;

/* Parse a line split at spaces ('~' stands for a space in a word). NULL when refused. */
static MachineConfig *parse(const char *line, Error **errp)
{
    static char buf[1024];
    char *argv[64];
    size_t argc = 0;
    MachineConfig *c = config_new();

    snprintf(buf, sizeof(buf), "%s", line);
    for (char *save, *w = strtok_r(buf, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        for (char *p = w; *p != '\0'; p++) {
            *p = *p == '~' ? ' ' : *p;
        }
        assert_true(argc < ARRAY_SIZE(argv));
        argv[argc++] = w;
    }
    done = false;
    if (!config_parse(c, (int)argc, argv, &done, errp)) {
        config_free(c);
        return NULL;
    }
    return c;
}

static MachineConfig *good(const char *line)
{
    Error *err = NULL;
    MachineConfig *c = parse(line, &err);
    if (c == NULL) {
        print_error("%s: %s\n", line, error_text(err));
    }
    assert_non_null(c);
    return c;
}

static void bad(const char *line, const char *why)
{
    Error *err = NULL;
    MachineConfig *c = parse(line, &err);
    if (c != NULL) {
        print_error("%s: was taken\n", line);
    }
    assert_null(c);
    expect_error(&err, why);
}

static void test_defaults(void **state)
{
    MachineConfig *c = good("/usr/bin/doppel -M none");

    assert_string_equal(c->program, "doppel");
    assert_true(c->none);
    assert_int_equal(c->ram_size, 128 << 20);
    assert_int_equal(c->cpus, 1);
    assert_int_equal(c->accel, ACCEL_DEFAULT);
    assert_true(c->hpet && c->acpi);
    assert_false(c->icount.on);
    assert_int_equal(c->serial_args.count, 1);
    assert_string_equal(c->serial_args.s[0], "null");
    assert_null(c->bios);
    config_free(c);
    config_free(NULL);
}

static void test_machine(void **state)
{
    MachineConfig *c = good("d -M none -machine hpet=off,accel=interp --machine vmport=off,usb=off "
                            "-no-acpi -cpu qemu64,+avx,-sse3 -cpu max -no-reboot -S -s");

    assert_true(c->none); /* the type of an earlier -machine stays */
    assert_false(c->hpet || c->acpi);
    assert_int_equal(c->accel, ACCEL_INTERP);
    assert_int_equal(c->vmport, OOA_OFF);
    assert_string_equal(c->cpu, "max");
    assert_true(c->actions.on[ON_REBOOT] == REBOOT_SHUTDOWN && c->stopped && c->actions.on[ON_SHUTDOWN] == SHUTDOWN_POWEROFF);
    assert_string_equal(c->gdb, "tcp::1234");
    config_free(c);
    c = good(
        "d -M pc-i440fx-7.2,kernel_irqchip=on,mem-merge=off -M none -accel kvm:tcg,thread=multi");
    assert_true(c->accel == ACCEL_JIT || c->accel == ACCEL_KVM); /* as the host has it */
    config_free(c);
    c = good("/x/kvm -M none");
    assert_true(c->accel == ACCEL_JIT || c->accel == ACCEL_KVM);
    config_free(c);
    c = good("d -M hpet=off -M isapc -nographic");
    assert_int_equal(c->kind, PC_ISA);
    assert_string_equal(c->cpu, "486");
    assert_false(c->hpet || c->acpi);
    config_free(c);
    bad("d -M acpi=on -M isapc", "-machine acpi=on: the board isapc has none");
    bad("d -M isapc -smp 2", "Invalid SMP CPUs 2");
    bad("d -M microvm", "'microvm' is not supported yet");
    bad("d -M pc,hpt=on", "did you mean 'hpet'?");
    bad("d -M none,vmport=maybe", "not one of auto, on, off");
    bad("d -M none -accel tcg -machine accel=tcg", "cannot be given together");
    bad("d -M none -accel hvf", "does not exist on this host");
    bad("d -M pc -accel kvm,kernel-irqchip=on", "kernel-irqchip=on is not built; off works");
    bad("d -M pc -machine accel=kvm,kernel_irqchip=split", "kernel-irqchip=split is not built; off works");
    bad("d -M none -accel kvm,kernel-irqchip=x", "not one of off, on, split");
    bad("d -M none -accel kvm,thread=multi", "unknown sub-option 'thread'");
    bad("d -kernal x", "did you mean -kernel?");
    bad("d -vnc :x", "-vnc :x: 'x' is not a display's number");
    bad("d -vnc :0,websocket=x", "websocket=x");
    bad("d -summa -serial null -serial null", "-summa: the second serial port is taken");
    c = good("d -M none -summa");
    assert_int_equal(c->serial_args.count, 2);
    assert_string_equal(c->serial_args.s[1], "summa");
    config_free(c);
    bad("d -k xx", "-k xx: there is no such layout");
}

static void test_drives(void **state)
{
    MachineConfig *c = good("d -M none a.img -cdrom b.iso -drive file=c,,d,media=cdrom,if=ide "
                            "-drive id=x,if=none,file=e,cache=unsafe,readonly -drive if=none");

    assert_int_equal(c->drive_count, 5);
    assert_string_equal(drive_find(c, DRIVE_IDE, 0, 0)->id, "ide0-hd0");
    assert_string_equal(drive_find(c, DRIVE_IDE, 1, 0)->id, "ide1-cd0");
    assert_string_equal(drive_find(c, DRIVE_IDE, 0, 1)->file, "c,d");
    assert_string_equal(drive_find(c, DRIVE_IDE, 0, 1)->id, "ide0-cd1");
    assert_string_equal(drive_find(c, DRIVE_NONE, 0, 0)->id, "x");
    assert_true(drive_find(c, DRIVE_NONE, 0, 0)->read_only);
    assert_int_equal(drive_find(c, DRIVE_NONE, 0, 0)->cache, BLK_UNSAFE);
    assert_string_equal(drive_find(c, DRIVE_NONE, 0, 1)->id, "none1");
    assert_null(drive_find(c, DRIVE_NONE, 0, 1)->file);
    config_free(c);
    bad("d -hda a -hda b", "drive with bus=0, unit=0 (index=0) exists");
    bad("d -drive index=1,unit=1", "index cannot be used with bus and unit");
    bad("d -drive index=4", "if=ide,bus=2,unit=0");
    bad("d -hda a -hdb b -drive bus=0", "if=ide,bus=0,unit=2");
    bad("d -hda a -hdb b -hdc c -hdd d -drive file=e", "if=ide,bus=2,unit=0");
    bad("d -drive cache=nonesuch", "invalid cache option");
    bad("d -drive aio=native", "requires cache.direct=on");
    bad("d -drive cache=x", "invalid cache option");
    bad("d -drive foo=1", "does not support the option 'foo'");
    bad("d -drive iops_max=1", "require corresponding bps/iops values");
}

static void test_memory(void **state)
{
    static const struct {
        const char *arg;
        uint64_t size;
    } sizes[] = {
        { "512", 512ull << 20 }, { "4G", 4ull << 30 },
        { "1.5G", 3ull << 29 },  { "size=4194304k", 4ull << 30 },
        { "5000b", 8192 },       { "16T", 16ull << 40 },
        { "0.5", 512 << 10 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        autofree char *line = xasprintf("d -M none -m %s", sizes[i].arg);
        MachineConfig *c = good(line);
        assert_int_equal(c->ram_size, sizes[i].size);
        config_free(c);
    }
    bad("d -m 0", "-m 0: ");
    bad("d -m -5", "-m -5: ");
    bad("d -m 1GB", "not a size");
    bad("d -m 99999999G", "cannot set up guest memory: 99999999G");
    bad("d -m 99999999999999999999G", "not a size");
    bad("d -m 1G,slots=2,maxmem=4G", "hot-plug is not supported");
    bad("d -m", "requires an argument");
}

static void test_smp(void **state)
{
    static const struct {
        const char *arg;
        unsigned cpus, max, sockets, dies, cores, threads;
    } good_ones[] = {
        { "4", 4, 4, 1, 1, 4, 1 },
        { "cpus=2,maxcpus=8", 2, 8, 1, 1, 8, 1 },
        { "sockets=2,cores=2,threads=2", 8, 8, 2, 1, 2, 2 },
        { "8,sockets=2", 8, 8, 2, 1, 4, 1 },
        { "8,threads=2", 8, 8, 1, 1, 4, 2 },
        { "8,cores=2", 8, 8, 4, 1, 2, 1 },
        { "16,sockets=2,dies=2,cores=2", 16, 16, 2, 2, 2, 2 },
        { "255", 255, 255, 1, 1, 255, 1 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(good_ones); i++) {
        autofree char *line = xasprintf("d -M none -smp %s", good_ones[i].arg);
        MachineConfig *c = good(line);
        assert_int_equal(c->cpus, good_ones[i].cpus);
        assert_int_equal(c->maxcpus, good_ones[i].max);
        assert_int_equal(c->sockets, good_ones[i].sockets);
        assert_int_equal(c->dies, good_ones[i].dies);
        assert_int_equal(c->cores, good_ones[i].cores);
        assert_int_equal(c->threads, good_ones[i].threads);
        config_free(c);
    }
    bad("d -smp 0", "cpus=0");
    bad("d -smp 256", "at most 255");
    bad("d -smp 4,sockets=3", "is 3, not the 4 processors");
    bad("d -smp 8,maxcpus=4", "8 processors of at most 4");
    bad("d -smp sockets=200,cores=200", "at most 255");
}

static void test_rest(void **state)
{
    MachineConfig *c = good("d -M none -name guest=a,,b,process=p -rtc "
                            "base=2006-06-17T16:01:21,clock=vm,driftfix=slew -uuid "
                            "550e8400-e29b-41d4-a716-446655440000 -icount shift=3,sleep=off "
                            "-msg timestamp=off -d int,guest_errors -L /x -L /y -pidfile f "
                            "-net none -nic none -parallel none -display none -no-user-config "
                            "-global kvm-pit.lost_tick_policy=discard -overcommit mem-lock=off");

    assert_string_equal(c->name, "a,b");
    assert_string_equal(c->process, "p");
    assert_int_equal(c->rtc_base, RTC_DATE);
    assert_int_equal(c->rtc_start, 1150560081);
    assert_true(c->rtc_vm && c->rtc_slew);
    assert_true(c->have_uuid);
    assert_int_equal(c->uuid[0], 0x55);
    assert_int_equal(c->uuid[15], 0);
    assert_int_equal(c->uuid[4], 0xe2);
    assert_int_equal(c->icount.shift, 3);
    assert_true(c->icount.on && !c->icount.adapt && !c->icount.align && !c->icount.sleep);
    assert_int_equal(c->rom_dirs.count, 2);
    assert_true(log_on(LOG_INT) && log_on(LOG_GUEST_ERRORS) && !log_on(LOG_CPU));
    log_mask_bits = 0;
    config_free(c);
    c = good("d -M none -rtc base=localtime -rtc clock=host");
    assert_int_equal(c->rtc_base, RTC_LOCALTIME); /* merged */
    config_free(c);
    bad("d -rtc base=yesterday", "base=yesterday");
    bad("d -uuid 550e8400-e29b-41d4-a716-44665544000", "a UUID looks like");
    bad("d -uuid 550e8400-e29b-41d4-a716-4466554400000", "a UUID looks like");
    c = good("d -M none -icount 2");
    assert_true(c->icount.shift == 2 && !c->icount.sleep); /* a function of its input */
    config_free(c);
    c = good("d -M none -icount shift=2,sleep=on");
    assert_true(c->icount.sleep && !c->icount.align);
    config_free(c);
    c = good("d -M none -icount shift=2,align=on");
    assert_true(c->icount.sleep && c->icount.align);
    config_free(c);
    c = good("d -M none -icount auto,align=off");
    assert_true(c->icount.sleep && c->icount.adapt);
    config_free(c);
    bad("d -icount shift=11", "from 0 to 10");
    bad("d -icount sleep=on", "shift= is missing");
    bad("d -icount shift=auto,align=on", "align=on: not with shift=auto");
    bad("d -icount shift=auto,sleep=off", "sleep=off: not with shift=auto");
    bad("d -icount shift=3,align=on,sleep=off", "sleep=off: not with align=on");
    bad("d -icount shift=3,sleep=maybe", "sleep=maybe");
    bad("d -nic user -nic", "-nic");
    bad("d -device no-such-card", "no device model 'no-such-card'");
    bad("d -d int,bogus", "bogus");
}

static void test_files(void **state)
{
    char dir[] = "/tmp/doppel-test-XXXXXX";
    MachineConfig *c;

    assert_non_null(mkdtemp(dir));
    autofree char *file = xasprintf("%s/my-bios", dir), *empty = xasprintf("%s/empty", dir);
    autofree char *line = xasprintf("d -M none -L %s -bios my-bios", dir);
    autofree char *folder = xasprintf("d -M none -kernel %s", dir);
    autofree char *zero = xasprintf("d -M none -bios %s", empty);
    FILE *f = fopen(file, "w");
    fputs("x", f);
    fclose(f);
    fclose(fopen(empty, "w"));

    c = good(line);
    assert_string_equal(c->bios, file);
    config_free(c);
    bad(folder, "it is a directory");
    bad(zero, "has 0 bytes");
    bad("d -M none -bios /nonexistent", "no BIOS /nonexistent");
    bad("d -M none -kernel /nonexistent", "cannot read kernel /nonexistent: No such file");
    bad("d -M none -append x", "-append has no meaning without -kernel");
    unlink(file);
    unlink(empty);
    rmdir(dir);
}

static void lines_of(const char *line, const char *serial, const char *monitor)
{
    MachineConfig *c = good(line);

    assert_int_equal(c->serial_args.count, serial != NULL);
    assert_int_equal(c->monitor_args.count, monitor != NULL);
    if (serial != NULL) {
        assert_string_equal(c->serial_args.s[0], serial);
    }
    if (monitor != NULL) {
        assert_string_equal(c->monitor_args.s[0], monitor);
    }
    config_free(c);
}

static void test_nographic(void **state)
{
    lines_of("d -M none -nographic", "mon:stdio", NULL);
    lines_of("d -M none -nographic -monitor none", "stdio", NULL);
    lines_of("d -M none -nographic -serial null", "null", "stdio");
    lines_of("d -M none -nographic -serial mon:stdio", "mon:stdio", NULL);
    lines_of("d -M none -nographic -nodefaults", NULL, NULL);
    lines_of("d -M none -serial stdio", "stdio", NULL);
    bad("d -M none -nographic -daemonize", "use -display none");
}

static void test_open(void **state)
{
    MachineConfig *c = good("d -M none -chardev null,id=n,mux=on -serial chardev:n -serial none "
                            "-serial null -mon chardev=n,mode=readline");
    Error *err = NULL;

    assert_true(config_open(c, &err));
    assert_ptr_equal(c->serial[0], chardev_find("n"));
    assert_true(c->serial_port[0] && !c->serial_port[1] && c->serial_port[2]);
    assert_null(c->serial[1]);
    assert_string_equal(chardev_id(c->serial[2]), "serial2");
    assert_int_equal(c->monitor_count, 1);
    assert_ptr_equal(c->monitors[0], c->serial[0]);
    config_free(c);
    c = good("d -M none -chardev null,id=n");
    assert_false(config_open(c, &err));
    expect_error(&err, "-chardev null,id=n: chardev 'n' is there already");
    config_free(c);
    chardevs_close_all();
    c = good("d -M none -serial mon:null");
    assert_true(config_open(c, &err));
    assert_ptr_equal(c->monitors[0], c->serial[0]);
    assert_true(chardev_is_mux(c->serial[0]));
    config_free(c);
    chardevs_close_all();
    c = good("d -M none -mon chardev=zz");
    assert_false(config_open(c, &err));
    expect_error(&err, "-mon zz: there is no chardev 'zz'");
    config_free(c);
    chardevs_close_all();
    bad("d -mon chardev=x,pretty=on", "pretty=on is for mode=control");
    bad("d -serial a -serial b -serial c -serial d -serial e", "at most 4 serial ports");
}

static void test_readconfig(void **state)
{
    char path[] = "/tmp/doppel-test-XXXXXX";
    static const char text[] = "[machine]\n type = \"none\"\n hpet = \"off\"\n[memory]\n"
                               "size = \"64M\"\n[smp-opts]\ncpus = \"2\"\n"
                               "[chardev \"c\"]\nbackend = \"null\"\n";
    int fd = mkstemp(path);
    autofree char *line = xasprintf("d -readconfig %s", path);
    MachineConfig *c;

    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    c = good(line);
    assert_true(c->none && !c->hpet);
    assert_int_equal(c->ram_size, 64 << 20);
    assert_int_equal(c->cpus, 2);
    assert_string_equal(c->chardev_args.s[0], "id=c,backend=null");
    config_free(c);
    assert_int_equal(write(fd, "[fsdev \"aa\"]\n", 13), 13);
    bad(line, "[fsdev]: this group is not supported yet");
    close(fd);
    unlink(path);
}

static void test_help_is_done(void **state)
{
    static const char *const lines[] = { "d -M help",      "d -accel ?",      "d -device help",
                                         "d -d help",      "d -chardev help", "d -trace help",
                                         "d -L help",      "d -help",         "d --version",
                                         "d -display help" };

    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        config_free(good(lines[i]));
        assert_true(done);
    }
}

static int setup(void **state)
{
    return loop_init();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),   cmocka_unit_test(test_machine),
        cmocka_unit_test(test_drives),
        cmocka_unit_test(test_memory),     cmocka_unit_test(test_smp),
        cmocka_unit_test(test_rest),       cmocka_unit_test(test_files),
        cmocka_unit_test(test_nographic),  cmocka_unit_test(test_open),
        cmocka_unit_test(test_readconfig), cmocka_unit_test(test_help_is_done),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
