/*
 * AMD Am79C970A PCnet-PCI II: its state, shared by registers (pcnet.c) and frames (pcnet-ring.c).
 *
 * Source: Am79C970A PCnet-PCI II data sheet (headings quoted).
 */
#ifndef HW_NET_PCNET_H
#define HW_NET_PCNET_H

#include "base/clock.h"
#include "bus/memory.h"
#include "hw/net/nic.h"

enum { PCNET_CSRS = 128, PCNET_BCRS = 32, PCNET_IO_SIZE = 32, PCNET_APROM = 16, PCNET_TX_MAX = 4096, PCNET_FCS = 4 };

/* "CSR0: PCnet-PCI II Controller Status Register" */
#define PCNET_INIT 0x0001u
#define PCNET_STRT 0x0002u
#define PCNET_STOP 0x0004u
#define PCNET_TDMD 0x0008u
#define PCNET_TXON 0x0010u
#define PCNET_RXON 0x0020u
#define PCNET_IENA 0x0040u
#define PCNET_INTR 0x0080u
#define PCNET_IDON 0x0100u
#define PCNET_TINT 0x0200u
#define PCNET_RINT 0x0400u
#define PCNET_MERR 0x0800u
#define PCNET_MISS 0x1000u
#define PCNET_CERR 0x2000u
#define PCNET_BABL 0x4000u
#define PCNET_ERR 0x8000u
/* "CSR3" */
#define PCNET_BSWP 0x0004u
#define PCNET_DXSUFLO 0x0040u
/* "CSR4" */
#define PCNET_TXSTRT 0x0008u
#define PCNET_MFCO 0x0200u
#define PCNET_ASTRP_RCV 0x0400u
#define PCNET_APAD_XMT 0x0800u
#define PCNET_DPOLL 0x1000u
/* "CSR5" */
#define PCNET_SPND 0x0001u
#define PCNET_LTINTEN 0x4000u
#define PCNET_TOKINTD 0x8000u
/* "CSR15: Mode" */
#define PCNET_DRX 0x0001u
#define PCNET_DTX 0x0002u
#define PCNET_LOOP 0x0004u
#define PCNET_DXMTFCS 0x0008u
#define PCNET_DRCVPA 0x2000u
#define PCNET_DRCVBC 0x4000u
#define PCNET_PROM 0x8000u
#define PCNET_RPA 0x0008u /* "CSR124: Test Register" */

/* Control and status registers by what they hold, where that is used. */
enum { CSR_IADRL = 1, CSR_IADRH = 2, CSR_MASKS = 3, CSR_TEST = 4, CSR_EXT = 5, CSR_LENGTHS = 6, CSR_LADRF = 8, CSR_PADR = 12,
       CSR_MODE = 15, CSR_BADR = 24, CSR_BADX = 30, CSR_POLLINT = 47, CSR_SWS = 58, CSR_RCVRC = 72, CSR_XMTRC = 74,
       CSR_RCVRL = 76, CSR_XMTRL = 78, CSR_DMATC = 80, CSR_ID_LOW = 88, CSR_ID_HIGH = 89, CSR_MERRTO = 100,
       CSR_MFC = 112, CSR_TEST2 = 124 };

typedef struct Pcnet {
    PciDevice pci; /* first member */
    Nic nic;
    uint16_t csr[PCNET_CSRS], bcr[PCNET_BCRS];
    uint8_t rap;
    uint8_t aprom[PCNET_APROM];
    /* rings: lengths and the descriptor whose turn it is */
    uint16_t rx_len, tx_len, rx_at, tx_at;
    uint8_t idle_polls; /* without finding anything: the next ones come later */
    bool tx_stopped;    /* the peer does not keep up */
    bool dwio;          /* registers are 32 bits wide */
    /* a frame that is being collected */
    bool tx_begun, tx_add_fcs, tx_wants_int;
    uint32_t tx_bytes;
    uint8_t tx_buf[PCNET_TX_MAX];
    Timer poll;
    /* wiring */
    IoRegion io, mmio;
} Pcnet;

/* pcnet_raise - events of CSR0. pcnet_update_irq - INTR, and the line. */
void pcnet_raise(Pcnet *s, uint16_t events);
void pcnet_update_irq(Pcnet *s);

/* ---- pcnet-ring.c ---- */

/* pcnet_initialize - "Initialization": read the block that CSR1 and CSR2 name. */
void pcnet_initialize(Pcnet *s);
/* pcnet_transmit - look at the transmit ring; @polled: nobody asked. */
void pcnet_transmit(Pcnet *s, bool polled);
void pcnet_schedule_poll(Pcnet *s);
bool pcnet_can_receive(void *opaque, size_t len);
void pcnet_receive(void *opaque, const uint8_t *frame, size_t len);

#endif
