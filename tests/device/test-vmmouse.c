/* VMware's port and mouse: a processor's registers before and after an IN of port 5658h. */
#include "tests/device/fake.h"

#include "bus/state.h"
#include "cpu/cpu.h"
#include "cpu/cpuid.h"
#include "hw/input/i8042.h"
#include "hw/input/input.h"
#include "hw/input/vmmouse.h"
#include "hw/misc/vmport.h"

enum { DATA = 39, STATUS = 40, COMMAND = 41 };
#define MAGIC 0x564d5868u
#define ENABLE 0x45414552u
#define ABSOLUTE 0x53424152u
#define RELATIVE 0x4c455252u
#define ERROR 0xffff0000u

extern _Thread_local CpuState *cpu_current;
static CpuState *cpu;

static int setup(void **state)
{
    static CpuModel model;
    Device *kbd, *mouse, *port;

    fake_setup(state);
    assert_true(cpu_model_parse("max", true, &model, NULL));
    cpu = cpu_new(0, &model);
    cpu_current = cpu;
    kbd = fake_realize(fake_device(&i8042_class));
    mouse = fake_device(&vmmouse_class);
    vmmouse_connect(mouse, kbd);
    fake_realize(mouse);
    port = fake_device(&vmport_class);
    vmport_connect(port, vmmouse_call, mouse);
    fake_realize(port);
    out8(0x64, 0x60);
    out8(0x60, 0x02); /* the mouse's interrupt */
    out8(0x64, 0xd4);
    out8(0x60, 0xf4);
    assert_int_equal(in8(0x60), 0xfa);
    fake_lines[12].rises = 0;
    return 0;
}

static int teardown(void **state)
{
    fake_teardown(state);
    cpu_current = NULL;
    cpu_free(cpu);
    return 0;
}

static uint32_t call(uint32_t command, uint32_t arg)
{
    cpu->regs[GPR_RAX] = MAGIC;
    cpu->regs[GPR_RBX] = arg;
    cpu->regs[GPR_RCX] = command;
    cpu->regs[GPR_RDX] = 0xffff5658;
    cpu->regs[GPR_RSI] = 0x1122334455667788;
    return port_read(0x5658, 4);
}

/* event - the next one of four words. */
static void event(uint32_t flags, uint32_t x, uint32_t y, uint32_t z)
{
    assert_true(call(STATUS, 0) >= 4);
    assert_int_equal(call(DATA, 4), flags);
    assert_int_equal(cpu->regs[GPR_RBX], x);
    assert_int_equal(cpu->regs[GPR_RCX], y);
    assert_int_equal(cpu->regs[GPR_RDX], z);
    assert_int_equal(cpu->regs[GPR_RSI], 0x1122334455667788);
}

static void use(uint32_t kind)
{
    call(COMMAND, ENABLE);
    assert_int_equal(call(STATUS, 0), 1);
    assert_int_equal(call(DATA, 1), 0x3442554a);
    call(COMMAND, kind);
}

static void drain(void)
{
    while (in8(0x64) & 1) {
        in8(0x60);
    }
}

static void test_port(void **state)
{
    assert_int_equal(call(10, 0), 6);
    assert_int_equal(cpu->regs[GPR_RBX], MAGIC);
    assert_int_equal(call(99, 0), 0xffffffff);
    cpu->regs[GPR_RAX] = 0;
    assert_int_equal(port_read(0x5658, 4), 0xffffffff);
    cpu->regs[GPR_RAX] = MAGIC;
    assert_int_equal(port_read(0x5658, 2), 0xffff);
    cpu_current = NULL; /* the monitor's i */
    assert_int_equal(port_read(0x5658, 4), 0xffffffff);
    cpu_current = cpu;
}

static void test_absolute(void **state)
{
    assert_int_equal(call(STATUS, 0), ERROR);
    assert_false(input_absolute());
    use(ABSOLUTE);
    assert_true(input_absolute());
    input_point(0x7fff, 0x1000, 0, INPUT_LEFT);
    assert_int_equal(fake_lines[12].level, 1); /* a report tells */
    drain();
    assert_int_equal(fake_lines[12].rises, 3);
    event(0x20, 0xffff, 0x2001, 0);
    assert_int_equal(call(STATUS, 0), 0);
    input_point(1, 1, 0, 0);
    input_point(2, 2, 0, 0); /* the same as one */
    input_point(2, 2, -1, 0);
    input_point(2, 2, 0, INPUT_RIGHT | INPUT_MIDDLE);
    event(0, 5, 5, 0);
    event(0, 5, 5, 0xffffffff);
    event(0x18, 5, 5, 0);
    for (unsigned n = 0; n < 1000; n++) {
        input_point(n, n, 0, n & 1);
    }
    assert_int_equal(call(STATUS, 0), 256);
    assert_int_equal(call(DATA, 7), ERROR); /* more than there are registers */
    assert_int_equal(call(STATUS, 0), ERROR);
    assert_false(input_absolute());
    use(ABSOLUTE);
    assert_int_equal(call(DATA, 1), ERROR); /* more than there is */
}

static void test_relative(void **state)
{
    use(RELATIVE);
    assert_false(input_absolute());
    input_mouse(3, -4, 1, INPUT_LEFT);
    event(0x10020, 3, (uint32_t)-4, 1);
    call(COMMAND, 0xf5);
    assert_int_equal(call(STATUS, 0), ERROR);
    drain();
    input_mouse(3, 0, 0, 0);
    in8(0x60);
    assert_int_equal(in8(0x60), 3); /* the PS/2 mouse has it again */
}

static void test_saved(void **state)
{
    StateBuf b = { 0 };

    use(ABSOLUTE);
    input_point(1, 2, 0, 0);
    devices_save(&b);
    devices_reset();
    assert_int_equal(call(STATUS, 0), ERROR);
    b.pos = 0;
    assert_true(devices_load(&b, NULL));
    assert_true(input_absolute());
    event(0, 3, 5, 0);
    state_buf_free(&b);
}

#define VM_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VM_TEST(test_port), VM_TEST(test_absolute), VM_TEST(test_relative), VM_TEST(test_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
