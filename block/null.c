/*
 * null-co and null-aio. See null.h. What is read is zeros, whether read-zeroes= says that one may count on it or not.
 */
#include "block/null.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/optlist.h"

#define SIZE_DEFAULT (1ull << 30)
#define LATENCY_MAX 10000000000ull /* ns */

typedef struct NullFile {
    RemoteFile remote; /* first member */
    uint64_t latency;  /* ns of each request */
    bool zeros;
} NullFile;

static int wait_a_little(const RemoteFile *f)
{
    uint64_t ns = container_of(f, NullFile, remote)->latency;
    struct timespec left = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

    while (ns != 0 && nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
    return 0;
}

static int null_read(RemoteFile *f, uint64_t offset, void *buf, size_t len)
{
    memset(buf, 0, len);
    return wait_a_little(f);
}

static int null_write(RemoteFile *f, uint64_t offset, const void *buf, size_t len)
{
    return wait_a_little(f);
}

static int null_flush(RemoteFile *f)
{
    return wait_a_little(f);
}

static int null_zero(RemoteFile *f, uint64_t offset, uint64_t len, bool unmap)
{
    return wait_a_little(f);
}

static int null_discard(RemoteFile *f, uint64_t offset, uint64_t len)
{
    return 0;
}

static uint64_t null_extent(RemoteFile *f, uint64_t offset, uint64_t len, bool *hole)
{
    *hole = container_of(f, NullFile, remote)->zeros;
    return len;
}

static void null_close(RemoteFile *f)
{
    free(container_of(f, NullFile, remote));
}

static const RemoteOps null_ops = {
    .read = null_read, .write = null_write, .flush = null_flush, .zero = null_zero, .discard = null_discard,
    .extent = null_extent, .close = null_close,
};

/* behind - the scheme, or NULL. */
static const char *behind(const char *name)
{
    return strncmp(name, "null-co://", 10) == 0 ? name + 10 : strncmp(name, "null-aio://", 11) == 0 ? name + 11 : NULL;
}

bool null_is_address(const char *name)
{
    return behind(name) != NULL;
}

RemoteFile *null_open(const char *name, Error **errp)
{
    OptList *l = opt_parse(behind(name), NULL, errp);
    uint64_t size, latency;
    bool zeros;
    NullFile *n;

    if (l == NULL) {
        return NULL;
    }
    size = opt_get_size(l, "size", 1, SIZE_DEFAULT);
    latency = opt_get_u64(l, "latency-ns", LATENCY_MAX, 0);
    zeros = opt_get_bool(l, "read-zeroes", false);
    if (size > INT64_MAX) {
        opt_bad(l, "size=%llu: too large", (unsigned long long)size);
    }
    if (!opt_done(l, errp)) {
        error_prepend(errp, "Could not open '%s': ", name);
        opt_free(l);
        return NULL;
    }
    opt_free(l);
    n = xnew(NullFile);
    *n = (NullFile){ .remote = { .ops = &null_ops, .size = size, .align = 1 }, .latency = latency, .zeros = zeros };
    return &n->remote;
}

char *null_address(OptList *l, const char *prefix, const char *driver)
{
    static const char *const keys[] = { "size", "latency-ns", "read-zeroes" };
    char *name = xasprintf("%s://", driver);

    for (unsigned n = 0; n < ARRAY_SIZE(keys); n++) {
        autofree char *key = xasprintf("%s%s", prefix, keys[n]), *old = name;
        const char *value = opt_get_str(l, key, NULL);
        autofree char *text = value != NULL ? opt_quote(value) : NULL;

        name = xasprintf("%s%s%s%s%s", old, text != NULL && old[strlen(old) - 1] != '/' ? "," : "", text != NULL ? keys[n] : "",
                         text != NULL ? "=" : "", text != NULL ? text : "");
    }
    return name;
}
