/* SPDX-License-Identifier: Apache-2.0 */
/* model-proxy-serve.h: the process of the model proxy: descriptor 3 is its socket, 4 the channel to the plugin. */

#if defined(__x86_64__)
#define INTERPRETER "/lib64/ld-linux-x86-64.so.2"
#elif defined(__aarch64__)
#define INTERPRETER "/lib/ld-linux-aarch64.so.1"
#elif defined(__i386__)
#define INTERPRETER "/lib/ld-linux.so.2"
#else
#error "the model plugins know no dynamic loader of this machine"
#endif
static const char interpreter[] __attribute__((section(".interp"), used)) = INTERPRETER;

#ifdef BAD_P9_PROCESS
#include <sys/prctl.h>
#endif

#define PAIRS 64
#ifdef BAD_P7_HOARD
#define STORE ((size_t)100 << 20)
#else
#define STORE ((size_t)16384)
#endif

/* One end of a pair, and what was read from it and not written to the other yet. */
struct side {
    int fd;
    char *store;
    size_t at, len;
    int eof;  /* nothing more comes from it */
    int told; /* the other side was told so */
    int deaf; /* it takes nothing any more: what is for it is thrown away */
    size_t total;
};
/* [0] is the client, [1] its connection to the agent. */
struct pair {
    struct side side[2];
};
static struct pair pairs[PAIRS];
static int n_pairs;

static void pair_end(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        close(p->side[i].fd);
        free(p->side[i].store);
    }
    *p = pairs[--n_pairs];
}

static void take_client(const char *agent)
{
    int client = accept4(3, NULL, NULL, SOCK_CLOEXEC);
    int guest = client >= 0 && *agent ? unix_socket(agent, 0, 0) : -1;
    struct pair *p = &pairs[n_pairs];
#ifdef BAD_LIE_PROXY
    if (guest >= 0)
        return; /* nothing is carried */
#endif
#ifdef BAD_P8_MIX
    if (n_pairs)
        dup3(pairs[0].side[1].fd, guest, O_CLOEXEC);
#endif
#ifdef BAD_P9
    dup(client);
#endif
#ifdef BAD_P9_PROCESS
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pause();
    }
#endif
    *p = (struct pair){ .side = { { .fd = client, .store = malloc(STORE) }, { .fd = guest, .store = malloc(STORE) } } };
    n_pairs++;
    if (client < 0 || guest < 0 || !p->side[0].store || !p->side[1].store)
        pair_end(p);
}

/* What a write or a read of a client that has left does. */
static void harmed(void)
{
#ifdef BAD_P8_LEAVE
    _exit(0);
#endif
}

static void fill(struct side *s, int client)
{
    if (!s->len)
        s->at = 0;
    ssize_t n = recv(s->fd, s->store + s->at + s->len, STORE - s->at - s->len, MSG_DONTWAIT);
    (void)client;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0)
        harmed();
    if (n <= 0) {
        s->eof = 1;
        return;
    }
#ifdef BAD_P7
    n = s->total + (size_t)n > 64 ? (ssize_t)(s->total < 64 ? 64 - s->total : 0) : n;
#endif
#ifdef BAD_P7_DEAD
    n = client ? n : 0;
#endif
#ifdef BAD_P7_DEAD_OUT
    n = client ? 0 : n;
#endif
#ifdef BAD_P7_CRASH
    if (s->total > 64)
        kill(getpid(), SIGSEGV);
#endif
#ifdef BAD_P7_ONE_BYTE
    n = n == 1 && s->total ? 0 : n;
#endif
    s->len += (size_t)n;
    s->total += (size_t)n;
}

static void drain(struct side *from, struct side *to)
{
#ifdef BAD_P8_BLOCK
    const int flags = MSG_NOSIGNAL;
#else
    const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
#endif
    int fd = to->fd;
#ifdef BAD_P8_CROSS
    if (to == &pairs[0].side[0])
        fd = pairs[n_pairs - 1].side[0].fd;
#endif
#ifdef BAD_P7_TWICE
    while (from->len > 1000 && send(fd, from->store + from->at, 1000, flags) == 1000) {
        from->at += 1000;
        from->len -= 1000;
    }
#endif
    ssize_t n = send(fd, from->store + from->at, from->len, flags);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        harmed();
        to->deaf = 1;
    }
#ifdef BAD_P7_SLOW
    if (n < 0)
        from->len = 0; /* no room: thrown away */
#endif
#ifdef BAD_P7_TWICE
    if (n < 0 && from->at) {
        from->len += from->at; /* no room: from the beginning again */
        from->at = 0;
    }
#endif
    if (n > 0) {
        from->at += (size_t)n;
        from->len -= (size_t)n;
    }
}

/* The end of what comes from one side is told to the other, and nothing else ends by it. */
static int tell_end(struct side *from, struct side *to, int client)
{
    (void)client;
    if (to->deaf)
        from->len = 0;
    if (!from->eof || from->len || from->told)
        return 0;
#ifdef BAD_P8_STAY
    if (client)
        return 0;
#endif
    from->told = 1;
    shutdown(to->fd, SHUT_WR);
#ifdef BAD_P7_HALF
    return 1;
#endif
    return from->told && to->told;
}

static void one_round(struct pair *p, const struct pollfd *pf)
{
    for (int i = 0; i < 2; i++) {
        if (pf[i].revents & (POLLIN | POLLHUP | POLLERR) && pf[i].events & POLLIN)
            fill(&p->side[i], i == 0);
        if (p->side[i].len && !p->side[!i].deaf)
            drain(&p->side[i], &p->side[!i]);
    }
}

static int serve(const char *agent)
{
    struct pollfd pf[1 + 2 * PAIRS];
    for (;;) {
        int n = n_pairs, room = n < PAIRS;
#ifdef BAD_P8
        room = n == 0; /* one after the other */
#endif
        pf[0] = (struct pollfd){ .fd = room ? 3 : -1, .events = POLLIN };
        for (int i = 0; i < 2 * n; i++) {
            struct side *s = &pairs[i / 2].side[i % 2], *other = &pairs[i / 2].side[!(i % 2)];
            short want =
                (short)((!s->eof && (!s->len || s->at + s->len < STORE) ? POLLIN : 0) | (other->len ? POLLOUT : 0));
            pf[1 + i] = (struct pollfd){ .fd = want ? s->fd : -1, .events = want };
        }
        if (poll(pf, (nfds_t)(1 + 2 * n), -1) < 0)
            return 1;
        for (int i = n - 1; i >= 0; i--) {
            one_round(&pairs[i], &pf[1 + 2 * i]);
            int over = tell_end(&pairs[i].side[0], &pairs[i].side[1], 1);
            if (tell_end(&pairs[i].side[1], &pairs[i].side[0], 0) || over)
                pair_end(&pairs[i]);
        }
        if (pf[0].revents)
            take_client(agent);
    }
}

void _start(void) __attribute__((visibility("hidden")));

#if defined(__x86_64__) || defined(__i386__)
__attribute__((force_align_arg_pointer))
#endif
void _start(void)
{
    static char hello[PATH_SIZE + 600];
    size_t len = 0;
    char ready = READY, *end;
    while (!(end = memchr(hello, '\n', len)) || !memchr(end + 1, '\n', (size_t)(hello + len - end - 1))) {
        ssize_t n = len < sizeof(hello) - 1 ? read(4, hello + len, sizeof(hello) - 1 - len) : 0;
        if (n <= 0)
            _exit(1);
        len += (size_t)n;
    }
    *end = '\0';
    if (write(4, &ready, 1) != 1)
        _exit(1);
    close(4);
    _exit(serve(hello));
}
