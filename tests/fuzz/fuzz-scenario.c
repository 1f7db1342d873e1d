/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-scenario.c: any bytes as a scenario file of vc-plugin-test: it is read, or refused with one clean line that
 * names the line; what was read can be matched and filled in. */
#include <stdlib.h>
#include <string.h>

#include "conformance/scenario.h"
#include "fuzz/fuzz.h"

static void fact(void *arg, const char *name, struct vcs_buf *out)
{
    (void)arg;
    if (strlen(name) > 255)
        abort();
    vcs_buf_append(out, "value", 5);
}

static void use(const struct vct_text *t, const struct vct_text *pattern)
{
    struct vct_captures c = { 0 };
    struct vcs_buf out = { 0 };
    if (pattern && pattern->data) {
        vct_match(pattern, "{\"execute\":\"quit\",\"id\":7}", 25, &c);
        vct_match_whole(pattern, "exit:web:-", 10, &c);
    }
    if (t && t->data && vct_expand(t, &c, fact, NULL, &out) < 0)
        abort();
    vcs_buf_done(&out);
    vct_captures_done(&c);
}

static void use_rule(const struct vct_rule *r)
{
    use(NULL, &r->pattern);
    use(&r->fact, NULL);
    for (size_t i = 0; i < r->n_actions; i++) {
        use(&r->actions[i].a, &r->pattern);
        use(&r->actions[i].b, &r->pattern);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vct_scenario *s = NULL;
    char err[256] = "";
    if (size > 8192)
        return 0;
    if (vct_scenario_parse("in", (const char *)data, size, &s, err, sizeof(err)) < 0) {
        if (s || strncmp(err, "in:", 3) != 0 || strlen(err) < 8)
            abort();
        for (const char *p = err; *p; p++)
            if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
                abort();
        return 0;
    }
    for (size_t i = 0; i < s->n_peers; i++)
        for (size_t k = 0; k < s->peers[i].n_variants; k++)
            for (size_t n = 0; n < s->peers[i].variants[k].n_rules; n++)
                use_rule(&s->peers[i].variants[k].rules[n]);
    vct_scenario_free(s);
    return 0;
}
