/* SPDX-License-Identifier: Apache-2.0 */
/* test-agent-port.c: the serial port of vc-agent as a device of the kernel behaves that is told late of who is there: a
 * host's bytes may arrive before the news that the host before it has gone.  What a device gives is played from a list;
 * the streams are counted here in place of ttRPC. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- the device ---- */

/* The next results of read: a frame that opens stream 1, nobody there, nothing to read. */
static const char *script = "";

static ssize_t play(int fd, void *buf, size_t size)
{
    static const unsigned char open_first[12] = { 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0 };
    (void)fd;
    switch (*script ? *script++ : '-') {
    case 'f':
        assert_true(size >= sizeof(open_first));
        memcpy(buf, open_first, sizeof(open_first));
        return sizeof(open_first);
    case '0':
        return 0;
    default:
        errno = EAGAIN;
        return -1;
    }
}

#define read(fd, buf, size) play(fd, buf, size)
#include "agent/kata/guest/mux.c"
#undef read

/* ---- what the other files of the agent have ---- */

static int streams; /* there are now */

struct agent_config agent_config;
struct conn *conn_new(uint32_t stream)
{
    static struct conn c;
    c.stream = stream;
    streams++;
    return &c;
}
void conn_free(struct conn *c)
{
    (void)c;
    streams--;
}
struct conn *conn_find(uint32_t stream)
{
    (void)stream;
    return NULL;
}
void conn_drop_streams(void)
{
    streams = 0;
}
int rpc_conn_work(struct rpc_conn *c)
{
    (void)c;
    return 0;
}
void transport_flush(void)
{
}
int loop_watch(struct watch *w, uint32_t events)
{
    (void)w;
    (void)events;
    return 0;
}
void agent_log(int level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

/* ---- tests ---- */

/* One event of the port for each word of the list; then so many streams are there. */
static void sees(const char *events, int want)
{
    char text[64];
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(port_start(fds[0]), 0);
    port.met = 0;
    snprintf(port.path, sizeof(port.path), "/dev/null");
    snprintf(text, sizeof(text), "%s", events);
    for (char *save, *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        script = w;
        port_event(&port.w, 0);
    }
    if (streams != want)
        fail_msg("%s: %d streams, not %d", events, streams, want);
    mux_close();
    close(fds[1]);
    streams = 0;
}

static void test_who_is_there(void **state)
{
    (void)state;
    sees("- f-", 1);       /* the news of the host, then its bytes */
    sees("f0 -", 1);       /* its bytes first */
    sees("- f- 0", 0);     /* it goes */
    sees("- f- 0 - f-", 1); /* and another one comes */
    sees("- f- 0 f0 -", 1); /* whose bytes are there first */
    sees("- f0", 0);       /* it comes, says something and goes */
    sees("- f- f-", 1);    /* the going of one and the coming of the next were no news */
    sees("- f- f0 -", 1);  /* the next one's bytes come before the news of either */
    sees("- f- f0 - 0", 0); /* which goes as well */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_who_is_there) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
