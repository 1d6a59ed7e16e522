/*
 * Which board -machine asks for, and what boards cannot have.
 */
#include "machine/internal.h"

#include <stdio.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "machine/drives.h"

static const struct {
    const char *name;
    const char *family; /* names of versions begin so; NULL: there are none */
    const char *text;
    PcKind kind;
    const char *cpu;    /* its processor where none is asked for */
} boards[] = {
    { "isapc", NULL, "ISA-only PC", PC_ISA, "486" },
    { "pc", "pc-i440fx-", "Standard PC (i440FX + PIIX, 1996) (default)", PC_I440FX, "max" },
    { "q35", "pc-q35-", "Standard PC (Q35 + ICH9, 2009)", PC_Q35, "max" },
};

/* print_versions - the names that saved command lines have; any other version means the same. */
static void print_versions(const char *family, const char *board)
{
    static const uint8_t last_minor[] = { [2] = 12, [3] = 1, [4] = 2, [5] = 2, [6] = 2, [7] = 2 };

    for (unsigned major = 2; major < ARRAY_SIZE(last_minor); major++) {
        for (unsigned minor = 0; minor <= last_minor[major]; minor++) {
            autofree char *name = xasprintf("%s%u.%u", family, major, minor);

            printf("%-20s alias of %s\n", name, board);
        }
    }
}

static void list_boards(void)
{
    printf("Supported machines are:\n"
           "none                 empty machine\n");
    for (size_t n = 0; n < ARRAY_SIZE(boards); n++) {
        printf("%-20s %s\n", boards[n].name, boards[n].text);
    }
    for (size_t n = 0; n < ARRAY_SIZE(boards); n++) {
        if (boards[n].family != NULL) {
            print_versions(boards[n].family, boards[n].name);
        }
    }
}

/* is_board - is @type the board @n, or a version of it? */
static bool is_board(const char *type, size_t n)
{
    size_t len = boards[n].family != NULL ? strlen(boards[n].family) : 0;
    unsigned major, minor;
    char end;

    return strcmp(type, boards[n].name) == 0 ||
           (len > 0 && strncmp(type, boards[n].family, len) == 0 &&
            sscanf(type + len, "%u.%u%c", &major, &minor, &end) == 2);
}

/* take_kind - false where there is no such board. */
static bool take_kind(MachineConfig *cfg, const char *type)
{
    for (size_t n = 0; n < ARRAY_SIZE(boards); n++) {
        if (is_board(type, n)) {
            cfg->kind = boards[n].kind;
            return true;
        }
    }
    return false;
}

void machine_look_ahead(MachineConfig *cfg, int argc, char **argv)
{
    for (int n = 1; n + 1 < argc; n++) {
        const char *name = argv[n] + (strncmp(argv[n], "--", 2) == 0);
        OptList *l;

        if (strcmp(name, "-M") != 0 && strcmp(name, "-machine") != 0) {
            continue;
        }
        l = opt_parse(argv[n + 1], "type", NULL);
        if (l != NULL && opt_has(l, "type")) {
            take_kind(cfg, opt_get_str(l, "type", ""));
        }
        opt_free(l);
    }
}

bool machine_type(Parser *p, const char *type, Error **errp)
{
    if (opt_is_help(type)) {
        list_boards();
        p->done = true;
        return true;
    }
    p->cfg->none = strcmp(type, "none") == 0;
    if (p->cfg->none || take_kind(p->cfg, type)) {
        return true;
    }
    if (strcmp(type, "microvm") == 0) {
        error_set(errp, "machine type '%s' is not supported yet", type);
        return false;
    }
    error_set(errp, "unknown machine type '%s' (there are isapc, pc, q35 and none)", type);
    return false;
}

/* isapc_finish - refuse by name what isapc has no chips for. */
static bool isapc_finish(Parser *p, Error **errp)
{
    static const char *const absent[] = { "hpet", "acpi", "smm" };
    MachineConfig *cfg = p->cfg;

    for (size_t n = 0; n < ARRAY_SIZE(absent); n++) {
        const char *said = opt_get_str(p->machine, absent[n], "off");

        if (strcmp(said, "off") != 0 && strcmp(said, "auto") != 0) {
            error_set(errp, "-machine %s=%s: the board isapc has none", absent[n], said);
            return false;
        }
    }
    if (cfg->cpus > 1) {
        error_set(errp, "Invalid SMP CPUs %u. The max CPUs supported by machine 'isapc' is 1", cfg->cpus);
        return false;
    }
    if (drive_flash(cfg, 0) != NULL || drive_flash(cfg, 1) != NULL) {
        error_set(errp, "the board isapc has no flash for firmware; its BIOS is a file (-bios)");
        return false;
    }
    cfg->hpet = cfg->acpi = false;
    return true;
}

bool board_finish(Parser *p, Error **errp)
{
    MachineConfig *cfg = p->cfg;

    for (size_t n = 0; n < ARRAY_SIZE(boards) && cfg->cpu == NULL; n++) {
        if (boards[n].kind == cfg->kind) {
            cfg->cpu = xstrdup(boards[n].cpu);
        }
    }
    return cfg->none || cfg->kind != PC_ISA || isapc_finish(p, errp);
}
