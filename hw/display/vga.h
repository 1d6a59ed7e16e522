/*
 * IBM VGA with the Bochs display interface: registers, video memory, picture. The bus around it is
 * hw/display/vga-pci.c or vga-isa.c.
 *
 * Sources: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem" (IBM TR); the FreeVGA
 * Project's VGA chipset reference (FreeVGA), whose page names are quoted; the Bochs VBE dispi
 * interface as QEMU's "Standard VGA" specification publishes it.
 *
 * Video memory is a block of guest RAM (bus/memory.h). The four planes are interleaved: byte n of plane p
 * is ram[4 * n + p]. Chain-4 address n is ram[n], so that 256-colour memory is linear for the
 * processor (which then uses it as plain RAM), for the linear frame buffer, and here. On a VGA chain-4
 * uses every fourth byte of a plane; a program that mixes chain-4 with planar accesses to the same bytes
 * and counts on that sees a difference.
 */
#ifndef HW_DISPLAY_VGA_H
#define HW_DISPLAY_VGA_H

#include <stdbool.h>
#include <stdint.h>
#include "bus/device.h"
#include "bus/memory.h"
#include "bus/state.h"
#include "hw/display/screen.h"

/* Registers by their names in FreeVGA. */
enum { SEQ_RESET, SEQ_CLOCK, SEQ_MAP_MASK, SEQ_CHAR_MAP, SEQ_MEMORY };
enum { GC_SET_RESET, GC_ENABLE_SR, GC_COMPARE, GC_ROTATE, GC_READ_MAP, GC_MODE, GC_MISC,
       GC_DONT_CARE, GC_BIT_MASK };
enum { CR_HTOTAL = 0x00, CR_HDISP = 0x01, CR_VTOTAL = 0x06, CR_OVERFLOW = 0x07, CR_PRESET = 0x08,
       CR_MAX_SCAN = 0x09, CR_CURSOR_START = 0x0a, CR_CURSOR_END = 0x0b, CR_START_HIGH = 0x0c,
       CR_START_LOW = 0x0d, CR_CURSOR_HIGH = 0x0e, CR_CURSOR_LOW = 0x0f, CR_VRS = 0x10,
       CR_VRE = 0x11, CR_VDISP = 0x12, CR_OFFSET = 0x13, CR_UNDERLINE = 0x14, CR_MODE = 0x17,
       CR_LINE_COMPARE = 0x18, CR_COUNT = 0x19 };
enum { AR_MODE = 0x10, AR_OVERSCAN = 0x11, AR_PLANES = 0x12, AR_PAN = 0x13, AR_COLOR = 0x14,
       AR_COUNT = 0x15 };
enum { VBE_ID, VBE_XRES, VBE_YRES, VBE_BPP, VBE_ENABLE, VBE_BANK, VBE_VIRT_WIDTH, VBE_VIRT_HEIGHT,
       VBE_X_OFFSET, VBE_Y_OFFSET, VBE_MEMORY, VBE_COUNT };
#define VBE_ENABLED 0x01u
#define VBE_GETCAPS 0x02u
#define VBE_8BIT_DAC 0x20u
#define VBE_LFB 0x40u
#define VBE_NOCLEAR 0x80u
#define VBE_MAX_XRES 16000u
#define VBE_MAX_YRES 12000u

typedef enum VgaKind {
    VGA_BLANK,
    VGA_TEXT,
    VGA_PLANAR, /* 16 colours, and fewer */
    VGA_CGA,    /* 4 colours, two pixels' bits side by side */
    VGA_256,
    VGA_LINEAR, /* a VBE mode of 8 bits a pixel or more */
} VgaKind;

/* All that a picture depends on, but for video memory and the cursor. */
typedef struct VgaMode {
    uint32_t kind; /* VgaKind */
    unsigned width, height; /* pixels */
    /* VGA modes */
    unsigned chars;        /* character clocks in a line */
    unsigned char_width;   /* dots in one: 8 or 9 */
    unsigned dot_width;    /* pixels of a dot: 1, or 2 with half the dot clock */
    unsigned start, pitch; /* address counter at the top, and what a row adds */
    unsigned preset_row, rows; /* first scan row, scan rows of a character row */
    unsigned repeat;       /* scan lines of a scan row: 1 or 2 */
    unsigned line_compare; /* the last scan line before the counter starts again at 0 */
    unsigned pan, pan_split; /* dots to the left, before and after the split */
    unsigned underline;    /* scan row */
    unsigned font[2];      /* offset in plane 2 of characters with attribute bit 3 clear and set */
    uint8_t cr_mode, cr_underline; /* how the counter becomes an address */
    bool blink, line_graphics; /* attribute bit 7 blinks; box characters fill the ninth dot */
    /* VBE modes */
    unsigned bpp, bytes; /* bits of a pixel; bytes from line to line */
    uint64_t base;       /* of the first pixel */
    bool big_endian;
    uint32_t palette[256]; /* 16 of them outside of 256-colour modes */
} VgaMode;

/* A piece of port space. */
typedef struct VgaPorts {
    struct Vga *vga;
    unsigned base;
    IoRegion region;
} VgaPorts;
enum { VGA_PORT_PIECES = 5 };

typedef struct Vga {
    const char *name;      /* the card's id */
    uint64_t ram_offset;   /* the block; constant after init, as is what follows */
    uint32_t ram_bytes;    /* a power of two */
    uint8_t *ram;
    struct Board *board;

    /* registers */
    uint8_t misc, feature;
    uint8_t seq_index, seq[5];
    uint8_t crtc_index, crtc[CR_COUNT];
    uint8_t gc_index, gc[9];
    uint8_t attr_index, attr[AR_COUNT];
    bool attr_data;        /* the flip-flop: the next write to 3C0h is data */
    uint8_t dac_mask, dac_state, dac_read, dac_write, dac_sub, dac_latch[3], dac[768];
    uint32_t latch;        /* plane p in bits 8p+7:8p */
    uint16_t vbe_index, vbe[VBE_COUNT];
    bool big_endian;       /* QEMU's extended registers: of the frame buffer */

    /* windows */
    IoRegion window;       /* A0000h-BFFFFh by the registers' rules */
    IoRegion direct;       /* A0000h-AFFFFh where it is plain memory */
    uint32_t direct_at;    /* its place in video memory */
    VgaPorts ports[VGA_PORT_PIECES];
    IoRegion vbe_ports;

    /* the picture */
    Screen *screen;
    DirtyLog log;
    uint64_t *dirty;       /* bit per page, while a refresh lasts */
    bool redraw;           /* everything is to be drawn anew */
    VgaMode shown;         /* the surface shows this */
    uint32_t *line;        /* a line of `line_room` pixels */
    unsigned line_room;
    uint32_t *cells;       /* what each cell of the text screen shows */
    unsigned cell_room;
    uint8_t fonts[2][8192];
} Vga;

/* vga_init - video memory of @ram_bytes (a power of two, 1 to 512 MiB), ports, the window, a screen.
 * False with errp when something is taken; then nothing is left behind. */
bool vga_init(Vga *v, const char *name, uint32_t ram_bytes, struct Board *board, struct Error **errp);
/* vga_check_size - may the card @id have @mb MiB of video memory? A power of two from 1 to 512. */
bool vga_check_size(const char *id, uint32_t mb, struct Error **errp);
void vga_fini(Vga *v);
void vga_reset(Vga *v);
/* vga_post_load - after vga_fields were read. */
bool vga_post_load(Vga *v, struct Error **errp);
extern const StateField vga_fields[];
extern const DeviceClass vga_pci_class, vga_isa_class; /* hw/display/vga-pci.c, vga-isa.c */

/* ---- between the files of the card ---- */

/* vga-regs.c: ports 3B0h-3DFh, which are also reached through a BAR. */
uint8_t vga_port_read(Vga *v, unsigned port);
void vga_port_write(Vga *v, unsigned port, uint8_t val);
/* vga_mask_registers - bits that do not exist are 0 (they come from outside, after a load). */
void vga_mask_registers(Vga *v);
/* vga-vbe.c: a dispi register by its index. */
uint16_t vga_vbe_read(Vga *v, unsigned index);
void vga_vbe_write(Vga *v, unsigned index, uint16_t val);
extern const IoOps vga_port_ops, vga_vbe_ops, vga_window_ops;
static inline bool vga_vbe_on(const Vga *v)
{
    return (v->vbe[VBE_ENABLE] & VBE_ENABLED) != 0;
}
/* vga_vbe_pitch - bytes of a line (of one plane, with 4 bits a pixel). */
uint32_t vga_vbe_pitch(const Vga *v);

/* vga-mem.c: after a register changed that the window depends on. */
void vga_window_update(Vga *v);

/* vga-timing.c: bits 0 and 3 of input status 1, and how many frames were shown. */
uint8_t vga_retrace(const Vga *v);
uint64_t vga_frames(const Vga *v);

/* vga-mode.c: what the registers ask for. */
void vga_mode(const Vga *v, VgaMode *m);
/* vga_ram_range - the part of video memory that is shown. */
void vga_ram_range(const Vga *v, const VgaMode *m, uint64_t *first, uint64_t *len);
/* vga_address - the offset in a plane where the display's address counter points, in a scan row. */
unsigned vga_address(const VgaMode *m, unsigned counter, unsigned row);

/* A scan line's place in video memory. vga_line_first/next walk down the picture. */
typedef struct VgaLine {
    unsigned y;       /* of the picture */
    unsigned counter; /* at the left */
    unsigned row;     /* scan row inside of the character row */
    unsigned repeat;  /* lines of this row already shown */
    unsigned pan;
} VgaLine;
void vga_line_first(const VgaMode *m, VgaLine *l);
void vga_line_next(const VgaMode *m, VgaLine *l);

/* vga-draw.c */
extern const ScreenOps vga_screen_ops;
typedef struct VgaDamage VgaDamage;
/* vga_put_line - @n pixels at (@x, @y): what differs is copied and noted. Surface locked. */
void vga_put_line(VgaDamage *d, unsigned x, unsigned y, const uint32_t *pixels, unsigned n);
/* vga_dirty - was [first, first + len) of video memory written (or is all of it to be drawn)? */
bool vga_dirty(const Vga *v, uint64_t first, uint64_t len);
/* vga-text.c, vga-gfx.c, vga-linear.c: bring the surface up to date; v->line has room for a line, and for
 * 32 pixels more. */
void vga_draw_text(Vga *v, const VgaMode *m, VgaDamage *d);
void vga_draw_graphics(Vga *v, const VgaMode *m, VgaDamage *d);
void vga_draw_linear(Vga *v, const VgaMode *m, VgaDamage *d);
char *vga_text(void *opaque);

#endif
