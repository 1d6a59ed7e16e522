/*
 * An SMBus: a host controller that starts all transactions, and what answers at addresses of seven bits.
 *
 * Sources: System Management Bus Specification 2.0, "Network Layer" (bus protocols); Intel 82371AB (PIIX4) data sheet,
 * "SMBus Host Interface"; Intel I/O Controller Hub 9 data sheet (316972), "SMBus Controller Registers (D31:F3)".
 */
#ifndef HW_SMBUS_SMBUS_H
#define HW_SMBUS_SMBUS_H

#include <stdbool.h>
#include <stdint.h>
#include "bus/device.h"
#include "bus/state.h"

enum { SMBUS_BLOCK = 32, SMBUS_SLAVES = 8 };

/* What a slave does. A transaction is begin(), then bytes that it is given or asked for; a repeated start is one more
 * begin(). Machine lock held. */
typedef struct SmbusSlave {
    uint8_t address;
    void (*begin)(void *opaque, bool read);
    void (*put)(void *opaque, uint8_t byte);
    uint8_t (*get)(void *opaque);
    void *opaque;
} SmbusSlave;

/* A host controller, as a member of the function that it is in. */
typedef struct SmbusHost {
    uint8_t sts, cnt, cmd, add, d0, d1, aux; /* registers; the guest's, like what follows */
    uint8_t block[SMBUS_BLOCK], index;
    uint8_t moved;  /* bytes of a block that goes byte by byte */
    bool bytewise;  /* such a block is under way */
    bool last;      /* and its last byte has moved */
    bool in_use;    /* "INUSE_STS" */
    /* constant after realize */
    bool ich9;      /* it has blocks byte by byte, process calls, I2C reads and a semaphore */
    const SmbusSlave *slave[SMBUS_SLAVES];
    unsigned slaves;
    void (*irq)(void *opaque, bool level); /* an interrupt is wanted, or no more */
    void *opaque;
} SmbusHost;
extern const StateField smbus_host_fields[];

/* smbus_add - @s, borrowed while the host is there, answers. Before the machine runs; at most SMBUS_SLAVES. */
void smbus_add(SmbusHost *h, const SmbusSlave *s);
void smbus_reset(SmbusHost *h);
/* smbus_post_load - what a stranger wrote is put into its bounds. */
void smbus_post_load(SmbusHost *h);
/* smbus_read, smbus_write - a register of a byte, at @offset from the base. @enabled: the host may start transactions. */
uint8_t smbus_read(SmbusHost *h, unsigned offset);
void smbus_write(SmbusHost *h, unsigned offset, uint8_t val, bool enabled);

/* smbus_eeproms - the EEPROMs of eight memory modules at 50h to 57h, which tell of @ram bytes, realized; their host is @h. */
bool smbus_eeproms(SmbusHost *h, void *board, uint64_t ram, struct Error **errp);
/* spd_make - the @n-th module's 256 bytes when @ram bytes are split over eight; zeroes where there is no module. */
enum { SPD_SIZE = 256, SPD_MODULES = 8 };
void spd_make(uint8_t spd[SPD_SIZE], uint64_t ram, unsigned n);

/* ich9_smb_connect - before realize: the bus it is on. ich9_smb_host - the host that EEPROMs are added to. */
struct PciBus;
void ich9_smb_connect(Device *dev, struct PciBus *bus);
SmbusHost *ich9_smb_host(Device *dev);
extern const DeviceClass smbus_eeprom_class, ich9_smb_class;

#endif
