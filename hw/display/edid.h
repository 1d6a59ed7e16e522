/*
 * What a display says of itself: an EDID block.
 * Source: VESA Enhanced Extended Display Identification Data Standard, release A, revision 2 (EDID 1.4).
 */
#ifndef HW_DISPLAY_EDID_H
#define HW_DISPLAY_EDID_H

#include <stdint.h>

enum { EDID_SIZE = 128, EDID_MAX_SIDE = 4095 };

/* edid_make - the block of a display of @width by @height pixels (1 to EDID_MAX_SIDE) at 60 Hz. */
void edid_make(uint8_t out[EDID_SIZE], unsigned width, unsigned height);

#endif
