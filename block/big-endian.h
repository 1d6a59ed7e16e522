/* Numbers of file formats and protocols that have their highest byte first; at any address. */
#ifndef BLOCK_BIG_ENDIAN_H
#define BLOCK_BIG_ENDIAN_H

#include <stdint.h>
#include <string.h>

#define DEF_BE(bits)                                                                               \
    static inline uint##bits##_t ld_be##bits(const void *p)                                        \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, p, sizeof(v));                                                                  \
        return __builtin_bswap##bits(v); /* the host is x86-64 */                                  \
    }                                                                                              \
    static inline void st_be##bits(void *p, uint##bits##_t v)                                      \
    {                                                                                              \
        v = __builtin_bswap##bits(v);                                                              \
        memcpy(p, &v, sizeof(v));                                                                  \
    }
DEF_BE(16)
DEF_BE(32)
DEF_BE(64)
#undef DEF_BE

#endif
