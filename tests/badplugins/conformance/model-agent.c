/* SPDX-License-Identifier: Apache-2.0 */
/* model-agent.c: a small correct agent plugin; compiled with -DBAD_<CHECK> it breaks just that rule.
 *
 * Its guest (sdk/conformance/scenarios/agent-model.scn) is asked by lines, each on a connection of its own:
 *   "VERB CONTAINER EXEC WORDS...\n"  answers  "ok", "ok TEXT", "exit STATUS" or "err CODE TEXT".
 * After "stdin", "stdout" and "stderr" the connection carries that stream. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <vc/agent.h>

#ifndef MODEL_NAME
#define MODEL_NAME "model-agent"
#endif

#define STATE_VERSION 1
#define URI_SIZE      1024
#define ANSWER_MAX    (256u * 1024) /* of a line that a guest may say */
#define ANSWER_MIN    4096u
#define CALLS         64
#define TRY_MS        5 /* between attempts while nobody listens: nothing else tells of a guest that comes */
#define MODEL_CAPS                                                                                                     \
    (VC_AG_CAP_NET | VC_AG_CAP_STATS | VC_AG_CAP_PAUSE | VC_AG_CAP_UPDATE | VC_AG_CAP_PS | VC_AG_CAP_STDIO |           \
     VC_AG_CAP_TEMPLATE | VC_AG_CAP_ONLINE)

/* A call that runs, so that cancel can reach it. */
struct running {
    int used, cancelled, fd;
};
struct vc_inst {
    const vc_host *host;
    pthread_mutex_t lock;
    struct running calls[CALLS];
    char uri[URI_SIZE]; /* "": not connected yet */
#ifdef BAD_A2_CHECK
    int asked;
#endif
};

static const struct vc_option model_options[] = {
    { "retry", VC_OPT_INT, 0, 1, 1000, "5", NULL,
      "Milliseconds between attempts to reach a guest that is not there yet." },
};

/* ---- small helpers ---- */

static int fail(const vc_host *host, const struct vc_call *call, int code, int sys, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

static int fail(const vc_host *host, const struct vc_call *call, int code, int sys, const char *fmt, ...)
{
    vc_err *err = call && call->size >= offsetof(struct vc_call, err) + sizeof(call->err) ? call->err : NULL;
    char msg[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    return host->err_set(host, err, code, sys, msg, n < 0 ? 0 : n < (int)sizeof(msg) ? (uint64_t)n : sizeof(msg) - 1);
}

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int left_ms(const struct vc_call *call)
{
    if (!call || call->size < offsetof(struct vc_call, deadline_ns) + sizeof(call->deadline_ns) || !call->deadline_ns)
        return -1;
    int64_t left = call->deadline_ns - now_ns();
    return left <= 0 ? 0 : left > INT64_C(60000) * 1000000 ? 60000 : (int)((left + 999999) / 1000000);
}

/* What a guest says goes to people's terminals: plain characters only. */
static void clean(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < ' ' || *p >= 0x7f)
            *p = '?';
}

/* ---- one question ---- */

static struct running *enter(vc_inst *inst)
{
    struct running *r = NULL;
    pthread_mutex_lock(&inst->lock);
    for (int i = 0; i < CALLS && !r; i++)
        if (!inst->calls[i].used)
            r = &inst->calls[i];
    if (r)
        *r = (struct running){ .used = 1, .fd = -1 };
    pthread_mutex_unlock(&inst->lock);
    return r;
}

/* The descriptor of the call; it may be shut down by cancel until it is taken out. */
static int set_fd(vc_inst *inst, struct running *r, int fd)
{
    pthread_mutex_lock(&inst->lock);
    r->fd = fd;
    int cancelled = r->cancelled;
    pthread_mutex_unlock(&inst->lock);
    return cancelled;
}

static void leave(vc_inst *inst, struct running *r)
{
    pthread_mutex_lock(&inst->lock);
    r->used = 0;
    pthread_mutex_unlock(&inst->lock);
}

static void model_cancel(vc_inst *inst)
{
    pthread_mutex_lock(&inst->lock);
    for (int i = 0; i < CALLS; i++)
        if (inst->calls[i].used) {
            inst->calls[i].cancelled = 1;
            if (inst->calls[i].fd >= 0)
                shutdown(inst->calls[i].fd, SHUT_RDWR);
        }
    pthread_mutex_unlock(&inst->lock);
}

static int try_connect(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    char dir[URI_SIZE];
    const char *slash = strrchr(path, '/');
    if (!slash || strlen(slash + 1) > 64)
        return -ENAMETOOLONG;
    snprintf(dir, sizeof(dir), "%.*s/", (int)(slash - path), path);
    int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), r = at < 0 ? -errno : 0;
    snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%.64s", at, slash + 1);
    int fd = r ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (!r && (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0))
        r = -errno;
    if (at >= 0)
        close(at);
    if (r && fd >= 0)
        close(fd);
    return r ? r : fd;
}

static int stopped(vc_inst *inst, const struct vc_call *call, struct running *run, const char *what)
{
    int cancelled = set_fd(inst, run, -1);
    return fail(inst->host, call, cancelled ? VC_E_CANCELLED : VC_E_TIMEOUT, 0, "%.32s: %s", what,
                cancelled ? "the call was cancelled" : "the guest does not answer in time");
}

/* A connection to the guest; waits for one that is not there yet when `patient`. */
static int reach(vc_inst *inst, const struct vc_call *call, struct running *run, const char *what, int patient,
                 int *ret)
{
    for (;;) {
        int fd = try_connect(inst->uri + 7), left = left_ms(call);
        if (fd >= 0) {
            *ret = fd;
            return VC_OK;
        }
        if (set_fd(inst, run, -1) || left == 0)
            return stopped(inst, call, run, what);
        if (fd != -EAGAIN && (!patient || (fd != -ENOENT && fd != -ECONNREFUSED)))
            return fail(inst->host, call, fd == -EMFILE || fd == -ENFILE ? VC_E_RESOURCE : VC_E_PEER, -fd,
                        "%.32s: the guest cannot be reached at %.512s", what, inst->uri);
        poll(NULL, 0, left < 0 || left > TRY_MS ? TRY_MS : left);
    }
}

static int wait_for(vc_inst *inst, const struct vc_call *call, struct running *run, int fd, short events,
                    const char *what)
{
    struct pollfd pf = { .fd = fd, .events = events };
    int n;
    while ((n = poll(&pf, 1, left_ms(call))) < 0 && errno == EINTR)
        ;
    if (n > 0 && !set_fd(inst, run, fd))
        return VC_OK;
    return n < 0 ? fail(inst->host, call, VC_E_IO, errno, "%.32s: cannot wait for the guest", what)
                 : stopped(inst, call, run, what);
}

static int say(vc_inst *inst, const struct vc_call *call, struct running *run, int fd, const char *line, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, line + done, len - done, MSG_NOSIGNAL);
        if (n >= 0)
            done += (size_t)n;
        else if (errno == EAGAIN) {
            int r = wait_for(inst, call, run, fd, POLLOUT, line);
            if (r != VC_OK)
                return r;
        } else if (errno != EINTR) {
            if (set_fd(inst, run, fd))
                return stopped(inst, call, run, line);
            return fail(inst->host, call, VC_E_PEER, errno, "the guest went away while it was asked");
        }
    }
    return VC_OK;
}

/* The guest's line, without its line feed, in *ret, which has ANSWER_MIN bytes and may grow; not a byte more is read.
 */
static int hear(vc_inst *inst, const struct vc_call *call, struct running *run, int fd, const char *what, char **ret)
{
    size_t size = ANSWER_MIN, len = 0;
    char *line = *ret;
    int r = VC_OK;
    while (r == VC_OK) {
        ssize_t n = recv(fd, line + len, size - 1 - len, MSG_PEEK);
        char *nl = n > 0 ? memchr(line + len, '\n', (size_t)n) : NULL;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            r = wait_for(inst, call, run, fd, POLLIN, what);
            continue;
        }
        if (n <= 0) {
            r = set_fd(inst, run, fd)
                    ? stopped(inst, call, run, what)
                    : fail(inst->host, call, VC_E_PEER, n < 0 ? errno : 0, "%.32s: the guest went away", what);
            continue;
        }
        n = recv(fd, line + len, nl ? (size_t)(nl + 1 - line) - len : (size_t)n, 0);
        len += n > 0 ? (size_t)n : 0;
        if (n > 0 && nl) {
            line[len - 1] = '\0';
            return VC_OK;
        }
#ifndef BAD_A7
        if (len >= ANSWER_MAX) {
            r = fail(inst->host, call, VC_E_PROTOCOL, 0, "%.32s: the guest's answer is longer than %u bytes", what,
                     ANSWER_MAX);
            continue;
        }
#endif
        char *more = len + 1 < size ? line : realloc(line, size *= 2);
        if (!more)
            r = fail(inst->host, call, VC_E_NOMEM, 0, "no memory for the guest's answer");
        else
            *ret = line = more;
    }
    return r;
}

static int code_of(const char *word)
{
    static const struct {
        const char *word;
        int code;
    } known[] = {
        { "inval ", VC_E_INVAL },       { "notfound ", VC_E_NOTFOUND }, { "exists ", VC_E_EXISTS },
        { "state ", VC_E_STATE },       { "nocmd ", VC_E_NOCMD },       { "noexec ", VC_E_NOEXEC },
        { "resource ", VC_E_RESOURCE },
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (!strncmp(word, known[i].word, strlen(known[i].word)))
            return known[i].code;
    return VC_E_PROTOCOL;
}

/* What the guest's line means; *ret_text is behind "ok " or "exit ". */
static int judge(vc_inst *inst, const struct vc_call *call, const char *what, char *line, char **ret_text)
{
    if (!strcmp(line, "ok") || !strncmp(line, "ok ", 3) || !strncmp(line, "exit ", 5)) {
        char *blank = strchr(line, ' ');
        *ret_text = blank ? blank + 1 : line + strlen(line);
        return VC_OK;
    }
    int code = strncmp(line, "err ", 4) ? VC_E_PROTOCOL : code_of(line + 4);
#ifdef BAD_A8
    (void)clean;
#else
    clean(line);
#endif
    return fail(inst->host, call, code, 0,
                code == VC_E_PROTOCOL ? "%.32s: the guest's answer means nothing: %.64s"
                                      : "%.32s: the guest says: %.512s",
                what, line + (code == VC_E_PROTOCOL ? 0 : 4));
}

/* Ask; *ret_text (malloc'ed) is the rest of a good answer, *ret_fd the connection, for those that want it. */
static int ask(vc_inst *inst, const struct vc_call *call, int patient, char **ret_text, int *ret_fd, const char *fmt,
               ...) __attribute__((format(printf, 6, 7)));

static int ask(vc_inst *inst, const struct vc_call *call, int patient, char **ret_text, int *ret_fd, const char *fmt,
               ...)
{
    char *line = NULL, *answer = NULL, *text = NULL, what[40] = "";
    int fd = -1, r;
    va_list ap;
    if (!inst->uri[0])
        return fail(inst->host, call, VC_E_STATE, 0, "the guest was not connected to yet");
#ifdef BAD_A2_CHECK
    inst->asked = 1;
#endif
    if (left_ms(call) == 0)
        return fail(inst->host, call, VC_E_TIMEOUT, 0, "there was no time left to ask the guest");
    struct running *run = enter(inst);
    if (!run)
        return fail(inst->host, call, VC_E_BUSY, 0, "more than %d calls run at once", CALLS);
    va_start(ap, fmt);
    int len = vasprintf(&line, fmt, ap);
    va_end(ap);
    answer = malloc(ANSWER_MIN); /* before the guest does anything: without memory nothing has happened */
    if (len < 0 || !answer) {
        free(len < 0 ? NULL : line);
        free(answer);
        leave(inst, run);
        return fail(inst->host, call, VC_E_NOMEM, 0, "no memory for a question to the guest");
    }
    snprintf(what, sizeof(what), "%.*s", (int)strcspn(line, " \n"), line);
    for (int i = 0; i < len - 1; i++)
        if (line[i] == '\n' || line[i] == '\r') /* within JSON they mean the same */
            line[i] = ' ';
    r = reach(inst, call, run, what, patient, &fd);
    if (r == VC_OK && set_fd(inst, run, fd))
        r = stopped(inst, call, run, what);
    if (r == VC_OK)
        r = say(inst, call, run, fd, line, (size_t)len);
    if (r == VC_OK)
        r = hear(inst, call, run, fd, what, &answer);
    if (r == VC_OK)
        r = judge(inst, call, what, answer, &text);
    if (r == VC_OK && ret_text) {
        memmove(answer, text, strlen(text) + 1);
        *ret_text = answer;
        answer = NULL;
    }
    set_fd(inst, run, -1);
    if (r == VC_OK && ret_fd)
        *ret_fd = fd;
    else if (fd >= 0)
        close(fd);
    leave(inst, run);
    free(answer);
    free(line);
    return r;
}

/* ---- life ---- */

static void model_close(vc_inst *inst)
{
    pthread_mutex_destroy(&inst->lock);
    inst->host->free(inst->host, inst);
}

static int model_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        vc_inst **out)
{
    int64_t retry;
    vc_inst *inst = host->alloc(host, sizeof(*inst));
    if (!inst)
        return fail(host, call, VC_E_NOMEM, 0, "no memory for the agent of pod %.64s", pod_id);
    inst->host = host;
    pthread_mutex_init(&inst->lock, NULL);
    int r = host->cfg_int(host, cfg, "retry", &retry);
    if (r != VC_OK) {
        model_close(inst);
        return fail(host, call, r, 0, "the option retry cannot be read");
    }
    *out = inst;
    return VC_OK;
}

/* State, version 1: the address and a line feed. */
static int model_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    int r = inst->host->write(inst->host, out, inst->uri, strlen(inst->uri));
    if (r == VC_OK)
        r = inst->host->write(inst->host, out, "\n", 1);
    return r == VC_OK ? VC_OK : fail(inst->host, call, r, 0, "the state cannot be written");
}

static int uri_good(const char *uri)
{
    return !strncmp(uri, "unix:///", 8) && strlen(uri) < URI_SIZE && !strchr(uri, '\n');
}

static int model_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                         uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    char uri[URI_SIZE] = "";
    vc_inst *inst = NULL;
    const char *data = state.data;
    int good =
        state.len > 0 && state.len <= sizeof(uri) && data[state.len - 1] == '\n' && !memchr(data, 0, (size_t)state.len);
    if (good)
        memcpy(uri, data, (size_t)state.len - 1);
    if (state_version != STATE_VERSION)
        return fail(host, call, VC_E_UNSUPPORTED, 0, "state version %u of pod %.64s is unknown, %d is known", state_version, pod_id,
                    STATE_VERSION);
    if (!good || (uri[0] && !uri_good(uri)))
        return fail(host, call, VC_E_CORRUPT, 0, "the stored state of pod %.64s cannot be read", pod_id);
    int r = model_create(host, call, cfg, pod_id, &inst);
    if (r != VC_OK)
        return r;
    memcpy(inst->uri, uri, sizeof(uri));
#ifdef BAD_A2
    inst->uri[0] = '\0';
#endif
    *out = inst;
    return VC_OK;
}

static int model_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)call;
    int fd = inst->uri[0] ? try_connect(inst->uri + 7) : -1;
    *health = fd >= 0 || fd == -EAGAIN ? VC_HEALTH_OK : VC_HEALTH_GONE;
#ifdef BAD_A2_CHECK
    if (!inst->asked)
        *health = VC_HEALTH_GONE;
#endif
    if (fd >= 0)
        close(fd);
    return VC_OK;
}

static int model_nothing(vc_inst *inst, const struct vc_call *call)
{
    (void)inst;
    (void)call;
    return VC_OK;
}

static uint64_t model_caps(vc_inst *inst)
{
    (void)inst;
    return MODEL_CAPS;
}

/* ---- sandbox and containers ---- */

static const char *name_of(const char *exec_id)
{
    return exec_id && *exec_id ? exec_id : "-";
}

/* A word of a question. */
static int plain(vc_inst *inst, const struct vc_call *call, const char *id)
{
    if (id && *id && strlen(id) <= 128 && !strpbrk(id, " \n\r*:%"))
        return VC_OK;
    return fail(inst->host, call, VC_E_INVAL, 0,
                "an id is 1 to 128 characters without blanks, \"*\", \":\" and \"%%\"");
}

static int model_ping(vc_inst *inst, const struct vc_call *call)
{
    return ask(inst, call, 0, NULL, NULL, "ping\n");
}

static int model_connect(vc_inst *inst, const struct vc_call *call, const char *uri)
{
    if (!uri || !uri_good(uri))
        return fail(inst->host, call, VC_E_INVAL, 0, "the agent's address \"%.128s\" is no unix://PATH",
                    uri ? uri : "");
    snprintf(inst->uri, sizeof(inst->uri), "%s", uri);
#ifdef BAD_A1
    return ask(inst, call, 0, NULL, NULL, "ping\n");
#endif
    return ask(inst, call, 1, NULL, NULL, "ping\n");
}

static int model_sandbox_create(vc_inst *inst, const struct vc_call *call, const struct vc_sandbox *sandbox)
{
    int r = plain(inst, call, sandbox->id);
    return r ? r : ask(inst, call, 0, NULL, NULL, "sandbox %s\n", sandbox->id);
}

static int model_sandbox_destroy(vc_inst *inst, const struct vc_call *call)
{
    return ask(inst, call, 0, NULL, NULL, "destroy\n");
}

/* Text of a JSON object. */
static int object(vc_inst *inst, const struct vc_call *call, struct vc_bytes text, const char *what)
{
#ifdef BAD_A9
    if (!text.len)
        return VC_OK;
#endif
    if (text.len >= 2 && text.len <= 4u << 20 && ((const char *)text.data)[0] == '{' &&
        !memchr(text.data, 0, (size_t)text.len))
        return VC_OK;
    return fail(inst->host, call, VC_E_INVAL, 0, "%s (%" PRIu64 " bytes) is no JSON object of at most 4 MiB", what,
                text.len);
}

static int model_ctr_create(vc_inst *inst, const struct vc_call *call, const struct vc_ctr *ctr)
{
    int r = plain(inst, call, ctr->id);
    if (r == VC_OK)
        r = object(inst, call, ctr->spec, "the specification");
    r = r ? r
          : ask(inst, call, 0, NULL, NULL, "create %s %.*s\n", ctr->id, (int)ctr->spec.len,
                (const char *)ctr->spec.data);
#ifdef BAD_A3
    if (r == VC_E_EXISTS)
        return VC_OK;
#endif
    return r;
}

static int simple(vc_inst *inst, const struct vc_call *call, const char *verb, const char *ctr)
{
    int r = plain(inst, call, ctr);
    return r ? r : ask(inst, call, 0, NULL, NULL, "%s %s\n", verb, ctr);
}

static int model_ctr_start(vc_inst *inst, const struct vc_call *call, const char *ctr)
{
    return simple(inst, call, "start", ctr);
}

static int model_ctr_remove(vc_inst *inst, const struct vc_call *call, const char *ctr)
{
    return simple(inst, call, "remove", ctr);
}

static int model_ctr_pause(vc_inst *inst, const struct vc_call *call, const char *ctr)
{
#ifdef BAD_LIE_AGENT_PAUSE
    return plain(inst, call, ctr);
#endif
    return simple(inst, call, "pause", ctr);
}

static int model_ctr_resume(vc_inst *inst, const struct vc_call *call, const char *ctr)
{
    return simple(inst, call, "resume", ctr);
}

static int model_ctr_update(vc_inst *inst, const struct vc_call *call, const char *ctr, struct vc_bytes resources)
{
    int r = plain(inst, call, ctr);
    if (r == VC_OK)
        r = object(inst, call, resources, "the resources");
    return r ? r
             : ask(inst, call, 0, NULL, NULL, "update %s %.*s\n", ctr, (int)resources.len,
                   (const char *)resources.data);
}

static int model_net_update(vc_inst *inst, const struct vc_call *call, const struct vc_agent_net *net)
{
    int r = object(inst, call, net->json, "the network");
    return r ? r : ask(inst, call, 0, NULL, NULL, "net %.*s\n", (int)net->json.len, (const char *)net->json.data);
}

/* ---- processes ---- */

static int model_exec(vc_inst *inst, const struct vc_call *call, const char *ctr, const struct vc_exec *exec)
{
    int r = plain(inst, call, ctr);
    if (r == VC_OK)
        r = plain(inst, call, exec->id);
    if (r == VC_OK)
        r = object(inst, call, exec->process, "the process");
    return r ? r
             : ask(inst, call, 0, NULL, NULL, "exec %s %s %.*s\n", ctr, exec->id, (int)exec->process.len,
                   (const char *)exec->process.data);
}

static int model_signal(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t sig,
                        uint32_t flags)
{
    int r = plain(inst, call, ctr);
    if (r == VC_OK && (sig < 0 || sig > 64))
        r = fail(inst->host, call, VC_E_INVAL, 0, "%d is no signal", sig);
    return r ? r
             : ask(inst, call, 0, NULL, NULL, "signal %s %s %d %s\n", ctr, name_of(exec_id), sig,
                   flags & VC_SIGNAL_ALL ? "all" : "one");
}

static int model_wait(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t *status)
{
    char *text = NULL, *end = NULL;
    int r = plain(inst, call, ctr);
#ifdef BAD_A5
    for (int i = 0; r == VC_OK && i < 100 && left_ms(call) > 100;
         i++) /* asks again, and misses what was removed meanwhile */
        if ((r = ask(inst, call, 0, &text, NULL, "poll %s %s\n", ctr, name_of(exec_id))) == VC_E_NOTFOUND ||
            r == VC_E_STATE) {
            poll(NULL, 0, 100);
            r = VC_OK;
        } else
            break;
#endif
    if (r == VC_OK && !text)
        r = ask(inst, call, 0, &text, NULL, "wait %s %s\n", ctr, name_of(exec_id));
    if (r != VC_OK)
        return r;
    long n = strtol(text, &end, 10);
    if (end == text || *end || n < 0 || n > 255)
        r = fail(inst->host, call, VC_E_PROTOCOL, 0, "wait: the guest gave no status from 0 to 255");
    else
#ifdef BAD_A4
        *status = n > 128 ? (int32_t)n - 128 : (int32_t)n;
#else
        *status = (int32_t)n;
#endif
    free(text);
    return r;
}

static int model_stdio(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id,
                       int32_t out_fds[3])
{
    static const char *const names[] = { "stdin", "stdout", "stderr" };
    int fds[3] = { -1, -1, -1 }, r = plain(inst, call, ctr);
    for (int i = 0; i < 3 && r == VC_OK; i++) {
        r = ask(inst, call, 0, NULL, &fds[i], "%s %s %s\n", names[i], ctr, name_of(exec_id));
        if (r == VC_OK && fcntl(fds[i], F_SETFL, 0) < 0) /* the caller gets plain streams */
            r = fail(inst->host, call, VC_E_IO, errno, "a stream cannot be made blocking");
    }
#ifdef BAD_A6
    if (r == VC_OK) /* one more holder: the end of file is never carried over */
        r = dup(fds[0]) < 0 ? VC_E_IO : VC_OK;
#endif
    for (int i = 0; i < 3; i++)
        if (r != VC_OK && fds[i] >= 0)
            close(fds[i]);
    for (int i = 0; i < 3 && r == VC_OK; i++)
        out_fds[i] = fds[i];
    return r;
}

static int model_tty_resize(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id,
                            uint32_t rows, uint32_t cols)
{
    int r = plain(inst, call, ctr);
    return r ? r : ask(inst, call, 0, NULL, NULL, "winsize %s %s %u %u\n", ctr, name_of(exec_id), rows, cols);
}

static int listing(vc_inst *inst, const struct vc_call *call, const char *verb, const char *ctr, vc_sink *json)
{
    char *text = NULL;
    int r = plain(inst, call, ctr);
    if (r == VC_OK)
        r = ask(inst, call, 0, &text, NULL, "%s %s\n", verb, ctr);
    if (r != VC_OK)
        return r;
    size_t len = strlen(text);
#ifdef BAD_A10
    len -= 1;
#endif
    if (!len || (text[0] != '[' && text[0] != '{'))
        r = fail(inst->host, call, VC_E_PROTOCOL, 0, "%s: the guest's answer is no JSON", verb);
    else if ((r = inst->host->write(inst->host, json, text, len)) != VC_OK)
        r = fail(inst->host, call, r, 0, "%s: the answer cannot be handed on", verb);
    free(text);
    return r;
}

static int model_ps(vc_inst *inst, const struct vc_call *call, const char *ctr, vc_sink *json)
{
    return listing(inst, call, "ps", ctr, json);
}

static int model_stats(vc_inst *inst, const struct vc_call *call, const char *ctr, vc_sink *json)
{
    return listing(inst, call, "stats", ctr, json);
}

/* ---- templates ---- */

static int model_settle(vc_inst *inst, const struct vc_call *call, uint32_t flags)
{
    return ask(inst, call, 0, NULL, NULL, "settle %u\n", flags);
}

static int model_renew(vc_inst *inst, const struct vc_call *call, const struct vc_renew *renew)
{
    if (renew->seed.len < 32 || renew->seed.len > 512)
        return fail(inst->host, call, VC_E_INVAL, 0, "a seed has 32 to 512 bytes, not %" PRIu64, renew->seed.len);
    return ask(inst, call, 0, NULL, NULL, "renew %" PRIu64 "\n", renew->seed.len);
}

static int model_online(vc_inst *inst, const struct vc_call *call, uint32_t vcpus)
{
    return ask(inst, call, 0, NULL, NULL, "online %u\n", vcpus);
}

/* ---- the descriptor ---- */

static const struct vc_inst_ops model_inst = {
    .size = sizeof(model_inst),
    .create = model_create,
    .restore = model_restore,
    .save = model_save,
    .check = model_check,
    .cleanup = model_nothing,
    .close = model_close,
    .caps = model_caps,
    .cancel = model_cancel,
};
static const struct vc_agent_ops model_ops = {
    .size = sizeof(model_ops),
    .connect = model_connect,
    .disconnect = model_nothing, /* a connection lasts as long as its question */
    .ping = model_ping,
    .sandbox_create = model_sandbox_create,
    .sandbox_destroy = model_sandbox_destroy,
    .ctr_create = model_ctr_create,
    .ctr_start = model_ctr_start,
    .ctr_remove = model_ctr_remove,
    .exec = model_exec,
    .signal = model_signal,
    .wait = model_wait,
    .stdio = model_stdio,
    .tty_resize = model_tty_resize,
    .ps = model_ps,
    .net_update = model_net_update,
    .stats = model_stats,
    .ctr_pause = model_ctr_pause,
    .ctr_resume = model_ctr_resume,
    .ctr_update = model_ctr_update,
    .settle = model_settle,
    .renew = model_renew,
    .online = model_online,
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_AGENT,
    .name = MODEL_NAME,
    .vendor = "libvccore tests",
    .version = "1.0",
    .description = "A small agent that asks its guest by lines.",
    .options = model_options,
    .n_options = sizeof(model_options) / sizeof(model_options[0]),
    .option_stride = sizeof(struct vc_option),
    .state_version = STATE_VERSION,
    .state_version_min = STATE_VERSION,
    .caps_max = MODEL_CAPS,
    .inst = &model_inst,
    .ops = &model_ops,
};
