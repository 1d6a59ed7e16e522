/*
 * UHCI host controller: its state, shared by registers and clock (uhci.c) and the schedule (uhci-schedule.c).
 */
#ifndef HW_USB_UHCI_H
#define HW_USB_UHCI_H

#include "base/clock.h"
#include "bus/memory.h"
#include "hw/pci/pci.h"
#include "hw/usb/usb.h"

enum { UHCI_PORTS = 2 };
#define UHCI_FRAME NS_PER_MS

/* "USB Command Register" */
#define UHCI_CMD_RS 0x0001
#define UHCI_CMD_EGSM 0x0008
/* "USB Status Register" */
#define UHCI_STS_INT 0x01
#define UHCI_STS_ERROR 0x02
#define UHCI_STS_RESUME 0x04
#define UHCI_STS_SYSTEM_ERROR 0x08
#define UHCI_STS_PROCESS_ERROR 0x10
#define UHCI_STS_HALTED 0x20
/* Why UHCI_STS_INT is set. */
#define UHCI_CAUSE_IOC 0x01
#define UHCI_CAUSE_SHORT 0x02
/* "Port Status and Control" */
#define UHCI_PORT_ENABLED 0x0004
#define UHCI_PORT_RESET 0x0200
#define UHCI_PORT_SUSPENDED 0x1000

typedef struct Uhci {
    PciDevice pci; /* first member */
    uint16_t cmd, sts, intr, frnum;
    uint8_t cause; /* UHCI_CAUSE_* */
    uint8_t sofmod;
    uint32_t flbase;
    uint16_t portsc[UHCI_PORTS];
    int64_t next;  /* CLK_VIRTUAL: when frame `frnum` begins, while it runs */
    uint16_t idle; /* frames in a row in which nothing happened */
    Timer timer;
    /* wiring */
    UsbBus bus;
    UsbPort port[UHCI_PORTS];
    IoRegion io;
} Uhci;

/* uhci_frame - work through the schedule of frame `frnum`; whether anything but polling happened. Errors and
 * causes are in the registers then, the line is not driven. */
bool uhci_frame(Uhci *s);

#endif
