/*
 * Saved state of back ends that are devices themselves (tablet, serial mouse): a section a line, after those of the
 * board's devices.
 */
#include "chardev/backend.h"

#include "base/error.h"
#include "base/mem.h"
#include "bus/state.h"

static void save(void *opaque, Chardev *c)
{
    autofree char *id = xasprintf("chardev-%s", c->id);

    if (c->be->fields != NULL) {
        pthread_mutex_lock(&c->lock);
        state_put(opaque, id, 1, c->be->fields, c->priv);
        pthread_mutex_unlock(&c->lock);
    }
}

void chardevs_save(StateBuf *b)
{
    chardev_each(save, b);
}

typedef struct Load {
    StateBuf *b;
    Error **errp;
    bool ok;
} Load;

static void load(void *opaque, Chardev *c)
{
    autofree char *id = xasprintf("chardev-%s", c->id);
    Load *l = opaque;

    if (c->be->fields == NULL || !l->ok) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    l->ok = state_get(l->b, id, 1, c->be->fields, c->priv, l->errp);
    pthread_mutex_unlock(&c->lock);
    if (l->ok) {
        c->be->loaded(c);
    }
}

bool chardevs_load(StateBuf *b, Error **errp)
{
    Load l = { b, errp, true };

    chardev_each(load, &l);
    return l.ok;
}
