/*
 * What cards know of the Internet's headers: sums, and cutting a packet into segments.
 * Sources: RFC 1071 (sums), 791 and 8200 (IP), 9293 (TCP), 768 (UDP).
 */
#include "hw/net/nic.h"

#include <string.h>
#include "base/mem.h"

enum { ETH_HEADER = 14, ETH_IPV4 = 0x0800, ETH_IPV6 = 0x86dd, ETH_VLAN = 0x8100, PROTO_TCP = 6, PROTO_UDP = 17 };

uint64_t inet_sum(const uint8_t *p, size_t len, uint64_t sum)
{
    uint64_t s = 0; /* of little-endian words: byte order does not matter for the sum but for its bytes' order */

    for (; len >= 8; p += 8, len -= 8) {
        uint64_t v = ld_le64(p);

        s += (v & 0xffffffffu) + (v >> 32);
    }
    for (; len >= 2; p += 2, len -= 2) {
        s += ld_le16(p);
    }
    if (len > 0) {
        s += *p;
    }
    return sum + __builtin_bswap16(inet_fold(s));
}

uint16_t inet_fold(uint64_t sum)
{
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)sum;
}

void inet_put_sum(uint8_t *frame, size_t len, size_t start, size_t end, size_t at)
{
    if (end != 0 && end < len) {
        len = end + 1;
    }
    if (start < len && at + 1 < len) {
        st_be16(frame + at, (uint16_t)~inet_fold(inet_sum(frame + start, len - start, 0)));
    }
}

/* check_l4 - TCP or UDP at @off with @len bytes, whose pseudo header without length and protocol sums to @pseudo. */
static void check_l4(InetCheck *c, const uint8_t *p, size_t len, uint8_t proto, uint64_t pseudo)
{
    if (proto == PROTO_UDP && len >= 8) {
        c->udp = true;
        if (ld_be16(p + 6) == 0) {
            return; /* it has none */
        }
    } else if (proto != PROTO_TCP || len < 20) {
        return;
    }
    c->l4 = true;
    c->l4_good = inet_fold(inet_sum(p, len, pseudo + proto + len)) == 0xffff;
}

InetCheck inet_check(const uint8_t *frame, size_t len)
{
    InetCheck c = { .ip = false };
    size_t off = ETH_HEADER, header, total;
    uint16_t type;

    if (len < ETH_HEADER + 20) {
        return c;
    }
    type = ld_be16(frame + 12);
    if (type == ETH_VLAN) {
        type = ld_be16(frame + 16);
        off += 4;
    }
    frame += off;
    len -= off;
    if (type == ETH_IPV4 && len >= 20 && frame[0] >> 4 == 4) {
        header = (frame[0] & 15) * 4u;
        total = ld_be16(frame + 2);
        if (header < 20 || header > len || total < header || total > len) {
            return c;
        }
        c.ip = true;
        c.ip_good = inet_fold(inet_sum(frame, header, 0)) == 0xffff;
        if ((ld_be16(frame + 6) & 0x3fff) == 0) { /* no fragment */
            check_l4(&c, frame + header, total - header, frame[9], inet_sum(frame + 12, 8, 0));
        }
    } else if (type == ETH_IPV6 && len >= 40 && frame[0] >> 4 == 6 && ld_be16(frame + 4) <= len - 40) {
        check_l4(&c, frame + 40, ld_be16(frame + 4), frame[6], inet_sum(frame + 8, 32, 0));
    }
    return c;
}

unsigned inet_segment(InetTso *t, uint8_t *room, void (*send)(void *opaque, uint8_t *frame, size_t len), void *opaque)
{
    size_t payload = t->len - t->header, done = 0;
    unsigned count = 0;

    do {
        size_t part = MIN(t->mss, payload - done), len = t->header + part;
        bool last = done + part == payload;

        memcpy(room, t->frame, t->header);
        memcpy(room + t->header, t->frame + t->header + done, part);
        if (t->v4 && t->ip + 20 <= len) {
            st_be16(room + t->ip + 2, (uint16_t)(len - t->ip));
            st_be16(room + t->ip + 4, (uint16_t)(ld_be16(t->frame + t->ip + 4) + count));
        } else if (!t->v4 && t->ip + 40 <= len) {
            st_be16(room + t->ip + 4, (uint16_t)(len - t->ip - 40));
        }
        if (t->tcp && t->l4 + 20 <= t->header) {
            st_be32(room + t->l4 + 4, ld_be32(t->frame + t->l4 + 4) + (uint32_t)done);
            room[t->l4 + 13] &= last ? 0xff : (uint8_t)~0x09; /* PSH and FIN are the last one's, CWR the first one's */
            room[t->l4 + 13] &= done == 0 ? 0xff : (uint8_t)~0x80;
        } else if (!t->tcp && t->l4 + 8 <= t->header) {
            st_be16(room + t->l4 + 4, (uint16_t)(len - t->l4));
        }
        if (t->sum_l4 && t->l4_sum + 2 <= len && t->l4 < len) {
            st_be16(room + t->l4_sum, inet_fold((uint64_t)t->l4_seed + (len - t->l4)));
            inet_put_sum(room, len, t->l4, t->l4_end, t->l4_sum);
        }
        if (t->sum_ip) {
            inet_put_sum(room, len, t->ip, t->ip_end, t->ip_sum);
        }
        send(opaque, room, len);
        done += part;
        count++;
    } while (done < payload);
    return count;
}
