/*
 * VMDK's descriptor: lines of text. Source: VMware, "Virtual Disk Format 5.0", "The Descriptor File". Header
 * (`CID=fb183c20`), extents (`RW 4192256 SPARSE "disk-s001.vmdk"`), and a data base of which nothing is used here.
 */
#include "block/vmdk.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include "base/mem.h"

void vmdk_text_fini(VmdkText *t)
{
    for (unsigned n = 0; n < t->lines; n++) {
        free(t->line[n].name);
    }
    free(t->line);
    free(t->create_type);
    free(t->parent);
    free(t->text);
    *t = (VmdkText){ 0 };
}

/* value_of - behind "key =" in the line, spaces left out; NULL: another line. */
static const char *value_of(const char *line, const char *key)
{
    size_t n = strlen(key);

    if (strncasecmp(line, key, n) != 0) {
        return NULL;
    }
    line += n;
    line += strspn(line, " \t");
    return *line == '=' ? line + 1 + strspn(line + 1, " \t") : NULL;
}

/* unquote - what stands between quotes, or up to the end of the line. */
static char *unquote(const char *v)
{
    size_t n;

    if (*v == '"') {
        n = strcspn(v + 1, "\"\r\n");
        return xstrndup(v + 1, n);
    }
    n = strcspn(v, "\r\n");
    while (n > 0 && (v[n - 1] == ' ' || v[n - 1] == '\t')) {
        n--;
    }
    return xstrndup(v, n);
}

static void take(char **to, const char *value)
{
    free(*to);
    *to = unquote(value);
}

/* number - hexadecimal, at most eight digits; how many there were. */
static uint32_t number(const char *v, uint32_t *to)
{
    uint32_t n = 0;

    for (*to = 0; n < 8 && isxdigit((unsigned char)v[n]); n++) {
        *to = *to << 4 | (uint32_t)(isdigit((unsigned char)v[n]) ? v[n] - '0' : (v[n] | 32) - 'a' + 10);
    }
    return n;
}

static const char *parse_extent(VmdkText *t, const char *line, size_t len)
{
    autofree char *copy = xstrndup(line, len);
    unsigned long long sectors, offset = 0;
    VmdkLine l = { 0 };
    int used = 0;
    const char *name, *end;

    if (sscanf(copy, "%11s %llu %15s%n", l.access, &sectors, l.type, &used) != 3 || sectors == 0 || sectors > INT64_MAX / 1024) {
        return "a line of its descriptor does not make sense";
    }
    name = strchr(copy + used, '"');
    end = name != NULL ? strchr(name + 1, '"') : NULL;
    if (name != NULL && end == NULL) {
        return "a line of its descriptor does not make sense";
    }
    if (end != NULL && (sscanf(end + 1, "%llu", &offset) != 1 || offset > INT64_MAX / 1024)) {
        offset = 0;
    }
    if (t->lines == VMDK_EXTENTS_MAX) {
        return "it has too many extents";
    }
    l.sectors = sectors;
    l.offset = offset;
    l.name = name != NULL ? xstrndup(name + 1, (size_t)(end - name - 1)) : NULL;
    t->line = xrealloc(t->line, t->lines + 1, sizeof(*t->line));
    t->line[t->lines++] = l;
    return NULL;
}

static const char *parse_line(VmdkText *t, const char *line)
{
    const char *v;

    if ((v = value_of(line, "CID")) != NULL) {
        t->cid_digits = number(v, &t->cid);
        t->cid_at = (uint32_t)(v - t->text);
    } else if ((v = value_of(line, "parentCID")) != NULL) {
        number(v, &t->parent_cid);
    } else if ((v = value_of(line, "createType")) != NULL) {
        take(&t->create_type, v);
    } else if ((v = value_of(line, "parentFileNameHint")) != NULL) {
        take(&t->parent, v);
    } else if (strncasecmp(line, "RW ", 3) == 0 || strncasecmp(line, "RDONLY ", 7) == 0 || strncasecmp(line, "NOACCESS ", 9) == 0) {
        return parse_extent(t, line, strcspn(line, "\r\n"));
    }
    return NULL;
}

const char *vmdk_text_parse(VmdkText *t, char *text)
{
    const char *why = NULL;

    *t = (VmdkText){ .text = text, .parent_cid = VMDK_NO_PARENT };
    for (const char *line = text; *line != 0 && why == NULL;) {
        line += strspn(line, " \t\r\n");
        why = parse_line(t, line);
        line += strcspn(line, "\n");
    }
    if (why == NULL && (t->cid_digits == 0 || t->create_type == NULL)) {
        why = "its descriptor has no CID or no createType";
    }
    return why;
}
