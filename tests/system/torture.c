/*
 * Runs in a guest (or on the host, which is the oracle: it must say the same): what programs with several threads do to a
 * processor's memory model. torture SECONDS THREADS: each part runs a fifth of the time, checks what it did, and counts it.
 *
 * locks   counters under a spin lock (xchg), a ticket lock (lock xadd) and a flag (lock bts): no increment is lost
 * futex   pairs hand a token over and sleep in between: it is never taken twice, and nobody sleeps for good
 * maps    a page is replaced by mremap() under readers: who knows of a generation never reads an older page (shoot-downs)
 * code    an instruction's constant is changed through another mapping: who knows of a value never runs an older one
 * queue   nodes go round through two stacks with counted heads (lock cmpxchg16b): each is somewhere, once
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64, NODES = 256, PAGE = 4096 };

static unsigned threads;
static atomic_bool over;

static void die(const char *part, const char *what, uint64_t a, uint64_t b)
{
    printf("TORTURE FAILED %s: %s: %llu, %llu\n", part, what, (unsigned long long)a, (unsigned long long)b);
    fflush(stdout);
    _exit(1);
}

/* ---- locks ---- */

static struct {
    uint32_t spin, next, serving, flag;
    uint64_t counter[3];
} locks;

static void spin_lock(void)
{
    uint32_t one = 1;

    do {
        __asm__ volatile("xchg %0, %1" : "+r"(one), "+m"(locks.spin)::"memory");
    } while (one != 0);
}

static void ticket_lock(void)
{
    uint32_t mine = 1;

    __asm__ volatile("lock xaddl %0, %1" : "+r"(mine), "+m"(locks.next)::"memory");
    while (__atomic_load_n(&locks.serving, __ATOMIC_ACQUIRE) != mine) {
        sched_yield();
    }
}

static void flag_lock(void)
{
    bool was;

    do {
        __asm__ volatile("lock btsl $7, %1; setc %0" : "=q"(was), "+m"(locks.flag)::"memory", "cc");
    } while (was);
}

static void *run_locks(void *arg)
{
    uint64_t n = 0;

    for (; !over; n++) {
        switch (n % 3) {
        case 0:
            spin_lock();
            locks.counter[0]++;
            __atomic_store_n(&locks.spin, 0, __ATOMIC_RELEASE);
            break;
        case 1:
            ticket_lock();
            locks.counter[1]++;
            __atomic_store_n(&locks.serving, locks.serving + 1, __ATOMIC_RELEASE);
            break;
        default:
            flag_lock();
            locks.counter[2]++;
            __asm__ volatile("lock btrl $7, %0" : "+m"(locks.flag)::"memory", "cc");
            break;
        }
    }
    return (void *)n;
}

static uint64_t check_locks(uint64_t done)
{
    uint64_t sum = locks.counter[0] + locks.counter[1] + locks.counter[2];

    if (sum != done) {
        die("locks", "increments and what the counters have", done, sum);
    }
    return done;
}

/* ---- futex ---- */

static struct {
    _Alignas(64) atomic_uint turn;
    uint64_t hands; /* of the pair; by whose turn it is */
} pairs[THREADS_MAX];

static void *run_futex(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg, pair = me / 2, side = me & 1;
    struct timespec wait = { .tv_sec = 1 }; /* the end comes while one sleeps */
    uint64_t n = 0;

    if (pair * 2 + 1 >= threads) {
        return NULL; /* an odd one */
    }
    while (!over) {
        unsigned turn = pairs[pair].turn;

        if ((turn & 1) != side) {
            syscall(SYS_futex, &pairs[pair].turn, FUTEX_WAIT_PRIVATE, turn, &wait, NULL, 0);
            continue;
        }
        if (pairs[pair].hands != turn) {
            die("futex", "turns and hands", turn, pairs[pair].hands);
        }
        pairs[pair].hands++;
        pairs[pair].turn = turn + 1;
        syscall(SYS_futex, &pairs[pair].turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        n++;
    }
    return (void *)n;
}

static uint64_t check_futex(uint64_t done)
{
    uint64_t sum = 0;

    for (unsigned n = 0; n < THREADS_MAX; n++) {
        sum += pairs[n].hands;
    }
    if (sum != done || done == 0) {
        die("futex", "hands given and taken", done, sum);
    }
    return done;
}

/* ---- maps ---- */

static _Atomic(uint64_t) generation;
static volatile uint64_t *place;

static void wait_for_page(int sig)
{
    sched_yield(); /* the page is away for a moment: the access is tried again */
}

static void *replace_pages(void)
{
    uint64_t n = 0;

    while (!over) {
        uint64_t *fresh = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        *fresh = ++n;
        if (mremap(fresh, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)place) != (void *)place) {
            die("maps", "mremap failed", n, 0);
        }
        generation = n;
    }
    return (void *)n;
}

static void *run_maps(void *arg)
{
    if (arg == NULL) {
        return replace_pages();
    }
    while (!over) {
        uint64_t known = generation, seen = *place;

        if (seen < known) {
            die("maps", "a page older than what was known", seen, known);
        }
    }
    return NULL;
}

static void begin_maps(void)
{
    struct sigaction act = { .sa_handler = wait_for_page };

    sigaction(SIGSEGV, &act, NULL);
    generation = 0;
    place = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* ---- code ---- */

static uint8_t *code_write;
static uint32_t (*code_run)(void);

static void begin_code(void)
{
    /* nops; mov $0, %eax, whose constant is aligned; ret */
    static const uint8_t text[] = { 0x90, 0x90, 0x90, 0xb8, 0, 0, 0, 0, 0xc3 };
    int fd = memfd_create("code", 0);
    union {
        void *data;
        uint32_t (*code)(void);
    } run;

    signal(SIGSEGV, SIG_DFL);
    generation = 0;
    if (fd < 0 || ftruncate(fd, PAGE) != 0) {
        die("code", "memfd", 0, 0);
    }
    code_write = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    run.data = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    code_run = run.code;
    memcpy(code_write, text, sizeof(text));
}

static void *run_code(void *arg)
{
    uint64_t n = 0;

    while (!over && arg == NULL) {
        __atomic_store_n((uint32_t *)(code_write + 4), (uint32_t)++n, __ATOMIC_SEQ_CST);
        generation = n;
    }
    while (!over) {
        uint64_t known = generation;
        unsigned eax = 0, ebx, ecx = 0, edx;
        uint32_t seen;

        /* SDM vol. 3, "Handling Self- and Cross-Modifying Code": who runs it serialises first */
        __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx)::"memory");
        seen = code_run();
        if (seen < (uint32_t)known) {
            die("code", "an instruction older than what was known", seen, known);
        }
    }
    return (void *)n;
}

/* ---- queue ---- */

typedef struct Node {
    struct Node *next;
    atomic_uint owner;
    uint64_t moves;
} Node;

typedef struct Head {
    Node *first;
    uint64_t count; /* of changes */
} Head;

static Node nodes[NODES];
static _Alignas(16) Head heads[2];

static bool swap_head(Head *head, Head *old, Node *first)
{
    bool ok;

    __asm__ volatile("lock cmpxchg16b %1; setz %0"
                     : "=q"(ok), "+m"(*head), "+a"(old->first), "+d"(old->count)
                     : "b"(first), "c"(old->count + 1)
                     : "memory", "cc");
    return ok;
}

static void push(Head *head, Node *node)
{
    Head old = { __atomic_load_n(&head->first, __ATOMIC_RELAXED), __atomic_load_n(&head->count, __ATOMIC_RELAXED) };

    do {
        __atomic_store_n(&node->next, old.first, __ATOMIC_RELAXED);
    } while (!swap_head(head, &old, node));
}

static Node *pop(Head *head)
{
    Head old = { __atomic_load_n(&head->first, __ATOMIC_RELAXED), __atomic_load_n(&head->count, __ATOMIC_RELAXED) };

    while (old.first != NULL) {
        if (swap_head(head, &old, __atomic_load_n(&old.first->next, __ATOMIC_RELAXED))) {
            break;
        }
    }
    return old.first;
}

static void begin_queue(void)
{
    for (unsigned n = 0; n < NODES; n++) {
        push(&heads[n & 1], &nodes[n]);
    }
}

static void *run_queue(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg + 1, was;
    uint64_t n = 0;

    for (unsigned from = me & 1; !over; from ^= 1) {
        Node *node = pop(&heads[from]);

        if (node == NULL) {
            continue;
        }
        was = atomic_exchange(&node->owner, me);
        if (was != 0) {
            die("queue", "a node was taken by two", was, me);
        }
        node->moves++;
        node->owner = 0;
        push(&heads[from ^ 1], node);
        n++;
    }
    return (void *)n;
}

static uint64_t check_queue(uint64_t done)
{
    uint64_t moves = 0, found = 0;

    for (unsigned n = 0; n < 2; n++) {
        for (Node *node; (node = pop(&heads[n])) != NULL; found++) {
            moves += node->moves;
        }
    }
    if (found != NODES || moves != done) {
        die("queue", found != NODES ? "nodes found" : "moves", found != NODES ? found : moves, done);
    }
    return done;
}

/* ---- all of it ---- */

static const struct {
    const char *name;
    void (*begin)(void);
    void *(*run)(void *arg);
    uint64_t (*check)(uint64_t done); /* NULL: they check as they run */
} parts[] = {
    { "locks", NULL, run_locks, check_locks }, { "futex", NULL, run_futex, check_futex },
    { "maps", begin_maps, run_maps, NULL },    { "code", begin_code, run_code, NULL },
    { "queue", begin_queue, run_queue, check_queue },
};
enum { PARTS = sizeof(parts) / sizeof(parts[0]) };

static uint64_t run_part(unsigned part, unsigned milliseconds)
{
    struct timespec time = { milliseconds / 1000, (long)(milliseconds % 1000) * 1000000 };
    pthread_t id[THREADS_MAX];
    uint64_t done = 0;

    if (parts[part].begin != NULL) {
        parts[part].begin();
    }
    over = false;
    for (unsigned n = 0; n < threads; n++) {
        if (pthread_create(&id[n], NULL, parts[part].run, (void *)(uintptr_t)n) != 0) {
            die(parts[part].name, "no thread", n, 0);
        }
    }
    nanosleep(&time, NULL);
    over = true;
    for (unsigned n = 0; n < threads; n++) {
        void *count;

        pthread_join(id[n], &count);
        done += (uint64_t)count;
    }
    return parts[part].check != NULL ? parts[part].check(done) : done;
}

int main(int argc, char **argv)
{
    uint64_t done[PARTS];

    threads = argc == 3 ? (unsigned)atoi(argv[2]) : 0;
    if (threads < 2 || threads > THREADS_MAX) {
        fprintf(stderr, "usage: torture SECONDS THREADS (2 to %d)\n", THREADS_MAX);
        return 2;
    }
    for (unsigned n = 0; n < PARTS; n++) {
        done[n] = run_part(n, (unsigned)atoi(argv[1]) * 1000 / PARTS);
        if (done[n] == 0) {
            die(parts[n].name, "nothing was done", 0, 0);
        }
    }
    printf("TORTURE OK");
    for (unsigned n = 0; n < PARTS; n++) {
        printf(" %s %llu", parts[n].name, (unsigned long long)done[n]);
    }
    printf("\n");
    return 0;
}
