/*
 * SummaSketch graphics tablet of Summagraphics' MM series (MM1201: 12 by 12 inches), on a serial line; the
 * pointer of whoever looks at the screen is its stylus.
 *
 * A line of 9600 baud, 8 data bits, odd parity; on any other it understands nothing and stays silent. A
 * command is a letter, some with operands behind it; what is unknown is answered with silence.
 *
 *   00h reset          @ stream  A point  B remote request (P asks for a report)
 *   E delta  F absolute          b origin upper left  c lower left
 *   d e f g h i j q l n p  lines per inch     Q R S T  reports a second     I x  increment, x - 20h lines
 *   r 4 bytes  size of the area in lines      0 1  tablet id     k echo    t w self-test and its result
 *   a send configuration         z? firmware     zb binary reports     : 7Fh model (Genius' addition)
 *
 * A report is 5 bytes: flags (bit 7 set, 6 out of proximity, 5 tablet id, 4 and 3 signs, 2-0 buttons), X and Y by
 * 7 bits, low part first. In delta mode 3: flags with the signs (set: positive), dX, dY.
 *
 * Sources: MM II 1201 User's Guide, chapters 1 and 4; what gpm's type "summa" and X.Org's driver send and
 * read. Not modelled: reports while nothing moves, ASCII reports, other line settings by z commands.
 */
#include "chardev/backends.h"

#include <stdlib.h>
#include "base/error.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "bus/state.h"
#include "chardev/registry.h"
#include "hw/input/input.h"

enum { INCHES = 12, LPI = 500, RATE = 120 };
enum { BORDER_GPM = 100, MAX_LINES = 16383 }; /* 14 bits */
enum { DELTA_MAX = 127 };
enum { FLAG_REPORT = 0x80, FLAG_ID = 0x20, FLAG_X_POSITIVE = 0x10, FLAG_Y_POSITIVE = 8 };

typedef enum SummaMode {
    SUMMA_REQUEST, /* reports when asked; also before any command came */
    SUMMA_STREAM,
    SUMMA_POINT, /* when a button goes down */
} SummaMode;

typedef struct Summa {
    Chardev *chr;
    InputSink sink;      /* machine lock */
    Timer timer;         /* until the next report may go */
    Inbox out;           /* lock, as all below */
    unsigned x, y, buttons; /* 0 to INPUT_POINT_MAX */
    unsigned sent_x, sent_y, sent_buttons; /* lines; of the last report */
    bool line_ok, hears; /* 9600 8O1; DTR is on */
    bool awake;          /* the guest gave a mode: it comes first among the mice */
    bool binary;         /* zb came since the last reset or B */
    bool told;           /* a report was sent since */

    SummaMode mode;
    bool delta, lower_left, id, echo;
    unsigned max_x, max_y, rate, increment, border;
    uint8_t operand[5], operand_len, operand_need; /* command and operands so far */
    uint8_t before; /* the command before this one */
} Summa;

static void power_on(Summa *s)
{
    s->mode = SUMMA_REQUEST;
    s->delta = s->id = s->echo = s->binary = s->told = false;
    s->lower_left = true;
    s->max_x = s->max_y = INCHES * LPI;
    s->rate = RATE;
    s->increment = s->border = 0;
    s->operand_need = s->operand_len = s->before = 0;
}

/* ---- reports ---- */

/* lines - a coordinate in lines per inch. gpm leaves out a border of its own on each side: it gets the
 * screen inside of that. */
static unsigned lines(const Summa *s, unsigned at, unsigned max, bool flip)
{
    unsigned border = MIN(s->border, max / 2);
    unsigned v = border + (unsigned)((uint64_t)at * (max - 2 * border) / INPUT_POINT_MAX);

    return flip ? max - v : v;
}

static uint8_t flags(const Summa *s)
{
    return (uint8_t)(FLAG_REPORT | (s->id ? FLAG_ID : 0) | (s->buttons & 7));
}

static void put_pair(uint8_t *p, unsigned v)
{
    p[0] = v & 0x7f;
    p[1] = v >> 7 & 0x7f;
}

static unsigned pair(const uint8_t *p)
{
    return (p[0] & 0x7fu) | (p[1] & 0x7fu) << 7;
}

/* One step of a delta; the rest goes with the reports after it. */
static uint8_t step(unsigned *from, unsigned to, uint8_t positive, uint8_t *flag)
{
    unsigned by = MIN(to > *from ? to - *from : *from - to, (unsigned)DELTA_MAX);

    *flag |= to >= *from ? positive : 0;
    *from = to >= *from ? *from + by : *from - by;
    return (uint8_t)by;
}

static void send_report(Summa *s)
{
    unsigned x = lines(s, s->x, s->max_x, false), y = lines(s, s->y, s->max_y, s->lower_left);
    uint8_t r[5] = { flags(s) };

    if (s->delta) {
        if (!s->told) { /* from here */
            s->sent_x = x;
            s->sent_y = y;
        }
        r[1] = step(&s->sent_x, x, FLAG_X_POSITIVE, &r[0]);
        r[2] = step(&s->sent_y, y, FLAG_Y_POSITIVE, &r[0]);
    } else {
        r[0] |= FLAG_X_POSITIVE | FLAG_Y_POSITIVE;
        put_pair(r + 1, x);
        put_pair(r + 3, y);
        s->sent_x = x;
        s->sent_y = y;
    }
    s->sent_buttons = s->buttons;
    s->told = true;
    inbox_put(&s->out, r, s->delta ? 3 : 5);
}

static unsigned distance(unsigned a, unsigned b)
{
    return a > b ? a - b : b - a;
}

/* news - the stylus is somewhere else than the last report said. */
static bool news(const Summa *s)
{
    unsigned x = lines(s, s->x, s->max_x, false), y = lines(s, s->y, s->max_y, s->lower_left);
    unsigned least = MAX(s->increment, 1u);

    return !s->told || s->sent_buttons != s->buttons || distance(x, s->sent_x) >= least ||
           distance(y, s->sent_y) >= least;
}

/* stream - report what is new, as often as the rate allows. The next waits until this one was read. */
static void stream(Summa *s)
{
    bool press = (s->buttons & ~s->sent_buttons) != 0;

    if (!s->line_ok || !s->hears || s->mode == SUMMA_REQUEST || !news(s)) {
        return;
    }
    if (s->mode == SUMMA_POINT && !press) {
        s->sent_buttons = s->buttons;
    } else if (s->out.len == 0 && !timer_pending(&s->timer)) {
        send_report(s);
        timer_arm(&s->timer, clock_now(CLK_VIRTUAL) + NS_PER_SEC / s->rate);
    }
}

/* ---- commands ---- */

static void answer_config(Summa *s)
{
    uint8_t r[5] = { flags(s) | FLAG_X_POSITIVE | FLAG_Y_POSITIVE };

    put_pair(r + 1, s->max_x);
    put_pair(r + 3, s->max_y);
    inbox_put(&s->out, r, sizeof(r));
}

static void set_mode(Summa *s, SummaMode mode)
{
    s->mode = mode;
    s->awake = s->awake || mode != SUMMA_REQUEST;
    s->told = false;
    s->sent_buttons = 0;
    chardev_kick_locked(s->chr); /* the first report, and the place among the mice */
}

static void set_resolution(Summa *s, unsigned lpi)
{
    s->max_x = s->max_y = MIN(INCHES * lpi, (unsigned)MAX_LINES);
    s->told = false;
}

/* resolution - lines per inch that a letter stands for; 0: none. */
static unsigned resolution(uint8_t letter)
{
    static const struct {
        char letter;
        uint16_t lpi;
    } table[] = {
        { 'l', 1 },   { 'n', 2 },   { 'p', 4 },   { 'd', 100 },  { 'e', 200 },  { 'f', 254 },
        { 'g', 400 }, { 'h', 500 }, { 'i', 508 }, { 'j', 1000 }, { 'q', 1016 },
    };

    for (size_t n = 0; n < ARRAY_SIZE(table); n++) {
        if (table[n].letter == letter) {
            return table[n].lpi;
        }
    }
    return 0;
}

/* operands - how many bytes belong to a command. */
static uint8_t operands(uint8_t command)
{
    return command == 'r' ? 4 : command == 'I' || command == 'G' || command == 'z' || command == ':';
}

static void with_operands(Summa *s, const uint8_t *c)
{
    /* Shorter than the real one: gpm takes what comes first, a FIFO full, and the rest for the configuration. */
    static const char firmware[] = "MM1201 V1.00\r\n";

    switch (c[0]) {
    case 'I':
    case 'G':
        s->increment = c[1] >= 0x20 ? c[1] - 0x20u : 0;
        break;
    case 'r':
        s->max_x = MAX(pair(c + 1), 1u);
        s->max_y = MAX(pair(c + 3), 1u);
        s->told = false;
        break;
    case ':':
        if (c[1] == 0x7f) {
            inbox_put(&s->out, "\x20", 1); /* bits 7-5: a 12 by 12 one */
        }
        break;
    default: /* 'z' */
        if (c[1] == '?') {
            inbox_put(&s->out, firmware, sizeof(firmware) - 1);
        }
        s->binary = s->binary || c[1] == 'b';
        break;
    }
}

static void command(Summa *s, uint8_t c)
{
    static const uint8_t good[] = { 0x87 }; /* bits 2-0: each part of the self-test went well */
    static const uint8_t rates[] = { RATE, RATE / 2, RATE / 4, 2 };

    switch (c) {
    case 0:
        power_on(s);
        break;
    case '@':
        s->border = s->before == 'F' && !s->binary ? BORDER_GPM : 0; /* as only gpm begins */
        set_mode(s, SUMMA_STREAM);
        break;
    case 'A':
        set_mode(s, SUMMA_POINT);
        break;
    case 'B':
        s->binary = false;
        set_mode(s, SUMMA_REQUEST);
        break;
    case 'P':
        send_report(s);
        break;
    case 'E':
    case 'F':
        s->delta = c == 'E';
        s->told = false;
        break;
    case 'b':
    case 'c':
        s->lower_left = c == 'c';
        s->told = false;
        break;
    case 'Q' ... 'T':
        s->rate = rates[c - 'Q'];
        break;
    case '0':
    case '1':
        s->id = c == '1';
        break;
    case 'a':
        answer_config(s);
        break;
    case 'k':
        s->echo = true;
        break;
    case 'w':
        inbox_put(&s->out, good, sizeof(good));
        break;
    default:
        if (resolution(c) != 0) {
            set_resolution(s, resolution(c));
        }
        break;
    }
}

static void byte(Summa *s, uint8_t b)
{
    if (s->echo && b != 0) {
        inbox_put(&s->out, &b, 1);
        return;
    }
    if (s->operand_need > 0) {
        s->operand[s->operand_len++] = b;
        if (--s->operand_need == 0) {
            with_operands(s, s->operand);
            s->before = s->operand[0];
        }
        return;
    }
    s->operand_need = operands(b);
    s->operand[0] = b;
    s->operand_len = 1;
    if (s->operand_need == 0) {
        command(s, b);
        s->before = b;
    }
}

static size_t summa_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    Summa *s = chr->priv;

    for (size_t n = 0; n < len && s->line_ok; n++) {
        byte(s, buf[n]);
    }
    chardev_kick_locked(chr);
    return len;
}

/* ---- the line and the stylus ---- */

static void summa_more(Chardev *chr)
{
    Summa *s = chr->priv;
    bool awake;

    pthread_mutex_lock(&chr->lock);
    awake = s->awake;
    s->awake = false;
    stream(s);
    pthread_mutex_unlock(&chr->lock);
    if (awake) {
        input_first(&s->sink);
    }
    inbox_push(chr, &s->out);
}

static void on_timer(void *opaque)
{
    summa_more(((Summa *)opaque)->chr);
}

static void on_point(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    Summa *s = opaque;

    pthread_mutex_lock(&s->chr->lock);
    s->x = x;
    s->y = y;
    s->buttons = buttons;
    pthread_mutex_unlock(&s->chr->lock);
    summa_more(s->chr);
}

static bool is_active(void *opaque)
{
    Summa *s = opaque;
    bool active;

    pthread_mutex_lock(&s->chr->lock);
    active = s->line_ok && s->hears && (s->mode != SUMMA_REQUEST || s->told);
    pthread_mutex_unlock(&s->chr->lock);
    return active;
}

static void summa_params(Chardev *chr, unsigned baud, char parity, unsigned data, unsigned stop)
{
    Summa *s = chr->priv;

    pthread_mutex_lock(&chr->lock);
    s->line_ok = baud >= 9300 && baud <= 9900 && parity == 'O' && data == 8;
    s->operand_need = 0;
    pthread_mutex_unlock(&chr->lock);
}

/* Whoever closes the port lets DTR fall: the pointer belongs to the mouse again. */
static void summa_lines(Chardev *chr, bool dtr, bool rts)
{
    Summa *s = chr->priv;

    pthread_mutex_lock(&chr->lock);
    s->hears = dtr;
    if (!dtr) {
        power_on(s);
        s->out.len = 0;
    }
    pthread_mutex_unlock(&chr->lock);
}

static bool summa_open(Chardev *chr, OptList *l, Error **errp)
{
    Summa *s = xnew(Summa);

    s->chr = chr;
    s->hears = true;
    power_on(s);
    s->sink = (InputSink){ .name = "SummaSketch tablet", .point = on_point, .active = is_active, .opaque = s };
    timer_init(&s->timer, CLK_VIRTUAL, on_timer, s, &machine_lock_guard);
    chr->priv = s;
    machine_lock();
    input_add(&s->sink);
    machine_unlock();
    chardev_set_open(chr, true);
    return true;
}

static void summa_close(Chardev *chr)
{
    Summa *s = chr->priv;

    pthread_mutex_lock(&chr->lock);
    chr->open = false;
    pthread_mutex_unlock(&chr->lock);
    machine_lock();
    timer_cancel(&s->timer);
    input_remove(&s->sink);
    machine_unlock();
    free(s);
    chr->priv = NULL;
}

static const StateField summa_fields[] = {
    STATE_U32(Summa, x), STATE_U32(Summa, y), STATE_U32(Summa, buttons), STATE_U32(Summa, sent_x),
    STATE_U32(Summa, sent_y), STATE_U32(Summa, sent_buttons), STATE_BOOL(Summa, line_ok), STATE_BOOL(Summa, hears),
    STATE_BOOL(Summa, awake), STATE_BOOL(Summa, binary), STATE_BOOL(Summa, told), STATE_U32(Summa, mode),
    STATE_BOOL(Summa, delta), STATE_BOOL(Summa, lower_left), STATE_BOOL(Summa, id), STATE_BOOL(Summa, echo),
    STATE_U32(Summa, max_x), STATE_U32(Summa, max_y), STATE_U32(Summa, rate), STATE_U32(Summa, increment),
    STATE_U32(Summa, border), STATE_BYTES(Summa, operand), STATE_U8(Summa, operand_len),
    STATE_U8(Summa, operand_need), STATE_U8(Summa, before), STATE_END,
};

/* Reports on their way are lost, as on a line. */
static void summa_loaded(Chardev *chr)
{
    Summa *s = chr->priv;

    pthread_mutex_lock(&chr->lock);
    s->out.len = 0;
    s->x = MIN(s->x, (unsigned)INPUT_POINT_MAX);
    s->y = MIN(s->y, (unsigned)INPUT_POINT_MAX);
    s->max_x = MIN(s->max_x, (unsigned)MAX_LINES);
    s->max_y = MIN(s->max_y, (unsigned)MAX_LINES);
    s->sent_x = MIN(s->sent_x, (unsigned)MAX_LINES);
    s->sent_y = MIN(s->sent_y, (unsigned)MAX_LINES);
    s->mode = MIN(s->mode, SUMMA_POINT);
    s->rate = MIN(MAX(s->rate, 1u), (unsigned)RATE);
    if (s->operand_len == 0 || s->operand_len + s->operand_need > (int)sizeof(s->operand)) {
        s->operand_len = s->operand_need = 0;
    }
    pthread_mutex_unlock(&chr->lock);
    if (s->awake) {
        input_first(&s->sink);
    }
}

const CharBackend chardev_summa = {
    .name = "summa",
    .help = "a SummaSketch tablet, whose stylus is the viewer's pointer",
    .open = summa_open,
    .close = summa_close,
    .write = summa_write,
    .set_params = summa_params,
    .set_lines = summa_lines,
    .more = summa_more,
    .fields = summa_fields,
    .loaded = summa_loaded,
};
