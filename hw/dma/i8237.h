/* The two 8237A DMA controllers of a PC/AT with their page registers: ISA DMA. */
#ifndef HW_DMA_I8237_H
#define HW_DMA_I8237_H

#include <stdbool.h>
#include <stdint.h>
#include "bus/device.h"

typedef struct IsaDma IsaDma;
extern const DeviceClass i8237_class;

IsaDma *i8237_dma(Device *dev);

/* isa_dma_connect - @ready is called when channel @n (0..7, not 4), on which the device drives DREQ, can
 * transfer: it is not masked, or no longer. NULL disconnects. Machine lock held, as for all of it. */
void isa_dma_connect(IsaDma *d, unsigned n, void (*ready)(void *opaque), void *opaque);
/* isa_dma_request - drive DREQ of channel @n. @ready is called at once when the channel can transfer. */
void isa_dma_request(IsaDma *d, unsigned n, bool on);
/* isa_dma_ready - could channel @n transfer now? */
bool isa_dma_ready(const IsaDma *d, unsigned n);

/*
 * isa_dma_put, isa_dma_get - the device hands over or takes @len bytes on channel @n, while it drives DREQ. They
 * stop at terminal count; *@tc says that it was reached. Return the count of bytes that moved. A channel
 * programmed for the other direction or for verify moves nothing and counts all the same; isa_dma_get()
 * gives FFh then.
 */
uint32_t isa_dma_put(IsaDma *d, unsigned n, const void *buf, uint32_t len, bool *tc);
uint32_t isa_dma_get(IsaDma *d, unsigned n, void *buf, uint32_t len, bool *tc);

#endif
