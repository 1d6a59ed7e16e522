/*
 * virtio-serial: between the device (virtio-serial.c) and what is plugged into it (virtio-serial-port.c).
 * Source: VIRTIO 1.2, 5.3 "Console Device".
 */
#ifndef HW_VIRTIO_VIRTIO_SERIAL_H
#define HW_VIRTIO_VIRTIO_SERIAL_H

#include "bus/device.h"
#include "hw/virtio/virtio.h"

struct Chardev;

enum { VSERIAL_PORTS = 31 };

typedef struct VirtioSerial VirtioSerial;

typedef struct VirtSerialPort {
    Device dev; /* first member */
    VirtioSerial *serial; /* NULL: not plugged in */
    bool console;
    /* properties */
    struct Chardev *chr;
    char *bus_name, *name;
    uint32_t nr;
} VirtSerialPort;

struct VirtioSerial {
    VirtioDevice virtio; /* first member */
    /* what the driver sees of ports, by number */
    uint8_t pending[VSERIAL_PORTS + 1]; /* messages that wait for a buffer: bits of virtio-serial.c */
    uint32_t guest_open, host_open;     /* bits */
    uint32_t sent[VSERIAL_PORTS + 1];   /* bytes of the first waiting buffer that the host has taken */
    bool ready;                         /* the driver knows of ports */
    Timer retry;                        /* a host's end was full, or the machine stood still */
    /* wiring */
    VirtSerialPort *ports[VSERIAL_PORTS + 1];
    char *bus_name;
    /* property */
    uint32_t max_ports;
};

/* vserial_join - @p takes its number, or the first that is free. vserial_leave - it is gone. */
bool vserial_join(VirtioSerial *s, VirtSerialPort *p, struct Error **errp);
void vserial_leave(VirtSerialPort *p);
/* vserial_host_open - somebody is at the host's end, or not any more. */
void vserial_host_open(VirtSerialPort *p, bool open);
/* vserial_room, vserial_give - for the host's bytes: those that fit into the driver's next buffer. */
size_t vserial_room(VirtSerialPort *p);
void vserial_give(VirtSerialPort *p, const uint8_t *buf, size_t len);

#endif
