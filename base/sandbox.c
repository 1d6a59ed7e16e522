/*
 * Confinement: see sandbox.h. The filter is a chain of comparisons, made from the table in sandbox-calls.inc; the kernel
 * keeps a bitmap of the calls that are always allowed, so that the chain's length costs them nothing.
 *
 * A call that is not in the table fails with EPERM: a library that tries its luck goes on without. One that only an
 * attacker makes ends the process.
 */
#include "base/sandbox.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "base/error.h"
#include "base/mem.h"

enum { MAX = 512 }; /* instructions of a filter */

enum { L = 1 << SANDBOX_LOOP, C = 1 << SANDBOX_VCPU, D = 1 << SANDBOX_DISK, V = 1 << SANDBOX_VIEWER, ALL = L | C | D | V };
enum { N = 1 << SANDBOX_CLASSES }; /* the loop, with a user network */
enum { A = 2 << SANDBOX_CLASSES }; /* disk workers, and by them the loop, where disks have a ring */
enum { K = 4 << SANDBOX_CLASSES }; /* processors, and by them the loop, where they are KVM's */

/* A call that some threads may make, if @arg (an argument's low half) has none of @bits, or is @value. */
typedef struct Allowed {
    uint16_t nr, classes;
    enum { ANY, WITHOUT, EQUALS } rule;
    uint8_t arg;
    uint32_t value;
} Allowed;

static const Allowed allowed[] = {
#define CALL(name, classes) { __NR_##name, classes, ANY, 0, 0 },
#define CALL_WITHOUT(name, classes, arg, bits) { __NR_##name, classes, WITHOUT, arg, bits },
#define CALL_EQUALS(name, classes, arg, value) { __NR_##name, classes, EQUALS, arg, value },
#include "base/sandbox-calls.inc"
#undef CALL
#undef CALL_WITHOUT
#undef CALL_EQUALS
};

/* What nobody calls by mistake. */
static const uint16_t hostile[] = {
    __NR_execve, __NR_execveat, __NR_ptrace, __NR_process_vm_readv, __NR_process_vm_writev, __NR_kexec_load,
    __NR_init_module, __NR_finit_module, __NR_bpf, __NR_mount, __NR_umount2, __NR_pivot_root, __NR_chroot, __NR_setns,
    __NR_unshare, __NR_userfaultfd, __NR_perf_event_open, __NR_keyctl, __NR_add_key, __NR_io_uring_setup,
    __NR_open_by_handle_at, __NR_setuid, __NR_setgid, __NR_setreuid, __NR_setresuid, __NR_setgroups,
};

static bool on; /* written once, before other threads are made */
static bool network, rings, kvm;
static int *readable; /* descriptors of files and folders */
static unsigned readable_count;

typedef struct Filter {
    struct sock_filter f[MAX];
    unsigned n;
} Filter;

static void put(Filter *f, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
    if (f->n == MAX) {
        abort(); /* the table has outgrown it */
    }
    f->f[f->n++] = (struct sock_filter)BPF_JUMP(code, k, jt, jf);
}

static void load(Filter *f, size_t offset)
{
    put(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void result(Filter *f, uint32_t what)
{
    put(f, BPF_RET | BPF_K, what, 0, 0);
}

/* begin - other architectures' calls, and x32's, have other numbers. */
static void begin(Filter *f)
{
    f->n = 0;
    load(f, offsetof(struct seccomp_data, arch));
    put(f, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    result(f, SECCOMP_RET_KILL_PROCESS);
    load(f, offsetof(struct seccomp_data, nr));
    put(f, BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1);
    result(f, SECCOMP_RET_KILL_PROCESS);
    for (size_t n = 0; n < ARRAY_SIZE(hostile); n++) {
        put(f, BPF_JMP | BPF_JEQ | BPF_K, hostile[n], 0, 1);
        result(f, SECCOMP_RET_KILL_PROCESS);
    }
}

static void allow(Filter *f, const Allowed *a)
{
    size_t arg = offsetof(struct seccomp_data, args) + 8 * a->arg;

    if (a->rule == ANY) {
        put(f, BPF_JMP | BPF_JEQ | BPF_K, a->nr, 0, 1);
        result(f, SECCOMP_RET_ALLOW);
        return;
    }
    put(f, BPF_JMP | BPF_JEQ | BPF_K, a->nr, 0, 4);
    load(f, arg);
    put(f, BPF_JMP | (a->rule == EQUALS ? BPF_JEQ : BPF_JSET) | BPF_K, a->value, a->rule == EQUALS ? 0 : 1,
        a->rule == EQUALS ? 1 : 0);
    result(f, SECCOMP_RET_ALLOW);
    load(f, offsetof(struct seccomp_data, nr));
}

/* apply - to the calling thread. 0 or -errno. Older kernels would turn speculation off with a filter, which makes
 * translated code slow; nothing is promised about it (SECURITY.md). */
static int apply(const Filter *f)
{
    struct sock_fprog prog = { .len = (unsigned short)f->n, .filter = (struct sock_filter *)f->f };

    return syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &prog) < 0 ? -errno : 0;
}

static int confine(SandboxClass cls)
{
    unsigned classes = 1u << cls | (cls == SANDBOX_LOOP && network ? N : 0) |
                       ((cls == SANDBOX_LOOP || cls == SANDBOX_DISK) && rings ? A : 0) |
                       ((cls == SANDBOX_LOOP || cls == SANDBOX_VCPU) && kvm ? K : 0);
    Filter *f = xnew(Filter);
    int r;

    begin(f);
    for (size_t n = 0; n < ARRAY_SIZE(allowed); n++) {
        if (allowed[n].classes & classes) {
            allow(f, &allowed[n]);
        }
    }
    put(f, BPF_JMP | BPF_JEQ | BPF_K, __NR_clone3, 0, 1);
    result(f, SECCOMP_RET_ERRNO | ENOSYS); /* its arguments are in memory; libc goes on to clone() */
    result(f, SECCOMP_RET_ERRNO | EPERM);
    r = apply(f);
    free(f);
    return r;
}

void sandbox_want_network(void)
{
    network = true;
}

void sandbox_want_aio(void)
{
    rings = true;
}

void sandbox_want_kvm(void)
{
    kvm = true;
}

bool sandbox_network(void)
{
    return !on || network;
}

void sandbox_want_read(const char *path)
{
    int fd = open(path, O_PATH | O_CLOEXEC);

    if (fd >= 0) {
        readable = xrealloc(readable, readable_count + 1, sizeof(*readable));
        readable[readable_count++] = fd;
    }
}

static int make_land(void)
{
    struct landlock_ruleset_attr attr = { .handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };

    return (int)syscall(__NR_landlock_create_ruleset, &attr, sizeof(attr), 0);
}

bool sandbox_has_land(void)
{
    int fd = make_land();

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* lock_land - no file by its name but those that were wanted, whatever call it would be by. Kernels without Landlock
 * do without. */
static void lock_land(void)
{
    int fd = make_land();

    for (unsigned n = 0; n < readable_count; n++) {
        struct landlock_path_beneath_attr rule = { .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE,
                                                   .parent_fd = readable[n] };

        syscall(__NR_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
        close(readable[n]);
    }
    free(readable);
    readable = NULL;
    readable_count = 0;
    if (fd >= 0) {
        syscall(__NR_landlock_restrict_self, fd, 0);
        close(fd);
    }
}

bool sandbox_on(void)
{
    return on;
}

/* keep_zone - libc reads the zone's file anew at each mktime(), unless TZ names it. */
static void keep_zone(void)
{
    setenv("TZ", ":/etc/localtime", 0);
    tzset();
}

bool sandbox_enter(Error **errp)
{
    int r;

    if (network && !sandbox_has_land()) {
        error_set(errp, "no sandbox: for a user network it needs a kernel with Landlock");
        return false;
    }
    keep_zone();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        error_set_errno(errp, errno, "no sandbox: this kernel has no no_new_privs");
        return false;
    }
    lock_land();
    r = confine(SANDBOX_LOOP);
    if (r < 0) {
        error_set_errno(errp, -r, "no sandbox: this kernel has no seccomp");
        return false;
    }
    on = true;
    return true;
}

void sandbox_thread(SandboxClass cls)
{
    if (on && confine(cls) < 0) {
        abort(); /* the loop's thread could */
    }
}

void sandbox_broker(void)
{
    Filter *f = xnew(Filter);

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    begin(f);
    result(f, SECCOMP_RET_ALLOW);
    apply(f);
    free(f);
}
