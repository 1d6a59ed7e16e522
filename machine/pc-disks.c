/*
 * The board "pc": what old firmware reads about IDE disks from the CMOS.
 *
 * Layout: the drive types of the PC/AT's CMOS (12h; F means "see 19h and 1Ah", where 47 is the
 * user's own geometry in 1Bh-23h and 24h-2Ch), and at 39h, two bits a disk, how BIOSes of Bochs and
 * QEMU translate cylinders.
 */
#include "machine/pc-internal.h"

#include "hw/ide/ide.h"
#include "hw/rtc/mc146818.h"

#define CMOS_TYPES 0x12
#define CMOS_TYPE_C 0x19
#define CMOS_GEOMETRY 0x1b
#define CMOS_TRANSLATION 0x39
#define TYPE_USER 47

static void put_geometry(Pc *p, unsigned n, const IdeGeometry *g)
{
    uint8_t at = (uint8_t)(CMOS_GEOMETRY + 9 * n);
    const uint8_t bytes[9] = {
        (uint8_t)g->cyls, (uint8_t)(g->cyls >> 8), (uint8_t)g->heads,
        0xff, 0xff, /* no write precompensation */
        (uint8_t)(0xc0 | (g->heads > 8) << 3),
        (uint8_t)g->cyls, (uint8_t)(g->cyls >> 8), /* landing zone */
        (uint8_t)g->secs,
    };

    for (unsigned i = 0; i < sizeof(bytes); i++) {
        rtc_set_cmos(p->rtc, (uint8_t)(at + i), bytes[i]);
    }
    rtc_set_cmos(p->rtc, (uint8_t)(CMOS_TYPE_C + n), TYPE_USER);
}

void pc_disks(Pc *p)
{
    uint8_t types = 0, translation = 0;
    IdeGeometry g;

    for (Device *dev = devices_first(); dev != NULL; dev = dev->next) {
        if (!ide_geometry(dev, &g)) {
            continue;
        }
        if (g.place < 2) {
            put_geometry(p, g.place, &g);
            types |= (uint8_t)(g.place == 0 ? 0xf0 : 0x0f);
        }
        translation |= (uint8_t)(g.translation << 2 * g.place);
    }
    rtc_set_cmos(p->rtc, CMOS_TYPES, types);
    rtc_set_cmos(p->rtc, CMOS_TRANSLATION, translation);
}
