/*
 * QMP: sessions, the protocol, events.
 *
 * Bytes are taken under the machine lock and acted upon on the loop without it, since commands may stop the
 * machine. Replies come in the order of the commands; while a reply waits for a slow reader, no more commands
 * are taken. Events for a reader that does not read are dropped once EVENTS_MAX bytes wait.
 */
#include <config.h>
#ifdef CONFIG_JSON
#include "monitor/qmp.h"

#include <stdlib.h>
#include <string.h>
#include <json-c/json.h>
#include "base/clock.h"
#include "base/event.h"
#include "base/loop.h"
#include "base/mem.h"
#include "bus/lock.h"
#include "chardev/chardev.h"
#include "monitor/qmp-internal.h"
#include "monitor/qmp-version.h"

#define RETRY_NS 2000000
#define LIMIT_NS NS_PER_SEC

enum { INPUT_MAX = 4096, EVENTS_MAX = 1 << 20 };

struct QmpSession {
    QmpSession *next;
    Chardev *chr;
    bool pretty;
    bool busy;          /* input waits for the loop */
    bool ready;         /* capabilities were negotiated */
    char in[INPUT_MAX]; /* under the machine lock or, while busy, the loop's */
    size_t in_len;
    JsonReader *reader;
    char *unsent; /* loop thread, as all below */
    size_t unsent_len;
    Timer retry;
};

static QmpSession *sessions; /* loop thread */

/* ---- sending ---- */

static void put_bytes(QmpSession *s, const char *text, size_t len)
{
    size_t took = s->unsent_len == 0 ? chardev_write(s->chr, (const uint8_t *)text, len) : 0;

    if (took < len) {
        s->unsent = xrealloc(s->unsent, s->unsent_len + len - took, 1);
        memcpy(s->unsent + s->unsent_len, text + took, len - took);
        s->unsent_len += len - took;
        timer_arm(&s->retry, clock_now(CLK_REAL) + RETRY_NS);
    }
}

static void on_retry(void *opaque)
{
    QmpSession *s = opaque;
    size_t took = chardev_write(s->chr, (const uint8_t *)s->unsent, s->unsent_len);

    s->unsent_len -= took;
    if (s->unsent_len > 0) {
        memmove(s->unsent, s->unsent + took, s->unsent_len);
        timer_arm(&s->retry, clock_now(CLK_REAL) + RETRY_NS);
        return;
    }
    free(s->unsent);
    s->unsent = NULL;
    machine_lock();
    chardev_accept_input(s->chr);
    machine_unlock();
}

/* send - takes ownership of @v. */
static void send(QmpSession *s, Json *v)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (out != NULL) {
        json_write(v, s->pretty, out);
        fputs("\r\n", out);
        fclose(out);
        put_bytes(s, text, size);
        free(text);
    }
    json_object_put(v);
}

static void greet(QmpSession *s)
{
    Json *all = json_object_new_object(), *qmp = json_object_new_object();

    json_add(qmp, "version", qmp_version());
    json_add(qmp, "capabilities", json_object_new_array());
    json_add(all, "QMP", qmp);
    send(s, all);
}

/* ---- commands ---- */

bool qmp_negotiate(QmpSession *s, Error **errp)
{
    if (s->ready) {
        error_set_class(errp, ERROR_COMMAND_NOT_FOUND,
                        "Capabilities negotiation is already complete, command ignored");
        return false;
    }
    s->ready = true;
    return true;
}

/* check_form - {"execute": string, "arguments": object, "id": anything}. */
static bool check_form(Json *msg, Error **errp)
{
    Json *v;

    if (json_object_get_type(msg) != json_type_object) {
        error_set(errp, "QMP input must be a JSON object");
        return false;
    }
    for (struct lh_entry *e = json_object_get_object(msg)->head; e != NULL; e = e->next) {
        if (strcmp(e->k, "execute") != 0 && strcmp(e->k, "arguments") != 0 && strcmp(e->k, "id") != 0) {
            error_set(errp, "QMP input member '%s' is unexpected", (const char *)e->k);
            return false;
        }
    }
    v = qmp_member(msg, "execute");
    if (json_object_get_type(v) != json_type_string) {
        error_set(errp, json_object_object_get_ex(msg, "execute", NULL)
                            ? "QMP input member 'execute' must be a string"
                            : "QMP input lacks member 'execute'");
        return false;
    }
    if (json_object_object_get_ex(msg, "arguments", &v) && json_object_get_type(v) != json_type_object) {
        error_set(errp, "QMP input member 'arguments' must be an object");
        return false;
    }
    return true;
}

static bool run(QmpSession *s, const Command *c, Json *args, Json **ret, Error **errp)
{
    Args given;
    bool ok;

    if (c->query != NULL) {
        return c->query(s, args, ret, errp);
    }
    ok = qmp_take(c->args, args, &given, errp) && c->run(&given, errp);
    args_free(&given);
    return ok;
}

static bool execute(QmpSession *s, Json *msg, Json **ret, Error **errp)
{
    const char *name;
    const Command *c;
    Json *args, *none;
    bool ok;

    if (!check_form(msg, errp)) {
        return false;
    }
    name = qmp_str(msg, "execute");
    if (!s->ready && strcmp(name, "qmp_capabilities") != 0) {
        error_set_class(errp, ERROR_COMMAND_NOT_FOUND,
                        "Expecting capabilities negotiation with 'qmp_capabilities'");
        return false;
    }
    c = command_find(COMMAND_QMP, name);
    if (c == NULL) {
        error_set_class(errp, ERROR_COMMAND_NOT_FOUND, "The command %s has not been found", name);
        return false;
    }
    none = json_object_new_object();
    args = qmp_member(msg, "arguments");
    args = args != NULL ? args : none;
    ok = qmp_check(c->args, args, "", errp) && command_can(c, errp) && run(s, c, args, ret, errp);
    json_object_put(none);
    return ok;
}

static Json *error_json(Error *err)
{
    static const char *const classes[] = {
        [ERROR_GENERIC] = "GenericError", [ERROR_COMMAND_NOT_FOUND] = "CommandNotFound",
        [ERROR_DEVICE_NOT_FOUND] = "DeviceNotFound", [ERROR_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
    };
    Json *e = json_object_new_object();

    json_add_text(e, "class", classes[error_class(err)]);
    json_add_text(e, "desc", error_text(err));
    return e;
}

/* handle - a message, or the mistake that stood in its place. Takes ownership of both. */
static void handle(QmpSession *s, Json *msg, Error *err)
{
    Json *reply = json_object_new_object(), *ret = NULL, *id = NULL;

    if (err != NULL || !execute(s, msg, &ret, &err)) {
        json_add(reply, "error", error_json(err));
        error_free(err);
    } else {
        json_add(reply, "return", ret != NULL ? ret : json_object_new_object());
    }
    if (json_object_get_type(msg) == json_type_object && json_object_object_get_ex(msg, "id", &id)) {
        json_add(reply, "id", json_object_get(id));
    }
    send(s, reply);
    json_object_put(msg);
}

/* serve - all that came, up to the end of the program. */
static void serve(void *opaque)
{
    QmpSession *s = opaque;
    size_t at = 0;

    while (at < s->in_len && !loop_quit_asked()) {
        Error *err = NULL;
        Json *msg;
        size_t used;
        bool whole = json_read(s->reader, s->in + at, s->in_len - at, &used, &msg, &err);

        at += used;
        if (!whole || msg != NULL) {
            handle(s, msg, err);
        }
    }
    machine_lock();
    s->in_len = 0;
    s->busy = false;
    chardev_accept_input(s->chr);
    machine_unlock();
}

/* ---- the line ---- */

static size_t can_receive(void *opaque)
{
    QmpSession *s = opaque;

    return s->busy || s->unsent_len > 0 ? 0 : INPUT_MAX;
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    QmpSession *s = opaque;

    memcpy(s->in, buf, len);
    s->in_len = len;
    s->busy = true;
    loop_post(serve, s);
}

static void event(void *opaque, CharEvent ev)
{
    QmpSession *s = opaque;

    if (ev == CHAR_OPENED || ev == CHAR_CLOSED) {
        json_reader_reset(s->reader);
        s->ready = false;
        s->in_len = 0;
        s->unsent_len = 0;
        timer_cancel(&s->retry);
    }
    if (ev == CHAR_OPENED) {
        greet(s);
    }
}

/* ---- events ---- */

static Json *event_json(const Event *e)
{
    Json *all = json_object_new_object(), *when = json_object_new_object();
    Json *data = json_object_new_object();

    json_add_int(when, "seconds", e->when / NS_PER_SEC);
    json_add_int(when, "microseconds", e->when % NS_PER_SEC / 1000);
    json_add(all, "timestamp", when);
    json_add_text(all, "event", e->name);
    for (const EventField *f = e->fields; f->type != EVENT_END; f++) {
        if (f->type == EVENT_STR && f->s != NULL) {
            json_add_path(data, f->name, json_object_new_string(f->s));
        } else if (f->type == EVENT_INT) {
            json_add_path(data, f->name, json_object_new_int64(f->i));
        } else if (f->type == EVENT_BOOL) {
            json_add_path(data, f->name, json_object_new_boolean(f->i != 0));
        }
    }
    if (json_object_object_length(data) > 0) {
        json_add(all, "data", data);
    } else {
        json_object_put(data);
    }
    return all;
}

static void send_to_all(Json *v)
{
    for (QmpSession *s = sessions; s != NULL; s = s->next) {
        if (s->ready && s->unsent_len <= EVENTS_MAX) {
            send(s, json_object_get(v));
        }
    }
    json_object_put(v);
}

/* Events that a guest can cause as often as it likes: one a second, of those in between the last. */
static struct Limited {
    const char *name;
    Timer pause;
    Json *last; /* came during the pause, or NULL */
} limited[] = { { .name = "RTC_CHANGE" }, { .name = "BLOCK_IO_ERROR" } };

static void pause_over(void *opaque)
{
    struct Limited *l = opaque;

    if (l->last != NULL) {
        timer_arm(&l->pause, clock_now(CLK_REAL) + LIMIT_NS);
        send_to_all(l->last);
        l->last = NULL;
    }
}

/* hold_back - whether @e, as @v, waits until a pause is over; it is taken over then. */
static bool hold_back(const Event *e, Json *v)
{
    for (size_t n = 0; n < ARRAY_SIZE(limited); n++) {
        struct Limited *l = &limited[n];

        if (strcmp(l->name, e->name) != 0) {
            continue;
        }
        if (timer_pending(&l->pause)) {
            json_object_put(l->last);
            l->last = v;
            return true;
        }
        timer_arm(&l->pause, clock_now(CLK_REAL) + LIMIT_NS);
    }
    return false;
}

static void on_event(void *opaque, const Event *e)
{
    Json *v = event_json(e);

    if (!hold_back(e, v)) {
        send_to_all(v);
    }
}

bool qmp_open(Chardev *c, bool pretty, Error **errp)
{
    static const CharFront front = { can_receive, receive, event };
    QmpSession *s = xnew(QmpSession);

    s->chr = c;
    s->pretty = pretty;
    s->reader = json_reader_new();
    timer_init(&s->retry, CLK_REAL, on_retry, s, NULL);
    if (!chardev_attach(c, &front, s, errp)) {
        json_reader_free(s->reader);
        free(s);
        return false;
    }
    if (sessions == NULL) {
        for (size_t n = 0; n < ARRAY_SIZE(limited); n++) {
            timer_init(&limited[n].pause, CLK_REAL, pause_over, &limited[n], NULL);
        }
        event_listen(on_event, NULL);
    }
    s->next = sessions;
    sessions = s;
    return true;
}
#endif
