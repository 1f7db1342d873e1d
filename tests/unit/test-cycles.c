/* SPDX-License-Identifier: Apache-2.0 */
/* test-cycles.c: ten thousand lives of a pod in one process leave descriptors, threads, memory and directory entries as
 * they were.  PT_CYCLES=N: that many. */
#include "podtest.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

struct figures {
    size_t descriptors, threads, entries;
    long kib; /* resident */
};

static size_t entries_of(const char *path)
{
    DIR *d = opendir(path);
    size_t n = 0;
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static size_t counted;

static int count_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)path;
    (void)st;
    (void)type;
    (void)ftw;
    counted++;
    return 0;
}

static struct figures look(void)
{
    struct figures f = { 0 };
    char line[256];
    f.descriptors = entries_of("/proc/self/fd");
    f.threads = entries_of("/proc/self/task");
    counted = 0;
    nftw(pt_root, count_one, 16, FTW_PHYS);
    f.entries = counted;
    FILE *s = fopen("/proc/self/status", "re");
    while (s && fgets(line, sizeof line, s))
        if (sscanf(line, "VmRSS: %ld", &f.kib) == 1)
            break;
    if (s)
        fclose(s);
    return f;
}

static void cycle(vc_context *ctx)
{
    static struct pt_pod p;
    struct vc_pod_status **list = NULL;
    size_t n = 0;
    PT_OK(vc_pod_create(ctx, pt_pod(&p, "cycle", 1), NULL, &err));
    PT_OK(vc_pod_start(ctx, "cycle", &err));
    pt_pod(&p, NULL, 2);
    PT_OK(vc_container_create(ctx, "cycle", &p.ctr[1], NULL, &err));
    PT_OK(vc_container_start(ctx, "cycle", "c1", &err));
    PT_OK(vc_container_stop(ctx, "cycle", "c1", 0, &err));
    PT_OK(vc_container_delete(ctx, "cycle", "c1", 0, &err));
    PT_OK(vc_pod_list(ctx, &list, &n, &err));
    assert_int_equal(n, 1);
    vc_pod_list_free(list, n);
    PT_OK(vc_pod_stop(ctx, "cycle", 0, &err));
    PT_OK(vc_pod_delete(ctx, "cycle", 0, &err));
    PT_FAILS(VC_ERR_NOTFOUND, "cycle", vc_pod_start(ctx, "cycle", &err)); /* errors are no exception */
}

static void test_flat(void **state)
{
    (void)state;
    const char *given = getenv("PT_CYCLES");
    long cycles = given ? strtol(given, NULL, 10) : 10000;
#ifdef SANITIZED
    if (!given)
        cycles = 1000;
#endif
    vc_context *ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    for (long i = 0; i < cycles / 10; i++)
        cycle(ctx);
    struct figures before = look();
    for (long i = 0; i < cycles; i++)
        cycle(ctx);
    struct figures after = look();
    print_message("%ld cycles: %zu descriptors, %zu threads, %zu entries, %ld KiB before; %zu, %zu, %zu, %ld KiB after\n",
                  cycles, before.descriptors, before.threads, before.entries, before.kib, after.descriptors,
                  after.threads, after.entries, after.kib);
    assert_int_equal(after.descriptors, before.descriptors);
    assert_int_equal(after.threads, before.threads);
    assert_int_equal(after.entries, before.entries);
#ifndef SANITIZED /* sanitizers keep freed memory for a while */
    assert_in_range(after.kib, 1, before.kib + 256); /* a leak of 30 bytes a cycle is more */
#endif
    pt_nothing_left();
    vc_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_flat) };
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
