/*
 * UUIDs: see uuid.h. Source: RFC 4122, 4.4 "Algorithms for Creating a UUID from Truly Random or Pseudo-Random Numbers".
 */
#include "base/uuid.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static bool dash_before(unsigned byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

bool uuid_parse(const char *s, uint8_t out[16])
{
    uint8_t id[16];

    for (unsigned i = 0; i < 16; i++) {
        unsigned byte;

        if (dash_before(i) && *s++ != '-') {
            return false;
        }
        if (!isxdigit((unsigned char)s[0]) || !isxdigit((unsigned char)s[1]) ||
            sscanf(s, "%2x", &byte) != 1) {
            return false;
        }
        id[i] = (uint8_t)byte;
        s += 2;
    }
    if (*s != '\0') {
        return false;
    }
    memcpy(out, id, sizeof(id));
    return true;
}

void uuid_text(const uint8_t id[16], char text[UUID_TEXT])
{
    for (unsigned n = 0, at = 0; n < 16; n++) {
        at += (unsigned)snprintf(text + at, UUID_TEXT - at, "%s%02x", dash_before(n) ? "-" : "", id[n]);
    }
}

void uuid_random(uint8_t id[16])
{
    ssize_t got = getrandom(id, 16, 0); /* so few are not cut short */

    assert(got == 16);
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
}
