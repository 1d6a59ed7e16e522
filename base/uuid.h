/* UUIDs as text: RFC 4122, most significant byte first. */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

enum { UUID_TEXT = 37 };

/* uuid_parse - 8-4-4-4-12 hexadecimal digits. uuid_text - the same in small letters. */
bool uuid_parse(const char *s, uint8_t out[16]);
void uuid_text(const uint8_t id[16], char text[UUID_TEXT]);
/* uuid_random - version 4, of the host's random numbers. */
void uuid_random(uint8_t id[16]);

#endif
