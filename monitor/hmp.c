/*
 * The human monitor. Lines are collected under the machine lock and executed on the loop without
 * it, since commands may stop the machine. Output that parsers know has QEMU's shape.
 */
#include "monitor/hmp.h"

#include <inttypes.h>
#include <stdlib.h>
#include "accel/accel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/mem.h"
#include "bus/device.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "chardev/chardev.h"
#include "config.h"
#include "cpu/disas.h"
#include "cpu/mmu.h"
#include "machine/run.h"
#include "machine/snapshot.h"

#define LINE_MAX_CHARS 1024
#define RETRY_NS 5000000

typedef struct Hmp {
    Chardev *chr;
    char line[LINE_MAX_CHARS + 1];
    size_t len;
    bool busy, escape, last_cr;
    bool hidden; /* another front end of the mux has the terminal */
    bool greeted;
    char *unsent;       /* answers that the peer has not room for yet; loop thread */
    size_t unsent_len;
    Timer retry;
    unsigned cpu;
} Hmp;

typedef struct Command {
    const char *name, *alias;
    const char *args, *help;
    void (*run)(Hmp *m, FILE *out, char *arg);
} Command;

static const Command commands[], infos[];

static CpuState *current(Hmp *m)
{
    return accel_cpu(m->cpu);
}

/* ---- info ---- */

static void info_version(Hmp *m, FILE *out, char *arg)
{
    fprintf(out, "%s (doppel %s)\n", QEMU_COMPAT_VERSION, DOPPEL_VERSION);
}

static void info_status(Hmp *m, FILE *out, char *arg)
{
    fprintf(out, "VM status: %s\n", vm_state_name(vm_state()));
}

static void info_name(Hmp *m, FILE *out, char *arg)
{
    if (vm_name() != NULL) {
        fprintf(out, "%s\n", vm_name());
    }
}

static void info_uuid(Hmp *m, FILE *out, char *arg)
{
    const uint8_t *u = vm_uuid();

    for (unsigned n = 0; n < 16; n++) {
        fprintf(out, "%s%02x", n == 4 || n == 6 || n == 8 || n == 10 ? "-" : "", u[n]);
    }
    fprintf(out, "\n");
}

static void info_registers(Hmp *m, FILE *out, char *arg)
{
    bool all = strcmp(arg, "-a") == 0;

    accel_pause();
    for (unsigned n = 0; n < accel_cpu_count(); n++) {
        if (all || n == m->cpu) {
            fprintf(out, "\nCPU#%u\n", n);
            cpu_dump(accel_cpu(n), out);
        }
    }
    accel_resume();
}

static void info_cpus(Hmp *m, FILE *out, char *arg)
{
    for (unsigned n = 0; n < accel_cpu_count(); n++) {
        fprintf(out, "%c CPU #%u: %s\n", n == m->cpu ? '*' : ' ', n,
                accel_cpu(n)->activity == CPU_RUNNING ? "running" : "(halted)");
    }
}

static void info_qtree(Hmp *m, FILE *out, char *arg)
{
    machine_lock();
    for (Device *d = devices_first(); d != NULL; d = d->next) {
        fprintf(out, "dev: %s, id \"%s\"\n", d->cls->name, d->id);
        if (d->cls->print != NULL) {
            d->cls->print(d, out);
        }
    }
    machine_unlock();
}

static void print_range(void *opaque, const FlatRange *r)
{
    fprintf(opaque, "  %016" PRIx64 "-%016" PRIx64 " (%s): %s @%016" PRIx64 "\n", r->first, r->last,
            r->region->kind == REGION_RAM   ? "ram"
            : r->region->kind == REGION_ROM ? "rom"
                                            : "i/o",
            r->region->name, r->offset);
}

static void print_ports(void *opaque, const IoRegion *r)
{
    fprintf(opaque, "  %016" PRIx64 "-%016" PRIx64 " (i/o): %s\n", r->base, r->base + r->size - 1,
            r->name);
}

static void info_mtree(Hmp *m, FILE *out, char *arg)
{
    machine_lock();
    fprintf(out, "address-space: memory\n");
    mem_each(false, print_range, out);
    fprintf(out, "address-space: I/O\n");
    port_each(print_ports, out);
    machine_unlock();
}

static void print_chardev(void *opaque, Chardev *c)
{
    autofree char *text = chardev_describe(c);

    fprintf(opaque, "%s: filename=%s\n", chardev_id(c), text);
}

static void info_chardev(Hmp *m, FILE *out, char *arg)
{
    chardev_each(print_chardev, out);
}

static void info_jit(Hmp *m, FILE *out, char *arg)
{
    fprintf(out, "engine: %s\nblocks decoded: %" PRIu64 " (%" PRIu64 " instructions)\n"
                 "blocks dropped: %" PRIu64 "\ncache resets: %" PRIu64 "\n",
            accel_name(), accel_stats.blocks, accel_stats.decoded, accel_stats.dropped,
            accel_stats.resets);
}

static void info_statehash(Hmp *m, FILE *out, char *arg)
{
    accel_pause();
    fprintf(out, "%016" PRIx64 "\n", snapshot_hash());
    accel_resume();
}

static const Command infos[] = {
    { "chardev", NULL, "", "character devices", info_chardev },
    { "cpus", NULL, "", "processors", info_cpus },
    { "jit", NULL, "", "what the engine did", info_jit },
    { "mtree", NULL, "", "memory map and ports", info_mtree },
    { "name", NULL, "", "name of the guest (-name)", info_name },
    { "qtree", NULL, "", "devices", info_qtree },
    { "registers", NULL, "[-a]", "registers of the current processor (-a: all)", info_registers },
    { "statehash", NULL, "", "hash of the saved state, to compare runs", info_statehash },
    { "status", NULL, "", "does the machine run", info_status },
    { "uuid", NULL, "", "identity of the guest (-uuid)", info_uuid },
    { "version", NULL, "", "version", info_version },
    { NULL, NULL, NULL, NULL, NULL },
};

/* ---- commands ---- */

static const Command *find(const Command *table, const char *name)
{
    for (const Command *c = table; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0 || (c->alias != NULL && strcmp(c->alias, name) == 0)) {
            return c;
        }
    }
    return NULL;
}

static char *word(char **rest)
{
    char *w = *rest + strspn(*rest, " \t"), *end = w + strcspn(w, " \t");

    *rest = *end != 0 ? end + 1 : end;
    *end = 0;
    return w;
}

static void print_help(FILE *out, const char *prefix, const Command *c)
{
    fprintf(out, "%s%s%s%s%s%s -- %s\n", prefix, c->name, c->alias ? "|" : "",
            c->alias ? c->alias : "", *c->args ? " " : "", c->args, c->help);
}

static void cmd_help(Hmp *m, FILE *out, char *arg)
{
    const Command *c = find(commands, arg);

    if (*arg != 0 && strcmp(arg, "info") != 0) {
        if (c == NULL) {
            fprintf(out, "unknown command: '%s'\n", arg);
        } else {
            print_help(out, "", c);
        }
        return;
    }
    for (c = *arg ? infos : commands; c->name != NULL; c++) {
        print_help(out, *arg ? "info " : "", c);
    }
}

static void cmd_info(Hmp *m, FILE *out, char *arg)
{
    char *name = word(&arg);
    const Command *c = find(infos, name);

    if (*name == 0) {
        cmd_help(m, out, (char[]){ "info" });
    } else if (c == NULL) {
        fprintf(out, "unknown command: 'info %s'\n", name);
    } else {
        c->run(m, out, arg);
    }
}

static void cmd_quit(Hmp *m, FILE *out, char *arg)
{
    machine_exit_request(0);
}

static void cmd_stop(Hmp *m, FILE *out, char *arg)
{
    vm_stop(RUN_PAUSED);
}

static void cmd_cont(Hmp *m, FILE *out, char *arg)
{
    if (vm_state() == RUN_SHUTDOWN) {
        fprintf(out, "Error: the guest is powered off: system_reset first\n");
        return;
    }
    vm_start();
}

static void cmd_reset(Hmp *m, FILE *out, char *arg)
{
    machine_reset_request();
}

static void cmd_powerdown(Hmp *m, FILE *out, char *arg)
{
    machine_powerdown_request();
}

static void cmd_cpu(Hmp *m, FILE *out, char *arg)
{
    char *end;
    unsigned long n = strtoul(arg, &end, 0);

    if (*arg == 0 || *end != 0 || n >= accel_cpu_count()) {
        fprintf(out, "Error: there is no processor '%s' (0 to %u)\n", arg, accel_cpu_count() - 1);
        return;
    }
    m->cpu = (unsigned)n;
}

static void cmd_migrate(Hmp *m, FILE *out, char *arg)
{
    Error *err = NULL;

    if (strncmp(arg, "file:", 5) != 0 || arg[5] == 0) {
        fprintf(out, "Error: migrate: only file:PATH is there yet\n");
        return;
    }
    vm_stop(RUN_PAUSED);
    if (!snapshot_to_file(arg + 5, &err)) {
        fprintf(out, "Error: %s\n", error_text(err));
        error_free(err);
    }
}

/* x and xp: /fmt is count, format (x d u o c i) and size (b h w g). */
typedef struct Format {
    unsigned count, size;
    char how;
} Format;

static bool parse_format(const char *s, Format *f)
{
    char *end;

    *f = (Format){ 1, 4, 'x' };
    if (*s >= '0' && *s <= '9') {
        f->count = (unsigned)strtoul(s, &end, 10);
        s = end;
    }
    for (; *s != 0; s++) {
        static const char sizes[] = "bhwg";
        const char *p = strchr(sizes, *s);

        if (p != NULL) {
            f->size = 1u << (p - sizes);
        } else if (strchr("xduoci", *s) != NULL) {
            f->how = *s;
        } else {
            return false;
        }
    }
    if (f->how == 'c') {
        f->size = 1;
    }
    return f->count <= 4096;
}

static bool read_guest(CpuState *c, vaddr addr, bool physical, uint8_t *buf, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        hwaddr pa = addr + k;

        if ((!physical && !mmu_peek(c, addr + k, &pa)) || !mem_peek(pa, buf + k, 1, c->in_smm)) {
            return false;
        }
    }
    return true;
}

static void dump_code(CpuState *c, FILE *out, vaddr addr, bool physical, unsigned count)
{
    char text[160];

    while (count-- > 0) {
        uint8_t buf[15];
        unsigned avail = 15, len;

        while (avail > 0 && !read_guest(c, addr, physical, buf, avail)) {
            avail--;
        }
        if (avail == 0) {
            fprintf(out, "Cannot access memory\n");
            return;
        }
        len = disas_one(c->mode_bits, addr, buf, avail, text, sizeof(text));
        fprintf(out, "0x%0*" PRIx64 ":  ", c->mode_bits == 64 ? 16 : 8, addr);
        for (unsigned k = 0; k < len; k++) {
            fprintf(out, "%02x ", buf[k]);
        }
        fprintf(out, "%*s %s\n", len < 8 ? (int)(8 - len) * 3 : 0, "", text);
        addr += len;
    }
}

static void print_char(FILE *out, uint8_t ch)
{
    if (ch == '\n' || ch == '\r') {
        fprintf(out, " '\\%c'", ch == '\n' ? 'n' : 'r');
    } else if (ch == '\'' || ch == '\\') {
        fprintf(out, " '\\%c'", ch);
    } else if (ch >= 32 && ch < 127) {
        fprintf(out, " '%c'", ch);
    } else {
        fprintf(out, " '\\x%02x'", ch);
    }
}

static void print_value(FILE *out, uint64_t v, const Format *f)
{
    static const uint8_t octal[] = { 0, 3, 6, 0, 11, 0, 0, 0, 22 };
    static const uint8_t decimal[] = { 0, 3, 5, 0, 10, 0, 0, 0, 20 };
    int pad = 64 - 8 * (int)f->size;

    switch (f->how) {
    case 'x': fprintf(out, " 0x%0*" PRIx64, (int)f->size * 2, v); break;
    case 'o': fprintf(out, " 0%0*" PRIo64, octal[f->size], v); break;
    case 'c': print_char(out, (uint8_t)v); break;
    case 'd': fprintf(out, " %*" PRId64, decimal[f->size], (int64_t)(v << pad) >> pad); break;
    default: fprintf(out, " %*" PRIu64, decimal[f->size], v);
    }
}

static void dump_data(CpuState *c, FILE *out, vaddr addr, bool physical, const Format *f)
{
    unsigned line = f->size == 1 ? 8 : 16 / f->size;

    for (unsigned n = 0; n < f->count; n++, addr += f->size) {
        uint64_t v = 0;

        if (n % line == 0) {
            fprintf(out, "%s%016" PRIx64 ":", n ? "\n" : "", addr);
        }
        if (!read_guest(c, addr, physical, (uint8_t *)&v, f->size)) {
            fprintf(out, " Cannot access memory\n");
            return;
        }
        print_value(out, v, f);
    }
    fprintf(out, "\n");
}

static void examine(Hmp *m, FILE *out, char *arg, bool physical)
{
    Format f = { 1, 4, 'x' };
    char *end;
    vaddr addr;

    if (*arg == '/' && !parse_format(word(&arg) + 1, &f)) {
        fprintf(out, "Error: the format is /COUNT, one of x d u o c i, and one of b h w g\n");
        return;
    }
    if (strcmp(arg, "$pc") == 0 || strcmp(arg, "$rip") == 0 || strcmp(arg, "$eip") == 0) {
        addr = current(m)->regs[GPR_RIP] + (current(m)->code64 ? 0 : current(m)->segs[SEG_CS].base);
    } else {
        addr = strtoull(arg, &end, 0);
        if (*arg == 0 || *end != 0) {
            fprintf(out, "Error: '%s' is not an address\n", arg);
            return;
        }
    }
    accel_pause();
    if (f.how == 'i') {
        dump_code(current(m), out, addr, physical, f.count);
    } else {
        dump_data(current(m), out, addr, physical, &f);
    }
    accel_resume();
}

static void cmd_x(Hmp *m, FILE *out, char *arg)
{
    examine(m, out, arg, false);
}

static void cmd_xp(Hmp *m, FILE *out, char *arg)
{
    examine(m, out, arg, true);
}

static const Command commands[] = {
    { "cont", "c", "", "let the machine run", cmd_cont },
    { "cpu", NULL, "N", "set the current processor", cmd_cpu },
    { "help", "?", "[command]", "list commands", cmd_help },
    { "info", NULL, "[topic]", "show something (help info)", cmd_info },
    { "migrate", NULL, "file:path", "save the machine to a file (start with -incoming file:path)",
      cmd_migrate },
    { "quit", "q", "", "end the machine and the program", cmd_quit },
    { "stop", "s", "", "stop the machine", cmd_stop },
    { "system_powerdown", NULL, "", "press the power button", cmd_powerdown },
    { "system_reset", NULL, "", "reset the machine", cmd_reset },
    { "x", NULL, "/fmt addr", "memory at a linear address", cmd_x },
    { "xp", NULL, "/fmt addr", "memory at a physical address", cmd_xp },
    { NULL, NULL, NULL, NULL, NULL },
};

/* ---- lines ---- */

/* Nothing of an answer is lost on a slow reader: the rest waits, and the next command with it. */
static void put_bytes(Hmp *m, const char *s, size_t n)
{
    size_t took = m->unsent_len == 0 ? chardev_write(m->chr, (const uint8_t *)s, n) : 0;

    if (took < n) {
        m->unsent = xrealloc(m->unsent, m->unsent_len + n - took, 1);
        memcpy(m->unsent + m->unsent_len, s + took, n - took);
        m->unsent_len += n - took;
        timer_arm(&m->retry, clock_now(CLK_REAL) + RETRY_NS);
    }
}

static void put(Hmp *m, const char *s)
{
    while (*s != 0) {
        size_t n = strcspn(s, "\n");

        put_bytes(m, s, n);
        s += n;
        if (*s == '\n') {
            put_bytes(m, "\r\n", 2);
            s++;
        }
    }
}

static void retry(void *opaque)
{
    Hmp *m = opaque;
    size_t took = chardev_write(m->chr, (const uint8_t *)m->unsent, m->unsent_len);

    m->unsent_len -= took;
    if (m->unsent_len > 0) {
        memmove(m->unsent, m->unsent + took, m->unsent_len);
        timer_arm(&m->retry, clock_now(CLK_REAL) + RETRY_NS);
        return;
    }
    free(m->unsent);
    m->unsent = NULL;
    machine_lock();
    chardev_accept_input(m->chr);
    machine_unlock();
}

static void prompt(Hmp *m)
{
    put(m, "(qemu) ");
}

static void execute(Hmp *m)
{
    char *text = NULL, *line = m->line + strspn(m->line, " \t");
    char *rest = line + strcspn(line, " \t/"); /* x/4i: a format needs no space before it */
    autofree char *name = xasprintf("%.*s", (int)(rest - line), line);
    const Command *c = find(commands, name);
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (out == NULL) {
        return;
    }
    rest += strspn(rest, " \t");
    for (size_t n = strlen(rest); n > 0 && rest[n - 1] == ' '; n--) {
        rest[n - 1] = 0;
    }
    if (c != NULL) {
        c->run(m, out, rest);
    } else if (*name != 0) {
        fprintf(out, "unknown command: '%s'\n", name);
    }
    fclose(out);
    put(m, text);
    free(text);
}

static void line_event(void *opaque)
{
    Hmp *m = opaque;

    m->line[m->len] = 0;
    execute(m);
    machine_lock();
    m->len = 0;
    m->busy = false;
    prompt(m);
    chardev_accept_input(m->chr);
    machine_unlock();
}

static size_t can_receive(void *opaque)
{
    Hmp *m = opaque;

    return m->busy || m->unsent_len > 0 ? 0 : 1;
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    Hmp *m = opaque;

    for (size_t n = 0; n < len; n++) {
        uint8_t b = buf[n];

        if (b == '\n' && m->last_cr) {
            m->last_cr = false;
            continue;
        }
        m->last_cr = b == '\r';
        if (b == '\r' || b == '\n') {
            put(m, "\n");
            m->busy = true;
            loop_post(line_event, m);
        } else if ((b == 8 || b == 127) && m->len > 0) {
            m->len--;
            put(m, "\b \b");
        } else if (b == 21) { /* Ctrl-U */
            for (; m->len > 0; m->len--) {
                put(m, "\b \b");
            }
        } else if (b >= 32 && b < 127 && m->len < LINE_MAX_CHARS) {
            m->line[m->len++] = (char)b;
            put_bytes(m, (const char *)&b, 1);
        }
    }
}

static void greet(Hmp *m)
{
    if (!m->greeted) {
        put(m, "QEMU " QEMU_COMPAT_VERSION " monitor - type 'help' for more information\n");
    }
    m->greeted = true;
    prompt(m);
}

static void event(void *opaque, CharEvent ev)
{
    Hmp *m = opaque;

    if (ev == CHAR_OPENED) {
        m->len = 0;
        m->greeted = false;
    }
    if (ev == CHAR_FOCUS_IN || ev == CHAR_FOCUS_OUT) {
        m->hidden = ev == CHAR_FOCUS_OUT;
    }
    if ((ev == CHAR_OPENED || ev == CHAR_FOCUS_IN) && !m->hidden) {
        greet(m);
    }
}

static const CharFront front = { can_receive, receive, event };

bool hmp_open(Chardev *c, Error **errp)
{
    Hmp *m = xnew(Hmp);

    m->chr = c;
    timer_init(&m->retry, CLK_REAL, retry, m, NULL);
    m->hidden = chardev_is_mux(c) && chardev_has_front(c); /* the first one has the focus */
    if (!chardev_attach(c, &front, m, errp)) {
        free(m);
        return false;
    }
    return true;
}
