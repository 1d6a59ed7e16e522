/*
 * QMP: what is about QMP itself.
 */
#include <config.h>
#ifdef CONFIG_JSON
#include "monitor/qmp-internal.h"

#include <stdlib.h>
#include <string.h>
#include <json-c/json.h>
#include "accel/accel.h"
#include "base/mem.h"
#include "monitor/hmp-internal.h"
#include "monitor/qmp-version.h"

bool qmp_capabilities(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    Json *enable = qmp_member(args, "enable");
    size_t count = enable != NULL ? json_object_array_length(enable) : 0;

    /* none is offered: every command is done on the loop, so nothing could overtake another */
    for (size_t n = 0; n < count; n++) {
        Json *v = json_object_array_get_idx(enable, n);

        if (json_object_get_type(v) != json_type_string) {
            error_set(errp, "Invalid parameter type for 'enable[%zu]', expected: string", n);
        } else if (strcmp(json_object_get_string(v), "oob") == 0) {
            error_set(errp, "Capability oob not available");
        } else {
            error_set(errp, "Parameter 'enable[%zu]' does not accept value '%s'", n,
                      json_object_get_string(v));
        }
        return false;
    }
    return qmp_negotiate(s, errp);
}

bool qmp_query_commands(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = json_object_new_array();
    for (const Command *c = command_next(NULL, COMMAND_QMP); c != NULL; c = command_next(c, COMMAND_QMP)) {
        Json *o = json_object_new_object();

        json_add_text(o, "name", c->qmp);
        json_object_array_add(*ret, o);
    }
    return true;
}

Json *qmp_version(void)
{
    static const char *const names[] = { "major", "minor", "micro" };
    Json *all = json_object_new_object(), *qemu = json_object_new_object();
    const char *text = QEMU_COMPAT_VERSION;

    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        char *end;

        json_add_int(qemu, names[n], strtol(text, &end, 10));
        text = *end == '.' ? end + 1 : end;
    }
    json_add(all, "qemu", qemu);
    json_add_text(all, "package", "doppel-" DOPPEL_VERSION);
    return all;
}

bool qmp_query_version(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    *ret = qmp_version();
    return true;
}

bool qmp_human_monitor_command(QmpSession *s, Json *args, Json **ret, Error **errp)
{
    int64_t cpu = qmp_int(args, "cpu-index", 0);
    HmpSession m = { .cpu = (unsigned)cpu };
    char *text = NULL, *wire;
    size_t size = 0, lines = 0, at = 0;
    FILE *out;

    if (qmp_member(args, "cpu-index") != NULL && (cpu < 0 || cpu >= accel_cpu_count())) {
        error_set(errp, "Parameter 'cpu-index' expects a CPU number");
        return false;
    }
    out = open_memstream(&text, &size);
    if (out == NULL) {
        error_set(errp, "no memory for the answer");
        return false;
    }
    hmp_execute(&m, out, qmp_str(args, "command-line"));
    if (m.ask != NULL) {
        fprintf(out, "Error: nobody can be asked for a password here: give it with the command\n");
    }
    fclose(out);
    for (size_t n = 0; n < size; n++) {
        lines += text[n] == '\n';
    }
    wire = xalloc0(size + lines + 1, 1); /* a human monitor's lines end so */
    for (size_t n = 0; n < size; n++) {
        if (text[n] == '\n') {
            wire[at++] = '\r';
        }
        wire[at++] = text[n];
    }
    *ret = json_object_new_string_len(wire, (int)at);
    free(wire);
    free(text);
    return true;
}
#endif
