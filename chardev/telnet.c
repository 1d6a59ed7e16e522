/*
 * The telnet protocol. Options: binary transmission (RFC 856), echo (RFC 857) and suppress
 * go-ahead (RFC 858); all others are declined. An answer is sent only when it changes the state,
 * which is what keeps two sides from answering each other for ever (RFC 854, "negotiation loops").
 */
#include "chardev/telnet.h"

enum { IAC = 255, DONT = 254, DO = 253, WONT = 252, WILL = 251, SB = 250, BREAK = 243, SE = 240 };
enum { OPT_BINARY = 0, OPT_ECHO = 1, OPT_SGA = 3 };
enum { ON_BINARY = 1 << OPT_BINARY, ON_ECHO = 1 << OPT_ECHO, ON_SGA = 1 << OPT_SGA };

typedef enum State {
    DATA,
    COMMAND, /* after IAC */
    OPTION,  /* after WILL, WONT, DO, DONT */
    SUB,     /* inside a subnegotiation */
    SUB_IAC, /* IAC inside it */
} State;

size_t telnet_init(Telnet *t, bool server, uint8_t out[TELNET_GREETING_MAX])
{
    static const uint8_t greeting[] = { IAC, WILL, OPT_ECHO,   IAC, WILL, OPT_SGA,
                                        IAC, WILL, OPT_BINARY, IAC, DO,   OPT_BINARY };

    *t = (Telnet){ .state = DATA, .server = server };
    if (!server) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(greeting); i++) {
        out[i] = greeting[i];
    }
    t->us = ON_ECHO | ON_SGA | ON_BINARY;
    return sizeof(greeting);
}

/* The answer to one WILL/WONT/DO/DONT; 0 for none. */
static uint8_t negotiate(Telnet *t, uint8_t verb, uint8_t opt)
{
    uint8_t bit = opt <= OPT_SGA ? (uint8_t)(1u << opt) : 0;
    uint8_t can_us = ON_SGA | ON_BINARY | (t->server ? ON_ECHO : 0);
    uint8_t can_him = ON_SGA | ON_BINARY | (t->server ? 0 : ON_ECHO);

    switch (verb) {
    case DO:
        if ((can_us & bit) == 0) {
            return WONT;
        }
        if ((t->us & bit) != 0) {
            return 0;
        }
        t->us |= bit;
        return WILL;
    case DONT:
        if ((t->us & bit) == 0) {
            return 0;
        }
        t->us &= (uint8_t)~bit;
        return WONT;
    case WILL:
        if ((can_him & bit) == 0) {
            return DONT;
        }
        if ((t->him & bit) != 0) {
            return 0;
        }
        t->him |= bit;
        return t->server && opt == OPT_BINARY ? 0 : DO; /* a server asked for binary already */
    default:                                            /* WONT */
        if ((t->him & bit) == 0) {
            return 0;
        }
        t->him &= (uint8_t)~bit;
        return DONT;
    }
}

size_t telnet_input(Telnet *t, uint8_t *buf, size_t len, uint8_t *reply, size_t *reply_len,
                    unsigned *breaks)
{
    size_t out = 0;

    *reply_len = 0;
    *breaks = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t b = buf[i], verb;

        switch ((State)t->state) {
        case DATA:
            if (b == IAC) {
                t->state = COMMAND;
            } else if (b == 0 && t->cr && (t->him & ON_BINARY) == 0) {
                t->cr = false; /* CR NUL is a plain carriage return */
            } else {
                t->cr = b == '\r';
                buf[out++] = b;
            }
            break;
        case COMMAND:
            t->state = DATA;
            if (b == IAC) {
                buf[out++] = IAC;
            } else if (b >= WILL) {
                t->verb = b;
                t->state = OPTION;
            } else if (b == SB) {
                t->state = SUB;
            } else if (b == BREAK) {
                ++*breaks;
            }
            break;
        case OPTION:
            t->state = DATA;
            verb = negotiate(t, t->verb, b);
            /* three bytes came for these three, but the first may have come in an earlier call */
            if (verb != 0 && *reply_len + 3 <= len + 2) {
                reply[(*reply_len)++] = IAC;
                reply[(*reply_len)++] = verb;
                reply[(*reply_len)++] = b;
            }
            break;
        case SUB:
            t->state = b == IAC ? SUB_IAC : SUB;
            break;
        case SUB_IAC:
            t->state = b == SE ? DATA : SUB;
            break;
        }
    }
    return out;
}
