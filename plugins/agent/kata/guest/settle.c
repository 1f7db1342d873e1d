/* SPDX-License-Identifier: Apache-2.0 */
/* settle.c: a guest that is saved as a template, and one that was started from it.
 *
 * Copies of one template have all of its memory: the state of the random number generator, the clock, the machine id.
 * What the kernel and the processes drew from the generator before that stays the same in all of them, and cannot be
 * renewed: the kernel's own addresses (KASLR), the keys of its hash tables that were in use, the stack canaries of
 * processes that were there.  Programs of a container are executed later and have their own.
 * Nothing here may read /proc/sys/kernel/random/boot_id: the kernel makes it when it is first read, so that copies
 * which find it unread have one of their own. */
#include "settle.h"

#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "guest.pb-c.h"
#include "lib/io.h"

#define MACHINE_ID "/etc/machine-id"
#define ID_LEN 33 /* with the end of its line */
#define MAX_SEED 4096
#define MIN_RENEW_SEED 32

/* Until when the kernel may go on with what it does after the boot. */
#define KERNEL_LIMIT_NS 3000000000ll
static int64_t busy_until;

static struct list settle_waits = {&settle_waits, &settle_waits};

/* Kept open from the first use, in the template already: a copy of it has only to use them. */
static int random_fd = -1;
/* So is the page of the machine id: to store there is no system call at all. */
static char *id_page;

static int needs_guest(const char *what, struct agent_err *err)
{
    if (agent_config.own_kernel)
        return 0;
    return agent_fail(err, VCS_RPC_PRECONDITION, "%s: this agent has no kernel of its own and leaves that alone", what);
}

/* ---- clock, random numbers, machine id ---- */

int guest_set_clock(int64_t sec, int64_t nsec, struct agent_err *err)
{
    struct timespec t = {.tv_sec = sec, .tv_nsec = nsec};
    if (sec < 0 || nsec < 0 || nsec > 999999999)
        return agent_fail(err, VCS_RPC_INVALID, "%lld s and %lld ns are not a time", (long long)sec, (long long)nsec);
    if (needs_guest("the clock", err) < 0)
        return -1;
    if (clock_settime(CLOCK_REALTIME, &t) < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "the clock cannot be set");
    return 0;
}

static int open_random(void)
{
    if (random_fd < 0)
        random_fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    return random_fd;
}

int guest_reseed(const void *seed, size_t n, struct agent_err *err)
{
    union {
        struct rand_pool_info info;
        unsigned char room[sizeof(struct rand_pool_info) + MAX_SEED];
    } pool;
    if (!n || n > MAX_SEED)
        return agent_fail(err, VCS_RPC_INVALID, "a seed of %zu bytes is not allowed; 1 to %d are", n, MAX_SEED);
    if (needs_guest("the random number generator", err) < 0)
        return -1;
    if (open_random() < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "/dev/urandom cannot be used");
    pool.info.entropy_count = (int)(n * 8);
    pool.info.buf_size = (int)n;
    memcpy(pool.room + sizeof(pool.info), seed, n);
    /* Without the second call, copies of one template would go on with the same numbers for a while. */
    int r = ioctl(random_fd, RNDADDENTROPY, &pool) < 0 || ioctl(random_fd, RNDRESEEDCRNG) < 0 ? -errno : 0;
    explicit_bzero(&pool, sizeof(pool));
    return r < 0 ? agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "the random number generator cannot be seeded") : 0;
}

/* The first id: make the file, and map it. */
static int write_first_id(const char text[ID_LEN])
{
    vcs_autoclose int fd = open(MACHINE_ID, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444);
    if (fd < 0)
        return -errno;
    ssize_t n = pwrite(fd, text, ID_LEN, 0); /* all ids have one length */
    if (n != ID_LEN)
        return n < 0 ? -errno : -EIO;
    char *page = mmap(NULL, ID_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    memcpy(page, text, ID_LEN); /* the page is writable without a fault from now on */
    id_page = page;
    return 0;
}

int guest_new_machine_id(void)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char raw[16];
    char text[ID_LEN];
    /* In a guest that has just booted the generator may not be ready, and waiting for it would hold up the pod. */
    ssize_t n = getrandom(raw, sizeof(raw), GRND_NONBLOCK);
    if (n < 0 && errno == EAGAIN)
        n = getrandom(raw, sizeof(raw), GRND_INSECURE);
    if (n != (ssize_t)sizeof(raw))
        return n < 0 ? -errno : -EIO;
    raw[6] = (raw[6] & 0x0f) | 0x40; /* in the form of a random UUID, as machine-id(5) wants new ones */
    raw[8] = (raw[8] & 0x3f) | 0x80;
    for (size_t i = 0; i < sizeof(raw); i++) {
        text[2 * i] = hex[raw[i] >> 4];
        text[2 * i + 1] = hex[raw[i] & 15];
    }
    text[sizeof(text) - 1] = '\n';
    if (!id_page)
        return write_first_id(text);
    memcpy(id_page, text, sizeof(text));
    return 0;
}

int m_renew(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Vccore__RenewRequest *q = (const void *)msg;
    if (q->seed.len < MIN_RENEW_SEED)
        return agent_fail(err, VCS_RPC_INVALID, "a seed of %zu bytes is too short; %d are the least", q->seed.len,
                          MIN_RENEW_SEED);
    /* The clock first: its value grows old. */
    if (guest_set_clock(q->sec, q->nsec, err) < 0 || guest_reseed(q->seed.data, q->seed.len, err) < 0)
        return -1;
    int r = guest_new_machine_id();
    if (r < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "%s cannot be written", MACHINE_ID);
    rpc_reply_empty(call);
    return 0;
}

/* ---- settle ---- */

struct settle_wait {
    struct rpc_pending p;
};

static void drop_settle(struct rpc_pending *p)
{
    rpc_pending_end(p);
    free(list_entry(p, struct settle_wait, p));
}

int settle_pending(void)
{
    return !list_empty(&settle_waits);
}

int settle_kernel_busy(void)
{
    vcs_autofree char *now = NULL;
    return vcs_now_ns() < busy_until &&
           vcs_read_file(AT_FDCWD, "/sys/devices/system/clocksource/clocksource0/current_clocksource", 64, &now, NULL) == 0 &&
           strcmp(now, "tsc-early\n") == 0;
}

void settle_idle(void)
{
    while (!list_empty(&settle_waits)) {
        struct rpc_pending *p = list_first(&settle_waits, struct rpc_pending, queue_link);
        rpc_reply_empty(&p->call);
        drop_settle(p);
    }
}

/* Where hosts that speak this protocol have the shared folder mounted. */
static void make_share_point(void)
{
    static const char *const dirs[] = {"/run/kata-containers", "/run/kata-containers/shared",
                                       "/run/kata-containers/shared/containers"};
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        if (mkdir(dirs[i], 0755) < 0 && errno != EEXIST)
            agent_log(AGENT_LOG_WARN, "%s cannot be made: %s", dirs[i], strerror(errno));
}

int m_settle(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Vccore__SettleRequest *q = (const void *)msg;
    agent_modules_late();
    if (agent_config.own_kernel) {
        make_share_point();
        /* Else the kernel looks at its memory twice a second, and adds up its counters once. */
        agent_write_file("/proc/sys/vm/compaction_proactiveness", "0");
        agent_write_file("/proc/sys/vm/stat_interval", "10");
    }
    if (agent_config.own_kernel && open_random() < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "/dev/urandom cannot be opened");
    if ((q->exercise && exercise_run(err) < 0) || (agent_config.own_kernel && exercise_prepare(err) < 0))
        return -1;
    struct settle_wait *w = calloc(1, sizeof(*w));
    if (!w)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    if (rpc_pending_add(&w->p, call, drop_settle, err) < 0) {
        free(w);
        return -1;
    }
    list_add(&settle_waits, &w->p.queue_link);
    busy_until = vcs_now_ns() + KERNEL_LIMIT_NS;
    return 0;
}
