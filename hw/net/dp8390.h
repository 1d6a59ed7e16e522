/*
 * National Semiconductor DP8390D network interface controller with its 16 KiB of buffer memory, as on NE2000 boards:
 * the chip, which does not know the bus that it is on.
 *
 * Sources: DP8390D/NS32490D data sheet (headings quoted); NE2000's address PROM and ports as in National's application
 * note AN-729; Realtek RTL8029AS data sheet for page 3.
 */
#ifndef HW_NET_DP8390_H
#define HW_NET_DP8390_H

#include "base/clock.h"
#include "bus/state.h"
#include "net/net.h"

enum { DP8390_PORTS = 32, DP8390_RAM = 16 << 10, DP8390_RAM_BASE = 16 << 10, DP8390_PROM = 32, DP8390_FIFO = 8,
       DP8390_GROUP = 8, DP8390_COUNTERS = 3, DP8390_CONFIGS = 4 };

typedef struct Dp8390 {
    uint8_t cmd, isr, imr, dcr, rcr, tcr, tsr, rsr;
    uint8_t pstart, pstop, bnry, curr, tpsr; /* pages of 256 bytes */
    uint16_t tbcr, crda, rbcr;
    uint16_t rsar;
    bool by_send; /* the remote DMA that runs is "Send Packet" */
    uint8_t send_next;
    uint8_t par[6], mar[DP8390_GROUP];
    uint8_t counter[DP8390_COUNTERS]; /* "Tally Counters" */
    uint8_t fifo[DP8390_FIFO], fifo_at;
    uint8_t config[DP8390_CONFIGS]; /* page 3 of the RTL8029AS: 9346CR, CONFIG0, 2, 3 */
    uint8_t latch;                  /* what the data port gave last */
    uint8_t ram[DP8390_RAM];
    Timer again; /* frames are still in the ring though PRX was acknowledged */
    /* constant after realize */
    uint8_t prom[DP8390_PROM];
    bool realtek;
    NetPort *port;
    void (*irq)(void *opaque, int level);
    void *opaque;
} Dp8390;

extern const StateField dp8390_fields[];

/* dp8390_init - before the first reset; @mac is the board's. dp8390_fini - nothing of it runs any more. */
void dp8390_init(Dp8390 *s, const uint8_t mac[6]);
void dp8390_fini(Dp8390 *s);
/* dp8390_reset - power-on. dp8390_post_load - what a stranger wrote is put into its bounds. */
void dp8390_reset(Dp8390 *s);
void dp8390_post_load(Dp8390 *s);

/* For IoOps, @opaque is the Dp8390: ports 00h-1Fh of an NE2000, @size 1, 2 or 4. */
uint64_t dp8390_read(void *opaque, uint64_t offset, unsigned size);
void dp8390_write(void *opaque, uint64_t offset, uint64_t val, unsigned size);

/* For NetPortOps, likewise. */
bool dp8390_can_receive(void *opaque, size_t len);
void dp8390_receive(void *opaque, const uint8_t *frame, size_t len);

#endif
