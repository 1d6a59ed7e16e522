/*
 * Between the files of the AHCI controller: ports, their command slots and what they have under way.
 */
#ifndef HW_IDE_AHCI_H
#define HW_IDE_AHCI_H

#include "hw/ide/internal.h"
#include "hw/pci/msi.h"
#include "hw/pci/pci.h"

enum { AHCI_PORTS = 6, AHCI_NO_SLOT = 0xff };
#define PRD_BYTES_MAX 0x400000u /* of an entry */

/* PxIS */
#define PIS_DHRS BIT(0) /* device to host register FIS */
#define PIS_PSS BIT(1)  /* PIO setup FIS */
#define PIS_SDBS BIT(3) /* set device bits FIS */
#define PIS_DPS BIT(5)  /* an entry of the table that asked for it was done */
#define PIS_PCS BIT(6)  /* SERR.DIAG.X */
#define PIS_PRCS BIT(22) /* SERR.DIAG.N */
#define PIS_OFS BIT(24) /* the table is shorter than the transfer */
#define PIS_HBFS BIT(29) /* host bus: no memory there */
#define PIS_TFES BIT(30)
/* PxCMD */
#define PCMD_ST BIT(0)
#define PCMD_CLO BIT(3)
#define PCMD_FRE BIT(4)
#define PCMD_FR BIT(14)
#define PCMD_CR BIT(15)

typedef struct Ahci Ahci;
typedef struct AhciPort AhciPort;

/* A command's place in memory: its table of physical regions, and how far that is used. */
typedef struct AhciTable {
    uint64_t header, table; /* addresses */
    uint32_t regions;       /* entries */
    uint32_t entry, offset; /* the next byte */
    uint32_t done;          /* bytes moved: PRDBC */
} AhciTable;

/* A queued command under way. */
typedef struct AhciQueued {
    AhciPort *port;
    AhciTable t;
    uint64_t pos, left;
    uint32_t piece;
    uint8_t tag;
    bool write, fua;
    BlockReq *req;
} AhciQueued;

struct AhciPort {
    Ahci *hba;
    char *name, *path;
    IdeBus bus;
    uint8_t number;
    /* registers */
    uint64_t clb, fb;
    uint32_t is, ie, cmd, tfd, sig, sctl, serr, sact, ci;
    /* the command that the drive has, by its slot; AHCI_NO_SLOT: none */
    uint8_t slot, next;
    bool pio_end;   /* the last block went in: a PIO setup FIS ended it */
    bool halted;    /* after an error, until ST is cleared */
    bool first_fis; /* the signature has not been put into memory */
    AhciTable t;
    /* not saved */
    bool pumping, again;
    AhciQueued *queued[SATA_TAGS];
};

/* ahci.c */
void ahci_raise(AhciPort *p, uint32_t bits); /* set bits of PxIS */
bool ahci_may_run(const AhciPort *p);        /* started, not halted, and may reach memory */
/* ahci-port.c */
extern const IdeDmaOps ahci_dma_ops; /* opaque: AhciPort */
void ahci_port_reset(AhciPort *p);   /* COMRESET, to its end */
void ahci_port_stop(AhciPort *p);    /* ST was cleared */
void ahci_port_run(AhciPort *p);     /* there may be a command, or room for a FIS */
/* ahci_table_copy - between @buf and the next bytes; what there was room for. Less than @len: the port halted. */
uint32_t ahci_table_copy(AhciPort *p, AhciTable *t, uint8_t *buf, uint32_t len, bool to_memory);
/* ahci_fis - put one into the guest's area, at @at. */
void ahci_fis(AhciPort *p, unsigned at, const uint8_t *fis, unsigned len);
void ahci_fatal(AhciPort *p, uint32_t bits);
/* ahci_answer - the register FIS that ends or accepts a command. */
void ahci_answer(AhciPort *p, bool interrupt);
/* ahci-ncq.c */
bool ahci_is_queued(uint8_t command);
void ahci_queue(AhciPort *p, unsigned slot, const AhciTable *t, const uint8_t *fis);
bool ahci_queue_busy(const AhciPort *p);
void ahci_queue_cancel(AhciPort *p);

#endif
