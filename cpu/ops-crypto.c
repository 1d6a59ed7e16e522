/*
 * AES-NI, PCLMULQDQ and the SHA extensions.
 *
 * Sources: Intel SDM vol. 1, "Programming with AES extensions"; vol. 2 under each instruction;
 * FIPS 197 (state layout, S-box, MixColumns), FIPS 180-4 (SHA functions).
 */
#include "cpu/vec.h"

/* clang-format off */
static const uint8_t aes_sbox[256] = {
    0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5, 0x30, 0x01, 0x67, 0x2b, 0xfe, 0xd7, 0xab, 0x76,
    0xca, 0x82, 0xc9, 0x7d, 0xfa, 0x59, 0x47, 0xf0, 0xad, 0xd4, 0xa2, 0xaf, 0x9c, 0xa4, 0x72, 0xc0,
    0xb7, 0xfd, 0x93, 0x26, 0x36, 0x3f, 0xf7, 0xcc, 0x34, 0xa5, 0xe5, 0xf1, 0x71, 0xd8, 0x31, 0x15,
    0x04, 0xc7, 0x23, 0xc3, 0x18, 0x96, 0x05, 0x9a, 0x07, 0x12, 0x80, 0xe2, 0xeb, 0x27, 0xb2, 0x75,
    0x09, 0x83, 0x2c, 0x1a, 0x1b, 0x6e, 0x5a, 0xa0, 0x52, 0x3b, 0xd6, 0xb3, 0x29, 0xe3, 0x2f, 0x84,
    0x53, 0xd1, 0x00, 0xed, 0x20, 0xfc, 0xb1, 0x5b, 0x6a, 0xcb, 0xbe, 0x39, 0x4a, 0x4c, 0x58, 0xcf,
    0xd0, 0xef, 0xaa, 0xfb, 0x43, 0x4d, 0x33, 0x85, 0x45, 0xf9, 0x02, 0x7f, 0x50, 0x3c, 0x9f, 0xa8,
    0x51, 0xa3, 0x40, 0x8f, 0x92, 0x9d, 0x38, 0xf5, 0xbc, 0xb6, 0xda, 0x21, 0x10, 0xff, 0xf3, 0xd2,
    0xcd, 0x0c, 0x13, 0xec, 0x5f, 0x97, 0x44, 0x17, 0xc4, 0xa7, 0x7e, 0x3d, 0x64, 0x5d, 0x19, 0x73,
    0x60, 0x81, 0x4f, 0xdc, 0x22, 0x2a, 0x90, 0x88, 0x46, 0xee, 0xb8, 0x14, 0xde, 0x5e, 0x0b, 0xdb,
    0xe0, 0x32, 0x3a, 0x0a, 0x49, 0x06, 0x24, 0x5c, 0xc2, 0xd3, 0xac, 0x62, 0x91, 0x95, 0xe4, 0x79,
    0xe7, 0xc8, 0x37, 0x6d, 0x8d, 0xd5, 0x4e, 0xa9, 0x6c, 0x56, 0xf4, 0xea, 0x65, 0x7a, 0xae, 0x08,
    0xba, 0x78, 0x25, 0x2e, 0x1c, 0xa6, 0xb4, 0xc6, 0xe8, 0xdd, 0x74, 0x1f, 0x4b, 0xbd, 0x8b, 0x8a,
    0x70, 0x3e, 0xb5, 0x66, 0x48, 0x03, 0xf6, 0x0e, 0x61, 0x35, 0x57, 0xb9, 0x86, 0xc1, 0x1d, 0x9e,
    0xe1, 0xf8, 0x98, 0x11, 0x69, 0xd9, 0x8e, 0x94, 0x9b, 0x1e, 0x87, 0xe9, 0xce, 0x55, 0x28, 0xdf,
    0x8c, 0xa1, 0x89, 0x0d, 0xbf, 0xe6, 0x42, 0x68, 0x41, 0x99, 0x2d, 0x0f, 0xb0, 0x54, 0xbb, 0x16,
};
static const uint8_t aes_inv_sbox[256] = {
    0x52, 0x09, 0x6a, 0xd5, 0x30, 0x36, 0xa5, 0x38, 0xbf, 0x40, 0xa3, 0x9e, 0x81, 0xf3, 0xd7, 0xfb,
    0x7c, 0xe3, 0x39, 0x82, 0x9b, 0x2f, 0xff, 0x87, 0x34, 0x8e, 0x43, 0x44, 0xc4, 0xde, 0xe9, 0xcb,
    0x54, 0x7b, 0x94, 0x32, 0xa6, 0xc2, 0x23, 0x3d, 0xee, 0x4c, 0x95, 0x0b, 0x42, 0xfa, 0xc3, 0x4e,
    0x08, 0x2e, 0xa1, 0x66, 0x28, 0xd9, 0x24, 0xb2, 0x76, 0x5b, 0xa2, 0x49, 0x6d, 0x8b, 0xd1, 0x25,
    0x72, 0xf8, 0xf6, 0x64, 0x86, 0x68, 0x98, 0x16, 0xd4, 0xa4, 0x5c, 0xcc, 0x5d, 0x65, 0xb6, 0x92,
    0x6c, 0x70, 0x48, 0x50, 0xfd, 0xed, 0xb9, 0xda, 0x5e, 0x15, 0x46, 0x57, 0xa7, 0x8d, 0x9d, 0x84,
    0x90, 0xd8, 0xab, 0x00, 0x8c, 0xbc, 0xd3, 0x0a, 0xf7, 0xe4, 0x58, 0x05, 0xb8, 0xb3, 0x45, 0x06,
    0xd0, 0x2c, 0x1e, 0x8f, 0xca, 0x3f, 0x0f, 0x02, 0xc1, 0xaf, 0xbd, 0x03, 0x01, 0x13, 0x8a, 0x6b,
    0x3a, 0x91, 0x11, 0x41, 0x4f, 0x67, 0xdc, 0xea, 0x97, 0xf2, 0xcf, 0xce, 0xf0, 0xb4, 0xe6, 0x73,
    0x96, 0xac, 0x74, 0x22, 0xe7, 0xad, 0x35, 0x85, 0xe2, 0xf9, 0x37, 0xe8, 0x1c, 0x75, 0xdf, 0x6e,
    0x47, 0xf1, 0x1a, 0x71, 0x1d, 0x29, 0xc5, 0x89, 0x6f, 0xb7, 0x62, 0x0e, 0xaa, 0x18, 0xbe, 0x1b,
    0xfc, 0x56, 0x3e, 0x4b, 0xc6, 0xd2, 0x79, 0x20, 0x9a, 0xdb, 0xc0, 0xfe, 0x78, 0xcd, 0x5a, 0xf4,
    0x1f, 0xdd, 0xa8, 0x33, 0x88, 0x07, 0xc7, 0x31, 0xb1, 0x12, 0x10, 0x59, 0x27, 0x80, 0xec, 0x5f,
    0x60, 0x51, 0x7f, 0xa9, 0x19, 0xb5, 0x4a, 0x0d, 0x2d, 0xe5, 0x7a, 0x9f, 0x93, 0xc9, 0x9c, 0xef,
    0xa0, 0xe0, 0x3b, 0x4d, 0xae, 0x2a, 0xf5, 0xb0, 0xc8, 0xeb, 0xbb, 0x3c, 0x83, 0x53, 0x99, 0x61,
    0x17, 0x2b, 0x04, 0x7e, 0xba, 0x77, 0xd6, 0x26, 0xe1, 0x69, 0x14, 0x63, 0x55, 0x21, 0x0c, 0x7d,
};
/* clang-format on */

/* ---- AES: byte 4 * column + row ---- */

static uint8_t xtime(uint8_t v)
{
    return (uint8_t)(v << 1 ^ (v & 0x80 ? 0x1b : 0));
}

/* ShiftRows (or its inverse) and SubBytes. */
static VecReg aes_shift_sub(const VecReg *s, bool inverse)
{
    VecReg r = { 0 };

    for (unsigned k = 0; k < 16; k++) {
        unsigned row = k & 3, col = k >> 2;
        uint8_t v = s->b[4 * ((inverse ? col - row : col + row) & 3) + row];

        r.b[k] = inverse ? aes_inv_sbox[v] : aes_sbox[v];
    }
    return r;
}

static void aes_mix(VecReg *s)
{
    for (unsigned o = 0; o < 16; o += 4) {
        uint8_t *p = s->b + o, all = p[0] ^ p[1] ^ p[2] ^ p[3], first = p[0];

        for (unsigned k = 0; k < 4; k++) {
            uint8_t next = k < 3 ? p[k + 1] : first;

            p[k] ^= all ^ xtime(p[k] ^ next);
        }
    }
}

/* InvMixColumns: MixColumns after adding 4 * (x[k] + x[k+2]) to each byte of the column. */
static void aes_inv_mix(VecReg *s)
{
    for (unsigned o = 0; o < 16; o += 4) {
        uint8_t *p = s->b + o;
        uint8_t u = xtime(xtime(p[0] ^ p[2])), v = xtime(xtime(p[1] ^ p[3]));

        p[0] ^= u;
        p[2] ^= u;
        p[1] ^= v;
        p[3] ^= v;
    }
    aes_mix(s);
}

static void aes_round(CpuState *c, const Insn *i, bool inverse, bool last)
{
    VecReg key, s;

    sse_check(c, i);
    key = vec_rm(c, i, 16);
    s = vec_src1(c, i);
    s = aes_shift_sub(&s, inverse);
    if (!last) {
        (inverse ? aes_inv_mix : aes_mix)(&s);
    }
    s.q[0] ^= key.q[0];
    s.q[1] ^= key.q[1];
    vec_put128(c, i, i->reg, &s);
}
void op_aesenc(CpuState *c, const Insn *i)
{
    aes_round(c, i, false, false);
}
void op_aesenclast(CpuState *c, const Insn *i)
{
    aes_round(c, i, false, true);
}
void op_aesdec(CpuState *c, const Insn *i)
{
    aes_round(c, i, true, false);
}
void op_aesdeclast(CpuState *c, const Insn *i)
{
    aes_round(c, i, true, true);
}

void op_aesimc(CpuState *c, const Insn *i)
{
    VecReg s;

    sse_check(c, i);
    s = vec_rm(c, i, 16);
    aes_inv_mix(&s);
    vec_put128(c, i, i->reg, &s);
}

static uint32_t aes_sub_word(uint32_t v)
{
    return aes_sbox[v & 0xff] | aes_sbox[v >> 8 & 0xff] << 8 | aes_sbox[v >> 16 & 0xff] << 16 |
           (uint32_t)aes_sbox[v >> 24] << 24;
}
static uint32_t ror32(uint32_t v, unsigned n)
{
    return v >> n | v << (32 - n);
}

void op_aeskeygen(CpuState *c, const Insn *i)
{
    VecReg s, r = { 0 };

    sse_check(c, i);
    s = vec_rm(c, i, 16);
    r.d[0] = aes_sub_word(s.d[1]);
    r.d[1] = ror32(r.d[0], 8) ^ (uint8_t)i->imm;
    r.d[2] = aes_sub_word(s.d[3]);
    r.d[3] = ror32(r.d[2], 8) ^ (uint8_t)i->imm;
    vec_put128(c, i, i->reg, &r);
}

/* ---- carry-less multiplication ---- */

void op_pclmulqdq(CpuState *c, const Insn *i)
{
    unsigned __int128 sum = 0;
    VecReg a, b, r = { 0 };
    uint64_t x, y;

    sse_check(c, i);
    b = vec_rm(c, i, 16);
    a = vec_src1(c, i);
    x = a.q[i->imm & 1];
    y = b.q[i->imm >> 4 & 1];
    for (unsigned k = 0; k < 64; k++) {
        sum ^= y >> k & 1 ? (unsigned __int128)x << k : 0;
    }
    r.q[0] = (uint64_t)sum;
    r.q[1] = (uint64_t)(sum >> 64);
    vec_put128(c, i, i->reg, &r);
}

/* ---- SHA-1: A is the highest doubleword ---- */

static uint32_t rol32(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}

static uint32_t sha1_f(unsigned n, uint32_t b, uint32_t c, uint32_t d)
{
    return n == 0 ? (b & c) ^ (~b & d) : n == 2 ? (b & c) ^ (b & d) ^ (c & d) : b ^ c ^ d;
}

static void op_sha1rnds4(CpuState *c, const Insn *i)
{
    static const uint32_t k[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
    unsigned f = i->imm & 3;
    uint32_t va, vb, vc, vd, ve = 0;
    VecReg w, s;

    sse_check(c, i);
    w = vec_rm(c, i, 16);
    s = c->xmm[i->reg];
    va = s.d[3];
    vb = s.d[2];
    vc = s.d[1];
    vd = s.d[0];
    for (unsigned n = 0; n < 4; n++) { /* the first word already holds E */
        uint32_t t = sha1_f(f, vb, vc, vd) + rol32(va, 5) + w.d[3 - n] + ve + k[f];

        ve = vd;
        vd = vc;
        vc = rol32(vb, 30);
        vb = va;
        va = t;
    }
    s.d[3] = va;
    s.d[2] = vb;
    s.d[1] = vc;
    s.d[0] = vd;
    vec_put128(c, i, i->reg, &s);
}

static void op_sha1nexte(CpuState *c, const Insn *i)
{
    VecReg r;

    sse_check(c, i);
    r = vec_rm(c, i, 16);
    r.d[3] += rol32(c->xmm[i->reg].d[3], 30);
    vec_put128(c, i, i->reg, &r);
}

static void op_sha1msg1(CpuState *c, const Insn *i)
{
    VecReg b, r;

    sse_check(c, i);
    b = vec_rm(c, i, 16);
    r = c->xmm[i->reg];
    r.d[3] ^= r.d[1];
    r.d[2] ^= r.d[0];
    r.d[1] ^= b.d[3];
    r.d[0] ^= b.d[2];
    vec_put128(c, i, i->reg, &r);
}

static void op_sha1msg2(CpuState *c, const Insn *i)
{
    VecReg b, r;

    sse_check(c, i);
    b = vec_rm(c, i, 16);
    r = c->xmm[i->reg];
    r.d[3] = rol32(r.d[3] ^ b.d[2], 1);
    r.d[2] = rol32(r.d[2] ^ b.d[1], 1);
    r.d[1] = rol32(r.d[1] ^ b.d[0], 1);
    r.d[0] = rol32(r.d[0] ^ r.d[3], 1);
    vec_put128(c, i, i->reg, &r);
}

/* ---- SHA-256: destination C D G H, source A B E F, from the highest doubleword ---- */

static void op_sha256rnds2(CpuState *c, const Insn *i)
{
    VecReg s, t, wk = c->xmm[0];
    uint32_t v[8]; /* A to H */

    sse_check(c, i);
    s = vec_rm(c, i, 16);
    t = c->xmm[i->reg];
    for (unsigned n = 0; n < 2; n++) {
        v[n] = s.d[3 - n];
        v[2 + n] = t.d[3 - n];
        v[4 + n] = s.d[1 - n];
        v[6 + n] = t.d[1 - n];
    }
    for (unsigned n = 0; n < 2; n++) {
        uint32_t s1 = ror32(v[4], 6) ^ ror32(v[4], 11) ^ ror32(v[4], 25);
        uint32_t s0 = ror32(v[0], 2) ^ ror32(v[0], 13) ^ ror32(v[0], 22);
        uint32_t ch = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t maj = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        uint32_t sum = v[7] + s1 + ch + wk.d[n];

        memmove(v + 1, v, 7 * sizeof(v[0]));
        v[4] += sum; /* E is D + sum */
        v[0] = sum + s0 + maj;
    }
    t.d[3] = v[0];
    t.d[2] = v[1];
    t.d[1] = v[4];
    t.d[0] = v[5];
    vec_put128(c, i, i->reg, &t);
}

static void op_sha256msg1(CpuState *c, const Insn *i)
{
    VecReg b, r;

    sse_check(c, i);
    b = vec_rm(c, i, 16);
    r = c->xmm[i->reg];
    for (unsigned k = 0; k < 4; k++) {
        uint32_t w = k < 3 ? c->xmm[i->reg].d[k + 1] : b.d[0];

        r.d[k] += ror32(w, 7) ^ ror32(w, 18) ^ w >> 3;
    }
    vec_put128(c, i, i->reg, &r);
}

static void op_sha256msg2(CpuState *c, const Insn *i)
{
    VecReg b, r;

    sse_check(c, i);
    b = vec_rm(c, i, 16);
    r = c->xmm[i->reg];
    for (unsigned k = 0; k < 4; k++) {
        uint32_t w = k < 2 ? b.d[k + 2] : r.d[k - 2];

        r.d[k] += ror32(w, 17) ^ ror32(w, 19) ^ w >> 10;
    }
    vec_put128(c, i, i->reg, &r);
}

/* ---- the table: legacy and VEX.128 ---- */

#define CR(map, op, prefix, feat, name, operands, fn)                                              \
    { map, op, prefix, EXT_ANY, EXT_ANY, FEAT_##feat, OP_FPU, name, operands, X1(fn) }
#define CV(map, op, feat, flags, name, operands, fn)                                               \
    { map, op, P_66, EXT_ANY, EXT_ANY, FEAT_##feat, OP_FPU | OP_VEX | OP_L0 | (flags), name,       \
      operands, X1(fn) }

const OpRow op_rows_crypto[] = {
    /* clang-format off */
    CR(MAP_0F38, 0xdb, P_66, AES, "aesimc", "Vdq,Wdq", op_aesimc),
    CR(MAP_0F38, 0xdc, P_66, AES, "aesenc", "Vdq,Wdq", op_aesenc),
    CR(MAP_0F38, 0xdd, P_66, AES, "aesenclast", "Vdq,Wdq", op_aesenclast),
    CR(MAP_0F38, 0xde, P_66, AES, "aesdec", "Vdq,Wdq", op_aesdec),
    CR(MAP_0F38, 0xdf, P_66, AES, "aesdeclast", "Vdq,Wdq", op_aesdeclast),
    CR(MAP_0F3A, 0xdf, P_66, AES, "aeskeygenassist", "Vdq,Wdq,Ib", op_aeskeygen),
    CR(MAP_0F3A, 0x44, P_66, PCLMULQDQ, "pclmulqdq", "Vdq,Wdq,Ib", op_pclmulqdq),
    CV(MAP_0F38, 0xdb, AES, OP_NOVVVV, "vaesimc", "Vdq,Wdq", op_aesimc),
    CV(MAP_0F38, 0xdc, AES, 0, "vaesenc", "Vdq,Hdq,Wdq", op_aesenc),
    CV(MAP_0F38, 0xdd, AES, 0, "vaesenclast", "Vdq,Hdq,Wdq", op_aesenclast),
    CV(MAP_0F38, 0xde, AES, 0, "vaesdec", "Vdq,Hdq,Wdq", op_aesdec),
    CV(MAP_0F38, 0xdf, AES, 0, "vaesdeclast", "Vdq,Hdq,Wdq", op_aesdeclast),
    CV(MAP_0F3A, 0xdf, AES, OP_NOVVVV, "vaeskeygenassist", "Vdq,Wdq,Ib", op_aeskeygen),
    CV(MAP_0F3A, 0x44, PCLMULQDQ, 0, "vpclmulqdq", "Vdq,Hdq,Wdq,Ib", op_pclmulqdq),
    CR(MAP_0F3A, 0xcc, P_NONE, SHA, "sha1rnds4", "Vdq,Wdq,Ib", op_sha1rnds4),
    CR(MAP_0F38, 0xc8, P_NONE, SHA, "sha1nexte", "Vdq,Wdq", op_sha1nexte),
    CR(MAP_0F38, 0xc9, P_NONE, SHA, "sha1msg1", "Vdq,Wdq", op_sha1msg1),
    CR(MAP_0F38, 0xca, P_NONE, SHA, "sha1msg2", "Vdq,Wdq", op_sha1msg2),
    CR(MAP_0F38, 0xcb, P_NONE, SHA, "sha256rnds2", "Vdq,Wdq", op_sha256rnds2),
    CR(MAP_0F38, 0xcc, P_NONE, SHA, "sha256msg1", "Vdq,Wdq", op_sha256msg1),
    CR(MAP_0F38, 0xcd, P_NONE, SHA, "sha256msg2", "Vdq,Wdq", op_sha256msg2),
    { 0 },
    /* clang-format on */
};
