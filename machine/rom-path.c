/*
 * Where firmware comes from: the user's folders, ours, and those of Debian's packages.
 */
#include "machine/config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/mem.h"
#include <config.h> /* the one made by ./configure */

static const char *const package_dirs[] = {
    CONFIG_DATADIR,       "/usr/share/seabios", "/usr/share/qemu",
    "/usr/lib/ipxe/qemu", "/usr/share/OVMF",    "/usr/share/ovmf",
};

static bool is_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
}

static char *in_dir(const char *dir, const char *name)
{
    char *path = xasprintf("%s/%s", dir, name);

    if (is_file(path)) {
        return path;
    }
    free(path);
    return NULL;
}

char *rom_find(const MachineConfig *cfg, const char *name)
{
    char *path = NULL;

    if (*name == '\0') {
        return NULL;
    }
    for (size_t i = 0; i < cfg->rom_dirs.count && path == NULL; i++) {
        path = in_dir(cfg->rom_dirs.s[i], name);
    }
    if (path == NULL && is_file(name)) {
        return xstrdup(name);
    }
    for (size_t i = 0; i < ARRAY_SIZE(package_dirs) && path == NULL; i++) {
        path = in_dir(package_dirs[i], name);
    }
    return path;
}

void rom_dirs_print(const MachineConfig *cfg, FILE *out)
{
    for (size_t i = 0; i < cfg->rom_dirs.count; i++) {
        fprintf(out, "%s\n", cfg->rom_dirs.s[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(package_dirs); i++) {
        fprintf(out, "%s\n", package_dirs[i]);
    }
}

void str_list_add(StrList *l, const char *s)
{
    l->s = xrealloc(l->s, l->count + 1, sizeof(*l->s));
    l->s[l->count++] = xstrdup(s);
}

void str_list_free(StrList *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->s[i]);
    }
    free(l->s);
    *l = (StrList){ .s = NULL };
}
