/*
 * The human monitor's history: a file that only its owner can read, in the folder that the XDG Base Directory
 * Specification has for such ("XDG_STATE_HOME"). Failures are nobody's concern: then there is no history.
 */
#include "monitor/hmp-history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/broker.h"
#include "base/mem.h"

enum { FILE_MAX = 256 * 1024 }; /* bytes; then it is written anew with the lines that count */

/* folder - where state is kept, or NULL. "All paths must be absolute." */
static char *folder(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

    if (state != NULL && *state == '/') {
        return xasprintf("%s/doppel", state);
    }
    return home != NULL && *home == '/' ? xasprintf("%s/.local/state/doppel", home) : NULL;
}

/* make_folder - "created with permission 0700", as are those above it. */
static bool make_folder(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        host_mkdir(path);
        *slash = '/';
    }
    return host_mkdir(path) == 0 || errno == EEXIST;
}

/* open_file - no link, no pipe: a file. -1: there is none. */
static int open_file(int flags)
{
    autofree char *dir = folder(), *path = dir != NULL ? xasprintf("%s/monitor-history", dir) : NULL;
    struct stat st;
    int fd;

    if (path == NULL || ((flags & O_CREAT) && !make_folder(dir))) {
        return -1;
    }
    fd = host_open(path, flags | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())) {
        close(fd);
        return -1;
    }
    return fd;
}

/* shorten - only the lines that @e has are kept. */
static void shorten(const LineEdit *e)
{
    int fd = open_file(O_WRONLY | O_TRUNC);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

    for (unsigned n = 0; f != NULL && n < e->history_count; n++) {
        fprintf(f, "%s\n", e->history[n]);
    }
    if (f != NULL) {
        fclose(f);
    } else if (fd >= 0) {
        close(fd);
    }
}

void history_load(LineEdit *e)
{
    int fd = open_file(O_RDONLY);
    FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
    char line[LINE_MAX_CHARS + 2];
    long size = 0;

    while (f != NULL && size <= 2 * FILE_MAX && fgets(line, sizeof(line), f) != NULL) {
        size_t n = strcspn(line, "\n");

        size += (long)n + 1;
        line[n] = '\0';
        for (size_t k = 0; k < n; k++) {
            n = (uint8_t)line[k] < 32 || line[k] == 127 ? 0 : n; /* nothing that a terminal would obey */
        }
        if (n > 0) {
            line_remember(e, line);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    if (size > FILE_MAX) {
        shorten(e);
    }
}

static bool has_password(const char *line)
{
    static const char *const secret[] = { "set_password", "change vnc", "object_add" };

    line += strspn(line, " \t");
    for (size_t n = 0; n < ARRAY_SIZE(secret); n++) {
        if (strncmp(line, secret[n], strlen(secret[n])) == 0) {
            return true;
        }
    }
    return strstr(line, "pass") != NULL;
}

void history_keep(const char *line)
{
    autofree char *text = xasprintf("%s\n", line);
    int fd;

    if (line[strspn(line, " \t")] == '\0' || has_password(line)) {
        return;
    }
    fd = open_file(O_WRONLY | O_CREAT | O_APPEND);
    if (fd >= 0) {
        if (write(fd, text, strlen(text)) < 0) {
            /* a full disk: then not */
        }
        close(fd);
    }
}
