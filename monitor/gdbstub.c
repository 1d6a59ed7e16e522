/*
 * GDB Remote Serial Protocol. Source: GDB manual, appendix E.
 *
 * Bytes arrive under the machine lock; a whole packet is handed to the loop (no lock), where the
 * machine may be paused. A debugger that attaches stops the machine; one that goes away lets it run.
 * Threads are processors, numbered from 1.
 */
#include "monitor/gdbstub.h"

#include <inttypes.h>
#include <stdlib.h>
#include "accel/accel.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "chardev/chardev.h"
#include "cpu/engine.h"
#include "machine/run.h"
#include "monitor/gdb-target.h"

#define PACKET_MAX 4096
#define OWN_CHARDEV "gdb"

enum RxState { RX_IDLE, RX_DATA, RX_SUM1, RX_SUM2 };

typedef struct Gdb {
    Chardev *chr;
    /* receiving; under the machine lock */
    enum RxState rx;
    char packet[PACKET_MAX + 1];
    size_t len;
    uint8_t sum, want_sum;
    bool busy;       /* a packet waits for the loop */
    bool attached;
    /* loop thread */
    bool no_ack;
    CpuState *cpu_g, *cpu_c; /* threads of g/m and of step/continue */
    char out[PACKET_MAX * 2 + 64];
    CpuState *stop_cpu;
    DebugReason stop_why;
    bool running;    /* gdb waits for a stop reply */
} Gdb;

static Gdb gdb;

static const char hex[] = "0123456789abcdef";

static void send_raw(const char *s, size_t n)
{
    chardev_write(gdb.chr, (const uint8_t *)s, n);
}

static void send_packet(const char *body)
{
    size_t n = strlen(body);
    uint8_t sum = 0;
    char *p = xasprintf("$%s#00", body);

    for (size_t k = 0; k < n; k++) {
        sum = (uint8_t)(sum + (uint8_t)body[k]);
    }
    p[n + 2] = hex[sum >> 4];
    p[n + 3] = hex[sum & 15];
    send_raw(p, n + 4);
    free(p);
}

static char *put_hex(char *to, const uint8_t *buf, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        *to++ = hex[buf[k] >> 4];
        *to++ = hex[buf[k] & 15];
    }
    *to = 0;
    return to;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static size_t get_hex(const char *s, uint8_t *buf, size_t max)
{
    size_t n = 0;

    while (n < max && digit(s[0]) >= 0 && digit(s[1]) >= 0) {
        buf[n++] = (uint8_t)(digit(s[0]) << 4 | digit(s[1]));
        s += 2;
    }
    return n;
}

static unsigned long long get_num(const char **s)
{
    char *end;
    unsigned long long v = strtoull(*s, &end, 16);

    *s = end;
    return v;
}

static void send_stop(void)
{
    char text[96];

    if (gdb.stop_why == DEBUG_WATCHPOINT) {
        snprintf(text, sizeof(text), "T05thread:%02x;watch:%" PRIx64 ";", gdb.stop_cpu->index + 1,
                 gdb.stop_cpu->watch_addr);
    } else {
        snprintf(text, sizeof(text), "T05thread:%02x;", gdb.stop_cpu->index + 1);
    }
    send_packet(text);
}

/* ---- running and stopping; loop thread ---- */

static void halt(CpuState *c, DebugReason why)
{
    gdb.stop_cpu = gdb.cpu_g = gdb.cpu_c = c;
    gdb.stop_why = why;
    vm_stop(RUN_DEBUG);
}

static void stopped_event(void *opaque)
{
    CpuState *c = opaque;

    if (vm_state() == RUN_RUNNING) {
        halt(c, gdb.stop_why);
    }
    accel_debug_continue(c);
    if (gdb.running) {
        gdb.running = false;
        gdb.stop_cpu = gdb.cpu_g = gdb.cpu_c = c;
        send_stop();
    }
}

/* On the processor's thread. */
static void on_debug_stop(void *opaque, CpuState *c, DebugReason why)
{
    gdb.stop_why = why; /* read by the event, which is posted after it */
    loop_post(stopped_event, c);
}

static void resume(CpuState *step)
{
    if (step != NULL) {
        step->debug_step = true;
        cpu_update_careful(step);
    }
    for (unsigned k = 0; k < accel_cpu_count(); k++) {
        accel_cpu(k)->debug_pass = true; /* not stopped by the breakpoint it stands on */
    }
    gdb.running = true;
    vm_start();
}

static void interrupt_event(void *opaque)
{
    if (gdb.running) {
        halt(gdb.cpu_c != NULL ? gdb.cpu_c : accel_cpu(0), DEBUG_BREAKPOINT);
        gdb.running = false;
        send_packet("T02thread:01;");
    }
}

/* ---- packets ---- */

static void all_registers(void)
{
    char *to = gdb.out;
    uint8_t buf[16];

    for (unsigned n = 0; n < gdb_reg_count(gdb.cpu_g); n++) {
        to = put_hex(to, buf, gdb_reg_read(gdb.cpu_g, n, buf));
    }
    send_packet(gdb.out);
}

static void write_all(const char *s)
{
    uint8_t buf[16], old[16];

    for (unsigned n = 0; n < gdb_reg_count(gdb.cpu_g); n++) {
        unsigned size = gdb_reg_read(gdb.cpu_g, n, old);

        if (get_hex(s, buf, size) != size) {
            break;
        }
        gdb_reg_write(gdb.cpu_g, n, buf);
        s += 2 * size;
    }
    send_packet("OK");
}

static void one_register(const char *s, bool write)
{
    unsigned n = (unsigned)get_num(&s), size;
    uint8_t buf[16] = { 0 };

    if (write && *s == '=') {
        get_hex(s + 1, buf, sizeof(buf));
        send_packet(gdb_reg_write(gdb.cpu_g, n, buf) ? "OK" : "E01");
        return;
    }
    size = gdb_reg_read(gdb.cpu_g, n, buf);
    put_hex(gdb.out, buf, size);
    send_packet(size ? gdb.out : "E01");
}

static void memory(const char *s, bool write)
{
    vaddr addr = get_num(&s);
    unsigned long long n = *s == ',' ? (s++, get_num(&s)) : 0;
    uint8_t buf[PACKET_MAX / 2];

    if (n > sizeof(buf)) {
        n = sizeof(buf);
    }
    if (write) {
        bool ok = *s == ':' && get_hex(s + 1, buf, n) == n &&
                  gdb_mem_write(gdb.cpu_g, addr, buf, n);

        send_packet(ok ? "OK" : "E14");
    } else if (gdb_mem_read(gdb.cpu_g, addr, buf, n)) {
        put_hex(gdb.out, buf, n);
        send_packet(gdb.out);
    } else {
        send_packet("E14");
    }
}

static bool change_watch(bool insert, vaddr addr, uint64_t len, char type)
{
    EngineWatch w = { addr, len, type != '2', type != '3' };

    if (insert) {
        if (engine_watch_count == ENGINE_WATCHES || len == 0) {
            return false;
        }
        engine_watches[engine_watch_count++] = w;
    } else {
        unsigned n = 0;

        while (n < engine_watch_count && engine_watches[n].addr != addr) {
            n++;
        }
        if (n == engine_watch_count) {
            return false;
        }
        engine_watches[n] = engine_watches[--engine_watch_count];
    }
    accel_watch_changed();
    return true;
}

/* Z and z: 0 and 1 break, 2 write, 3 read, 4 access watch. */
static void breakpoint(const char *s, bool insert)
{
    char type = *s++;
    vaddr addr;
    uint64_t len;
    bool ok;

    if (type < '0' || type > '4' || *s++ != ',') {
        send_packet("");
        return;
    }
    addr = get_num(&s);
    len = *s == ',' ? (s++, get_num(&s)) : 1;
    if (type >= '2') {
        ok = change_watch(insert, addr, len, type);
    } else {
        ok = insert ? accel_breakpoint_add(addr) : accel_breakpoint_remove(addr);
    }
    send_packet(ok ? "OK" : "E22");
}

static CpuState *thread_of(const char *s)
{
    long n = strtol(s, NULL, 16);

    if (n <= 0) {
        return gdb.cpu_g != NULL ? gdb.cpu_g : accel_cpu(0);
    }
    return accel_cpu((unsigned)n - 1);
}

static void set_thread(const char *s)
{
    CpuState *c = *s ? thread_of(s + 1) : NULL;

    if (c == NULL) {
        send_packet("E22");
        return;
    }
    if (*s == 'g') {
        gdb.cpu_g = c;
    } else {
        gdb.cpu_c = c;
    }
    send_packet("OK");
}

/* vCont;action[:thread]... : the first step action names the processor that steps. */
static void v_packet(const char *s)
{
    const char *step;
    const char *colon;
    CpuState *c;

    if (strcmp(s, "Cont?") == 0) {
        send_packet("vCont;c;C;s;S");
        return;
    }
    if (strncmp(s, "Cont;", 5) != 0) {
        send_packet("");
        return;
    }
    step = strstr(s, ";s");
    step = step != NULL ? step : strstr(s, ";S");
    if (step == NULL) {
        resume(NULL);
        return;
    }
    colon = strchr(step, ':');
    c = colon != NULL ? thread_of(colon + 1) : gdb.cpu_c;
    if (c == NULL) {
        send_packet("E22");
        return;
    }
    resume(c);
}

static void features(const char *s)
{
    const char *xml = gdb_xml(gdb.cpu_g);
    size_t total = strlen(xml), off = get_num(&s), n = *s == ',' ? (s++, get_num(&s)) : 0;

    if (off >= total) {
        send_packet("l");
        return;
    }
    n = MIN(n, total - off);
    n = MIN(n, (size_t)PACKET_MAX - 8);
    snprintf(gdb.out, sizeof(gdb.out), "%c%.*s", off + n < total ? 'm' : 'l', (int)n, xml + off);
    send_packet(gdb.out);
}

static void thread_list(void)
{
    char *to = gdb.out;

    *to++ = 'm';
    for (unsigned k = 0; k < accel_cpu_count(); k++) {
        to += sprintf(to, "%s%x", k ? "," : "", k + 1);
    }
    send_packet(gdb.out);
}

static void thread_info(const char *s)
{
    CpuState *c = thread_of(s);
    char text[64];

    snprintf(text, sizeof(text), "CPU#%u [%s]", c != NULL ? c->index : 0,
             c != NULL && c->activity != CPU_RUNNING ? "halted " : "running");
    put_hex(gdb.out, (const uint8_t *)text, strlen(text));
    send_packet(gdb.out);
}

static void q_packet(const char *s)
{
    static const char xfer[] = "Xfer:features:read:target.xml:";

    if (strncmp(s, "Supported", 9) == 0) {
        snprintf(gdb.out, sizeof(gdb.out),
                 "PacketSize=%x;qXfer:features:read+;vContSupported+;QStartNoAckMode+", PACKET_MAX);
        send_packet(gdb.out);
    } else if (strncmp(s, xfer, sizeof(xfer) - 1) == 0) {
        features(s + sizeof(xfer) - 1);
    } else if (strcmp(s, "C") == 0) {
        snprintf(gdb.out, sizeof(gdb.out), "QC%x", gdb.cpu_g->index + 1);
        send_packet(gdb.out);
    } else if (strcmp(s, "fThreadInfo") == 0) {
        thread_list();
    } else if (strcmp(s, "sThreadInfo") == 0) {
        send_packet("l");
    } else if (strncmp(s, "ThreadExtraInfo,", 16) == 0) {
        thread_info(s + 16);
    } else if (strncmp(s, "Attached", 8) == 0) {
        send_packet("1");
    } else {
        send_packet("");
    }
}

static void detach(void)
{
    while (engine_watch_count > 0) {
        change_watch(false, engine_watches[0].addr, 0, '2');
    }
    accel_breakpoints_clear();
    gdb.running = false;
    gdb.no_ack = false;
    vm_start();
}

static void handle(char *p)
{
    switch (*p) {
    case '?':
        gdb.stop_cpu = gdb.cpu_g;
        gdb.stop_why = DEBUG_BREAKPOINT;
        send_stop();
        break;
    case 'g': all_registers(); break;
    case 'G': write_all(p + 1); break;
    case 'p': one_register(p + 1, false); break;
    case 'P': one_register(p + 1, true); break;
    case 'm': memory(p + 1, false); break;
    case 'M': memory(p + 1, true); break;
    case 'Z': breakpoint(p + 1, true); break;
    case 'z': breakpoint(p + 1, false); break;
    case 'H': set_thread(p + 1); break;
    case 'T': send_packet(thread_of(p + 1) != NULL ? "OK" : "E22"); break;
    case 'v': v_packet(p + 1); break;
    case 'q': q_packet(p + 1); break;
    case 'Q':
        if (strcmp(p, "QStartNoAckMode") == 0) {
            send_packet("OK");
            gdb.no_ack = true;
        } else {
            send_packet("");
        }
        break;
    case 'c': case 's': {
        const char *at = p + 1;

        if (*at != 0) {
            gdb.cpu_c->regs[GPR_RIP] = get_num(&at);
        }
        resume(*p == 's' ? gdb.cpu_c : NULL);
        break;
    }
    case 'D':
        send_packet("OK");
        detach();
        break;
    case 'k':
        machine_exit_request(0);
        break;
    default:
        send_packet(""); /* not supported */
    }
}

static void attach_event(void *opaque)
{
    if (gdb.chr == NULL) { /* it was closed in between */
        return;
    }
    if (gdb.cpu_g == NULL) {
        gdb.cpu_g = gdb.cpu_c = gdb.stop_cpu = accel_cpu(0);
    }
    gdb.no_ack = false;
    if (gdb.cpu_g != NULL) {
        halt(gdb.cpu_g, DEBUG_BREAKPOINT);
    }
}

static void closed_event(void *opaque)
{
    if (gdb.cpu_g != NULL) {
        detach();
    }
}

static void packet_event(void *opaque)
{
    if (gdb.chr == NULL) {
        return;
    }
    if (gdb.cpu_g != NULL) {
        if (!gdb.no_ack) {
            send_raw("+", 1);
        }
        if (gdb.running) { /* anything but an interrupt while running: stop first */
            halt(gdb.cpu_g, DEBUG_BREAKPOINT);
            gdb.running = false;
        }
        handle(gdb.packet);
    }
    machine_lock();
    gdb.busy = false;
    gdb.rx = RX_IDLE;
    chardev_accept_input(gdb.chr);
    machine_unlock();
}

/* ---- receiving; loop thread with the machine lock ---- */

static void receive_byte(uint8_t b)
{
    switch (gdb.rx) {
    case RX_IDLE:
        if (b == '$') {
            gdb.rx = RX_DATA;
            gdb.len = 0;
            gdb.sum = 0;
        } else if (b == 3) {
            loop_post(interrupt_event, NULL);
        }
        break;
    case RX_DATA:
        if (b == '#') {
            gdb.packet[gdb.len] = 0;
            gdb.rx = RX_SUM1;
        } else {
            gdb.sum = (uint8_t)(gdb.sum + b);
            if (gdb.len < PACKET_MAX) {
                gdb.packet[gdb.len++] = (char)b;
            }
        }
        break;
    case RX_SUM1:
        gdb.want_sum = (uint8_t)(digit((char)b) << 4);
        gdb.rx = RX_SUM2;
        break;
    case RX_SUM2:
        gdb.rx = RX_IDLE;
        if ((uint8_t)(gdb.want_sum | (digit((char)b) & 15)) != gdb.sum) {
            send_raw("-", 1);
        } else {
            gdb.busy = true;
            loop_post(packet_event, NULL);
        }
    }
}

static size_t can_receive(void *opaque)
{
    return gdb.busy ? 0 : 1;
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    for (size_t k = 0; k < len; k++) {
        receive_byte(buf[k]);
    }
}

static void on_event(void *opaque, CharEvent ev)
{
    if (ev == CHAR_OPENED && !gdb.attached) {
        gdb.attached = true;
        gdb.rx = RX_IDLE;
        loop_post(attach_event, NULL);
    } else if (ev == CHAR_CLOSED && gdb.attached) {
        gdb.attached = false;
        loop_post(closed_event, NULL);
    }
}

static const CharFront front = { can_receive, receive, on_event };

bool gdb_close(void)
{
    Chardev *c = gdb.chr;
    bool attached;

    if (c == NULL) {
        return false;
    }
    machine_lock();
    chardev_detach(c, &gdb);
    attached = gdb.attached;
    gdb.attached = gdb.busy = false;
    machine_unlock();
    if (attached) {
        closed_event(NULL);
    }
    gdb.chr = NULL;
    gdb.cpu_g = gdb.cpu_c = gdb.stop_cpu = NULL;
    if (strcmp(chardev_id(c), OWN_CHARDEV) == 0) { /* not the user's */
        chardev_free(c);
    }
    return true;
}

bool gdb_open(const char *where, Error **errp)
{
    autofree char *text = NULL;

    gdb_close();
    /* a bare address listens and does not wait for the debugger */
    if (strncmp(where, "tcp:", 4) == 0 || strncmp(where, "unix:", 5) == 0) {
        text = xasprintf("%s%s", where, strstr(where, ",server") ? "" : ",server=on,wait=off");
    } else {
        text = xstrdup(where);
    }
    gdb.chr = chardev_from_legacy(text, OWN_CHARDEV, errp);
    accel_debug_handler(on_debug_stop, NULL);
    if (gdb.chr == NULL || !chardev_attach(gdb.chr, &front, &gdb, errp)) {
        gdb.chr = NULL;
        return false;
    }
    return true;
}
