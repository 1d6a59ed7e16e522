/*
 * Extensions of RFB: keys by scan code, relative pointers, lamps, the bell, cut text, and power control. On the
 * client's thread.
 *
 * Source: the community's RFB protocol specification (rfbproto), "QEMU Extended Key Event Message", "QEMU Pointer
 * Motion Change Pseudo-encoding", "QEMU LED State Pseudo-encoding", "xvp Client Message".
 */
#include <config.h>
#ifdef CONFIG_VNC
#include "ui/vnc-viewer.h"

#include <stdlib.h>
#include "base/mem.h"
#include "hw/input/input.h"
#include "ui/terminal.h"

enum { KEYS = 1, MOTION = 2, LAMPS = 4 }; /* in Viewer.noted and .has */
enum { ENC_KEYS = -258, ENC_MOTION = -257, ENC_LAMPS = -261 };
enum { MSG_BELL = 2, MSG_XVP = 250, MSG_QEMU = 255 };
enum { CUT_TEXT_MAX = 64 << 10 };

static const struct {
    int encoding;
    unsigned bit;
} extensions[] = {
    { ENC_KEYS, KEYS },
    { ENC_MOTION, MOTION },
    { ENC_LAMPS, LAMPS },
};

int *vnc_pseudo_encodings(void)
{
    static int list[ARRAY_SIZE(extensions) + 1]; /* the library keeps it */

    for (size_t n = 0; n < ARRAY_SIZE(extensions); n++) {
        list[n] = extensions[n].encoding;
    }
    return list;
}

bool vnc_wants(Viewer *v, int encoding)
{
    for (size_t n = 0; n < ARRAY_SIZE(extensions); n++) {
        if (extensions[n].encoding == encoding) {
            v->noted |= extensions[n].bit;
            return true;
        }
    }
    return false;
}

bool vnc_relative(const Viewer *v)
{
    return (v->has & MOTION) != 0;
}

static void put(Viewer *v, const void *buf, size_t n)
{
    if (v->cl->sock >= 0 && rfbWriteExact(v->cl, buf, (int)n) < 0) {
        rfbCloseClient(v->cl);
    }
}

/* say - an update of one rectangle without pixels: a pseudo-encoding. */
static void say(Viewer *v, int encoding, unsigned x)
{
    uint32_t enc = (uint32_t)encoding;
    unsigned w = v->surface->width, h = v->surface->height;
    const uint8_t m[16] = {
        0, 0, 0, 1, 0, (uint8_t)x, 0, 0, (uint8_t)(w >> 8), (uint8_t)w, (uint8_t)(h >> 8),
        (uint8_t)h, (uint8_t)(enc >> 24), (uint8_t)(enc >> 16), (uint8_t)(enc >> 8), (uint8_t)enc,
    };

    put(v, m, sizeof(m));
}

static void say_lamps(Viewer *v, int lamps)
{
    uint8_t bits = (uint8_t)lamps; /* INPUT_SCROLL, _NUM and _CAPS are its bits too */

    v->lamps = lamps;
    say(v, ENC_LAMPS, 0);
    put(v, &bits, 1);
}

void vnc_acknowledge(Viewer *v)
{
    unsigned noted = v->noted;

    v->noted = 0;
    if (noted & KEYS) {
        say(v, ENC_KEYS, 0);
    }
    if (noted & MOTION) {
        say(v, ENC_MOTION, 0);
    }
    v->has |= noted;
    if (noted & LAMPS) {
        v->lamps = -1;
        vnc_notify(v);
    }
}

void vnc_notify(Viewer *v)
{
    static const uint8_t ring = MSG_BELL;
    VncClient *c = v->c;
    int lamps;
    bool bell;

    pthread_mutex_lock(&c->lock);
    lamps = c->lamps;
    bell = c->bell;
    c->bell = false;
    pthread_mutex_unlock(&c->lock);
    if (bell) {
        put(v, &ring, 1);
    }
    if ((v->has & LAMPS) && lamps >= 0 && lamps != v->lamps) {
        say_lamps(v, lamps);
    }
}

/* key_of - a set 1 code as the extended key event writes it: a prefix E0h is bit 7, or stands before. */
static unsigned key_of(uint32_t code)
{
    if (code == 0xc6) {
        return INPUT_PAUSE; /* E0 46, what Ctrl-Break sends */
    }
    if (code == 0x54 || code == 0xb7) {
        return INPUT_PRINT;
    }
    if (code > 0xff && code >> 8 != 0xe0) {
        return 0;
    }
    return (code & 0x7f) | (code > 0x7f ? INPUT_E0 : 0);
}

static void qemu_message(Viewer *v)
{
    uint8_t m[12];
    uint32_t keysym, code;
    unsigned key;
    bool down;

    if (rfbReadExact(v->cl, (char *)m, sizeof(m)) <= 0 || m[1] != 0) {
        rfbCloseClient(v->cl); /* of audio nothing was said, so nothing may come */
        return;
    }
    down = (m[2] | m[3]) != 0;
    keysym = (uint32_t)m[4] << 24 | (uint32_t)m[5] << 16 | (uint32_t)m[6] << 8 | m[7];
    code = (uint32_t)m[8] << 24 | (uint32_t)m[9] << 16 | (uint32_t)m[10] << 8 | m[11];
    key = key_of(code);
    vnc_post(v->c, &(VncEvent){ .kind = VNC_KEY, .down = down, .keysym = keysym, .key = key });
}

rfbBool vnc_on_xvp(rfbClientPtr cl, uint8_t version, uint8_t code)
{
    Viewer *v = cl->clientData;

    if (code != VNC_SHUTDOWN && code != VNC_RESET) {
        return FALSE; /* a reboot that the guest does itself: the button is all there is */
    }
    vnc_post(v->c, &(VncEvent){ .kind = VNC_POWER, .key = code });
    return TRUE;
}

bool vnc_message(Viewer *v, uint8_t type)
{
    if (type == MSG_QEMU) {
        qemu_message(v);
    } else if (type == MSG_XVP && v->c->power) {
        rfbProcessClientMessage(v->cl);
    } else {
        return false;
    }
    return true;
}

void vnc_cut_text(Viewer *v, const char *text, int len, bool utf8)
{
    char *out;
    size_t n = 0;

    if (len < 0 || len > CUT_TEXT_MAX) {
        return;
    }
    out = try_newn(char, 2 * (size_t)len + 1);
    for (int k = 0; out != NULL && k < len && text[k] != '\0'; k++) {
        if (utf8) {
            out[n++] = text[k];
        } else {
            n += utf8_put((uint8_t)text[k], out + n);
        }
    }
    if (out != NULL) {
        vnc_post(v->c, &(VncEvent){ .kind = VNC_CUT_TEXT, .text = out });
    }
}

#endif
