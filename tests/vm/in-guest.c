/* SPDX-License-Identifier: Apache-2.0 */
/* in-guest.c: what a test does inside a container and a shell cannot: system calls, and a try to leave the root.
 * A static program; each word prints one line. */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static const char *word(int rc)
{
    return rc < 0 ? strerrorname_np(errno) : "ok";
}

/* A message goes through a queue. */
static int queue(void)
{
    struct mq_attr attr = { .mq_maxmsg = 2, .mq_msgsize = 16 };
    char got[16] = "";
    mqd_t q = mq_open("/in-guest", O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
    if (q < 0)
        return -1;
    int rc = mq_send(q, "hello", 6, 0) || mq_receive(q, got, sizeof got, NULL) != 6 || strcmp(got, "hello") ? -1 : 0;
    if (access("/dev/mqueue/in-guest", F_OK))
        rc = -1;
    mq_close(q);
    mq_unlink("/in-guest");
    return rc;
}

/* Shared memory by name keeps what is written to it. */
static int memory(void)
{
    int fd = shm_open("/in-guest", O_CREAT | O_EXCL | O_RDWR, 0600);
    if (fd < 0 || ftruncate(fd, 4096))
        return -1;
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return -1;
    strcpy(p, "kept");
    char got[5] = "";
    int rc = pread(fd, got, 4, 0) == 4 && !strcmp(got, "kept") ? 0 : -1;
    close(fd);
    shm_unlink("/in-guest");
    return rc;
}

/* The classical way out of a changed root: another one below it, and then upwards as far as it goes.  Prints whether the
 * guest's own root was reached. */
static const char *escape(void)
{
    if (mkdir("/jail", 0700) && errno != EEXIST)
        return word(-1);
    int out = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (chroot("/jail") || out < 0 || fchdir(out))
        return word(-1);
    for (int i = 0; i < 64; i++)
        if (chdir(".."))
            return word(-1);
    if (chroot("."))
        return word(-1);
    rmdir("/jail");
    return access("/in-guest", F_OK) == 0 && access("/init", F_OK) < 0 ? "inside" : "outside";
}

/* A socket of the host that was mounted: somebody takes what is said to it. */
static int through_socket(void)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "/run/sock" };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0 || write(fd, "hello\n", 6) != 6 ? -1 : 0;
    if (fd >= 0)
        close(fd);
    return rc;
}

static const char *answer(const char *what)
{
    struct utsname u;
    if (!strcmp(what, "mkdir")) {
        int rc = mkdir("/tmp/made", 0700);
        const char *w = word(rc);
        rmdir("/tmp/made");
        return w;
    }
    if (!strcmp(what, "uname"))
        return word(uname(&u));
    if (!strcmp(what, "getcpu"))
        return word((int)syscall(SYS_getcpu, NULL, NULL, NULL));
    if (!strcmp(what, "queue"))
        return word(queue());
    if (!strcmp(what, "memory"))
        return word(memory());
    if (!strcmp(what, "escape"))
        return escape();
    if (!strcmp(what, "socket"))
        return word(through_socket());
    return "?";
}

/* What the clock says, in nanoseconds, for each of five lines of standard input. */
static int clock_on_demand(void)
{
    char line[64];
    for (int i = 0; i < 5 && fgets(line, sizeof line, stdin); i++) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        printf("%lld\n", (long long)t.tv_sec * 1000000000 + t.tv_nsec);
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "clock"))
        return clock_on_demand();
    for (int i = 1; i < argc; i++)
        printf("%s: %s\n", argv[i], answer(argv[i]));
    return 0;
}
