/*
 * WebSocket frames: see websocket.h. Sections are those of RFC 6455.
 */
#include "ui/websocket.h"

#include <string.h>
#include "base/mem.h"

enum { FIN = 0x80, RESERVED = 0x70, MASKED = 0x80, CONTROL = 8 };

/* head_size - of the frame, as far as its first bytes say: 5.2, "Base Framing Protocol". */
static unsigned head_size(const WsDecoder *d)
{
    unsigned len = d->have >= 2 ? d->head[1] & 0x7f : 0;

    return 2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + 4;
}

/* head_done - look at a complete head. False: a client may not send it. */
static bool head_done(WsDecoder *d)
{
    unsigned opcode = d->head[0] & 0x0f, len = d->head[1] & 0x7f, bytes = len == 126 ? 2 : len == 127 ? 8 : 0;
    bool fin = d->head[0] & FIN;

    d->left = bytes == 0 ? len : 0;
    for (unsigned n = 0; n < bytes; n++) {
        d->left = d->left << 8 | d->head[2 + n];
    }
    if (d->left >> 63 || (bytes == 2 && d->left < 126) || (bytes == 8 && d->left < 65536)) {
        return false; /* the most significant bit is 0, the encoding is the shortest */
    }
    if (opcode >= CONTROL) { /* 5.5 */
        d->control_len = 0;
        return fin && len <= WS_CONTROL_MAX && opcode <= WS_PONG;
    }
    if (opcode != (d->in_message ? WS_CONTINUATION : WS_BINARY)) { /* 5.4 */
        return false;
    }
    d->in_message = !fin;
    return true;
}

/* take_head - bytes of the head from @in; how many, or -1. */
static ssize_t take_head(WsDecoder *d, const uint8_t *in, size_t n)
{
    size_t used = 0;

    while (used < n && d->have < head_size(d)) {
        d->head[d->have++] = in[used++];
        if (d->have == 2 && ((d->head[0] & RESERVED) || !(d->head[1] & MASKED))) { /* 5.1: clients mask */
            return -1;
        }
    }
    if (d->have >= 2 && d->have == head_size(d)) {
        if (!head_done(d)) {
            return -1;
        }
        d->payload = true;
        d->at = 0;
    }
    return (ssize_t)used;
}

/* unmask - 5.3, "Client-to-Server Masking" */
static void unmask(WsDecoder *d, const uint8_t *in, size_t n, uint8_t *out)
{
    const uint8_t *mask = d->head + d->have - 4;

    for (size_t k = 0; k < n; k++) {
        out[k] = in[k] ^ mask[d->at++ & 3];
    }
    d->left -= n;
}

ssize_t ws_decode(WsDecoder *d, const uint8_t *in, size_t n, uint8_t *out, size_t *out_len,
                  unsigned *control)
{
    size_t used = 0;

    *out_len = 0;
    *control = 0;
    while (used < n || (d->payload && d->left == 0)) {
        unsigned opcode = d->head[0] & 0x0f;
        size_t k;

        if (!d->payload) {
            ssize_t r = take_head(d, in + used, n - used);

            if (r < 0) {
                return -1;
            }
            used += (size_t)r;
            continue;
        }
        k = (size_t)MIN(d->left, (uint64_t)(n - used));
        if (opcode >= CONTROL) {
            unmask(d, in + used, k, d->control + d->control_len);
            d->control_len += (unsigned)k;
        } else {
            unmask(d, in + used, k, out + *out_len);
            *out_len += k;
        }
        used += k;
        if (d->left == 0) {
            d->payload = false;
            d->have = 0;
            if (opcode >= CONTROL) {
                *control = opcode;
                break;
            }
        }
    }
    return (ssize_t)used;
}

size_t ws_head(uint8_t out[WS_HEAD_MAX], WsOpcode opcode, uint64_t len)
{
    unsigned bytes = len < 126 ? 0 : len < 65536 ? 2 : 8;

    out[0] = (uint8_t)(FIN | opcode);
    out[1] = bytes == 0 ? (uint8_t)len : bytes == 2 ? 126 : 127;
    for (unsigned n = 0; n < bytes; n++) {
        out[2 + n] = (uint8_t)(len >> (8 * (bytes - 1 - n)));
    }
    return 2 + bytes;
}

void ws_base64(const uint8_t *in, size_t n, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t k = 0; k < n; k += 3) {
        uint32_t v = (uint32_t)in[k] << 16 | (k + 1 < n ? in[k + 1] << 8 : 0) | (k + 2 < n ? in[k + 2] : 0);

        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = k + 1 < n ? digits[v >> 6 & 63] : '=';
        *out++ = k + 2 < n ? digits[v & 63] : '=';
    }
    *out = '\0';
}
