/*
 * EDID 1.4, section numbers of the standard (edid.h) in parentheses.
 */
#include "hw/display/edid.h"

#include <string.h>
#include "base/mem.h"

#define PIXELS_PER_CM 40u /* some 100 a inch */

/* A standard timing (3.9): width / 8 - 31, then the aspect ratio and 60 Hz. */
static const uint8_t standard[8][2] = {
    { 1920 / 8 - 31, 3 << 6 }, { 1680 / 8 - 31, 0 << 6 }, { 1600 / 8 - 31, 1 << 6 },
    { 1440 / 8 - 31, 0 << 6 }, { 1280 / 8 - 31, 3 << 6 }, { 1280 / 8 - 31, 2 << 6 },
    { 1280 / 8 - 31, 1 << 6 }, { 1152 / 8 - 31, 1 << 6 },
};

/* Detailed timing descriptor (3.10.2), with the short blanking of a flat panel. */
static void detailed(uint8_t *d, unsigned width, unsigned height)
{
    unsigned hblank = 160, vblank = MAX(height / 30, 24u), front = 48, sync = 32, vfront = 3, vsync = 6;
    uint64_t clock = (uint64_t)(width + hblank) * (height + vblank) * 60 / 10000;
    unsigned mm_w = width * 10 / PIXELS_PER_CM, mm_h = height * 10 / PIXELS_PER_CM;

    st_le16(d, (uint16_t)MIN(clock, 0xffffu)); /* 10 kHz */
    d[2] = (uint8_t)width;
    d[3] = (uint8_t)hblank;
    d[4] = (uint8_t)(width >> 8 << 4 | hblank >> 8);
    d[5] = (uint8_t)height;
    d[6] = (uint8_t)vblank;
    d[7] = (uint8_t)(height >> 8 << 4 | vblank >> 8);
    d[8] = (uint8_t)front;
    d[9] = (uint8_t)sync;
    d[10] = (uint8_t)(vfront << 4 | vsync);
    d[12] = (uint8_t)mm_w;
    d[13] = (uint8_t)mm_h;
    d[14] = (uint8_t)(mm_w >> 8 << 4 | mm_h >> 8);
    d[17] = 0x1a; /* digital separate sync, horizontal positive */
}

/* Display descriptors (3.10.3): a tag, then 13 bytes. */
static void descriptor(uint8_t *d, uint8_t tag, const char *text)
{
    size_t n = strlen(text);

    d[3] = tag;
    if (n != 0) {
        memset(d + 5, ' ', 13);
        memcpy(d + 5, text, n);
        d[5 + n] = '\n';
    }
}

void edid_make(uint8_t out[EDID_SIZE], unsigned width, unsigned height)
{
    static const uint8_t head[] = { 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0 };
    static const uint8_t srgb[] = { 0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54 };
    unsigned maker = ('D' - '@') << 10 | ('P' - '@') << 5 | ('L' - '@');
    uint8_t sum = 0, *range = out + 0x6c;

    memset(out, 0, EDID_SIZE);
    memcpy(out, head, sizeof(head));
    out[0x08] = (uint8_t)(maker >> 8); /* (3.4) big-endian */
    out[0x09] = (uint8_t)maker;
    st_le16(out + 0x0a, 0x1234);
    out[0x11] = 2022 - 1990;
    out[0x12] = 1; /* (3.5) */
    out[0x13] = 4;
    out[0x14] = 0xa5; /* (3.6) digital, 8 bits a colour, DisplayPort */
    out[0x15] = (uint8_t)MIN(width / PIXELS_PER_CM, 255u);
    out[0x16] = (uint8_t)MIN(height / PIXELS_PER_CM, 255u);
    out[0x17] = 220 - 100;
    out[0x18] = 0x06; /* sRGB, the first timing is the native one */
    memcpy(out + 0x19, srgb, sizeof(srgb));
    out[0x23] = 0x21; /* (3.8) 640x480 and 800x600, 60 Hz */
    out[0x24] = 0x08; /* 1024x768, 60 Hz */
    memcpy(out + 0x26, standard, sizeof(standard));
    detailed(out + 0x36, width, height);
    descriptor(out + 0x48, 0xfc, "doppel VGA");
    descriptor(out + 0x5a, 0x10, "");
    descriptor(range, 0xfd, ""); /* range limits: 50-125 Hz, 30-160 kHz, 2550 MHz */
    range[5] = 50;
    range[6] = 125;
    range[7] = 30;
    range[8] = 160;
    range[9] = 255;
    range[10] = 0x01; /* limits only */
    range[11] = '\n';
    memset(range + 12, ' ', 6);
    for (unsigned n = 0; n < EDID_SIZE - 1; n++) {
        sum = (uint8_t)(sum + out[n]);
    }
    out[EDID_SIZE - 1] = (uint8_t)-sum;
}
