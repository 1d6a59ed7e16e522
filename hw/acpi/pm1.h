/*
 * ACPI fixed hardware, as the PIIX4 and the ICH9 have it: PM1 event and control registers, the PM timer, and the APM
 * ports B2h and B3h.
 *
 * Source: ACPI specification 6.4, "ACPI Hardware Specification". A write of B2h switches SCI_EN itself, as the SMI handler
 * that ACPI describes would; firmware that wants the SMI as well (SeaBIOS does, to move SMBASE) enables it.
 */
#ifndef HW_ACPI_PM1_H
#define HW_ACPI_PM1_H

#include "base/clock.h"
#include "bus/irq.h"
#include "bus/memory.h"
#include "bus/state.h"

struct Board;

#define PM_TIMER_HZ 3579545
enum { PM1_STS = 0x00, PM1_EN = 0x02, PM1_CNT = 0x04, PM1_TMR = 0x08, PM1_SIZE = 0x0c };

typedef struct Pm1 {
    uint16_t sts, en, cnt;
    uint8_t apmc, apms;
    uint32_t tmr_seen; /* bit 23 periods of the PM timer that TMR_STS knows */
    Timer timer;       /* next change of bit 23, while TMR_EN is set */
    /* what the chip has beside it */
    bool (*gpe)(void *opaque);      /* a general-purpose event wants the SCI */
    void (*apm_smi)(void *opaque);  /* APMC was written */
    void *opaque;
    uint8_t acpi_enable, acpi_disable; /* what APMC is written for SCI_EN */
    const struct Board *board;
    IrqLine sci;
    IoRegion io_apm;
} Pm1;
extern const StateField pm1_fields[];

/* pm1_init - the wiring is set; maps the APM ports. */
bool pm1_init(Pm1 *p, struct Error **errp);
void pm1_fini(Pm1 *p);
void pm1_reset(Pm1 *p);
/* pm1_read, pm1_write - of the registers from PM1_STS to PM1_SIZE. pm1_update - the SCI, after a change. */
uint32_t pm1_read(Pm1 *p, unsigned offset);
void pm1_write(Pm1 *p, unsigned offset, uint32_t val, unsigned size);
void pm1_update(Pm1 *p);
void pm1_power_button(Pm1 *p);

/* pm_merge16 - @old with the bytes of a write of @size bytes at byte @at of it replaced. */
uint16_t pm_merge16(uint16_t old, unsigned at, uint32_t val, unsigned size);

#endif
