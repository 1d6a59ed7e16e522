/*
 * WebSocket frames, the server's side. Source: RFC 6455. Knows no sockets.
 */
#ifndef UI_WEBSOCKET_H
#define UI_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { WS_CONTROL_MAX = 125, WS_HEAD_MAX = 10, WS_ACCEPT_SIZE = 29 };

typedef enum WsOpcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
} WsOpcode;

/* What comes from a client; all zeros at the start. */
typedef struct WsDecoder {
    uint8_t head[14]; /* of the frame that is being read */
    unsigned have;    /* bytes of it */
    uint64_t left;    /* of its payload */
    unsigned at;      /* in the mask */
    bool payload;     /* the head is complete */
    bool in_message;  /* continuation frames may come */
    uint8_t control[WS_CONTROL_MAX]; /* the last control frame's payload */
    unsigned control_len;
} WsDecoder;

/* ws_decode - read from @in, @n bytes; how many were consumed, or -1 for what a client may not send (which includes
 * text: RFB is binary). Data goes to @out (@n bytes; may be @in), *@out_len of it. Stops behind a control frame,
 * which *@control is then: WS_CLOSE, WS_PING or WS_PONG; else 0. */
ssize_t ws_decode(WsDecoder *d, const uint8_t *in, size_t n, uint8_t *out, size_t *out_len,
                  unsigned *control);

/* ws_head - the head of a frame of the server's with @len bytes; its size. */
size_t ws_head(uint8_t out[WS_HEAD_MAX], WsOpcode opcode, uint64_t len);

/* ws_base64 - @n bytes, NUL behind them; @out has room for 4 bytes for each 3 begun, and 1. */
void ws_base64(const uint8_t *in, size_t n, char *out);

#endif
