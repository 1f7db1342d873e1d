/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: vc-agent: the init process of a guest, or (for tests) an ordinary process of a host. */
#include <fcntl.h>
#include <getopt.h>
#include <linux/netlink.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "container.h"
#include "guest.h"
#include "init.h"
#include "lib/io.h"
#include "loop.h"
#include "modules.h"
#include "namespaces.h"
#include "net.h"
#include "process.h"
#include "rpc.h"
#include "sandbox.h"
#include "settle.h"
#include "transport.h"

#define PORT_NAME "agent.channel.0"
#define DRAIN_NS 2000000000ll
#define MAX_FILES 65536
#define VSOCK_ALIAS "virtio:d00000013v"
#define SETTLE_NS 100000000ll /* nothing has happened for so long: the guest is idle, the kernel has ended its work, too */
#define LOOK_NS 5000000ll    /* how soon to look again for what is being plugged in */
#define IDLE_NS 1000000000ll /* without anything to do for so long, load the modules that nothing has needed yet */

static int asked_to_end;
static int with_cgroups = 1;
static int port_wanted; /* the serial port has not been found yet */
static int vsock_wanted;
static int uevents_seen; /* in this round of the loop */

static const char usage[] =
    "usage: vc-agent [OPTION]...   (as PID 1 of a guest it takes no options)\n"
    "  --listen unix://PATH       serve ttRPC on a unix socket\n"
    "  --listen-mux unix://PATH   serve yamux sessions on a unix socket, as a serial port has them\n"
    "  --listen-fd FD             serve ttRPC on a listening or connected socket\n"
    "  --mux-fd FD                serve yamux on a connected socket\n"
    "  --run-dir DIR              where files are kept, and copied to [/run/vc-agent]\n"
    "  --own-net                  the network namespace may be configured\n"
    "  --no-cgroup                containers get no cgroup; a limit of resources is an error\n"
    "  --log LEVEL                error, warn, info or debug [warn]\n"
    "  --namespaces OPTION...     be PID 1 of new namespaces (vc-agent --namespaces lists the options)\n"
    "  --version, --help\n";

/* ---- signals ---- */

static void signal_event(struct watch *w, uint32_t events)
{
    struct signalfd_siginfo info;
    int child = 0;
    (void)events;
    while (read(w->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            child = 1;
        else
            asked_to_end = 1;
    }
    if (child)
        process_reap();
}

static int open_signals(struct watch *w)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    if (!agent_config.is_init) {
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    *w = (struct watch){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .fn = signal_event};
    return w->fd < 0 ? -errno : loop_watch(w, EPOLLIN);
}

/* ---- hotplug ---- */

static void find_port(void)
{
    if (!port_wanted)
        return;
    int r = transport_open_port(PORT_NAME);
    if (r == -ENOENT)
        return;
    port_wanted = 0; /* found; should it not open, that is tried again from the loop */
    if (r < 0)
        agent_log(AGENT_LOG_ERROR, "the port %s cannot be opened: %s", PORT_NAME, strerror(-r));
    else
        init_mark('R');
}

/* Serve on vsock as soon as there is a device for it. */
static void find_vsock(void)
{
    if (!vsock_wanted)
        return;
    int r = transport_listen_vsock(AGENT_VSOCK_PORT);
    if (r == -ENODEV && agent_config.use_vsock < 0)
        return; /* its driver is not ready yet, which will be announced */
    vsock_wanted = 0;
    if (r == 0)
        init_mark('R');
    else
        agent_log(AGENT_LOG_ERROR, "vsock port %d cannot be listened on: %s", AGENT_VSOCK_PORT, strerror(-r));
}

/* A device that was found gets its driver, as udev would do it. */
static void handle_uevent(const char *message, size_t len)
{
    const char *alias = NULL;
    int add = strncmp(message, "add@", 4) == 0;
    /* "bind" comes when a driver that was loaded before has taken the device. */
    if (!add && strncmp(message, "bind@", 5) != 0)
        return;
    for (const char *p = message; p < message + len; p += strlen(p) + 1)
        if (strncmp(p, "MODALIAS=", 9) == 0)
            alias = p + 9;
    if (alias && add)
        modules_alias(alias);
    if (alias && strncmp(alias, VSOCK_ALIAS, strlen(VSOCK_ALIAS)) == 0)
        find_vsock();
}

static void uevent_event(struct watch *w, uint32_t events)
{
    char message[4096];
    ssize_t n;
    (void)events;
    uevents_seen = 1;
    for (;;) {
        struct sockaddr_nl from = {0};
        socklen_t len = sizeof(from);
        n = recvfrom(w->fd, message, sizeof(message) - 1, 0, (struct sockaddr *)&from, &len);
        if (n <= 0)
            break;
        message[n] = '\0';
        if (from.nl_pid == 0) /* from the kernel: containers with rights on the network may send here, too */
            handle_uevent(message, (size_t)n);
    }
    /* Events were lost: any device may have come. */
    if (errno == ENOBUFS)
        agent_modules_late();
    find_port();
    guest_hotplug_event();
}

static int open_uevents(struct watch *w)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = 1};
    *w = (struct watch){.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT),
                        .fn = uevent_event};
    if (w->fd < 0 || bind(w->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        return -errno;
    return loop_watch(w, EPOLLIN);
}

/* ---- the loop ---- */

static int next_timeout(int64_t extra_ns)
{
    int64_t first = rpc_next_deadline(), retry = transport_next_retry();
    if (retry && (!first || retry < first))
        first = retry;
    if (extra_ns && (!first || extra_ns < first))
        first = extra_ns;
    return vcs_poll_timeout(first);
}

/* One round; a negative errno when the loop itself does not work any more. */
static int turn(int timeout_ms)
{
    int n = loop_run(timeout_ms);
    if (n < 0)
        return n;
    if (rpc_next_deadline() || transport_next_retry()) {
        int64_t now = vcs_now_ns();
        rpc_expire(now);
        transport_retry(now);
    }
    container_sweep(0);
    sandbox_proceed();
    transport_flush();
    return n;
}

static int serve(void)
{
    int r = 0;
    int64_t idle_at = vcs_now_ns() + IDLE_NS, settled_at = 0;
    while (r >= 0 && !asked_to_end && !sandbox_ended()) {
        /* What was put off is done when nothing is asked. */
        int64_t look_at = guest_waits() ? vcs_now_ns() + LOOK_NS : 0;
        int64_t until = look_at               ? look_at
                        : init_late_pending() ? 1
                        : settle_pending()    ? settled_at
                        : modules_left()      ? idle_at
                                              : 0;
        r = turn(next_timeout(until));
        if (r != 0)
            settled_at = vcs_now_ns() + SETTLE_NS;
        if (look_at) {
            guest_hotplug_event();
            transport_flush();
        }
        if (r == 0 && init_late_pending()) {
            init_late();
        } else if (r == 0 && settle_pending() && vcs_now_ns() >= settled_at && settle_kernel_busy()) {
            settled_at = vcs_now_ns() + SETTLE_NS;
        } else if (r == 0 && settle_pending() && vcs_now_ns() >= settled_at) {
            settle_idle();
            if (container_none())
                mux_quiet();
            transport_flush();
        } else if (modules_left() && r > uevents_seen) /* not those that loading a module makes */
            idle_at = vcs_now_ns() + IDLE_NS;
        else if (modules_left() && r == 0 && vcs_now_ns() >= idle_at)
            modules_step();
        uevents_seen = 0;
    }
    int64_t end = vcs_now_ns() + DRAIN_NS;
    while (r >= 0 && !transport_idle() && vcs_now_ns() < end)
        r = turn(next_timeout(end));
    return r;
}

/* ---- start ---- */

static int take_listen(const char *uri, int (*listen_on)(const char *path))
{
    return strncmp(uri, "unix://", 7) == 0 ? listen_on(uri + 7) : -EINVAL;
}

static int take_fd(const char *text, int (*serve_on)(int fd))
{
    char *end;
    long fd = strtol(text, &end, 10);
    return *end || end == text || fd < 0 || fd > 1 << 20 ? -EINVAL : serve_on((int)fd);
}

static int parse_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"listen", 1, NULL, 'l'},  {"listen-mux", 1, NULL, 'm'}, {"listen-fd", 1, NULL, 'f'}, {"mux-fd", 1, NULL, 'F'},
        {"run-dir", 1, NULL, 'r'}, {"own-net", 0, NULL, 'n'},    {"log", 1, NULL, 'L'},       {"version", 0, NULL, 'v'},
        {"help", 0, NULL, 'h'},    {"no-cgroup", 0, NULL, 'C'},  {NULL, 0, NULL, 0}};
    int c, r = 0, sources = 0;
    while (r >= 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'l':
            r = take_listen(optarg, transport_listen_unix);
            sources++;
            break;
        case 'm':
            r = take_listen(optarg, transport_listen_unix_mux);
            sources++;
            break;
        case 'f':
            r = take_fd(optarg, transport_serve_fd);
            sources++;
            break;
        case 'F':
            r = take_fd(optarg, transport_serve_mux_fd);
            sources++;
            break;
        case 'r':
            agent_config.run_dir = agent_config.copy_root = optarg;
            break;
        case 'n':
            agent_config.own_net = 1;
            break;
        case 'C':
            with_cgroups = 0;
            break;
        case 'L':
            r = agent_set_option("log", optarg);
            break;
        case 'v':
            return write(STDOUT_FILENO, "vc-agent " AGENT_VERSION "\n", sizeof("vc-agent " AGENT_VERSION)) < 0 ? 1 : 0;
        case 'h':
            return write(STDOUT_FILENO, usage, sizeof(usage) - 1) < 0 ? 1 : 0;
        default:
            return 2;
        }
        if (r < 0)
            fprintf(stderr, "vc-agent: option %s: %s\n", argv[optind - 1], strerror(-r));
    }
    if (r < 0)
        return 2;
    if (!sources || optind < argc) {
        fputs(usage, stderr);
        return 2;
    }
    return -1;
}

/* The channel of a guest: the serial port, or vsock. */
static void open_channel(void)
{
    port_wanted = agent_config.use_vsock != 1;
    vsock_wanted = agent_config.use_vsock != 0;
    find_port();
    /* Without being told so, vsock is served when its device shows up. */
    if (agent_config.use_vsock == 1) {
        agent_modules_need("virtio:", "d00000013v");
        find_vsock();
    }
}

/* Descriptors 0 to 2 must be taken: a pipe of a container in their place would be overwritten on its way there. */
static void fill_standard_streams(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd < 0)
            fd = open("/", O_PATH | O_CLOEXEC); /* no /dev yet */
    } while (fd >= 0 && fd < 3);
    if (fd >= 3)
        close(fd);
}

static void set_limits(void)
{
    struct rlimit files = {.rlim_cur = MAX_FILES, .rlim_max = MAX_FILES};
    /* Give memory of large messages back at once, and keep one heap: a guest may be small. */
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    mallopt(M_TRIM_THRESHOLD, 256 * 1024);
    mallopt(M_ARENA_MAX, 1);
    ctr_prepare_agent(with_cgroups);
    setrlimit(RLIMIT_NOFILE, &files);
}

static void run_guest(void)
{
    struct watch signals, uevents;
    agent_config.is_init = agent_config.own_kernel = agent_config.own_net = 1;
    init_mark('U');
    /* Its copies that set up a process inside of a container are visible there before they can say so themselves. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    int r = loop_open();
    /* Before the modules are loaded, so that no port can appear unnoticed. */
    if (r == 0)
        r = open_uevents(&uevents);
    if (r == 0)
        r = open_signals(&signals);
    init_early();
    set_limits();
    /* When memory runs out, all containers go before the agent, without which the guest would panic. */
    int oom = agent_write_file("/proc/self/oom_score_adj", "-1000");
    if (oom < 0)
        agent_log(AGENT_LOG_WARN, "the agent cannot be protected from the end of memory: %s", strerror(-oom));
    if (r == 0) {
        open_channel();
        r = serve();
    }
    if (r < 0)
        agent_log(AGENT_LOG_ERROR, "the event loop has failed: %s", strerror(-r));
    init_power_off();
    /* The end of init would be a panic of the kernel. */
    for (;;)
        pause();
}

/* PID 1 of namespaces on a host: what has to do with a kernel of one's own is left out. */
static int run_namespaces(int argc, char **argv)
{
    struct watch signals;
    struct ns_guest g;
    int r = ns_start(argc, argv, &g);
    if (r < 0)
        return 2;
    with_cgroups = g.cgroup != NULL;
    set_limits();
    r = loop_open();
    if (r == 0)
        r = open_signals(&signals);
    if (r == 0)
        r = transport_serve_fd(g.listen_fd);
    if (r == 0) {
        ns_ready(&g);
        r = serve();
    }
    if (r < 0)
        agent_log(AGENT_LOG_ERROR, "the event loop has failed: %s", strerror(-r));
    return r < 0;
}

int main(int argc, char **argv)
{
    fill_standard_streams();
    if (argc > 1 && strcmp(argv[1], "--namespaces") == 0)
        return run_namespaces(argc, argv);
    /* The kernel hands words of its command line on to init; none of them looks like an option. */
    if (getpid() == 1 && (argc < 2 || argv[1][0] != '-'))
        run_guest();
    struct watch signals;
    if (loop_open() < 0 || open_signals(&signals) < 0)
        return 1;
    int r = parse_options(argc, argv);
    if (r >= 0)
        return r;
    set_limits();
    r = serve();
    sandbox_clear();
    transport_close();
    close(signals.fd);
    loop_close();
    return r < 0;
}
