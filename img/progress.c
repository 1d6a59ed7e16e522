/*
 * How far a long command is: see img.h.
 *
 * -p writes qemu-img's line on stdout, which front ends read. On a terminal, a command that takes long says by itself how
 * fast it is and what is left; --progress=line and =json write that for programs. SIGUSR1 has one line on stderr.
 */
#include "img/img.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NS 1000000000ull
#define SOON_NS (NS / 2)  /* what ends before shows nothing on a terminal */
#define STEP_NS (NS / 5)  /* between what is shown there, or as JSON */
#define LINE_NS NS

static ProgressStyle chosen = PROGRESS_DEFAULT;
static volatile sig_atomic_t asked;

static void on_signal(int sig)
{
    asked = 1;
}

bool img_progress_style(const char *text, Error **errp)
{
    static const char *const names[] = { [PROGRESS_NONE] = "none", [PROGRESS_PERCENT] = "percent", [PROGRESS_LINE] = "line",
                                         [PROGRESS_JSON] = "json" };

    for (unsigned n = PROGRESS_NONE; n < ARRAY_SIZE(names); n++) {
        if (strcmp(names[n], text) == 0) {
            chosen = (ProgressStyle)n;
            return true;
        }
    }
    error_set(errp, "--progress must be used with none, percent, line or json as argument");
    return false;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

void progress_start(Progress *p, bool quiet, uint64_t total)
{
    struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

    p->total = total;
    p->done = 0;
    p->style = quiet                                        ? PROGRESS_NONE
               : chosen != PROGRESS_DEFAULT                 ? chosen
               : p->on                                      ? PROGRESS_PERCENT
               : isatty(STDERR_FILENO) && isatty(STDOUT_FILENO) ? PROGRESS_TERMINAL
                                                            : PROGRESS_NONE;
    p->shown_ns = p->start_ns = now_ns();
    sigaction(SIGUSR1, &sa, NULL);
}

/* hundredths - of a per cent. */
static unsigned hundredths(const Progress *p)
{
    return p->total == 0 ? 10000 : (unsigned)((double)MIN(p->done, p->total) / (double)p->total * 10000);
}

static void show_percent(FILE *out, const Progress *p, const char *end)
{
    unsigned n = hundredths(p);

    fprintf(out, "    (%u.%02u/100%%)%s", n / 100, n % 100, end);
    fflush(out);
}

/* show - bytes, rate and the time that is left. */
static void show(const Progress *p, uint64_t now)
{
    double seconds = (double)(now - p->start_ns) / (double)NS, rate = seconds > 0 ? (double)p->done / seconds : 0;
    uint64_t left = rate > 0 ? (uint64_t)((double)(p->total - MIN(p->done, p->total)) / rate) : 0;
    char a[32], b[32], c[32];

    if (p->style == PROGRESS_JSON) {
        printf("{\"done\": %" PRIu64 ", \"total\": %" PRIu64 ", \"bytes-per-second\": %.0f, \"seconds-left\": %" PRIu64 "}\n",
               p->done, p->total, rate, left);
        fflush(stdout);
        return;
    }
    fprintf(p->style == PROGRESS_LINE ? stdout : stderr, "%s%5.1f %%, %s of %s, %s/s, %" PRIu64 ":%02" PRIu64 " left%s",
            p->style == PROGRESS_LINE ? "" : "\r", hundredths(p) / 100.0, img_human(p->done, a), img_human(p->total, b),
            img_human((uint64_t)rate, c), left / 60, left % 60, p->style == PROGRESS_LINE ? "\n" : "\033[K");
    fflush(p->style == PROGRESS_LINE ? stdout : stderr);
}

void progress_add(Progress *p, uint64_t done)
{
    static const uint64_t step[] = { [PROGRESS_LINE] = LINE_NS, [PROGRESS_JSON] = STEP_NS, [PROGRESS_TERMINAL] = STEP_NS };
    uint64_t now;

    p->done += done;
    if (asked) {
        asked = 0;
        show_percent(stderr, p, "\n");
    }
    if (p->style == PROGRESS_PERCENT && hundredths(p) != p->shown) {
        p->shown = hundredths(p);
        show_percent(stdout, p, "\r");
    }
    if (p->style < PROGRESS_LINE) {
        return;
    }
    now = now_ns();
    if (now - p->shown_ns >= step[p->style] && now - p->start_ns >= SOON_NS) {
        show(p, now);
        p->shown_ns = now;
        p->drawn = true;
    }
}

void progress_end(Progress *p)
{
    p->done = p->total;
    if (p->style == PROGRESS_PERCENT) {
        show_percent(stdout, p, "\n");
    } else if (p->style == PROGRESS_JSON || p->style == PROGRESS_LINE) {
        show(p, now_ns());
    }
    progress_clear(p);
}

void progress_clear(Progress *p)
{
    if (p->style == PROGRESS_TERMINAL && p->drawn) {
        fprintf(stderr, "\r\033[K");
        p->drawn = false;
    }
}

void img_pace(const struct timespec *begun, uint64_t ns)
{
    struct timespec t = *begun;

    t.tv_sec += (time_t)(ns / 1000000000u);
    t.tv_nsec += (long)(ns % 1000000000u);
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    while (ns != 0 && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
    }
}
