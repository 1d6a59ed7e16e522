/*
 * Intel 82540EM and 82545EM: their state, shared by registers (e1000.c), EEPROM and PHY (e1000-phy.c) and frames (e1000-ring.c).
 */
#ifndef HW_NET_E1000_H
#define HW_NET_E1000_H

#include "base/clock.h"
#include "bus/memory.h"
#include "hw/net/nic.h"

/* "Register Descriptions" */
enum {
    E1000_CTRL = 0x0000, E1000_STATUS = 0x0008, E1000_EECD = 0x0010, E1000_EERD = 0x0014, E1000_CTRL_EXT = 0x0018,
    E1000_FLA = 0x001c, E1000_MDIC = 0x0020, E1000_FCAL = 0x0028, E1000_FCAH = 0x002c, E1000_FCT = 0x0030,
    E1000_VET = 0x0038, E1000_ICR = 0x00c0, E1000_ITR = 0x00c4, E1000_ICS = 0x00c8, E1000_IMS = 0x00d0,
    E1000_IMC = 0x00d8, E1000_RCTL = 0x0100, E1000_FCTTV = 0x0170, E1000_TXCW = 0x0178, E1000_RXCW = 0x0180,
    E1000_TCTL = 0x0400, E1000_TIPG = 0x0410, E1000_AIFS = 0x0458, E1000_LEDCTL = 0x0e00, E1000_PBA = 0x1000,
    E1000_FCRTL = 0x2160, E1000_FCRTH = 0x2168,
    E1000_RDBAL = 0x2800, E1000_RDBAH = 0x2804, E1000_RDLEN = 0x2808, E1000_RDH = 0x2810, E1000_RDT = 0x2818,
    E1000_RDTR = 0x2820, E1000_RXDCTL = 0x2828, E1000_RADV = 0x282c, E1000_RSRPD = 0x2c00,
    E1000_TDFH = 0x3410, E1000_TDFPC = 0x3430,
    E1000_TDBAL = 0x3800, E1000_TDBAH = 0x3804, E1000_TDLEN = 0x3808, E1000_TDH = 0x3810, E1000_TDT = 0x3818,
    E1000_TIDV = 0x3820, E1000_TXDCTL = 0x3828, E1000_TADV = 0x382c, E1000_TSPMT = 0x3830,
    E1000_STATS = 0x4000, E1000_STATS_END = 0x4100,
    E1000_MPC = 0x4010, E1000_PRC64 = 0x405c, E1000_GPRC = 0x4074, E1000_BPRC = 0x4078, E1000_MPRC = 0x407c,
    E1000_GPTC = 0x4080, E1000_GORCL = 0x4088, E1000_GOTCL = 0x4090, E1000_RNBC = 0x40a0, E1000_RUC = 0x40a4,
    E1000_ROC = 0x40ac, E1000_TORL = 0x40c0, E1000_TOTL = 0x40c8, E1000_TPR = 0x40d0, E1000_TPT = 0x40d4,
    E1000_PTC64 = 0x40d8, E1000_MPTC = 0x40f0, E1000_BPTC = 0x40f4, E1000_TSCTC = 0x40f8,
    E1000_RXCSUM = 0x5000, E1000_MTA = 0x5200, E1000_RA = 0x5400, E1000_RA_END = 0x5480, E1000_VFTA = 0x5600,
    E1000_VFTA_END = 0x5800, E1000_WUC = 0x5800, E1000_WUFC = 0x5808, E1000_WUS = 0x5810, E1000_MANC = 0x5820,
    E1000_IPAV = 0x5838, E1000_REGS_END = 0x5a00,
    E1000_PBM = 0x10000, E1000_BAR_SIZE = 0x20000, E1000_IO_SIZE = 64,
};

#define E1000_CTRL_SLU 0x00000040u
#define E1000_CTRL_RST 0x04000000u
#define E1000_CTRL_VME 0x40000000u
#define E1000_CTRL_PHY_RST 0x80000000u
#define E1000_STATUS_LU 0x2u

/* "Interrupt Cause Read Register" */
#define E1000_INT_TXDW 0x0001u
#define E1000_INT_TXQE 0x0002u
#define E1000_INT_LSC 0x0004u
#define E1000_INT_RXDMT0 0x0010u
#define E1000_INT_RXO 0x0040u
#define E1000_INT_RXT0 0x0080u
#define E1000_INT_MDAC 0x0200u
#define E1000_INT_TXD_LOW 0x8000u

#define E1000_RCTL_EN 0x00000002u
#define E1000_TCTL_EN 0x2u

enum { E1000_EEPROM_WORDS = 64, E1000_PHY_REGS = 32, E1000_TX_MAX = 65536 + 256 };

typedef struct E1000 {
    PciDevice pci; /* first member */
    Nic nic;
    uint32_t regs[E1000_REGS_END / 4];
    uint16_t phy[E1000_PHY_REGS];
    uint16_t eeprom[E1000_EEPROM_WORDS]; /* constant after realize */
    uint32_t io_addr;
    /* the EEPROM's wires: what was shifted in, how many bits, what is shifted out */
    uint8_t ee_in, ee_out;
    uint16_t ee_cmd;
    bool ee_reading;
    /* a frame that is being collected from descriptors */
    uint32_t tx_len;
    bool tx_bad;                     /* too long: dropped at its end */
    uint8_t tx_popts;                /* of its first descriptor */
    uint16_t tx_special;
    uint32_t tx_ctx[2][4];           /* contexts: [0] for sums, [1] for segments */
    uint8_t tx_buf[E1000_TX_MAX];
    Timer tx_more;                   /* goes on with a long ring */
    /* interrupts that wait: "Interrupt Throttling", "Receive Interrupt Delay Timer", ... */
    Timer itr, rx_delay, tx_delay;
    int64_t rx_first, tx_first;      /* when the first event that waits came */
    bool tx_stopped;                 /* the peer does not keep up */
    bool level;
    /* wiring */
    IoRegion mmio, io;
} E1000;

static inline uint32_t *e1000_reg(E1000 *s, uint32_t offset)
{
    return &s->regs[offset / 4];
}

/* e1000_raise - causes have come up. e1000_update_irq - drive the line. */
void e1000_raise(E1000 *s, uint32_t causes);
void e1000_update_irq(E1000 *s);

/* ---- e1000-phy.c ---- */
/* e1000_eeprom_init - from realize; @id is the PCI device ID. */
void e1000_eeprom_init(E1000 *s, uint16_t id);
void e1000_eeprom_reset(E1000 *s);
void e1000_phy_reset(E1000 *s);
uint32_t e1000_eecd_read(E1000 *s);
void e1000_eecd_write(E1000 *s, uint32_t val);
void e1000_eerd_write(E1000 *s, uint32_t val);
void e1000_mdic_write(E1000 *s, uint32_t val);
/* e1000_link - STATUS and PHY follow the port's link. */
void e1000_link(E1000 *s);

/* ---- e1000-ring.c ---- */
void e1000_transmit(E1000 *s);
bool e1000_can_receive(void *opaque, size_t len);
void e1000_receive(void *opaque, const uint8_t *frame, size_t len);
/* e1000_count - add to a counter, which stops at its highest value; 64-bit ones have two registers. */
void e1000_count(E1000 *s, uint32_t offset, uint32_t n);
void e1000_count64(E1000 *s, uint32_t offset, uint32_t n);

#endif
