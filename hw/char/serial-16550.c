/*
 * 16550A UART.
 *
 * Source: National Semiconductor PC16550D data sheet (headings quoted). Characters leave at once
 * and not at the line's speed; the speed serves for the receiver's character timeout and for back
 * ends that are real lines. OUT2 does not gate the interrupt. The modem lines CTS, DSR and DCD are
 * always on. Not modelled: DMA mode signals.
 */
#include "hw/char/serial-16550.h"

#include "base/mem.h"
#include "bus/lock.h"
#include "chardev/chardev.h"

enum { UART_DATA = 0, UART_IER, UART_IIR_FCR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCR };

#define IER_RDA 0x01
#define IER_THRE 0x02
#define IER_LSR 0x04
#define IER_MSR 0x08
#define IIR_NONE 0x01
#define IIR_MSR 0x00
#define IIR_THRE 0x02
#define IIR_RDA 0x04
#define IIR_LSR 0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO 0xc0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RX 0x02
#define FCR_CLEAR_TX 0x04
#define LCR_DLAB 0x80
#define LCR_BREAK 0x40
#define LSR_DR 0x01
#define LSR_OE 0x02
#define LSR_FE 0x08
#define LSR_BI 0x10
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define LSR_FIFO_ERROR 0x80
#define MCR_LOOP 0x10
#define MSR_LINES 0xb0 /* CTS, DSR, DCD */

#define UART_RETRY_NS NS_PER_MS

static unsigned uart_depth(const Uart *u)
{
    return u->fcr & FCR_ENABLE ? UART_FIFO : 1;
}

/* "FIFO Control Register", bits 7:6 */
static unsigned uart_trigger(const Uart *u)
{
    static const uint8_t level[4] = { 1, 4, 8, 14 };

    return u->fcr & FCR_ENABLE ? level[u->fcr >> 6] : 1;
}

/* uart_char_ns - time of one character on the line. */
static int64_t uart_char_ns(const Uart *u)
{
    unsigned bits = 1 + 5 + (u->lcr & 3) + (u->lcr >> 3 & 1) + 1 + (u->lcr >> 2 & 1);
    unsigned div = u->divisor != 0 ? u->divisor : 1;

    return (int64_t)bits * div * NS_PER_SEC / 115200;
}

static uint8_t uart_lsr(const Uart *u)
{
    uint8_t v = 0;

    if (u->rx_count > 0) {
        v |= LSR_DR | u->rx_err[u->rx_head];
        for (unsigned i = 0; i < u->rx_count && (u->fcr & FCR_ENABLE); i++) {
            v |= u->rx_err[(u->rx_head + i) % UART_FIFO] ? LSR_FIFO_ERROR : 0;
        }
    }
    if (u->overrun) {
        v |= LSR_OE;
    }
    if (u->tx_count == 0) {
        v |= LSR_THRE | LSR_TEMT;
    }
    return v;
}

/* uart_iir - the pending interrupt of highest priority: data sheet, table "Interrupt Control". */
static uint8_t uart_iir(const Uart *u)
{
    if ((u->ier & IER_LSR) && (uart_lsr(u) & (LSR_OE | LSR_FE | LSR_BI | 0x04))) {
        return IIR_LSR;
    }
    if ((u->ier & IER_RDA) && u->rx_count >= uart_trigger(u)) {
        return IIR_RDA;
    }
    if ((u->ier & IER_RDA) && u->timeout && u->rx_count > 0) {
        return IIR_TIMEOUT;
    }
    if ((u->ier & IER_THRE) && u->thre_pending) {
        return IIR_THRE;
    }
    if ((u->ier & IER_MSR) && (u->msr & 0x0f)) {
        return IIR_MSR;
    }
    return IIR_NONE;
}

static void uart_update(Uart *u)
{
    irq_set(&u->irq, uart_iir(u) != IIR_NONE);
}

/* ---- receiver ---- */

static void uart_arm_timeout(Uart *u)
{
    u->timeout = false;
    if ((u->fcr & FCR_ENABLE) && u->rx_count > 0) {
        timer_arm(&u->rx_timer, clock_now(CLK_VIRTUAL) + 4 * uart_char_ns(u));
    } else {
        timer_cancel(&u->rx_timer);
    }
}

static void uart_rx_timeout(void *opaque)
{
    Uart *u = opaque;

    u->timeout = u->rx_count > 0;
    uart_update(u);
}

static void uart_push(Uart *u, uint8_t byte, uint8_t err)
{
    unsigned at;

    if (u->rx_count >= uart_depth(u)) {
        u->overrun = true; /* FIFO: the new one is lost; without: the old one */
        if (u->fcr & FCR_ENABLE) {
            return;
        }
        u->rx_count = 0;
    }
    at = (u->rx_head + u->rx_count) % UART_FIFO;
    u->rx[at] = byte;
    u->rx_err[at] = err;
    u->rx_count++;
}

static size_t uart_can_receive(void *opaque)
{
    Uart *u = opaque;
    unsigned depth = uart_depth(u);

    if (u->mcr & MCR_LOOP) {
        return 0; /* "the receiver serial input is disconnected" */
    }
    return u->rx_count < depth ? depth - u->rx_count : 0;
}

static void uart_receive(void *opaque, const uint8_t *buf, size_t len)
{
    Uart *u = opaque;

    for (size_t i = 0; i < len; i++) {
        uart_push(u, buf[i], 0);
    }
    uart_arm_timeout(u);
    uart_update(u);
}

static void uart_event(void *opaque, CharEvent ev)
{
    Uart *u = opaque;

    if (ev == CHAR_BREAK && !(u->mcr & MCR_LOOP)) {
        uart_push(u, 0, LSR_BI);
        uart_arm_timeout(u);
        uart_update(u);
    }
}

static const CharFront uart_front = {
    .can_receive = uart_can_receive, .receive = uart_receive, .event = uart_event,
};

static uint8_t uart_pop(Uart *u)
{
    uint8_t val;

    if (u->rx_count == 0) {
        return 0;
    }
    val = u->rx[u->rx_head];
    u->rx_err[u->rx_head] = 0;
    u->rx_head = (u->rx_head + 1) % UART_FIFO;
    u->rx_count--;
    uart_arm_timeout(u);
    if (u->rx_count == 0 && u->chr != NULL && !(u->mcr & MCR_LOOP)) {
        chardev_accept_input(u->chr);
    }
    uart_update(u);
    return val;
}

/* ---- transmitter ---- */

/* uart_flush - hand what waits to the back end; what it does not take is tried again. */
static void uart_flush(Uart *u)
{
    size_t n;

    if (u->tx_count == 0) {
        return;
    }
    n = chardev_write(u->chr, u->tx, u->tx_count);
    if (n < u->tx_count) {
        memmove(u->tx, u->tx + n, u->tx_count - n);
        u->tx_count -= (uint8_t)n;
        timer_arm(&u->tx_timer, clock_now(CLK_VIRTUAL) + UART_RETRY_NS);
    } else {
        u->tx_count = 0;
        u->thre_pending = true;
    }
}

static void uart_tx_retry(void *opaque)
{
    Uart *u = opaque;

    uart_flush(u);
    uart_update(u);
}

static void uart_transmit(Uart *u, uint8_t val)
{
    u->thre_pending = false;
    if (u->mcr & MCR_LOOP) {
        uart_push(u, val, 0);
        uart_arm_timeout(u);
        u->thre_pending = true;
    } else {
        if (u->tx_count < UART_FIFO) { /* a full one loses the character, as the silicon does */
            u->tx[u->tx_count++] = val;
        }
        uart_flush(u);
    }
    uart_update(u);
}

/* DTR and RTS; in loop mode the pins are high, "Modem Control Register". */
static void uart_set_outputs(Uart *u)
{
    uint8_t out = u->mcr & MCR_LOOP ? 0 : u->mcr & 3;

    if (u->chr != NULL) {
        chardev_set_lines(u->chr, (out & 1) != 0, (out & 2) != 0);
    }
}

/* ---- registers ---- */

/* uart_set_lines - new levels of the modem inputs (MSR 7:4), with their delta bits. */
static void uart_set_lines(Uart *u, uint8_t lines)
{
    uint8_t old = u->msr, changed = (old ^ lines) & 0xf0;
    uint8_t delta = changed >> 4 & 0x0b; /* DCTS, DDSR, DDCD */

    if ((changed & 0x40) && !(lines & 0x40)) {
        delta |= 0x04; /* TERI: trailing edge of RI only */
    }
    u->msr = (uint8_t)(lines | (old & 0x0f) | delta);
}

/* "Modem Control Register", bit 4: the four outputs are connected to the four inputs. */
static uint8_t uart_lines(const Uart *u)
{
    if (!(u->mcr & MCR_LOOP)) {
        return MSR_LINES;
    }
    return (uint8_t)((u->mcr & 0x02) << 3 | (u->mcr & 0x01) << 5 | (u->mcr & 0x0c) << 4);
}

static void uart_write_fcr(Uart *u, uint8_t val)
{
    if ((val ^ u->fcr) & FCR_ENABLE) {
        val |= FCR_CLEAR_RX | FCR_CLEAR_TX; /* a change of mode clears both */
    }
    u->fcr = val & FCR_ENABLE ? val & 0xc9 : 0;
    if (val & FCR_CLEAR_RX) {
        u->rx_count = 0;
        u->rx_head = 0;
        memset(u->rx_err, 0, sizeof(u->rx_err));
        u->overrun = false;
        if (u->chr != NULL) {
            chardev_accept_input(u->chr);
        }
    }
    if ((val & FCR_CLEAR_TX) && u->tx_count > 0) {
        u->tx_count = 0;
        u->thre_pending = true;
        timer_cancel(&u->tx_timer);
    }
    uart_arm_timeout(u);
    uart_update(u);
}

static void uart_set_params(Uart *u)
{
    unsigned div = u->divisor != 0 ? u->divisor : 1;
    char parity = u->lcr & 0x08 ? (u->lcr & 0x10 ? 'E' : 'O') : 'N';

    if (u->chr != NULL) {
        chardev_set_params(u->chr, 115200 / div, parity, 5u + (u->lcr & 3),
                           1u + (u->lcr >> 2 & 1));
    }
}

static void uart_write_lcr(Uart *u, uint8_t val)
{
    uint8_t changed = u->lcr ^ val;

    u->lcr = val;
    if (changed & LCR_BREAK) {
        if (u->mcr & MCR_LOOP) {
            if (val & LCR_BREAK) {
                uart_push(u, 0, LSR_BI);
                uart_update(u);
            }
        } else if (u->chr != NULL) {
            chardev_set_break(u->chr, (val & LCR_BREAK) != 0);
        }
    }
    if (changed & 0x3f) {
        uart_set_params(u);
    }
}

static void uart_write_ier(Uart *u, uint8_t val)
{
    /* THRE is an interrupt as soon as it is enabled while the holding register is empty */
    if ((val & IER_THRE) && !(u->ier & IER_THRE) && u->tx_count == 0) {
        u->thre_pending = true;
    }
    u->ier = val & 0x0f;
    uart_update(u);
}

static void uart_write_mcr(Uart *u, uint8_t val)
{
    bool was_loop = (u->mcr & MCR_LOOP) != 0;

    u->mcr = val & 0x1f;
    uart_set_outputs(u);
    uart_set_lines(u, uart_lines(u));
    uart_update(u);
    if (was_loop && !(val & MCR_LOOP) && u->chr != NULL) {
        chardev_accept_input(u->chr);
    }
}

void uart_write(Uart *u, unsigned reg, uint8_t val)
{
    switch (reg & 7) {
    case UART_DATA:
        if (u->lcr & LCR_DLAB) {
            u->divisor = (u->divisor & 0xff00) | val;
            uart_set_params(u);
        } else {
            uart_transmit(u, val);
        }
        break;
    case UART_IER:
        if (u->lcr & LCR_DLAB) {
            u->divisor = (uint16_t)((u->divisor & 0xff) | val << 8);
            uart_set_params(u);
        } else {
            uart_write_ier(u, val);
        }
        break;
    case UART_IIR_FCR:
        uart_write_fcr(u, val);
        break;
    case UART_LCR:
        uart_write_lcr(u, val);
        break;
    case UART_MCR:
        uart_write_mcr(u, val);
        break;
    case UART_SCR:
        u->scr = val;
        break;
    default: /* LSR and MSR: factory tests only */
        break;
    }
}

static uint8_t uart_read_iir(Uart *u)
{
    uint8_t val = uart_iir(u);

    if (val == IIR_THRE) { /* reading IIR resets this source */
        u->thre_pending = false;
        uart_update(u);
    }
    return val | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

uint8_t uart_read(Uart *u, unsigned reg)
{
    uint8_t val;

    switch (reg & 7) {
    case UART_DATA:
        return u->lcr & LCR_DLAB ? (uint8_t)u->divisor : uart_pop(u);
    case UART_IER:
        return u->lcr & LCR_DLAB ? (uint8_t)(u->divisor >> 8) : u->ier;
    case UART_IIR_FCR:
        return uart_read_iir(u);
    case UART_LCR:
        return u->lcr;
    case UART_MCR:
        return u->mcr;
    case UART_LSR: /* "OE, PE, FE, BI are reset whenever the CPU reads the LSR" */
        val = uart_lsr(u);
        u->overrun = false;
        u->rx_err[u->rx_head] = 0;
        uart_update(u);
        return val;
    case UART_MSR:
        val = u->msr;
        u->msr &= 0xf0;
        uart_update(u);
        return val;
    default:
        return u->scr;
    }
}

/* "Master Reset" */
void uart_reset(Uart *u)
{
    u->divisor = 12; /* 9600, as firmware leaves it; the data sheet leaves it undefined */
    u->ier = 0;
    u->lcr = 0;
    u->mcr = 0;
    uart_set_outputs(u);
    u->fcr = 0;
    u->scr = 0;
    u->msr = MSR_LINES;
    u->rx_head = 0;
    u->rx_count = 0;
    memset(u->rx_err, 0, sizeof(u->rx_err));
    u->tx_count = 0;
    u->overrun = false;
    u->thre_pending = false;
    u->timeout = false;
    timer_cancel(&u->rx_timer);
    timer_cancel(&u->tx_timer);
    uart_update(u);
}

void uart_post_load(Uart *u)
{
    u->rx_head %= UART_FIFO;
    u->rx_count = MIN(u->rx_count, (uint8_t)UART_FIFO);
    u->tx_count = MIN(u->tx_count, (uint8_t)UART_FIFO);
}

bool uart_init(Uart *u, Chardev *chr, IrqLine irq, struct Error **errp)
{
    u->irq = irq;
    timer_init(&u->rx_timer, CLK_VIRTUAL, uart_rx_timeout, u, &machine_lock_guard);
    timer_init(&u->tx_timer, CLK_VIRTUAL, uart_tx_retry, u, &machine_lock_guard);
    u->chr = chr;
    return chr == NULL || chardev_attach(chr, &uart_front, u, errp);
}

void uart_fini(Uart *u)
{
    timer_cancel(&u->rx_timer);
    timer_cancel(&u->tx_timer);
    if (u->chr != NULL) {
        chardev_detach(u->chr, u);
    }
}

const StateField uart_fields[] = {
    STATE_U16(Uart, divisor), STATE_U8(Uart, ier), STATE_U8(Uart, lcr), STATE_U8(Uart, mcr),
    STATE_U8(Uart, scr), STATE_U8(Uart, fcr), STATE_U8(Uart, msr), STATE_BYTES(Uart, rx),
    STATE_BYTES(Uart, rx_err), STATE_U8(Uart, rx_head), STATE_U8(Uart, rx_count),
    STATE_BYTES(Uart, tx), STATE_U8(Uart, tx_count), STATE_BOOL(Uart, overrun),
    STATE_BOOL(Uart, thre_pending), STATE_BOOL(Uart, timeout), STATE_TIMER(Uart, rx_timer),
    STATE_TIMER(Uart, tx_timer), STATE_END,
};
