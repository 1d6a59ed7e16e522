/* Character devices, with real sockets, FIFOs and pseudo-terminals. */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <termios.h>
#include <unistd.h>
#include "base/loop.h"
#include "base/optlist.h"
#include "bus/lock.h"
#include "chardev/chardev.h"
#include "chardev/telnet.h"

/* ---- a front end that remembers ---- */

typedef struct Fe {
    uint8_t got[200000];
    size_t len, room; /* room: how much it will still take */
    int opened, closed, breaks, focus_in, focus_out;
    bool unlocked; /* a callback came without the machine lock */
} Fe;

static size_t fe_can(void *opaque)
{
    Fe *f = opaque;
    f->unlocked |= !machine_lock_held();
    return MIN(f->room, (size_t)16);
}

static void fe_receive(void *opaque, const uint8_t *buf, size_t len)
{
    Fe *f = opaque;
    f->unlocked |= !machine_lock_held();
    assert_true(len <= f->room && f->len + len <= sizeof(f->got));
    memcpy(f->got + f->len, buf, len);
    f->len += len;
    f->room -= len;
}

static void fe_event(void *opaque, CharEvent ev)
{
    Fe *f = opaque;
    f->unlocked |= !machine_lock_held();
    f->opened += ev == CHAR_OPENED;
    f->closed += ev == CHAR_CLOSED;
    f->breaks += ev == CHAR_BREAK;
    f->focus_in += ev == CHAR_FOCUS_IN;
    f->focus_out += ev == CHAR_FOCUS_OUT;
}

static const CharFront front = { fe_can, fe_receive, fe_event };
static char dir[] = "/tmp/doppel-test-XXXXXX";

static Fe *fe_new(void)
{
    Fe *f = xnew(Fe);
    f->room = sizeof(f->got);
    return f;
}

static Chardev *make(const char *text)
{
    Error *err = NULL;
    OptList *l = opt_parse(text, "backend", &err);
    Chardev *c = chardev_new(l, &err);
    if (c == NULL) {
        print_error("%s: %s\n", text, error_text(err));
    }
    assert_non_null(c);
    opt_free(l);
    return c;
}

static void refuse(const char *text, const char *why)
{
    Error *err = NULL;
    OptList *l = opt_parse(text, "backend", &err);
    assert_null(chardev_new(l, &err));
    expect_error(&err, why);
    opt_free(l);
}

static Chardev *legacy(const char *text)
{
    Error *err = NULL;
    Chardev *c = chardev_from_legacy(text, "l0", &err);
    if (c == NULL) {
        print_error("%s: %s\n", text, error_text(err));
    }
    assert_non_null(c);
    return c;
}

static void attach(Chardev *c, Fe *f)
{
    machine_lock();
    assert_true(chardev_attach(c, &front, f, NULL));
    machine_unlock();
}

static size_t put(Chardev *c, const char *text)
{
    return chardev_write(c, (const uint8_t *)text, strlen(text));
}

/* Turn the loop until @cond; a test that never gets there ends by the runner's time limit. */
#define UNTIL(cond)                                                                                \
    while (!(cond)) {                                                                              \
        loop_turn(100 * NS_PER_MS);                                                                \
    }

static void drain_loop(void)
{
    for (int i = 0; i < 5; i++) {
        loop_turn(0);
    }
}

static void send_all(int fd, const void *buf, size_t len)
{
    assert_int_equal(write(fd, buf, len), (ssize_t)len);
}

static size_t read_some(int fd, char *buf, size_t size)
{
    ssize_t n;
    while ((n = recv(fd, buf, size - 1, MSG_DONTWAIT)) < 0 && errno == EAGAIN) {
        loop_turn(10 * NS_PER_MS);
    }
    assert_true(n >= 0);
    buf[n] = '\0';
    return (size_t)n;
}

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

static char *slurp(const char *path)
{
    FILE *f = fopen(path, "r");
    char *buf = xalloc0(1, 4096);
    assert_non_null(f);
    assert_true(fread(buf, 1, 4095, f) < 4095);
    fclose(f);
    return buf;
}

/* ---- simple ones ---- */

static void test_null_and_ring(void **state)
{
    Chardev *c = legacy("null"), *r;
    uint8_t buf[16];

    assert_int_equal(put(c, "abc"), 3);
    assert_int_equal(put(NULL, "abc"), 3);
    assert_int_equal(chardev_ringbuf_read(c, buf, 16), -1);
    chardev_free(c);

    r = make("ringbuf,id=r,size=8");
    assert_int_equal(chardev_ringbuf_read(r, buf, 16), 0);
    put(r, "0123456789");
    assert_int_equal(chardev_ringbuf_read(r, buf, 5), 5);
    assert_memory_equal(buf, "23456", 5);
    assert_int_equal(chardev_ringbuf_read(r, buf, 16), 3);
    assert_memory_equal(buf, "789", 3);
    chardev_free(r);
    refuse("ringbuf,id=r,size=7", "power of two");
}

static void test_file_and_log(void **state)
{
    autofree char *path = path_of("out,put"), *log = path_of("log");
    autofree char *quoted = opt_quote(path), *spec = xasprintf("file:%s", path);
    autofree char *opts = xasprintf("file,id=f,path=%s,append=on,logfile=%s", quoted, log);
    Chardev *c = legacy(spec);
    char *text;

    put(c, "one\n");
    chardev_free(c);
    c = make(opts);
    put(c, "two\n");
    chardev_free(c);
    text = slurp(path);
    assert_string_equal(text, "one\ntwo\n");
    free(text);
    text = slurp(log);
    assert_string_equal(text, "two\n");
    free(text);
    refuse("file,id=f,path=/nonexistent/x", "cannot open /nonexistent/x: No such file");
}

static void test_refused(void **state)
{
    Error *err = NULL;
    Chardev *c = make("null,id=n"), *d;

    refuse("null,id=n", "'n' is there already");
    refuse("null", "null: id= is missing");
    refuse("nul,id=x", "did you mean 'null'?");
    refuse("vc,id=x,cols=1001", "cols=1001");
    refuse("vc,id=x,width=7", "1 to 1000 characters");
    refuse("null,id=x,pat=1", "unknown sub-option 'pat'");
    refuse("null,id=x,mux=maybe", "neither on nor off");
    refuse("file,id=x", "path= is missing");
    refuse("socket,id=x", "one of path=, port=");
    refuse("socket,id=x,path=/a,port=1", "one of path=, port=");
    refuse("socket,id=x,path=/nonexistent/s", "cannot connect to unix:/nonexistent/s");
    refuse("socket,id=x,path=/tmp/x,server=on,wait=off,tls-creds=a", "tls-creds=a: not supported");
    refuse("socket,id=x,fd=999", "fd=999 is not an open descriptor");
    refuse("serial,id=x,path=/dev/null", "/dev/null is not a serial line");
    assert_null(chardev_from_legacy("chardev:zz", "l0", &err));
    expect_error(&err, "no chardev 'zz'");
    assert_null(chardev_from_legacy("tcp:4444", "l0", &err));
    expect_error(&err, "not host:port");
    assert_null(chardev_from_legacy("sdtio", "l0", &err));
    expect_error(&err, "did you mean 'stdio'?");
    assert_null(chardev_from_legacy("udp::4555", "l0", &err));
    expect_error(&err, "'udp' is not supported yet");
    assert_null(chardev_from_legacy("vc:80Cx", "l0", &err));
    expect_error(&err, "80Cx24C");
    d = chardev_from_legacy("chardev:n", "l0", &err);
    assert_ptr_equal(c, d);
    chardev_free(c);
}

static void test_attach_twice(void **state)
{
    Chardev *c = make("null,id=n");
    Fe *a = fe_new(), *b = fe_new();
    Error *err = NULL;

    attach(c, a);
    assert_false(chardev_attach(c, &front, b, &err));
    expect_error(&err, "in use already");
    UNTIL(a->opened == 1);
    chardev_detach(c, a);
    attach(c, b);
    UNTIL(b->opened == 1);
    assert_false(a->unlocked || b->unlocked);
    chardev_detach(c, b);
    chardev_free(c); /* with a posted call under way */
    drain_loop();
    free(a);
    free(b);
}

static void test_pipe(void **state)
{
    autofree char *base = path_of("p"), *in = path_of("p.in"), *out = path_of("p.out");
    autofree char *spec = xasprintf("pipe:%s", base);
    Error *err = NULL;
    Fe *f = fe_new();
    char buf[16] = "";
    Chardev *c;
    int w, r;

    assert_null(chardev_from_legacy(spec, "l0", &err));
    expect_error(&err, "cannot open pipe");
    assert_int_equal(mkfifo(in, 0600), 0);
    assert_int_equal(mkfifo(out, 0600), 0);
    c = legacy(spec);
    attach(c, f);
    w = open(in, O_WRONLY | O_NONBLOCK);
    r = open(out, O_RDONLY | O_NONBLOCK);
    assert_true(w >= 0 && r >= 0);
    send_all(w, "hello", 5);
    UNTIL(f->len == 5);
    put(c, "back");
    assert_int_equal(read(r, buf, sizeof(buf)), 4);
    assert_string_equal(buf, "back");
    close(w);
    close(r);
    chardev_detach(c, f);
    chardev_free(c);
    free(f);
}

/* ---- sockets ---- */

static int connect_unix(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    return fd;
}

static int connect_tcp(unsigned port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

static unsigned port_of(Chardev *c)
{
    autofree char *text = chardev_describe(c);
    char *end = strstr(text, ",server");
    assert_non_null(end);
    *end = '\0';
    return (unsigned)atoi(strrchr(text, ':') + 1);
}

static void test_unix_server(void **state)
{
    autofree char *path = path_of("sock"), *spec = xasprintf("unix:%s,server,nowait", path);
    Chardev *c = legacy(spec);
    char *text = chardev_describe(c);
    Fe *f = fe_new();
    char buf[64];
    int fd;

    assert_non_null(strstr(text, "disconnected:unix:"));
    free(text);
    attach(c, f);
    assert_int_equal(put(c, "nobody hears this"), 17);
    for (int round = 1; round <= 2; round++) { /* a second peer after the first */
        fd = connect_unix(path);
        UNTIL(f->opened == round);
        assert_int_equal(put(c, "hi"), 2);
        read_some(fd, buf, sizeof(buf));
        assert_string_equal(buf, "hi");
        f->len = 0;
        send_all(fd, "there", 5);
        UNTIL(f->len == 5);
        assert_memory_equal(f->got, "there", 5);
        close(fd);
        UNTIL(f->closed == round);
    }
    assert_false(f->unlocked);
    chardev_detach(c, f);
    chardev_free(c);
    assert_int_equal(access(path, F_OK), -1);
    free(f);
}

static void test_held_back(void **state)
{
    autofree char *path = path_of("held"), *spec = xasprintf("unix:%s,server,nowait", path);
    Chardev *c = legacy(spec);
    Fe *f = fe_new();
    int fd;

    f->room = 3;
    attach(c, f);
    fd = connect_unix(path);
    UNTIL(f->opened == 1);
    send_all(fd, "abcdefgh", 8);
    UNTIL(f->len == 3);
    drain_loop();
    assert_int_equal(f->len, 3);
    machine_lock();
    f->room = 2;
    chardev_accept_input(c);
    machine_unlock();
    UNTIL(f->len == 5);
    f->room = 100;
    chardev_accept_input(c);
    UNTIL(f->len == 8);
    assert_memory_equal(f->got, "abcdefgh", 8);
    close(fd);
    UNTIL(f->closed == 1);
    chardev_detach(c, f);
    chardev_free(c);
    free(f);
}

/* A peer that does not read: the queue is bounded, and nothing is lost or doubled. */
static void test_slow_peer(void **state)
{
    autofree char *path = path_of("slow"), *spec = xasprintf("unix:%s,server,nowait", path);
    Chardev *c = legacy(spec);
    uint8_t block[1000], buf[4096];
    size_t sent = 0, got = 0;
    Fe *f = fe_new();
    int fd;

    attach(c, f);
    fd = connect_unix(path);
    UNTIL(f->opened == 1);
    for (;;) {
        size_t n;
        for (size_t i = 0; i < sizeof(block); i++) {
            block[i] = (uint8_t)((sent + i) * 31 >> 3);
        }
        n = chardev_write(c, block, sizeof(block));
        sent += n;
        assert_true(sent < 4 << 20);
        if (n < sizeof(block)) {
            break;
        }
    }
    while (got < sent) {
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
        for (ssize_t i = 0; i < n; i++) {
            assert_int_equal(buf[i], (uint8_t)((got + (size_t)i) * 31 >> 3));
        }
        got += n > 0 ? (size_t)n : 0;
        loop_turn(0);
    }
    assert_int_equal(got, sent);
    close(fd);
    UNTIL(f->closed == 1);
    assert_int_equal(put(c, "x"), 1);
    chardev_detach(c, f);
    chardev_free(c);
    free(f);
}

static void test_tcp_and_telnet(void **state)
{
    static const uint8_t typed[] = { 'a', 255, 253, 1, 255, 255, 255, 243, '\r', 0, 'b' };
    Chardev *c = legacy("telnet:127.0.0.1:0,server,nowait,nodelay");
    Fe *f = fe_new();
    char buf[64];
    size_t n;
    int fd;

    attach(c, f);
    fd = connect_tcp(port_of(c));
    UNTIL(f->opened == 1);
    n = read_some(fd, buf, sizeof(buf));
    assert_int_equal(n, 12);
    assert_memory_equal(buf, "\xff\xfb\x01", 3); /* IAC WILL ECHO */
    chardev_write(c, (const uint8_t *)"x\xff", 2);
    n = read_some(fd, buf, sizeof(buf));
    assert_int_equal(n, 3);
    assert_memory_equal(buf, "x\xff\xff", 3);
    send_all(fd, typed, sizeof(typed));
    UNTIL(f->len == 4);
    assert_memory_equal(f->got, "a\xff\rb", 4);
    assert_int_equal(f->breaks, 1);
    char *text = chardev_describe(c);
    assert_non_null(strstr(text, "telnet:127.0.0.1:"));
    assert_non_null(strstr(text, "<->"));
    free(text);
    close(fd);
    UNTIL(f->closed == 1);
    chardev_detach(c, f);
    chardev_free(c);
    free(f);
}

static void test_reconnect(void **state)
{
    autofree char *path = path_of("late");
    autofree char *client = xasprintf("socket,id=cl,path=%s,reconnect-ms=5", path);
    autofree char *server = xasprintf("unix:%s,server,nowait", path);
    Chardev *c = make(client), *s; /* there is no server yet */
    Fe *f = fe_new(), *g = fe_new();

    attach(c, f);
    drain_loop();
    assert_int_equal(f->opened, 0);
    for (int round = 1; round <= 2; round++) {
        s = legacy(server);
        attach(s, g);
        UNTIL(f->opened == round && g->opened == round);
        g->len = 0;
        put(c, "ping");
        UNTIL(g->len == 4);
        chardev_detach(s, g);
        chardev_free(s);
        UNTIL(f->closed == round);
    }
    chardev_detach(c, f);
    chardev_free(c);
    free(f);
    free(g);
}

static int late_fd;
static void connect_late(void *opaque)
{
    late_fd = connect_unix(opaque);
}

static void test_wait(void **state)
{
    autofree char *path = path_of("wait"), *spec = xasprintf("unix:%s,server", path);
    Chardev *c;

    loop_post(connect_late, path);
    c = legacy(spec);
    assert_true(chardev_is_open(c));
    close(late_fd);
    chardev_free(c);
}

static void test_inherited(void **state)
{
    autofree char *path = path_of("inh"), *spec = NULL, *bad = NULL;
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), peer;
    Fe *f = fe_new();
    Chardev *c;

    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, 1), 0);
    bad = xasprintf("socket,id=i,fd=%d", fd);
    refuse(bad, "is a listening socket");
    spec = xasprintf("socket,id=i,fd=%d,server=on,wait=off", fd);
    c = make(spec);
    attach(c, f);
    peer = connect_unix(path);
    UNTIL(f->opened == 1);
    send_all(peer, "x", 1);
    UNTIL(f->len == 1);
    close(peer);
    chardev_detach(c, f);
    chardev_free(c);
    free(f);
}

/* ---- telnet alone: bytes may be cut anywhere ---- */

static void test_telnet_pieces(void **state)
{
    static const uint8_t in[] = { 'h', 255, 251, 0,   255, 253, 31,  255, 250, 31,  0,  80,
                                  255, 255, 255, 240, 'i', 255, 252, 0,   255, 254, 99, '!' };
    uint8_t greeting[TELNET_GREETING_MAX], whole_reply[64], reply[64];
    size_t whole_len, reply_len, total = 0, text = 0;
    unsigned breaks;
    uint8_t buf[64];
    Telnet t;

    telnet_init(&t, true, greeting);
    memcpy(buf, in, sizeof(in));
    assert_int_equal(telnet_input(&t, buf, sizeof(in), whole_reply, &whole_len, &breaks), 3);
    assert_memory_equal(buf, "hi!", 3);
    /* DO 31 (window size) is declined; WONT BINARY is answered by DONT BINARY */
    assert_int_equal(whole_len, 6);
    assert_memory_equal(whole_reply, "\xff\xfc\x1f\xff\xfe\x00", 6);

    telnet_init(&t, true, greeting);
    for (size_t i = 0; i < sizeof(in); i++) {
        uint8_t one = in[i];
        size_t n = telnet_input(&t, &one, 1, reply, &reply_len, &breaks);
        if (n == 1) {
            assert_int_equal(one, "hi!"[text++]);
        }
        assert_memory_equal(whole_reply + total, reply, reply_len);
        total += reply_len;
    }
    assert_int_equal(total, whole_len);
    assert_int_equal(text, 3);
}

/* ---- terminals ---- */

static void test_pty(void **state)
{
    autofree char *link = path_of("tty"), *spec = xasprintf("pty,id=p,path=%s", link);
    Chardev *c = make(spec);
    Fe *f = fe_new();
    char buf[16] = "";
    struct termios tio;
    ssize_t n;
    int fd;

    attach(c, f);
    drain_loop();
    assert_int_equal(f->opened, 0);
    assert_int_equal(put(c, "lost"), 4);
    for (int round = 1; round <= 2; round++) {
        fd = open(link, O_RDWR | O_NOCTTY | O_NONBLOCK);
        assert_true(fd >= 0);
        tcgetattr(fd, &tio);
        assert_int_equal(tio.c_lflag & (ICANON | ECHO), 0);
        UNTIL(f->opened == round);
        put(c, "hi\n");
        while ((n = read(fd, buf, sizeof(buf))) < 0) {
            loop_turn(NS_PER_MS);
        }
        assert_int_equal(n, 3);
        assert_memory_equal(buf, "hi\n", 3);
        f->len = 0;
        send_all(fd, "\x03z", 2);
        UNTIL(f->len == 2);
        close(fd);
        UNTIL(f->closed == round);
    }
    chardev_detach(c, f);
    chardev_free(c);
    assert_int_equal(access(link, F_OK), -1);
    free(f);
}

static void test_serial_line(void **state)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    char name[64], buf[16];
    struct termios tio;
    Fe *f = fe_new();
    Chardev *c;
    ssize_t n;

    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    assert_int_equal(ptsname_r(master, name, sizeof(name)), 0);
    c = legacy(name); /* "/dev/pts/N" */
    attach(c, f);
    chardev_set_params(c, 9600, 'E', 7, 2);
    assert_int_equal(tcgetattr(master, &tio), 0);
    assert_int_equal(cfgetospeed(&tio), B9600);
    assert_true(tio.c_cflag & CSTOPB);
    put(c, "AT\r");
    while ((n = read(master, buf, sizeof(buf))) < 0) {
        loop_turn(NS_PER_MS);
    }
    assert_int_equal(n, 3);
    send_all(master, "OK", 2);
    UNTIL(f->len == 2);
    chardev_detach(c, f);
    chardev_free(c);
    close(master);
    free(f);
}

/* A child whose terminal is a pty of ours uses stdio, then ends as @how says. */
static void stdio_child(int how)
{
    Chardev *c;
    Fe *f = fe_new();
    Error *err = NULL;

    loop_fini();
    if (loop_init() != 0) {
        _exit(9);
    }
    c = chardev_from_legacy("stdio", "s", &err);
    if (c == NULL) {
        _exit(8);
    }
    machine_lock();
    chardev_attach(c, &front, f, NULL);
    machine_unlock();
    put(c, "ready\n");
    UNTIL(f->len >= 1); /* one typed character, without Enter */
    if (how == 0) {
        exit(0);
    } else if (how == 1) {
        kill(getpid(), SIGTERM);
    } else if (how == 2) {
        abort();
    } else {
        chardevs_close_all();
        _exit(0);
    }
}

static void test_stdio_restores(void **state)
{
    for (int how = 0; how < 4; how++) {
        int master = posix_openpt(O_RDWR | O_NOCTTY);
        struct termios before, during, after;
        char name[64], buf[64];
        size_t len = 0;
        int slave, status;
        pid_t pid;

        grantpt(master);
        unlockpt(master);
        ptsname_r(master, name, sizeof(name));
        slave = open(name, O_RDWR | O_NOCTTY);
        tcgetattr(slave, &before);
        pid = fork();
        if (pid == 0) {
            setsid();
            close(slave);
            slave = open(name, O_RDWR); /* becomes the controlling terminal */
            dup2(slave, 0);
            dup2(slave, 1);
            stdio_child(how);
            _exit(7);
        }
        do {
            ssize_t n = read(master, buf + len, sizeof(buf) - 1 - len);
            assert_true(n > 0);
            len += (size_t)n;
            buf[len] = '\0';
        } while (strstr(buf, "ready") == NULL);
        tcgetattr(slave, &during);
        assert_int_equal(during.c_lflag & (ICANON | ECHO), 0);
        assert_true(during.c_lflag & ISIG);
        send_all(master, "x", 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (how == 1 || how == 2) {
            assert_true(WIFSIGNALED(status));
            assert_int_equal(WTERMSIG(status), how == 1 ? SIGTERM : SIGABRT);
        } else {
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
        }
        tcgetattr(slave, &after);
        assert_int_equal(after.c_lflag, before.c_lflag);
        assert_int_equal(after.c_iflag, before.c_iflag);
        close(slave);
        close(master);
    }
}

/* ---- mux ---- */

static bool quit_asked;
static void quit(void)
{
    quit_asked = true;
}

static void test_mux(void **state)
{
    autofree char *path = path_of("mux"), *spec = xasprintf("mon:unix:%s,server,nowait", path);
    Chardev *c = legacy(spec);
    Fe *a = fe_new(), *b = fe_new();
    char buf[1024];
    size_t len;
    int fd;

    assert_true(chardev_is_mux(c));
    attach(c, a);
    attach(c, b);
    fd = connect_unix(path);
    UNTIL(a->opened && b->opened);
    assert_int_equal(a->focus_in, 1);
    assert_int_equal(b->focus_in, 0);
    send_all(fd, "to a\1\1", 6); /* the escape character itself */
    UNTIL(a->len == 5);
    assert_memory_equal(a->got, "to a\1", 5);
    send_all(fd, "1\1c2", 4);
    UNTIL(b->len == 1);
    assert_int_equal(a->len, 6);
    assert_int_equal(a->focus_out, 1);
    assert_int_equal(b->focus_in, 1);
    send_all(fd, "\1b", 2);
    UNTIL(b->breaks == 1);
    send_all(fd, "\1h", 2);
    len = 0;
    do {
        len += read_some(fd, buf + len, sizeof(buf) - len);
    } while (strstr(buf, "send C-a") == NULL);
    assert_non_null(strstr(buf, "C-a x"));

    /* the escape works while nobody takes input */
    a->room = b->room = 0;
    b->len = 0;
    send_all(fd, "kept\1cmore", 10);
    UNTIL(a->focus_in == 2);
    drain_loop();
    assert_int_equal(b->len, 0);
    b->room = a->room = 100;
    a->len = 0;
    chardev_accept_input(c);
    UNTIL(b->len == 4 && a->len == 4);
    assert_memory_equal(b->got, "kept", 4);
    assert_memory_equal(a->got, "more", 4);
    chardev_mux_focus(c, b);
    assert_int_equal(b->focus_in, 2);

    chardev_set_echr(20); /* Ctrl-T */
    send_all(fd, "\1\024x", 3);
    UNTIL(quit_asked);
    assert_int_equal(b->got[4], 1);
    chardev_set_echr(1);

    send_all(fd, "\1t", 2);
    drain_loop();
    len = read_some(fd, buf, sizeof(buf)); /* the word of farewell */
    drain_loop();
    put(c, "line\nnext\n");
    len = 0;
    do {
        len += read_some(fd, buf + len, sizeof(buf) - len);
    } while (strstr(buf, "next\n") == NULL);
    assert_non_null(strstr(buf, "] line\n[00:00:00.000] next\n"));
    assert_false(a->unlocked || b->unlocked);
    close(fd);
    chardev_detach(c, a);
    chardev_detach(c, b);
    chardev_free(c);
    free(a);
    free(b);
}

static void count(void *opaque, Chardev *c)
{
    ++*(int *)opaque;
}

static void test_list(void **state)
{
    int n = 0;

    make("null,id=one");
    make("null,id=two");
    chardev_each(count, &n);
    assert_int_equal(n, 2);
    assert_non_null(chardev_find("two"));
    assert_string_equal(chardev_id(chardev_find("two")), "two");
    chardevs_close_all();
    assert_null(chardev_find("two"));
    drain_loop();
}

static int setup(void **state)
{
    assert_non_null(mkdtemp(dir));
    chardev_setup(&machine_lock_guard, quit);
    return loop_init();
}

static int end(void **state)
{
    autofree char *cmd = xasprintf("rm -rf %s", dir);
    loop_fini();
    return system(cmd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null_and_ring),
        cmocka_unit_test(test_file_and_log),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_attach_twice),
        cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_unix_server),
        cmocka_unit_test(test_held_back),
        cmocka_unit_test(test_slow_peer),
        cmocka_unit_test(test_tcp_and_telnet),
        cmocka_unit_test(test_reconnect),
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_inherited),
        cmocka_unit_test(test_telnet_pieces),
        cmocka_unit_test(test_pty),
        cmocka_unit_test(test_serial_line),
        cmocka_unit_test(test_stdio_restores),
        cmocka_unit_test(test_mux),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, setup, end);
}
