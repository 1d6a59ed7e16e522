/*
 * The e1000's EEPROM (a 93C46 with 64 words, by its wires and by EERD) and its PHY (by MDIC).
 * Sources: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, "EEPROM Interface",
 * "PHY Functionality and Features"; National Semiconductor NM93C46 data sheet; IEEE 802.3, clause 22.
 * The EEPROM cannot be written.
 */
#include "hw/net/e1000.h"

#include "base/mem.h"

#define EECD_SK 0x01u
#define EECD_CS 0x02u
#define EECD_DI 0x04u
#define EECD_DO 0x08u
#define EECD_FWE_DIS 0x10u
#define EECD_REQ 0x40u
#define EECD_GNT 0x80u
#define EECD_PRES 0x100u
#define EECD_WRITABLE (EECD_SK | EECD_CS | EECD_DI | 0x30u | EECD_REQ)

#define EERD_START 0x01u
#define EERD_DONE 0x10u

enum { EE_CMD_BITS = 9, EE_READ = 6 }; /* start bit, opcode, six bits of address */
enum { EE_CHECKSUM = 0x3f, EE_SUM = 0xbaba };

/* ---- EEPROM ---- */

void e1000_eeprom_init(E1000 *s, uint16_t id)
{
    static const uint16_t image[E1000_EEPROM_WORDS] = {
        [0x05] = 0xffff, [0x06] = 0xffff, [0x07] = 0xffff,
        [0x08] = 0x3000, [0x09] = 0x1000, /* "PBA number" */
        [0x0a] = 0x6403,                  /* "Initialization Control Word 1" */
        [0x0b] = 0x1100, [0x0c] = 0x1af4, [0x0e] = 0x8086,
        [0x0f] = 0x9680, [0x20] = 0x0000, [0x21] = 0x7061, [0x24] = 0x1008,
    };
    uint16_t sum = 0;

    memcpy(s->eeprom, image, sizeof(image));
    s->eeprom[0x0d] = id;
    for (unsigned n = 0; n < 3; n++) {
        s->eeprom[n] = ld_le16(s->nic.mac + 2 * n);
    }
    for (unsigned n = 0; n < EE_CHECKSUM; n++) {
        sum = (uint16_t)(sum + s->eeprom[n]);
    }
    s->eeprom[EE_CHECKSUM] = (uint16_t)(EE_SUM - sum);
}

void e1000_eeprom_reset(E1000 *s)
{
    *e1000_reg(s, E1000_EECD) = EECD_FWE_DIS;
    s->ee_in = s->ee_out = 0;
    s->ee_cmd = 0;
    s->ee_reading = false;
}

/* The bit at DO: after the command a zero, then the words from the address on, highest bit first. */
static bool ee_do(const E1000 *s)
{
    unsigned word = (s->ee_cmd + (s->ee_out - 1u) / 16) % E1000_EEPROM_WORDS;

    if (!s->ee_reading) {
        return true; /* ready */
    }
    return s->ee_out != 0 && (s->eeprom[word] >> (15 - (s->ee_out - 1u) % 16) & 1);
}

/* ee_clock - SK has risen while CS is high. */
static void ee_clock(E1000 *s, bool di)
{
    if (s->ee_reading) {
        s->ee_out++;
        if (s->ee_out > 16) { /* the next word */
            s->ee_out = 1;
            s->ee_cmd = (uint16_t)((s->ee_cmd + 1u) % E1000_EEPROM_WORDS);
        }
        return;
    }
    if (s->ee_in == 0 && !di) {
        return; /* waits for the start bit */
    }
    s->ee_cmd = (uint16_t)(s->ee_cmd << 1 | di);
    if (++s->ee_in < EE_CMD_BITS) {
        return;
    }
    s->ee_reading = s->ee_cmd >> 6 == EE_READ;
    s->ee_cmd &= E1000_EEPROM_WORDS - 1;
    s->ee_in = s->ee_out = 0;
}

uint32_t e1000_eecd_read(E1000 *s)
{
    uint32_t val = *e1000_reg(s, E1000_EECD) | EECD_PRES;

    val |= val & EECD_REQ ? EECD_GNT : 0;
    return val | (ee_do(s) ? EECD_DO : 0);
}

void e1000_eecd_write(E1000 *s, uint32_t val)
{
    uint32_t *reg = e1000_reg(s, E1000_EECD), old = *reg;

    *reg = val & EECD_WRITABLE;
    if (!(val & EECD_CS)) {
        s->ee_in = s->ee_out = 0;
        s->ee_cmd = 0;
        s->ee_reading = false;
    } else if ((val & EECD_SK) && !(old & EECD_SK)) {
        ee_clock(s, val & EECD_DI);
    }
}

void e1000_eerd_write(E1000 *s, uint32_t val)
{
    uint32_t word = val >> 8 & 0xff;

    if (val & EERD_START) {
        val = (val & 0xff00u) | EERD_DONE | (uint32_t)(word < E1000_EEPROM_WORDS ? s->eeprom[word] : 0) << 16;
    }
    *e1000_reg(s, E1000_EERD) = val;
}

/* ---- PHY ---- */

enum { PHY_ADDRESS = 1, PHY_CTRL = 0, PHY_STATUS = 1, PHY_PARTNER = 5, PHY_EXPANSION = 6, PHY_1000_STATUS = 10,
       PHY_SPEC_STATUS = 17, PHY_INT_STATUS = 19 };
#define PHY_CTRL_RESET 0x8000u
#define PHY_CTRL_RESTART 0x0200u
#define PHY_STATUS_LINK 0x0004u
#define PHY_STATUS_DONE 0x0020u
#define PHY_SPEC_UP 0xac00u /* 1000 Mb/s, full duplex, resolved, link */
#define MDIC_READ 0x08000000u
#define MDIC_WRITE 0x04000000u
#define MDIC_READY 0x10000000u
#define MDIC_INT 0x20000000u
#define MDIC_ERROR 0x40000000u

/* Writable bits of each register; the others read as in phy_initial. */
static const uint16_t phy_writable[E1000_PHY_REGS] = {
    [0] = 0x7fff & ~PHY_CTRL_RESTART, [4] = 0xffff, [7] = 0xffff, [9] = 0xffff, [16] = 0xffff, [18] = 0xffff,
    [20] = 0xffff, [24] = 0xffff, [29] = 0xffff, [30] = 0xffff,
};
static const uint16_t phy_initial[E1000_PHY_REGS] = {
    [0] = 0x1140, [1] = 0x7949, [2] = 0x0141, [3] = 0x0c20, [4] = 0x0de1, [5] = 0x45e1, [6] = 0x0001, [7] = 0x2001,
    [9] = 0x0e00, [10] = 0x3c00, [15] = 0x3000, [16] = 0x0360, [20] = 0x0d60,
};

void e1000_link(E1000 *s)
{
    bool up = net_link(&s->nic.port);
    uint32_t *status = e1000_reg(s, E1000_STATUS);

    s->phy[PHY_STATUS] = (uint16_t)(phy_initial[PHY_STATUS] | (up ? PHY_STATUS_LINK | PHY_STATUS_DONE : 0));
    s->phy[PHY_SPEC_STATUS] = up ? PHY_SPEC_UP : 0;
    s->phy[PHY_PARTNER] = up ? phy_initial[PHY_PARTNER] : 0;
    s->phy[PHY_1000_STATUS] = up ? phy_initial[PHY_1000_STATUS] : 0;
    *status = up ? *status | E1000_STATUS_LU : *status & ~E1000_STATUS_LU;
}

void e1000_phy_reset(E1000 *s)
{
    memcpy(s->phy, phy_initial, sizeof(s->phy));
    e1000_link(s);
}

static void phy_write(E1000 *s, unsigned reg, uint16_t val)
{
    if (reg == PHY_CTRL && (val & PHY_CTRL_RESET)) {
        e1000_phy_reset(s);
        return;
    }
    s->phy[reg] = (uint16_t)((s->phy[reg] & ~phy_writable[reg]) | (val & phy_writable[reg]));
    if (reg == PHY_CTRL && (val & PHY_CTRL_RESTART)) { /* auto-negotiation takes no time here */
        e1000_link(s);
        e1000_raise(s, E1000_INT_LSC);
    }
}

void e1000_mdic_write(E1000 *s, uint32_t val)
{
    unsigned reg = val >> 16 & 31, phy = val >> 21 & 31;
    uint32_t result = val & ~MDIC_ERROR;

    if (phy != PHY_ADDRESS || !(val & (MDIC_READ | MDIC_WRITE))) {
        result |= MDIC_ERROR;
    } else if (val & MDIC_READ) {
        result = (result & 0xffff0000u) | s->phy[reg];
        if (reg == PHY_INT_STATUS) {
            s->phy[reg] = 0;
        }
    } else {
        phy_write(s, reg, (uint16_t)val);
    }
    *e1000_reg(s, E1000_MDIC) = result | MDIC_READY;
    if (val & MDIC_INT) {
        e1000_raise(s, E1000_INT_MDAC);
    }
}
