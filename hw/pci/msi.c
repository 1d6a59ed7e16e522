/*
 * MSI and MSI-X: see msi.h.
 */
#include "hw/pci/msi.h"

#include <assert.h>
#include "base/mem.h"
#include "hw/pci/trace.h"

enum { CAP_MSI = 0x05, CAP_MSIX = 0x11 };

/* "Message Control for MSI" */
#define MSI_CONTROL 2
#define MSI_ENABLE 0x0001u
#define MSI_MMC_SHIFT 1 /* multiple message capable */
#define MSI_MME_SHIFT 4 /* multiple message enable */
#define MSI_ADDR64 0x0080u
#define MSI_PER_VECTOR 0x0100u

/* "Message Control for MSI-X" */
#define MSIX_CONTROL 2
#define MSIX_ENABLE 0x8000u
#define MSIX_FUNCTION_MASK 0x4000u
#define MSIX_ENTRY_MASKED 1u

static unsigned control(const PciDevice *d, uint8_t cap)
{
    return ld_le16(d->config + cap + 2);
}

/* send - a memory write by the function, which it may only do as a bus master. */
static void send(PciDevice *d, uint64_t addr, uint32_t data)
{
    if (ld_le16(d->config + PCI_COMMAND) & PCI_CMD_MASTER) {
        trace_pci_msi(d->devfn, addr, data);
        pci_message(d, addr, data);
    }
}

/* ---- MSI ---- */

static unsigned msi_data_at(const PciDevice *d)
{
    return d->msi_cap + (d->msi_flags & MSI_64 ? 12u : 8u);
}

void msi_init(PciDevice *d, uint8_t offset, unsigned vectors, unsigned flags)
{
    unsigned log = 0, data;
    uint8_t size = (uint8_t)(10 + (flags & MSI_64 ? 4 : 0) + (flags & MSI_MASKABLE ? 10 : 0));

    assert(vectors >= 1 && vectors <= MSI_VECTORS_MAX && (vectors & (vectors - 1)) == 0);
    while (1u << log < vectors) {
        log++;
    }
    d->msi_cap = pci_add_cap(d, CAP_MSI, offset, size);
    d->msi_flags = (uint8_t)flags;
    st_le16(d->config + d->msi_cap + MSI_CONTROL,
            (uint16_t)(log << MSI_MMC_SHIFT | (flags & MSI_64 ? MSI_ADDR64 : 0) |
                       (flags & MSI_MASKABLE ? MSI_PER_VECTOR : 0)));
    st_le16(d->wmask + d->msi_cap + MSI_CONTROL, MSI_ENABLE | 7 << MSI_MME_SHIFT);
    st_le32(d->wmask + d->msi_cap + 4, 0xfffffffc);
    if (flags & MSI_64) {
        st_le32(d->wmask + d->msi_cap + 8, 0xffffffff);
    }
    data = msi_data_at(d);
    st_le16(d->wmask + data, 0xffff);
    if (flags & MSI_MASKABLE) {
        st_le32(d->wmask + data + 4, vectors == 32 ? 0xffffffffu : (1u << vectors) - 1);
    }
}

bool msi_enabled(const PciDevice *d)
{
    return d->msi_cap != 0 && (control(d, d->msi_cap) & MSI_ENABLE);
}

static void msi_send(PciDevice *d, unsigned n)
{
    uint64_t addr = ld_le32(d->config + d->msi_cap + 4) & ~3u;
    uint32_t data = ld_le16(d->config + msi_data_at(d));
    unsigned log = MIN(control(d, d->msi_cap) >> MSI_MME_SHIFT & 7, 5u);
    uint32_t low = (1u << log) - 1;

    if (d->msi_flags & MSI_64) {
        addr |= (uint64_t)ld_le32(d->config + d->msi_cap + 8) << 32;
    }
    /* "the function is permitted to modify the low order bits of message data" */
    send(d, addr, (data & ~low) | (n & low));
}

void msi_notify(PciDevice *d, unsigned n)
{
    unsigned log, data;

    if (!msi_enabled(d)) {
        return;
    }
    log = MIN(control(d, d->msi_cap) >> MSI_MME_SHIFT & 7, 5u);
    n &= (1u << log) - 1;
    data = msi_data_at(d);
    if ((d->msi_flags & MSI_MASKABLE) && (ld_le32(d->config + data + 4) >> n & 1)) {
        st_le32(d->config + data + 8, ld_le32(d->config + data + 8) | BIT(n));
        return;
    }
    msi_send(d, n);
}

/* msi_flush - "Per-vector Masking": what was pending and is no longer masked. */
static void msi_flush(PciDevice *d)
{
    unsigned data = msi_data_at(d);
    uint32_t ready;

    if (!msi_enabled(d) || !(d->msi_flags & MSI_MASKABLE)) {
        return;
    }
    ready = ld_le32(d->config + data + 8) & ~ld_le32(d->config + data + 4);
    st_le32(d->config + data + 8, ld_le32(d->config + data + 8) & ~ready);
    for (unsigned n = 0; n < MSI_VECTORS_MAX; n++) {
        if (ready >> n & 1) {
            msi_send(d, n);
        }
    }
}

/* ---- MSI-X ---- */

static uint64_t msix_bar_read(void *opaque, uint64_t offset, unsigned size)
{
    Msix *x = opaque;

    return offset < 0x800 ? msix_table_read(x, (uint32_t)offset)
                          : msix_pba_read(x, (uint32_t)offset - 0x800);
}

static void msix_bar_write(void *opaque, uint64_t offset, uint64_t val, unsigned size)
{
    if (offset < 0x800) {
        msix_table_write(opaque, (uint32_t)offset, (uint32_t)val);
    }
}

/* "software must use aligned DWORD or QWORD transactions": others are the bus's best effort */
static const IoOps msix_bar_ops = {
    .read = msix_bar_read, .write = msix_bar_write, .min_size = 4, .max_size = 4,
};

void msix_init(Msix *x, PciDevice *d, uint8_t offset, unsigned vectors, unsigned table_bar,
               uint32_t table_offset, unsigned pba_bar, uint32_t pba_offset)
{
    assert(vectors >= 1 && vectors <= MSIX_VECTORS_MAX && table_bar < 6 && pba_bar < 6);
    assert(table_offset % 8 == 0 && pba_offset % 8 == 0);
    x->d = d;
    x->vectors = vectors;
    x->cap = pci_add_cap(d, CAP_MSIX, offset, 12);
    d->msix = x;
    st_le16(d->config + x->cap + MSIX_CONTROL, (uint16_t)(vectors - 1));
    st_le16(d->wmask + x->cap + MSIX_CONTROL, MSIX_ENABLE | MSIX_FUNCTION_MASK);
    st_le32(d->config + x->cap + 4, table_offset | table_bar);
    st_le32(d->config + x->cap + 8, pba_offset | pba_bar);
    msi_reset(d);
}

void msix_init_bar(Msix *x, PciDevice *d, uint8_t offset, unsigned vectors, unsigned bar)
{
    io_region_init(&x->bar, &msix_bar_ops, x, "msix", 0x1000);
    msix_init(x, d, offset, vectors, bar, 0, bar, 0x800);
    pci_bar(d, bar, &x->bar, 0);
}

static unsigned msix_control(const Msix *x)
{
    return control(x->d, x->cap);
}

bool msix_enabled(const PciDevice *d)
{
    return d->msix != NULL && (msix_control(d->msix) & MSIX_ENABLE);
}

/* msix_try - send the message of vector @n, or have it wait. */
static void msix_try(Msix *x, unsigned n)
{
    const uint8_t *e = x->table + n * MSIX_ENTRY;

    if ((msix_control(x) & MSIX_FUNCTION_MASK) || (e[12] & MSIX_ENTRY_MASKED)) {
        x->pending[n / 64] |= BIT64(n % 64);
        return;
    }
    x->pending[n / 64] &= ~BIT64(n % 64);
    send(x->d, ld_le64(e) & ~3ull, ld_le32(e + 8));
}

static void msix_flush(Msix *x)
{
    for (unsigned n = 0; n < x->vectors && (msix_control(x) & MSIX_ENABLE); n++) {
        if (x->pending[n / 64] >> (n % 64) & 1) {
            msix_try(x, n);
        }
    }
}

void msix_notify(PciDevice *d, unsigned n)
{
    if (msix_enabled(d) && n < d->msix->vectors) {
        msix_try(d->msix, n);
    }
}

uint32_t msix_table_read(Msix *x, uint32_t offset)
{
    offset &= ~3u;
    return offset < x->vectors * MSIX_ENTRY ? ld_le32(x->table + offset) : 0;
}

void msix_table_write(Msix *x, uint32_t offset, uint32_t val)
{
    offset &= ~3u;
    if (offset < x->vectors * MSIX_ENTRY) {
        if (offset % MSIX_ENTRY == 12) {
            val &= MSIX_ENTRY_MASKED; /* the rest is reserved */
        }
        st_le32(x->table + offset, val);
        msix_flush(x);
    }
}

uint32_t msix_pba_read(Msix *x, uint32_t offset)
{
    offset &= ~3u;
    return offset < (x->vectors + 63) / 64 * 8
               ? (uint32_t)(x->pending[offset / 8] >> (offset & 4 ? 32 : 0))
               : 0;
}

const StateField msix_fields[] = {
    STATE_BYTES(Msix, table), STATE_BYTES(Msix, pending), STATE_END,
};

/* ---- both ---- */

void msi_config_written(PciDevice *d)
{
    if (d->msi_cap != 0) {
        msi_flush(d);
    }
    if (d->msix != NULL) {
        msix_flush(d->msix);
    }
}

/* "Vector Control for MSI-X Table Entries": after reset every vector is masked. */
void msi_reset(PciDevice *d)
{
    Msix *x = d->msix;

    if (x != NULL) {
        memset(x->table, 0, sizeof(x->table));
        memset(x->pending, 0, sizeof(x->pending));
        for (unsigned n = 0; n < x->vectors; n++) {
            x->table[n * MSIX_ENTRY + 12] = MSIX_ENTRY_MASKED;
        }
    }
}
