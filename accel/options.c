/*
 * The options of the engines, and the table of the translator's tricks.
 */
#include "accel/options.h"

AccelOptions accel_options;

const TrickInfo trick_info[TRICKS] = {
#define TRICK(id, name, help) { name, help },
#include "accel/options.inc"
#undef TRICK
};
