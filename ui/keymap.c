/*
 * Layouts of -k: see keymap.h. The layouts are rows of characters (keymaps.inc); keysyms are turned
 * into Unicode first, so that a viewer may send a character's old name or its new one.
 *
 * Source: X Window System Protocol, "KEYSYM Encoding".
 */
#include "ui/keymap.h"

#include <stddef.h>
#include <string.h>
#include "base/mem.h"
#include "hw/input/input.h"

enum { ROWS = 4, KEYS_MAX = 13, LEVELS = 4, NOTHING = 0x25a1, DEAD = 0x25cc };

struct Keymap {
    const char *name;
    const char *row[ROWS];
};

static const Keymap keymaps[] = {
#include "ui/keymaps.inc"
};

static const struct {
    uint16_t keysym, ucs;
} old_keysyms[] = {
#include "ui/keysyms.inc"
};

/* Keys of the rows, by their set 1 codes. */
static const uint8_t row_keys[ROWS][KEYS_MAX + 1] = {
    { 0x29, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x7d },
    { 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x2b },
    { 0x1e, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28 },
    { 0x56, 0x2c, 0x2d, 0x2e, 0x2f, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x73 },
};

/* clang-format off */
/* Keys that are the same everywhere. */
static const struct {
    uint16_t keysym, key;
} common[] = {
    { 0xff08, 0x0e }, { 0xff09, 0x0f }, { 0xfe20, 0x0f }, { 0xff0a, 0x1c }, { 0xff0d, 0x1c },
    { 0xff13, INPUT_PAUSE }, { 0xff6b, INPUT_PAUSE }, { 0xff14, 0x46 }, { 0xff15, INPUT_PRINT },
    { 0xff61, INPUT_PRINT }, { 0xff1b, 0x01 }, { 0xffff, 0x153 }, { 0xff50, 0x147 },
    { 0xff51, 0x14b }, { 0xff52, 0x148 }, { 0xff53, 0x14d }, { 0xff54, 0x150 }, { 0xff55, 0x149 },
    { 0xff56, 0x151 }, { 0xff57, 0x14f }, { 0xff63, 0x152 }, { 0xff67, 0x15d }, { 0xff7f, 0x45 },
    { 0xff7e, 0x138 }, { 0xfe03, 0x138 }, { 0xfe04, 0x138 }, { 0xfe11, 0x138 },
    { 0xffbe, 0x3b }, { 0xffbf, 0x3c }, { 0xffc0, 0x3d }, { 0xffc1, 0x3e }, { 0xffc2, 0x3f },
    { 0xffc3, 0x40 }, { 0xffc4, 0x41 }, { 0xffc5, 0x42 }, { 0xffc6, 0x43 }, { 0xffc7, 0x44 },
    { 0xffc8, 0x57 }, { 0xffc9, 0x58 }, { 0xffe1, 0x2a }, { 0xffe2, 0x36 }, { 0xffe3, 0x1d },
    { 0xffe4, 0x11d }, { 0xffe5, 0x3a }, { 0xffe7, 0x15b }, { 0xffe8, 0x15c }, { 0xffe9, 0x38 },
    { 0xffea, 0x138 }, { 0xffeb, 0x15b }, { 0xffec, 0x15c }, { 0xff20, 0x15d },
    /* keypad */
    { 0xff8d, 0x11c }, { 0xff95, 0x47 }, { 0xff96, 0x4b }, { 0xff97, 0x48 }, { 0xff98, 0x4d },
    { 0xff99, 0x50 }, { 0xff9a, 0x49 }, { 0xff9b, 0x51 }, { 0xff9c, 0x4f }, { 0xff9d, 0x4c },
    { 0xff9e, 0x52 }, { 0xff9f, 0x53 }, { 0xffaa, 0x37 }, { 0xffab, 0x4e }, { 0xffac, 0x53 },
    { 0xffad, 0x4a }, { 0xffae, 0x53 }, { 0xffaf, 0x135 }, { 0xffb0, 0x52 }, { 0xffb1, 0x4f },
    { 0xffb2, 0x50 }, { 0xffb3, 0x51 }, { 0xffb4, 0x4b }, { 0xffb5, 0x4c }, { 0xffb6, 0x4d },
    { 0xffb7, 0x47 }, { 0xffb8, 0x48 }, { 0xffb9, 0x49 },
    /* keys of Japanese and Korean keyboards */
    { 0xff21, 0x70 }, { 0xff22, 0x7b }, { 0xff23, 0x79 }, { 0xff25, 0x70 }, { 0xff27, 0x70 },
};

/* Dead keysyms FE50h.., by combining character. */
static const uint16_t dead_marks[] = {
    0x300, 0x301, 0x302, 0x303, 0x304, 0x306, 0x307, 0x308, 0x30a, 0x30b, 0x30c, 0x327, 0x328,
    0x345, 0,     0,     0x323, 0x309, 0x31b, 0x335, 0,     0,     0,     0,     0,     0x30f,
    0,     0,     0x331, 0,     0x326, 0x311,
};

/* A character alone, of which a layout may have only the dead key. */
static const struct {
    uint16_t ucs, mark;
} dead_alone[] = {
    { '^', 0x302 }, { '`', 0x300 }, { '~', 0x303 }, { 0xb4, 0x301 }, { 0xa8, 0x308 },
    { 0xb8, 0x327 }, { 0x2c7, 0x30c }, { 0x2d8, 0x306 }, { 0xb0, 0x30a }, { 0x2dd, 0x30b },
    { 0x2db, 0x328 }, { 0x2d9, 0x307 }, { 0xaf, 0x304 }, { '\'', 0x301 }, { '"', 0x308 },
};
/* clang-format on */

const Keymap *keymap_find(const char *name)
{
    for (size_t n = 0; n < ARRAY_SIZE(keymaps); n++) {
        if (strcmp(keymaps[n].name, name) == 0) {
            return &keymaps[n];
        }
    }
    return NULL;
}

void keymap_list(FILE *out)
{
    for (size_t n = 0; n < ARRAY_SIZE(keymaps); n++) {
        fprintf(out, "%s%s", n > 0 ? " " : "", keymaps[n].name);
    }
    fprintf(out, "\n");
}

/* next_char - one character of our own table, which is valid UTF-8. */
static uint32_t next_char(const char **s)
{
    const uint8_t *p = (const uint8_t *)*s;
    unsigned more = *p < 0x80 ? 0 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : 3;
    uint32_t c = more == 0 ? *p : *p & (0x3fu >> more);

    for (unsigned n = 1; n <= more; n++) {
        c = c << 6 | (p[n] & 0x3f);
    }
    *s += 1 + more;
    return c;
}

/* keysym_char - a keysym's character, with *dead a dead key's combining one; 0 for none. */
static uint32_t keysym_char(uint32_t keysym, bool *dead)
{
    size_t lo = 0, hi = ARRAY_SIZE(old_keysyms);

    *dead = false;
    if (keysym >= 0x01000100 && keysym <= 0x0110ffff) {
        return keysym & 0xffffff;
    }
    if ((keysym >= 0x20 && keysym <= 0x7e) || (keysym >= 0xa0 && keysym <= 0xff)) {
        return keysym;
    }
    if (keysym >= 0xfe50 && keysym < 0xfe50 + ARRAY_SIZE(dead_marks)) {
        *dead = true;
        return dead_marks[keysym - 0xfe50];
    }
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (old_keysyms[mid].keysym < keysym) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < ARRAY_SIZE(old_keysyms) && old_keysyms[lo].keysym == keysym ? old_keysyms[lo].ucs : 0;
}

uint32_t keysym_of(uint32_t ch)
{
    return ch < 0x100 ? ch : 0x1000000 | ch;
}

uint32_t keysym_unicode(uint32_t keysym)
{
    bool dead;
    uint32_t ch = keysym_char(keysym, &dead);

    return dead ? 0 : ch;
}

/* is_letter - the key's first two characters are one letter, small and large: what Caps Lock acts on. */
static bool is_letter(uint32_t small, uint32_t large)
{
    static const uint16_t ranges[][3] = {
        /* first and last small one, distance to the large one */
        { 'a', 'z', 0x20 }, { 0xe0, 0xfe, 0x20 }, { 0x430, 0x44f, 0x20 }, { 0x450, 0x45f, 0x50 },
        { 0x3b1, 0x3c9, 0x20 },
    };

    for (size_t n = 0; n < ARRAY_SIZE(ranges); n++) {
        if (small >= ranges[n][0] && small <= ranges[n][1] && small - large == ranges[n][2]) {
            return true;
        }
    }
    return small > 0xff && small < 0x180 && small - large == 1; /* Latin Extended-A: in pairs */
}

/* One key of a row: the characters of its levels, and which are dead. */
typedef struct Cap {
    uint32_t c[LEVELS];
    bool dead[LEVELS];
} Cap;

static Cap next_cap(const char **s)
{
    Cap cap = { { 0 }, { false } };

    for (unsigned level = 0; level < LEVELS && **s != '\0' && **s != ' '; level++) {
        uint32_t c = next_char(s);

        if (c == DEAD) {
            cap.dead[level] = true;
            c = next_char(s);
        }
        cap.c[level] = c == NOTHING ? 0 : c;
    }
    *s += **s == ' ';
    return cap;
}

/* scan - append the ways to type character @c at one level. */
static unsigned scan(const Keymap *m, uint32_t c, bool dead, unsigned level, KeyStroke *out,
                     unsigned count, unsigned max)
{
    for (unsigned r = 0; r < ROWS; r++) {
        const char *s = m->row[r];

        for (unsigned k = 0; *s != '\0' && k <= KEYS_MAX; k++) {
            Cap cap = next_cap(&s);

            if (cap.c[level] == c && cap.dead[level] == dead && count < max) {
                out[count++] = (KeyStroke){ .key = row_keys[r][k],
                                            .shift = level & 1,
                                            .altgr = level >= 2,
                                            .letter = is_letter(cap.c[0], cap.c[1]) };
            }
        }
    }
    return count;
}

static unsigned find_char(const Keymap *m, uint32_t c, bool dead, KeyStroke *out, unsigned max)
{
    unsigned count = 0;

    for (unsigned level = 0; level < LEVELS; level++) {
        count = scan(m, c, dead, level, out, count, max);
    }
    return count;
}

static unsigned find_alone(const Keymap *m, uint32_t c, KeyStroke *out, unsigned max)
{
    for (size_t n = 0; n < ARRAY_SIZE(dead_alone); n++) {
        unsigned count = dead_alone[n].ucs == c ? find_char(m, dead_alone[n].mark, true, out, max) : 0;

        for (unsigned k = 0; k < count; k++) {
            out[k].dead = true;
        }
        if (count > 0) {
            return count;
        }
    }
    return 0;
}

unsigned keymap_lookup(const Keymap *m, uint32_t keysym, KeyStroke *out, unsigned max)
{
    bool dead;
    uint32_t c = keysym_char(keysym, &dead);
    unsigned count = 0;

    for (size_t n = 0; n < ARRAY_SIZE(common) && max > 0; n++) {
        if (common[n].keysym == keysym) {
            bool digit = (keysym >= 0xffb0 && keysym <= 0xffb9) ||
                         keysym == 0xffae || keysym == 0xffac;

            out[0] = (KeyStroke){ .key = common[n].key, .plain = true, .keypad = digit };
            return 1;
        }
    }
    if (c == ' ' || c == 0xa0) {
        out[0] = (KeyStroke){ .key = 0x39, .plain = true };
        return max > 0;
    }
    if (c != 0) {
        count = find_char(m, c, dead, out, max);
        if (count == 0 && !dead) {
            count = find_alone(m, c, out, max);
        }
        if (count == 0 && strcmp(m->name, "en-us") != 0) { /* Latin letters of a Russian keyboard */
            count = find_char(keymap_find("en-us"), c, dead, out, max);
        }
    }
    return count;
}
