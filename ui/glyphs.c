/*
 * Glyphs of text consoles: see console.h. docs/decisions/ says where they are from.
 */
#include "ui/console.h"

#include "base/mem.h"

typedef struct Glyph {
    uint16_t ch;
    uint8_t lines[GLYPH_HEIGHT];
} Glyph;

static const Glyph glyphs[] = {
#include "ui/font.inc"
};

const uint8_t *glyph_find(uint32_t ch)
{
    size_t lo = 0, hi = ARRAY_SIZE(glyphs) - 1; /* the last one is U+FFFD */

    if (ch >= 0x20 && ch <= 0x7e) {
        return glyphs[ch - 0x20].lines;
    }
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (glyphs[mid].ch < ch) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return glyphs[lo].ch == ch ? glyphs[lo].lines : glyphs[ARRAY_SIZE(glyphs) - 1].lines;
}
