/*
 * Layouts of -k: which keys a person at a keyboard of that country presses for an X11 keysym. For
 * viewers that send keysyms and no scan codes; the layout has to be the one that the guest has set.
 */
#ifndef UI_KEYMAP_H
#define UI_KEYMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct Keymap Keymap;

/* One way to type a keysym. Keys are named as in hw/input/input.h. */
typedef struct KeyStroke {
    uint16_t key;      /* 0: there is none */
    bool shift, altgr; /* are held for it; no meaning where `plain` */
    bool plain;        /* not a character: Shift and AltGr are left as they are */
    bool letter;       /* Caps Lock acts as Shift does */
    bool keypad;       /* a digit of the keypad: needs Num Lock */
    bool dead;         /* a dead key: the space bar after it gives the character alone */
} KeyStroke;

/* keymap_find - the layout called @name ("de"); NULL for none. keymap_list - the names, on a line. */
const Keymap *keymap_find(const char *name);
void keymap_list(FILE *out);

/* keysym_unicode - the character that a keysym stands for; 0: none, also for a dead key's. */
uint32_t keysym_unicode(uint32_t keysym);

/* keysym_of - the keysym of a character: those of Latin-1 are themselves, others are in the range for Unicode. */
uint32_t keysym_of(uint32_t ch);

/* keymap_lookup - the ways to type @keysym, the simplest one first, at most @max; how many there are. */
unsigned keymap_lookup(const Keymap *m, uint32_t keysym, KeyStroke *out, unsigned max);

#endif
