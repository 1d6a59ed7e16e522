/*
 * The VGA as a whole: made, reset, saved. What it is: vga.h.
 */
#include "hw/display/vga.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"

static const struct {
    uint16_t base, count;
} pieces[VGA_PORT_PIECES] = {
    { 0x3b4, 2 }, { 0x3ba, 1 }, { 0x3c0, 16 }, { 0x3d4, 2 }, { 0x3da, 1 },
};

static bool map_ports(Vga *v, Error **errp)
{
    for (unsigned n = 0; n < VGA_PORT_PIECES; n++) {
        VgaPorts *p = &v->ports[n];

        p->vga = v;
        p->base = pieces[n].base;
        io_region_init(&p->region, &vga_port_ops, p, "vga", pieces[n].count);
        if (!port_map(&p->region, pieces[n].base, errp)) {
            return false;
        }
    }
    io_region_init(&v->vbe_ports, &vga_vbe_ops, v, "vbe", 4);
    return port_map(&v->vbe_ports, 0x1ce, errp);
}

static void unmap(Vga *v)
{
    if (v->direct.mapped) {
        mem_unmap(&v->direct);
    }
    if (v->window.mapped) {
        mem_unmap(&v->window);
    }
    for (unsigned n = 0; n < VGA_PORT_PIECES; n++) {
        port_unmap(&v->ports[n].region);
    }
    port_unmap(&v->vbe_ports);
}

bool vga_check_size(const char *id, uint32_t mb, Error **errp)
{
    if (mb == 0 || mb > 512 || (mb & (mb - 1))) {
        error_set(errp, "%s: vgamem_mb %u is not a power of two from 1 to 512", id, mb);
        return false;
    }
    return true;
}

bool vga_init(Vga *v, const char *name, uint32_t ram_bytes, struct Board *board, Error **errp)
{
    v->name = name;
    v->board = board;
    v->ram_bytes = ram_bytes;
    if (!ram_block_new(name, ram_bytes, &v->ram_offset, errp)) {
        return false;
    }
    v->ram = ram_host() + v->ram_offset;
    io_region_init(&v->window, &vga_window_ops, v, "vga-window", 0x20000);
    if (!map_ports(v, errp) || !mem_map(&v->window, 0xa0000, 1, false, errp)) {
        unmap(v);
        ram_block_free(v->ram_offset);
        return false;
    }
    dirty_log_start(&v->log, v->ram_offset, ram_bytes);
    v->dirty = xnewn(uint64_t, DIRTY_WORDS(ram_bytes));
    v->screen = screen_new(name, &vga_screen_ops, v);
    v->redraw = true;
    return true;
}

void vga_fini(Vga *v)
{
    screen_free(v->screen);
    unmap(v);
    dirty_log_stop(&v->log);
    ram_block_free(v->ram_offset);
    free(v->dirty);
    free(v->line);
    free(v->cells);
}

/* Registers of a card that no firmware has touched: all zero but for what makes it answer at the
 * colour ports. Video memory keeps what it has, as it does on hardware. */
void vga_reset(Vga *v)
{
    v->misc = v->feature = 0;
    v->seq_index = v->crtc_index = v->gc_index = v->attr_index = 0;
    v->attr_data = false;
    memset(v->seq, 0, sizeof(v->seq));
    memset(v->crtc, 0, sizeof(v->crtc));
    memset(v->gc, 0, sizeof(v->gc));
    memset(v->attr, 0, sizeof(v->attr));
    v->misc = 0x01;
    v->dac_mask = 0xff;
    v->dac_state = v->dac_read = v->dac_write = v->dac_sub = 0;
    memset(v->dac_latch, 0, sizeof(v->dac_latch));
    memset(v->dac, 0, sizeof(v->dac));
    v->latch = 0;
    v->vbe_index = 0;
    memset(v->vbe, 0, sizeof(v->vbe));
    v->vbe[VBE_ID] = 0xb0c5;
    v->vbe[VBE_MEMORY] = (uint16_t)(v->ram_bytes >> 16);
    v->big_endian = false;
    vga_window_update(v);
}

const StateField vga_fields[] = {
    STATE_U8(Vga, misc),        STATE_U8(Vga, feature),     STATE_U8(Vga, seq_index),
    STATE_BYTES(Vga, seq),      STATE_U8(Vga, crtc_index),  STATE_BYTES(Vga, crtc),
    STATE_U8(Vga, gc_index),    STATE_BYTES(Vga, gc),       STATE_U8(Vga, attr_index),
    STATE_BYTES(Vga, attr),     STATE_BOOL(Vga, attr_data), STATE_U8(Vga, dac_mask),
    STATE_U8(Vga, dac_state),   STATE_U8(Vga, dac_read),    STATE_U8(Vga, dac_write),
    STATE_U8(Vga, dac_sub),     STATE_BYTES(Vga, dac_latch), STATE_BYTES(Vga, dac),
    STATE_U32(Vga, latch),      STATE_U16(Vga, vbe_index),  STATE_BYTES(Vga, vbe),
    STATE_BOOL(Vga, big_endian), STATE_END,
};

bool vga_post_load(Vga *v, Error **errp)
{
    const uint16_t *r = v->vbe;
    bool depth = r[VBE_BPP] == 4 || r[VBE_BPP] == 8 || r[VBE_BPP] == 15 || r[VBE_BPP] == 16 ||
                 r[VBE_BPP] == 24 || r[VBE_BPP] == 32;
    uint64_t need = (uint64_t)vga_vbe_pitch(v) * (r[VBE_BPP] == 4 ? 4 : 1) * r[VBE_YRES];

    if (v->dac_sub > 2 ||
        (vga_vbe_on(v) && (!depth || r[VBE_XRES] < 8 || r[VBE_XRES] > VBE_MAX_XRES || r[VBE_YRES] == 0 ||
                           r[VBE_YRES] > VBE_MAX_YRES || need > v->ram_bytes))) {
        error_set(errp, "registers that a VGA cannot have");
        return false;
    }
    vga_mask_registers(v);
    v->vbe[VBE_MEMORY] = (uint16_t)(v->ram_bytes >> 16);
    v->direct_at = UINT32_MAX; /* map it anew */
    v->redraw = true;
    vga_window_update(v);
    return true;
}
