/* The device base, properties, saved state. */
#include "tests/test.h"

#include <stdlib.h>
#include "base/clock.h"
#include "bus/device.h"
#include "bus/irq.h"
#include "bus/lock.h"
#include "bus/memory.h"
#include "bus/state.h"

typedef struct Channel {
    uint16_t count;
    bool gate;
} Channel;

typedef struct Toy {
    Device dev;
    uint8_t small;
    uint32_t iobase;
    uint64_t ram;
    bool flag;
    char *label;
    void *chr;
    uint8_t regs[4];
    bool on;
    Timer tick;
    Channel chan[3];
    unsigned resets, loads;
    IrqLine irq;
} Toy;

static int realized, unrealized;
static bool fail_realize;

static bool toy_realize(Device *dev, Error **errp)
{
    Toy *t = container_of(dev, Toy, dev);
    if (fail_realize) {
        error_set(errp, "toy: no");
        return false;
    }
    timer_init(&t->tick, CLK_VIRTUAL, NULL, NULL, NULL);
    realized++;
    return true;
}

static void toy_unrealize(Device *dev)
{
    timer_cancel(&container_of(dev, Toy, dev)->tick);
    unrealized++;
}

static void toy_reset(Device *dev)
{
    container_of(dev, Toy, dev)->resets++;
}

static bool toy_post_load(Device *dev, Error **errp)
{
    Toy *t = container_of(dev, Toy, dev);
    t->loads++;
    if (t->regs[0] == 0xbad % 256) {
        error_set(errp, "regs[0] cannot be so");
        return false;
    }
    return true;
}

static const Property toy_props[] = {
    PROP_U8("small", Toy, small, 3, "a byte"),
    PROP_U32("iobase", Toy, iobase, 0x3f8, "first port"),
    PROP_SIZE("ram-size", Toy, ram, 16 << 20, "memory"),
    PROP_BOOL("wake_up", Toy, flag, true, "wakes"),
    PROP_STR("label", Toy, label, "none", "text"),
    PROP_CHARDEV("chardev", Toy, chr, "back end"),
    PROP_END,
};

static const StateField channel_fields[] = { STATE_U16(Channel, count), STATE_BOOL(Channel, gate),
                                             STATE_END };
static const StateField toy_fields[] = { STATE_BYTES(Toy, regs), STATE_BOOL(Toy, on),
                                         STATE_TIMER(Toy, tick),
                                         STATE_ARRAY(Toy, chan, channel_fields), STATE_END };

static const DeviceClass toy_class = {
    .name = "toy",
    .alias = "isa-toy",
    .size = sizeof(Toy),
    .props = toy_props,
    .fields = toy_fields,
    .realize = toy_realize,
    .unrealize = toy_unrealize,
    .reset = toy_reset,
    .post_load = toy_post_load,
};

static Toy *toy_new(const char *id)
{
    Device *d = device_new(&toy_class, id);
    machine_lock();
    assert_true(device_realize(d, NULL));
    machine_unlock();
    return container_of(d, Toy, dev);
}

static void *find_chardev(const char *id, Error **errp)
{
    static int something;
    if (strcmp(id, "c0") == 0) {
        return &something;
    }
    error_set(errp, "no chardev \"%s\"", id);
    return NULL;
}

static void test_props(void **state)
{
    Device *d = device_new(&toy_class, NULL);
    Toy *t = container_of(d, Toy, dev);
    Error *err = NULL;
    char *text = NULL;
    size_t len;
    FILE *f;

    assert_int_equal(t->small, 3);
    assert_int_equal(t->iobase, 0x3f8);
    assert_int_equal(t->ram, 16 << 20);
    assert_true(t->flag);
    assert_string_equal(t->label, "none");

    assert_true(device_set(d, "small", "0xff", &err));
    assert_int_equal(t->small, 255);
    assert_false(device_set(d, "small", "256", &err));
    expect_error(&err, "toy.small: \"256\" is not a number from 0 to 255");
    assert_true(device_set(d, "wake-up", "off", &err));
    assert_false(t->flag);
    assert_false(device_set(d, "wake-up", "maybe", &err));
    expect_error(&err, "neither on nor off");
    assert_true(device_set(d, "ram_size", "64M", &err));
    assert_int_equal(t->ram, 64 << 20);
    assert_true(device_set(d, "label", "a,b", &err));
    assert_string_equal(t->label, "a,b");
    assert_false(device_set(d, "lable", "x", &err));
    expect_error(&err, "property 'toy.lable' not found; did you mean 'label'?");
    device_set_resolver(find_chardev);
    assert_true(device_set(d, "chardev", "c0", &err));
    assert_non_null(t->chr);
    assert_false(device_set(d, "chardev", "c1", &err));
    expect_error(&err, "toy.chardev: no chardev \"c1\"");
    device_free(d);
    device_free(NULL);

    f = open_memstream(&text, &len);
    device_help(&toy_class, f);
    fclose(f);
    assert_non_null(strstr(text, "  iobase=<uint32>"));
    assert_non_null(strstr(text, "first port (default: 1016)"));
    assert_non_null(strstr(text, "wake_up=<bool>"));
    free(text);
}

static void test_globals(void **state)
{
    Error *err = NULL;
    Device *d;

    assert_true(device_set_global("kvm-pit", "lost_tick_policy", "discard", &err));
    assert_true(device_set_global("toy", "small", "9", &err));
    d = device_new(&toy_class, NULL);
    assert_int_equal(container_of(d, Toy, dev)->small, 9);
    device_free(d);
}

static void test_life(void **state)
{
    Toy *a, *b, *c;
    Device *d;
    Error *err = NULL;

    realized = unrealized = 0;
    a = toy_new(NULL);
    b = toy_new(NULL);
    c = toy_new("mine");
    assert_string_equal(a->dev.id, "toy");
    assert_string_equal(b->dev.id, "toy.1");
    assert_int_equal(a->resets, 1);
    devices_reset();
    assert_int_equal(c->resets, 2);
    assert_ptr_equal(devices_first(), &a->dev);
    assert_ptr_equal(device_find("mine"), &c->dev);
    assert_null(device_find("other"));

    d = device_new(&toy_class, "mine");
    machine_lock();
    assert_false(device_realize(d, &err));
    expect_error(&err, "\"mine\" is taken");
    machine_unlock();
    device_free(d);
    fail_realize = true;
    d = device_new(&toy_class, "x");
    machine_lock();
    assert_false(device_realize(d, &err));
    machine_unlock();
    expect_error(&err, "toy: no");
    device_free(d);
    fail_realize = false;
    assert_int_equal(realized, 3);
    assert_int_equal(unrealized, 0);
    device_free(&b->dev);
    assert_ptr_equal(a->dev.next, &c->dev);
    devices_free_all();
    assert_int_equal(unrealized, 3);
    assert_null(devices_first());
}

static void fill(Toy *t)
{
    memcpy(t->regs, "\1\2\3\4", 4);
    t->on = true;
    timer_arm(&t->tick, 123456);
    for (int i = 0; i < 3; i++) {
        t->chan[i] = (Channel){ (uint16_t)(100 + i), i == 1 };
    }
}

static void test_state_round_trip(void **state)
{
    StateBuf b = { .data = NULL };
    Error *err = NULL;
    Toy *a = toy_new("a"), *z = toy_new("z");

    fill(a);
    devices_save(&b);
    assert_memory_equal(b.data, "DOPPELST", 8);
    memset(a->regs, 0, 4);
    memset(a->chan, 0, sizeof(a->chan));
    a->on = false;
    timer_cancel(&a->tick);
    timer_arm(&z->tick, 5);
    b.pos = 0;
    assert_true(devices_load(&b, &err));
    assert_memory_equal(a->regs, "\1\2\3\4", 4);
    assert_true(a->on);
    assert_true(timer_pending(&a->tick));
    assert_int_equal(a->tick.deadline, 123456);
    assert_int_equal(a->chan[2].count, 102);
    assert_true(a->chan[1].gate);
    assert_false(a->chan[0].gate);
    assert_false(timer_pending(&z->tick));
    assert_int_equal(a->loads, 1);
    assert_int_equal(b.pos, b.len);

    /* any cut is an error, never a crash */
    for (size_t len = 0; len < b.len; len++) {
        StateBuf cut = { .data = xalloc0(1, len + 1), .len = len };
        memcpy(cut.data, b.data, len);
        assert_false(devices_load(&cut, &err));
        error_free(err);
        err = NULL;
        free(cut.data);
    }
    /* nor is any byte that is wrong */
    for (size_t i = 0; i < b.len; i++) {
        for (int k = 0; k < 2; k++) {
            uint8_t old = b.data[i];
            b.data[i] ^= k ? 0xff : 1;
            b.pos = 0;
            devices_load(&b, &err);
            error_free(err);
            err = NULL;
            b.data[i] = old;
        }
    }
    device_free(&a->dev);
    b.pos = 0;
    assert_false(devices_load(&b, &err));
    expect_error(&err, "has section \"a\" where \"z\" should be");
    devices_free_all();
    state_buf_free(&b);
}

static void test_state_other_version(void **state)
{
    static const StateField f1[] = { STATE_U16(Channel, count), STATE_END };
    StateBuf b = { .data = NULL };
    Channel c = { 7, true };
    Error *err = NULL;

    state_put(&b, "ch", 1, f1, &c);
    b.pos = 0;
    assert_false(state_get(&b, "ch", 2, f1, &c, &err));
    expect_error(&err, "\"ch\" has version 1; this doppel knows 2");
    b.pos = 0;
    assert_false(state_get(&b, "ch", 1, channel_fields, &c, &err));
    expect_error(&err, "section \"ch\"");
    b.pos = 0;
    b.data[0] = 'X';
    assert_false(state_get(&b, "ch", 1, f1, &c, &err));
    expect_error(&err, "not a saved state");
    state_buf_free(&b);
}

static void test_ram_state(void **state)
{
    StateBuf b = { .data = NULL };
    Error *err = NULL;
    uint64_t size = 1ull << 30;

    assert_true(ram_create(size, &err));
    ram_host()[5] = 1;
    ram_host()[size - 1] = 2;
    ram_host()[0x5000] = 0; /* touched, but zero: left out */
    memset(ram_host() + 0x100000, 3, 3 * PAGE_SIZE);
    ram_save(&b);
    assert_true(b.len < 8 * PAGE_SIZE);
    memset(ram_host(), 0x99, 0x200000);
    ram_host()[size - 1] = 0;
    b.pos = 0;
    assert_true(ram_load(&b, &err));
    assert_int_equal(b.pos, b.len);
    assert_int_equal(ram_host()[5], 1);
    assert_int_equal(ram_host()[4], 0);
    assert_int_equal(ram_host()[0x5000], 0);
    assert_int_equal(ram_host()[0x100000 + 3 * PAGE_SIZE - 1], 3);
    assert_int_equal(ram_host()[0x100000 + 3 * PAGE_SIZE], 0);
    assert_int_equal(ram_host()[size - 1], 2);

    b.len -= 8;
    b.pos = 0;
    assert_false(ram_load(&b, &err));
    expect_error(&err, "ends inside guest memory");
    ram_destroy();
    assert_true(ram_create(1 << 20, &err));
    b.pos = 0;
    assert_false(ram_load(&b, &err));
    expect_error(&err, "another memory size");
    ram_destroy();
    state_buf_free(&b);
}

static int line_level, line_n;
static void line_sink(void *opaque, unsigned n, int level)
{
    line_n = (int)n;
    line_level = line_level * 2 + level;
}

static void test_irq(void **state)
{
    IrqLine none = { NULL }, line = { line_sink, NULL, 4 };

    irq_set(&none, 1);
    irq_pulse(&line);
    assert_int_equal(line_n, 4);
    assert_int_equal(line_level, 2); /* first 1, then 0 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_props),
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_state_round_trip),
        cmocka_unit_test(test_state_other_version),
        cmocka_unit_test(test_ram_state),
        cmocka_unit_test(test_irq),
        cmocka_unit_test(test_globals), /* last: a global cannot be taken back */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
