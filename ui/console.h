/*
 * Glyphs of text consoles.
 */
#ifndef UI_CONSOLE_H
#define UI_CONSOLE_H

#include <stdint.h>

enum { GLYPH_WIDTH = 8, GLYPH_HEIGHT = 16 };

/* glyph_find - the lines of a character's picture, most significant bit at the left; a replacement's when it
 * has none. */
const uint8_t *glyph_find(uint32_t ch);

#endif
