/*
 * The human monitor's lines, kept from one run to the next.
 */
#ifndef MONITOR_HMP_HISTORY_H
#define MONITOR_HMP_HISTORY_H

#include "monitor/line-edit.h"

/* history_load - the lines of earlier runs, for a line edited at a terminal. Without a folder for them (neither
 * XDG_STATE_HOME nor HOME) there are none, and nothing is kept. */
void history_load(LineEdit *e);
/* history_keep - add a line to those that are kept, unless it has a password. */
void history_keep(const char *line);

#endif
