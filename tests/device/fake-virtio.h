/*
 * A driver for virtio devices in tests, with split rings or packed ones: tests that do not look into a ring run with both.
 *
 *     vio_begin(features);
 *     vio_give(q, BUF, 100, true);               a chain of one buffer that the device writes
 *     assert_int_equal(vio_used(q, &len), id);   or -1: nothing has come back
 */
#ifndef TESTS_DEVICE_FAKE_VIRTIO_H
#define TESTS_DEVICE_FAKE_VIRTIO_H

#include "tests/device/fake-pci.h"

#include "hw/virtio/virtio.h"

enum { VIO_SIZE = 8, VIO_RINGS = 0x10000, VIO_STEP = 0x1000, VIO_AVAIL = 0x400, VIO_USED = 0x800, VIO_BUF = 0x60000,
       VIO_QUEUES = 64 };
enum { VIO_NEXT = 1, VIO_WRITE = 2, VIO_INDIRECT = 4, VIO_PACKED_AVAIL = 0x80, VIO_PACKED_USED = 0x8000 };

typedef struct VioBuf {
    uint64_t addr;
    uint32_t len;
    bool write; /* by the device */
} VioBuf;

typedef struct VioQueue {
    unsigned next, used; /* places of packed rings, else numbers that only grow */
    bool wrap, used_wrap;
    uint8_t places[VIO_SIZE]; /* of the chain with that number */
} VioQueue;

static bool vio_packed;
static VioQueue vio_queue[VIO_QUEUES];

static inline uint32_t vio_get(uint32_t at, unsigned size)
{
    return (uint32_t)mem_in(FAKE_MMIO + at, size);
}

static inline void vio_set(uint32_t at, uint32_t val, unsigned size)
{
    mem_out(FAKE_MMIO + at, val, size);
}

static inline uint8_t *vio_ring(unsigned q, uint32_t at)
{
    return ram(VIO_RINGS + q * VIO_STEP + at);
}

/* vio_device - the device in slot 1, which is then placed. */
static inline Device *vio_device(Device *dev)
{
    if (vio_packed) {
        assert_true(device_set(dev, "packed", "on", NULL));
    }
    fake_realize(dev);
    fake_place(1, 0, 4);
    return dev;
}

static inline uint32_t vio_offered(void)
{
    vio_set(0x00, 0, 4);
    return vio_get(0x04, 4);
}

/* vio_begin_at - reset, features (of the lower half), rings of all queues, go: 3.1.1. Of queue @stray, the parts @parts (bits:
 * descriptors or the packed ring, what the driver writes, what the device does) are at @at, if that is not 0. */
static inline void vio_begin_at(uint32_t features, unsigned stray, unsigned parts, uint32_t at)
{
    static const uint32_t place[] = { 0, VIO_AVAIL, VIO_USED };
    unsigned count;

    vio_set(0x14, 0, 1);
    vio_set(0x14, 1 | 2, 1);
    vio_set(0x08, 0, 4);
    vio_set(0x0c, features, 4);
    vio_set(0x08, 1, 4);
    vio_set(0x0c, vio_packed ? 1 | 4 : 1, 4); /* VERSION_1, RING_PACKED */
    vio_set(0x14, 1 | 2 | 8, 1);
    assert_int_equal(vio_get(0x14, 1), 1 | 2 | 8);
    count = vio_get(0x12, 2);
    memset(ram(VIO_RINGS), 0, count * VIO_STEP);
    for (unsigned q = 0; q < count; q++) {
        vio_queue[q] = (VioQueue){ .wrap = true, .used_wrap = true };
        vio_set(0x16, q, 2);
        vio_set(0x18, VIO_SIZE, 2);
        for (unsigned k = 0; k < ARRAY_SIZE(place); k++) {
            bool there = at != 0 && q == stray && (parts >> k & 1);

            vio_set(0x20 + 8 * k, there ? at : VIO_RINGS + q * VIO_STEP + place[k], 4);
        }
        vio_set(0x1c, 1, 2);
    }
    vio_set(0x14, 1 | 2 | 4 | 8, 1);
}

/* vio_begin - the same with all in memory. */
static inline void vio_begin(uint32_t features)
{
    vio_begin_at(features, 0, 0, 0);
}

/* vio_kick - whatever is in queue @q. */
static inline void vio_kick(unsigned q)
{
    vio_set(0x3000 + 4 * q, q, 2);
}

/* vio_desc - descriptor @n of the table at @table; @last: its next one, or the chain's number. */
static inline void vio_desc(uint8_t *table, unsigned n, const VioBuf *b, unsigned flags, unsigned last)
{
    uint8_t *d = table + 16 * n;

    st_le64(d, b->addr);
    st_le32(d + 8, b->len);
    st_le16(d + (vio_packed ? 14 : 12), (uint16_t)(flags | (b->write ? VIO_WRITE : 0)));
    st_le16(d + (vio_packed ? 12 : 14), (uint16_t)last);
}

static inline unsigned vio_flags(const VioQueue *v)
{
    return v->wrap ? VIO_PACKED_AVAIL : VIO_PACKED_USED;
}

/* vio_put - a chain into queue @q (@more: flags of each of its descriptors); its number. No kick. */
static inline unsigned vio_put_flags(unsigned q, const VioBuf *b, unsigned count, unsigned more)
{
    VioQueue *v = &vio_queue[q];
    unsigned head = v->next % VIO_SIZE;

    v->places[head] = (uint8_t)count;
    for (unsigned n = 0; n < count; n++) {
        unsigned at = v->next % VIO_SIZE, flags = more | (n + 1 < count ? VIO_NEXT : 0);

        vio_desc(vio_ring(q, 0), at, &b[n], flags | (vio_packed ? vio_flags(v) : 0), vio_packed ? head : (at + 1) % VIO_SIZE);
        v->next++;
        if (vio_packed && v->next == VIO_SIZE) {
            v->next = 0;
            v->wrap = !v->wrap;
        }
    }
    if (!vio_packed) {
        uint8_t *avail = vio_ring(q, VIO_AVAIL);
        unsigned idx = ld_le16(avail + 2);

        st_le16(avail + 4 + 2 * (idx % VIO_SIZE), (uint16_t)head);
        st_le16(avail + 2, (uint16_t)(idx + 1));
    }
    return head;
}
static inline unsigned vio_put(unsigned q, const VioBuf *b, unsigned count)
{
    return vio_put_flags(q, b, count, 0);
}

/* vio_give - a chain of one buffer, and a kick. */
static inline unsigned vio_give(unsigned q, uint64_t addr, uint32_t len, bool write)
{
    unsigned id = vio_put(q, &(VioBuf){ addr, len, write }, 1);

    vio_kick(q);
    return id;
}

/* vio_used - the number of the next chain that came back, and what was written (@len may be NULL); -1: none has. */
static inline int vio_used(unsigned q, uint32_t *len)
{
    VioQueue *v = &vio_queue[q];
    const uint8_t *d = vio_ring(q, 16 * v->used), *e = vio_ring(q, VIO_USED + 4 + 8 * (v->used % VIO_SIZE));
    unsigned flags = ld_le16(d + 14), id;

    if (!vio_packed) {
        if (ld_le16(vio_ring(q, VIO_USED + 2)) == (uint16_t)v->used) {
            return -1;
        }
        v->used++;
        if (len != NULL) {
            *len = ld_le32(e + 4);
        }
        return (int)ld_le32(e);
    }
    if (!(flags & VIO_PACKED_AVAIL) == v->used_wrap || !(flags & VIO_PACKED_USED) == v->used_wrap) {
        return -1;
    }
    id = ld_le16(d + 12);
    assert_true(id < VIO_SIZE);
    v->used += v->places[id];
    if (v->used >= VIO_SIZE) {
        v->used -= VIO_SIZE;
        v->used_wrap = !v->used_wrap;
    }
    if (len != NULL) {
        *len = ld_le32(d + 8);
    }
    return (int)id;
}

/* vio_done - the next chain came back with @len bytes; vio_none - none did. */
static inline void vio_done(unsigned q, uint32_t len)
{
    uint32_t got = 0;

    assert_true(vio_used(q, &got) >= 0);
    assert_int_equal(got, len);
}
static inline void vio_none(unsigned q)
{
    assert_int_equal(vio_used(q, NULL), -1);
}

/* vio_broken - the device asks for a reset. */
static inline bool vio_broken(void)
{
    return vio_get(0x14, 1) & 64;
}

/* Tests of both forms: a setup for each, that sets vio_packed and calls @f. */
#define VIO_SETUPS(f)                                                                              \
    static int f##_split(void **state)                                                             \
    {                                                                                              \
        vio_packed = false;                                                                        \
        return f(state);                                                                           \
    }                                                                                              \
    static int f##_packed(void **state)                                                            \
    {                                                                                              \
        vio_packed = true;                                                                         \
        return f(state);                                                                           \
    }
#define VIO_TESTS(t, f)                                                                            \
    cmocka_unit_test_setup_teardown(t, f##_split, fake_pci_teardown),                              \
        { #t " packed", t, f##_packed, fake_pci_teardown, NULL }

#endif
