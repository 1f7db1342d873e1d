/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: the command line of vc-plugin-test. */
#include <argp.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "peer.h"
#include "report.h"
#include "stand-in.h"

/* The paths that are compiled in stand here, and not in the help: glibc's argp crashes on some words that are longer than
 * a line. */
const char *argp_program_version = "vc-plugin-test " VCT_VERSION "\n"
                                   "plugins: " VCT_PLUGIN_DIR "\n"
                                   "scenarios: " VCT_SCENARIO_DIR;

enum {
    OPT_SET = 256, OPT_SCENARIO, OPT_REAL, OPT_LEVEL, OPT_ONLY, OPT_SKIP, OPT_LIST, OPT_EXPLAIN, OPT_SEED, OPT_BASELINE,
    OPT_WRITE_BASELINE, OPT_TIMEOUT, OPT_SOAK, OPT_JSON, OPT_TAP, OPT_JUNIT, OPT_IN_PROCESS, OPT_COLOR, OPT_PLUGIN_DIR,
    OPT_LIBEXEC_DIR, OPT_DATA_DIR, OPT_SCENARIO_DIR, OPT_CHECK_SCENARIO, OPT_NO_NAMESPACES,
    OPT_GOLDEN, OPT_MAKE_GOLDEN, OPT_CHILD, OPT_CHILD_FD, OPT_CHILD_ISOLATION,
    OPT_CHILD_SCRATCH
};

static const struct argp_option options[] = {
    { NULL, 0, NULL, 0, "What runs:", 1 },
    { "level", OPT_LEVEL, "LEVEL", 0, "quick: what takes seconds; full (the default); soak: random walks of ten minutes, too", 1 },
    { "only", OPT_ONLY, "CHECKS", 0, "Only these: ids and groups, as in L,H5 (of any level)", 1 },
    { "skip", OPT_SKIP, "CHECKS", 0, "All but these", 1 },
    { "soak", OPT_SOAK, "TIME", 0, "Level soak with walks that long, as in 90s, 10m or 2h", 1 },
    { "seed", OPT_SEED, "NUMBER", 0, "What random checks begin with (1; level soak: another one each time)", 1 },
    { "timeout", OPT_TIMEOUT, "SECONDS", 0, "A check that takes longer hangs (30)", 1 },
    { "jobs", 'j', "N", 0, "Run so many checks at once (as many as there are processors)", 1 },
    { "in-process", OPT_IN_PROCESS, NULL, 0, "No process of its own for each check: for a debugger, best with --only", 1 },
    { "no-namespaces", OPT_NO_NAMESPACES, NULL, 0, "Only a process group of its own for each check", 1 },
    { NULL, 0, NULL, 0, "The plugin and its world:", 2 },
    { "set", OPT_SET, "KEY=VALUE", 0, "An option of the plugin; repeat it for a list", 2 },
    { "scenario", OPT_SCENARIO, "FILE", 0, "What the peers of the plugin do", 2 },
    { "real", OPT_REAL, NULL, 0, "Real peers (VMM, guest) in place of scripted ones", 2 },
    { "plugin-dir", OPT_PLUGIN_DIR, "DIR", 0, "Where KIND/NAME is looked for (as --version says)", 2 },
    { "libexec-dir", OPT_LIBEXEC_DIR, "DIR", 0, "What the plugin is told as VC_PATH_LIBEXEC", 2 },
    { "data-dir", OPT_DATA_DIR, "DIR", 0, "What the plugin is told as VC_PATH_DATA", 2 },
    { "scenario-dir", OPT_SCENARIO_DIR, "DIR", 0, "Where the scenarios of this tool lie (as --version says)", 2 },
    { "golden", OPT_GOLDEN, "DIR", 0, "States that older releases of the plugin saved: KIND-NAME-VERSION-STATE.bin (S11)", 2 },
    { "make-golden", OPT_MAKE_GOLDEN, NULL, 0, "Write those of this release to the directory of --golden", 2 },
    { NULL, 0, NULL, 0, "What is said:", 3 },
    { "verbose", 'v', NULL, 0, "Every check, and notes", 3 },
    { "color", OPT_COLOR, "WHEN", 0, "auto, always or never", 3 },
    { "json", OPT_JSON, NULL, 0, "One JSON object in place of text", 3 },
    { "tap", OPT_TAP, NULL, 0, "Test Anything Protocol in place of text", 3 },
    { "junit", OPT_JUNIT, "FILE", 0, "A report as JUnit's XML, besides", 3 },
    { "baseline", OPT_BASELINE, "FILE", 0, "Failures that are known and do not count: lines with an id and a part of the text", 3 },
    { "write-baseline", OPT_WRITE_BASELINE, NULL, 0, "Write today's failures to the file of --baseline", 3 },
    { NULL, 0, NULL, 0, "In place of a run:", 4 },
    { "list", OPT_LIST, NULL, 0, "List the checks (of one kind: KIND, KIND/NAME, or a plugin in a directory of that name)", 4 },
    { "explain", OPT_EXPLAIN, "CHECK", 0, "Rule, reason and remedy of a check, of a group, or of all", 4 },
    { "check-scenario", OPT_CHECK_SCENARIO, "FILE", 0, "Is this scenario well-formed?", 4 },
    { "child", OPT_CHILD, "ID", OPTION_HIDDEN, NULL, 5 },
    { "child-fd", OPT_CHILD_FD, "FD", OPTION_HIDDEN, NULL, 5 },
    { "child-isolation", OPT_CHILD_ISOLATION, "N", OPTION_HIDDEN, NULL, 5 },
    { "child-scratch", OPT_CHILD_SCRATCH, "DIR", OPTION_HIDDEN, NULL, 5 },
    { 0 }
};

/* What is needed while the command line is read. */
struct parsing {
    struct vct_run run;
    const char **set;
    size_t n_set;
    const char *plugin, *explain, *check_scenario, *plugin_dir, *baseline;
    int seed_given;
};

static long long number(struct argp_state *state, const char *what, const char *arg, long long min, long long max)
{
    char *end = NULL;
    errno = 0;
    long long n = strtoll(arg, &end, 10);
    if (!*arg || *end || errno || n < min || n > max)
        argp_error(state, "%s wants a number from %lld to %lld, not \"%s\"", what, min, max, arg);
    return n;
}

static void take_set(struct argp_state *state, struct parsing *p, char *arg)
{
    char *eq = strchr(arg, '=');
    if (!eq || eq == arg)
        argp_error(state, "--set wants KEY=VALUE, not \"%s\"", arg);
    const char **more = realloc(p->set, (p->n_set + 3) * sizeof(*more));
    char *key = eq ? strndup(arg, (size_t)(eq - arg)) : NULL;
    if (!more || !key)
        argp_failure(state, VCT_EXIT_USAGE, ENOMEM, "--set");
    p->set = more;
    p->set[p->n_set++] = key;
    p->set[p->n_set++] = eq + 1;
    p->set[p->n_set] = NULL;
}

/* "90s", "10m", "2h" in milliseconds. */
static int take_time(struct argp_state *state, const char *arg)
{
    char *end = NULL;
    double n = strtod(arg, &end);
    double unit = strcmp(end, "h") == 0 ? 3600 : strcmp(end, "m") == 0 ? 60 : *end == 0 || strcmp(end, "s") == 0 ? 1 : 0;
    if (end == arg || unit == 0 || !(n > 0) || n * unit > 86400)
        argp_error(state, "--soak wants a time of at most a day, as in 90s, 10m or 2h, not \"%s\"", arg);
    return (int)(n * unit * 1000);
}

static void check_selection(struct argp_state *state, const char *option, const char *arg)
{
    char word[40];
    if (vct_selection_ok(arg, word, sizeof(word)) < 0)
        argp_error(state, "%s: there is no check or group \"%s\"; --list shows all", option, word);
}

static error_t parse_child(int key, char *arg, struct vct_run *run)
{
    switch (key) {
    case OPT_CHILD:
        run->child = arg;
        return 0;
    case OPT_CHILD_FD:
        run->child_fd = (int)strtol(arg, NULL, 10);
        return 0;
    case OPT_CHILD_ISOLATION:
        run->isolation = (enum vct_isolation)strtol(arg, NULL, 10);
        return 0;
    case OPT_CHILD_SCRATCH:
        run->s.scratch = strdup(arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_output(int key, char *arg, struct argp_state *state, struct parsing *p)
{
    struct vct_run *run = &p->run;
    switch (key) {
    case 'v':
        run->s.verbose = 1;
        return 0;
    case OPT_COLOR:
        if (strcmp(arg, "auto") != 0 && strcmp(arg, "always") != 0 && strcmp(arg, "never") != 0)
            argp_error(state, "--color wants auto, always or never, not \"%s\"", arg);
        run->color = arg[1] == 'l' ? 1 : arg[0] == 'n' ? 0 : -1;
        return 0;
    case OPT_JSON:
        run->json = 1;
        return 0;
    case OPT_TAP:
        run->tap = 1;
        return 0;
    case OPT_JUNIT:
        run->junit = arg;
        return 0;
    case OPT_BASELINE:
        p->baseline = arg;
        return 0;
    case OPT_WRITE_BASELINE:
        run->write_baseline = 1;
        return 0;
    case OPT_LIST:
        run->list = 1;
        return 0;
    case OPT_EXPLAIN:
        p->explain = arg;
        return 0;
    case OPT_CHECK_SCENARIO:
        p->check_scenario = arg;
        return 0;
    default:
        return parse_child(key, arg, run);
    }
}

static void take_level(struct argp_state *state, struct vct_run *run, const char *arg)
{
    for (int l = VCT_QUICK; l <= VCT_SOAK; l++)
        if (strcmp(arg, vct_level_name((enum vct_level)l)) == 0) {
            run->s.level = (enum vct_level)l;
            return;
        }
    argp_error(state, "--level wants quick, full or soak, not \"%s\"", arg);
}

/* An option without which a check would not be the same. */
static void keep(struct vct_run *run, int key, const char *arg)
{
    for (const struct argp_option *o = options; o->name || o->doc; o++) {
        if (o->key != key || !o->name)
            continue;
        vcs_buf_printf(&run->repeat, " --%s", o->name);
        if (arg)
            vct_quote(&run->repeat, arg);
    }
}

static error_t parse_world(int key, char *arg, struct argp_state *state, struct parsing *p)
{
    struct vct_run *run = &p->run;
    switch (key) {
    case OPT_SET:
        take_set(state, p, arg);
        break;
    case OPT_SCENARIO:
        run->s.scenario = arg;
        break;
    case OPT_REAL:
        run->s.real = 1;
        break;
    case OPT_PLUGIN_DIR:
        p->plugin_dir = arg;
        break;
    case OPT_LIBEXEC_DIR:
        run->s.libexec = arg;
        break;
    case OPT_DATA_DIR:
        run->s.data = arg;
        break;
    case OPT_GOLDEN:
        run->s.golden_dir = arg;
        break;
    case OPT_MAKE_GOLDEN:
        run->s.golden_make = 1;
        break;
    case OPT_SCENARIO_DIR:
        run->s.data_dir = arg;
        break;
    case OPT_NO_NAMESPACES:
        run->no_namespaces = 1;
        break;
    case OPT_IN_PROCESS:
        run->s.in_process = 1;
        break;
    case OPT_TIMEOUT:
        run->s.timeout_ms = (int)number(state, "--timeout", arg, 1, 86400) * 1000;
        break;
    default:
        return parse_output(key, arg, state, p);
    }
    keep(run, key, arg);
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct parsing *p = state->input;
    struct vct_run *run = &p->run;
    switch (key) {
    case OPT_LEVEL:
        take_level(state, run, arg);
        return 0;
    case OPT_ONLY:
        check_selection(state, "--only", arg);
        run->only = arg;
        return 0;
    case OPT_SKIP:
        check_selection(state, "--skip", arg);
        run->skip = arg;
        return 0;
    case OPT_SOAK:
        run->s.level = VCT_SOAK;
        run->s.soak_ms = take_time(state, arg);
        return 0;
    case OPT_SEED:
        run->s.seed = (uint64_t)number(state, "--seed", arg, 0, LLONG_MAX);
        p->seed_given = 1;
        return 0;
    case 'j':
        run->jobs = (int)number(state, "--jobs", arg, 1, 256);
        return 0;
    case ARGP_KEY_ARG:
        if (p->plugin)
            argp_error(state, "one plugin at a time: \"%s\" and \"%s\"", p->plugin, arg);
        p->plugin = arg;
        return 0;
    default:
        return parse_world(key, arg, state, p);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "PLUGIN",
    .doc = "Find out whether a plugin keeps the contract of libvccore.\vPLUGIN is the path of a shared object, or KIND/NAME of one "
           "that is installed.  Exit status: 0 nothing found, 1 findings, 2 wrong usage, 3 hosts do not load the plugin, 77 nothing ran."
};

static void usage(const char *fmt, ...) VCS_PRINTF(1, 2) __attribute__((noreturn));
static void usage(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("vc-plugin-test: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputs("\nTry `vc-plugin-test --help' for more information.\n", stderr);
    va_end(ap);
    exit(VCT_EXIT_USAGE);
}

/* An absolute path; the words of the command line stay as they are, as children read them again. */
static char *absolute(const char *path, const char *what, int must_exist)
{
    char *abs = realpath(path, NULL);
    if (!abs && must_exist)
        usage("%s %s: %m", what, path);
    return abs ? abs : strdup(path);
}

/* KIND/NAME below the directory of plugins; NULL: it has another form. */
static char *by_name(const char *dir, const char *word)
{
    const char *slash = strchr(word, '/');
    char kind[16], *path = NULL;
    if (!slash || strchr(slash + 1, '/') || slash - word >= (long)sizeof(kind) || strchr(slash, '.'))
        return NULL;
    snprintf(kind, sizeof(kind), "%.*s", (int)(slash - word), word);
    if (!vct_kind_by_name(kind) || asprintf(&path, "%s/%s.so", dir, word) < 0)
        return NULL;
    return path;
}

static void find_plugin(struct parsing *p)
{
    struct vct_run *run = &p->run;
    struct stat st;
    const char *dir = p->plugin_dir ? p->plugin_dir : VCT_PLUGIN_DIR;
    vcs_autofree char *named = stat(p->plugin, &st) < 0 ? by_name(dir, p->plugin) : NULL;
    const char *path = named ? named : p->plugin;
    run->s.plugin = realpath(path, NULL);
    if (!run->s.plugin || stat(run->s.plugin, &st) < 0 || !S_ISREG(st.st_mode)) {
        fprintf(stderr, "vc-plugin-test: the plugin %s cannot be loaded: %s\n", path,
                run->s.plugin ? "it is no file" : strerror(errno));
        exit(VCT_EXIT_NOLOAD);
    }
    /* PLUGINROOT/KIND/NAME.so, when it lies so. */
    char *root = strdup(run->s.plugin);
    char *slash = root ? strrchr(root, '/') : NULL;
    if (slash)
        *slash = 0;
    slash = slash ? strrchr(root, '/') : NULL;
    if (slash && vct_kind_by_name(slash + 1)) {
        *slash = 0;
        run->s.plugin_root = root;
    } else {
        free(root);
        run->s.plugin_root = absolute(dir, "the plugin directory", 0);
    }
}

/* The scenario that comes with the tool for this plugin: KIND-NAME.scn. */
static char *default_scenario(const struct vct_run *run)
{
    vcs_autofree char *path = strdup(run->s.plugin);
    char *slash = path ? strrchr(path, '/') : NULL, *file = NULL;
    if (!slash)
        return NULL;
    char *dot = strrchr(slash, '.');
    if (dot)
        *dot = 0;
    *slash = 0;
    for (int up = 0; up < 3; up++) {
        char *dir = strrchr(path, '/');
        if (!dir)
            return NULL;
        if (vct_kind_by_name(dir + 1)) {
            if (asprintf(&file, "%s/%s-%s.scn", run->s.data_dir, dir + 1, slash + 1) < 0)
                return NULL;
            if (access(file, R_OK) == 0)
                return file;
            free(file);
            return NULL;
        }
        *dir = 0;
    }
    return NULL;
}

static void settle(struct parsing *p)
{
    struct vct_run *run = &p->run;
    cpu_set_t cpus;
    find_plugin(p);
    run->s.set = p->set;
    size_t n = 0;
    const struct vct_check *c;
    for (size_t i = 0; run->only && (c = vct_catalogue(i)); i++)
        n += (size_t)vct_selected(run->only, c);
    run->s.one_check = n == 1;
    run->s.libexec = absolute(run->s.libexec ? run->s.libexec : VCT_LIBEXEC_DIR, "--libexec-dir", run->s.libexec != NULL);
    run->s.data = absolute(run->s.data ? run->s.data : VCT_DATA_DIR, "--data-dir", run->s.data != NULL);
    run->s.data_dir = absolute(run->s.data_dir ? run->s.data_dir : VCT_SCENARIO_DIR, "--scenario-dir",
                               run->s.data_dir != NULL);
    if (run->s.golden_dir)
        run->s.golden_dir = absolute(run->s.golden_dir, "--golden", 1);
    char why[400];
    if (run->s.scenario)
        run->s.scenario = absolute(run->s.scenario, "--scenario", 1);
    else if (!run->s.real)
        run->s.scenario = default_scenario(run);
    if (run->s.scenario && !run->child && vct_scenario_check(run->s.scenario, why, sizeof(why)) < 0)
        usage("%s", why);
    if (run->jobs == 0)
        run->jobs = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    if (run->s.in_process)
        run->jobs = 1;
    if (!p->seed_given && run->s.level == VCT_SOAK && getrandom(&run->s.seed, sizeof(run->s.seed), 0) > 0)
        run->s.seed >>= 33; /* short enough to be typed */
}

/* The kind that the word after --list means: KIND, KIND/NAME, or the path of a plugin, by its directory; 0: all. */
static uint32_t kind_to_list(struct parsing *p)
{
    uint32_t kind = p->plugin ? vct_kind_by_name(p->plugin) : 0;
    if (!p->plugin || kind)
        return kind;
    const char *dir = p->plugin_dir ? p->plugin_dir : VCT_PLUGIN_DIR;
    vcs_autofree char *named = by_name(dir, p->plugin);
    vcs_autofree char *path = realpath(access(p->plugin, F_OK) < 0 && named ? named : p->plugin, NULL);
    if (!path)
        usage("--list: %s is no kind (hypervisor, agent, proxy, shim, network), and no plugin: %m", p->plugin);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    slash = strrchr(path, '/');
    return slash ? vct_kind_by_name(slash + 1) : 0;
}

static int list(struct parsing *p)
{
    const struct vct_run *run = &p->run;
    const struct vct_check *c;
    const char *group = "";
    uint32_t only_kind = kind_to_list(p);
    for (size_t i = 0; (c = vct_catalogue(i)); i++) {
        if ((run->only && !vct_selected(run->only, c)) || (run->skip && vct_selected(run->skip, c)) ||
            (only_kind && !(c->kinds & (1u << only_kind))))
            continue;
        if (strcmp(group, vct_group_title(c->id)) != 0) {
            printf("%s%s\n", *group ? "\n" : "", vct_group_title(c->id));
            group = vct_group_title(c->id);
        }
        printf("  %-4s %-5s  %s\n", c->id, vct_level_name(c->level), c->title);
    }
    return VCT_EXIT_CLEAN;
}

static int explain(const char *what)
{
    char word[40];
    const struct vct_check *c;
    int all = strcmp(what, "all") == 0, n = 0;
    if (!all && vct_selection_ok(what, word, sizeof(word)) < 0)
        usage("--explain: there is no check or group \"%s\"; --list shows all", word);
    for (size_t i = 0; (c = vct_catalogue(i)); i++)
        if (all || vct_selected(what, c)) {
            if (n++ > 0)
                putchar('\n');
            vct_explain(stdout, c);
        }
    return VCT_EXIT_CLEAN;
}

static int instead_of_a_run(struct parsing *p, int *ret)
{
    char why[400];
    if (p->explain)
        *ret = explain(p->explain);
    else if (p->run.list)
        *ret = list(p);
    else if (p->check_scenario && p->plugin)
        usage("--check-scenario: one file at a time: \"%s\" and \"%s\"", p->check_scenario, p->plugin);
    else if (p->check_scenario && vct_scenario_check(p->check_scenario, why, sizeof(why)) < 0)
        usage("%s", why);
    else
        return p->check_scenario != NULL;
    return 1;
}

int main(int argc, char **argv)
{
    static struct parsing p; /* for the life of the process, and so are the strings it points to */
    int rc = VCT_EXIT_CLEAN;
    if (argc > 1 && strcmp(argv[1], "--peer") == 0)
        return vct_peer_main(argc, argv);
    if (argc == 3 && strcmp(argv[1], "--pidfd") == 0)
        return vct_pidfd_main(argv[2]);
    p.run.argv = argv;
    p.run.program = "vc-plugin-test";
    p.run.color = -1;
    p.run.s.level = VCT_FULL;
    p.run.s.seed = 1;
    p.run.s.timeout_ms = 30000;
    p.run.s.soak_ms = 600000;
    argp_err_exit_status = VCT_EXIT_USAGE;
    /* The name in messages is that of the tool, not the path it was started by. */
    char *name = argv[0];
    argv[0] = (char *)"vc-plugin-test";
    error_t err = argp_parse(&argp, argc, argv, 0, NULL, &p);
    argv[0] = name;
    if (err)
        return VCT_EXIT_USAGE;
    if (instead_of_a_run(&p, &rc))
        return rc;
    if (!p.plugin)
        usage("which plugin?  A path, or KIND/NAME");
    if (p.run.json && p.run.tap)
        usage("--json and --tap: one of them");
    if (p.run.write_baseline && !p.baseline)
        usage("--write-baseline needs --baseline FILE");
    if (p.run.s.golden_make && !p.run.s.golden_dir)
        usage("--make-golden needs --golden DIR");
    if (p.run.junit && !p.run.child) { /* said before the run, not after it */
        vcs_autofclose FILE *out = fopen(p.run.junit, "ae");
        if (!out)
            usage("--junit: %s cannot be written: %m", *p.run.junit ? p.run.junit : "a file without a name");
    }
    settle(&p);
    if (p.run.child)
        vct_child_main(&p.run);
    if (p.baseline) {
        p.run.baseline.path = strdup(p.baseline);
        if (!p.run.write_baseline && vct_baseline_read(&p.run.baseline, p.baseline) < 0)
            return VCT_EXIT_USAGE;
    }
    return vct_run_all(&p.run);
}
