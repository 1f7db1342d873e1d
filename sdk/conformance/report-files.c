/* SPDX-License-Identifier: Apache-2.0 */
/* report-files.c: results for programs: JSON, the Test Anything Protocol, JUnit's XML; and the baseline of known failures. */
#include <ctype.h>
#include <string.h>

#include "report.h"
#include "lib/utf8.h"

static size_t tap_number;

/* ---- JSON ---- */

static void json_string(FILE *out, const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    fputc('"', out);
    for (size_t i = 0, n; i < len; i += n) {
        n = vcs_utf8(s + i, len - i);
        if (n == 0) {
            fputs("\\ufffd", out);
            n = 1;
        } else if (s[i] == '"' || s[i] == '\\') {
            fprintf(out, "\\%c", s[i]);
        } else if (s[i] < ' ' || s[i] == 0x7f) {
            fprintf(out, "\\u%04x", s[i]);
        } else {
            fwrite(s + i, 1, n, out);
        }
    }
    fputc('"', out);
}

static void json_member(FILE *out, const char *name, const char *text)
{
    fprintf(out, "\"%s\": ", name);
    json_string(out, text ? text : "", text ? strlen(text) : 0);
}

/* Lines as an array of strings. */
static void json_lines(FILE *out, const char *name, const struct vcs_buf *b)
{
    const char *p = (const char *)vcs_buf_data(b), *end = p + b->len, *sep = "";
    fprintf(out, ", \"%s\": [", name);
    while (b->len > 0 && p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((nl ? nl : end) - p);
        fputs(sep, out);
        json_string(out, p, len);
        sep = ", ";
        p += len + 1;
    }
    fputc(']', out);
}

static void json_result(const struct vct_run *run, FILE *out, const struct vct_result *r)
{
    const struct vct_check *c = r->check;
    fputs("    {", out);
    json_member(out, "id", c->id);
    fputs(", ", out);
    json_member(out, "group", vct_group_title(c->id));
    fputs(", ", out);
    json_member(out, "rule", c->rule);
    fputs(", ", out);
    json_member(out, "title", c->title);
    fputs(", ", out);
    json_member(out, "status", vct_status_name(r->status));
    fprintf(out, ", \"left_out\": %s, \"known\": %s, \"seed\": %llu, \"ms\": %.3f", r->left_out ? "true" : "false",
            r->known ? "true" : "false", (unsigned long long)run->s.seed, (double)r->ns / 1e6);
    if (r->text && *r->text) {
        fputs(", ", out);
        json_member(out, "text", r->text);
    }
    if (r->status == VCT_SKIP || r->status == VCT_PASS) {
        json_lines(out, "notes", &r->notes);
        fputc('}', out);
        return;
    }
    fputs(", ", out);
    json_member(out, "call", r->call);
    if (r->signal)
        fprintf(out, ", \"signal\": %d", r->signal);
    json_lines(out, "warnings", &r->warnings);
    json_lines(out, "notes", &r->notes);
    fputs(", \"output\": ", out);
    json_string(out, r->output ? r->output : "", r->output_len);
    fputs(", ", out);
    json_member(out, "reason", vct_reason(r));
    fputs(", ", out);
    json_member(out, "remedy", vct_remedy(r));
    fprintf(out, ", \"reproduce\": ");
    vcs_autofree char *again = NULL;
    if (asprintf(&again, "%s --only %s%s", run->program, c->id, run->reproduce ? run->reproduce : "") < 0)
        again = NULL;
    json_string(out, again ? again : "", again ? strlen(again) : 0);
    fputc('}', out);
}

void vct_json_report(const struct vct_run *run, FILE *out, int exit_status, double seconds)
{
    size_t counts[VCT_SKIP + 1] = { 0 };
    fputs("{\n  ", out);
    json_member(out, "tool", "vc-plugin-test");
    fputs(", ", out);
    json_member(out, "version", VCT_VERSION);
    fputs(",\n  \"plugin\": {", out);
    json_member(out, "path", run->s.plugin);
    fputs(", ", out);
    json_member(out, "kind", vct_kind_name(run->kind));
    fputs(", ", out);
    json_member(out, "name", run->name);
    fputs(", ", out);
    json_member(out, "version", run->version);
    if (run->broken) {
        fputs(", ", out);
        json_member(out, "broken", run->broken);
    }
    fputs("},\n  ", out);
    json_member(out, "level", vct_level_name(run->s.level));
    fprintf(out, ", \"seed\": %llu, ", (unsigned long long)run->s.seed);
    json_member(out, "isolation", vct_isolation_name(run->isolation));
    fputs(", ", out);
    json_member(out, "scenario", run->s.scenario);
    fputs(",\n  \"checks\": [\n", out);
    for (size_t i = 0; i < run->n_results; i++) {
        json_result(run, out, &run->results[i]);
        fputs(i + 1 < run->n_results ? ",\n" : "\n", out);
        counts[run->results[i].status] += !run->results[i].left_out;
    }
    fputs("  ],\n  \"counts\": {", out);
    for (int s = VCT_PASS; s <= VCT_SKIP; s++)
        fprintf(out, "%s\"%s\": %zu", s > 0 ? ", " : "", vct_status_name((enum vct_status)s), counts[s]);
    fputs("},\n  \"stale\": [", out);
    const char *sep = "";
    for (size_t i = 0; i < run->baseline.n; i++)
        if (!run->baseline.seen[i]) {
            fputs(sep, out);
            json_string(out, run->baseline.ids[i], strlen(run->baseline.ids[i]));
            sep = ", ";
        }
    fprintf(out, "],\n  \"seconds\": %.3f, \"exit\": %d\n}\n", seconds, exit_status);
}

/* ---- TAP ---- */

/* One line of a comment: '#' begins directives in TAP, and line breaks end it. */
static void tap_text(const char *head, const char *text, size_t len)
{
    while (len > 0) {
        const char *nl = memchr(text, '\n', len);
        size_t n = nl ? (size_t)(nl - text) : len;
        fputs(head, stdout);
        for (size_t i = 0; i < n; i++)
            putchar((unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i]);
        putchar('\n');
        if (!nl)
            return;
        text += n + 1;
        len -= n + 1;
    }
}

void vct_tap_begin(const struct vct_run *run)
{
    size_t n = 0;
    for (size_t i = 0; i < run->n_results; i++)
        n += !run->results[i].left_out;
    tap_number = 0;
    printf("TAP version 13\n1..%zu\n", n);
    printf("# vc-plugin-test " VCT_VERSION " %s/%s level %s seed %llu\n", vct_kind_name(run->kind), run->name,
           vct_level_name(run->s.level), (unsigned long long)run->s.seed);
}

void vct_tap_result(const struct vct_run *run, const struct vct_result *r)
{
    if (r->left_out)
        return;
    printf("%sok %zu - %s ", vct_is_finding(r) ? "not " : "", ++tap_number, r->check->id);
    for (const char *c = r->check->title; *c; c++)
        putchar(*c == '#' ? ' ' : *c);
    if (r->status == VCT_SKIP)
        printf(" # SKIP ");
    else if (r->known)
        printf(" # TO" "DO known: "); /* TAP's word for a failure that is expected */
    else if (r->status == VCT_WARN)
        printf(" # WARN");
    if ((r->status == VCT_SKIP || r->known) && r->text)
        for (const char *c = r->text; *c && *c != '\n'; c++)
            putchar((unsigned char)*c < ' ' || *c == '#' ? ' ' : *c);
    putchar('\n');
    if (r->status == VCT_PASS || r->status == VCT_SKIP)
        return;
    printf("#   %s, rule %s, seed %llu\n", vct_status_name(r->status), r->check->rule, (unsigned long long)run->s.seed);
    if (r->text)
        tap_text("#   ", r->text, strlen(r->text));
    if (r->warnings.len > 0)
        tap_text("#   ", (const char *)vcs_buf_data(&r->warnings), r->warnings.len);
    tap_text("#   printed: ", r->output, r->output_len);
    if (r->notes.len > 0)
        tap_text("#   note: ", (const char *)vcs_buf_data(&r->notes), r->notes.len);
    printf("#   again: %s --only %s%s\n", run->program, r->check->id, run->reproduce ? run->reproduce : "");
    fflush(stdout);
}

/* ---- JUnit ---- */

static void xml_text(FILE *out, const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0, n; i < len; i += n) {
        n = vcs_utf8(s + i, len - i);
        /* Most control characters cannot stand in XML at all, nor can two of the last of plane 0. */
        if (n == 0 || (s[i] < ' ' && s[i] != '\n' && s[i] != '\t') || s[i] == 0x7f ||
            (n == 3 && s[i] == 0xef && s[i + 1] == 0xbf && s[i + 2] >= 0xbe)) {
            fputc('?', out);
            n = n ? n : 1;
        } else if (s[i] == '<' || s[i] == '>' || s[i] == '&' || s[i] == '"' || s[i] == '\n') {
            fprintf(out, "&#%d;", s[i]);
        } else {
            fwrite(s + i, 1, n, out);
        }
    }
}

static void xml_attribute(FILE *out, const char *name, const char *text)
{
    fprintf(out, " %s=\"", name);
    xml_text(out, text ? text : "", text ? strlen(text) : 0);
    fputc('"', out);
}

static void junit_case(const struct vct_run *run, FILE *out, const struct vct_result *r)
{
    vcs_autofree char *name = NULL;
    if (asprintf(&name, "%s %s", r->check->id, r->check->title) < 0)
        name = NULL;
    fputs("    <testcase", out);
    xml_attribute(out, "classname", vct_group_title(r->check->id));
    xml_attribute(out, "name", name ? name : r->check->id);
    fprintf(out, " time=\"%.3f\">", (double)r->ns / 1e9);
    if (r->status == VCT_SKIP || r->known) {
        fputs("<skipped", out);
        xml_attribute(out, "message", r->text);
        fputs("/>", out);
    } else if (vct_is_finding(r)) {
        fprintf(out, "<%s", r->status == VCT_FAIL || r->status == VCT_LEAK ? "failure" : "error");
        xml_attribute(out, "type", vct_status_name(r->status));
        xml_attribute(out, "message", r->text);
        fputc('>', out);
        xml_text(out, "Rule: ", 6);
        xml_text(out, r->check->rule, strlen(r->check->rule));
        xml_text(out, "\nRemedy: ", 9);
        xml_text(out, vct_remedy(r), strlen(vct_remedy(r)));
        fprintf(out, "&#10;Again: ");
        xml_text(out, run->program, strlen(run->program));
        fprintf(out, " --only %s", r->check->id);
        xml_text(out, run->reproduce ? run->reproduce : "", run->reproduce ? strlen(run->reproduce) : 0);
        fprintf(out, "</%s>", r->status == VCT_FAIL || r->status == VCT_LEAK ? "failure" : "error");
    }
    if (r->output_len > 0 || r->notes.len > 0 || r->warnings.len > 0) {
        fputs("<system-out>", out);
        xml_text(out, r->output ? r->output : "", r->output_len);
        xml_text(out, (const char *)vcs_buf_data(&r->warnings), r->warnings.len);
        xml_text(out, (const char *)vcs_buf_data(&r->notes), r->notes.len);
        fputs("</system-out>", out);
    }
    fputs("</testcase>\n", out);
}

int vct_junit_report(const struct vct_run *run, const char *path, double seconds)
{
    vcs_autofclose FILE *out = fopen(path, "we");
    size_t n = 0, failures = 0, errors = 0, skipped = 0;
    vcs_autofree char *name = NULL;
    if (!out || asprintf(&name, "%s/%s", vct_kind_name(run->kind), run->name) < 0) {
        fprintf(stderr, "vc-plugin-test: %s cannot be written: %m\n", path);
        return -1;
    }
    for (size_t i = 0; i < run->n_results; i++) {
        const struct vct_result *r = &run->results[i];
        n += !r->left_out;
        skipped += !r->left_out && (r->status == VCT_SKIP || r->known);
        failures += (r->status == VCT_FAIL || r->status == VCT_LEAK) && !r->known;
        errors += (r->status == VCT_CRASH || r->status == VCT_HANG) && !r->known;
    }
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite", out);
    xml_attribute(out, "name", name);
    fprintf(out, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\" time=\"%.3f\">\n    <properties>"
                 "<property name=\"level\" value=\"%s\"/><property name=\"seed\" value=\"%llu\"/></properties>\n",
            n, failures, errors, skipped, seconds, vct_level_name(run->s.level), (unsigned long long)run->s.seed);
    for (size_t i = 0; i < run->n_results; i++)
        if (!run->results[i].left_out)
            junit_case(run, out, &run->results[i]);
    if (run->broken) {
        fputs("    <system-err>", out);
        xml_text(out, run->broken, strlen(run->broken));
        fputs("</system-err>\n", out);
    }
    fputs("  </testsuite>\n</testsuites>\n", out);
    if (fflush(out) != 0 || ferror(out)) {
        fprintf(stderr, "vc-plugin-test: %s cannot be written: %m\n", path);
        return -1;
    }
    return 0;
}

/* ---- the baseline ---- */

/* Numbers differ from run to run (pids, directories, times): each stands for any other. */
static char *without_numbers(const char *text)
{
    char *to = malloc(strlen(text) + 1), *p = to;
    for (; to && *text && *text != '\n'; text++) {
        if (!isdigit((unsigned char)*text))
            *p++ = *text;
        else if (p == to || p[-1] != '#')
            *p++ = '#';
    }
    if (to)
        *p = 0;
    return to;
}

int vct_baseline_read(struct vct_baseline *b, const char *path)
{
    vcs_autofclose FILE *in = fopen(path, "re");
    vcs_autofree char *line = NULL;
    size_t size = 0;
    ssize_t len;
    if (!in) {
        fprintf(stderr, "vc-plugin-test: the baseline %s cannot be read: %m\n", path);
        return -1;
    }
    for (int number = 1; (len = getline(&line, &size, in)) >= 0; number++) {
        while (len > 0 && isspace((unsigned char)line[len - 1]))
            line[--len] = 0;
        char *id = line + strspn(line, " \t"), *text = id + strcspn(id, " \t");
        if (!*id || *id == '#')
            continue;
        if (*text)
            *text++ = 0;
        text += strspn(text, " \t");
        if (!vct_catalogue_find(id)) {
            fprintf(stderr, "vc-plugin-test: %s:%d: there is no check \"%s\"; a line is an id and a part of the text\n", path, number, id);
            return -1;
        }
        size_t n = b->n + 1;
        b->ids = reallocarray(b->ids, n, sizeof(*b->ids));
        b->texts = reallocarray(b->texts, n, sizeof(*b->texts));
        b->lines = reallocarray(b->lines, n, sizeof(*b->lines));
        b->seen = reallocarray(b->seen, n, sizeof(*b->seen));
        if (!b->ids || !b->texts || !b->lines || !b->seen) {
            fprintf(stderr, "vc-plugin-test: out of memory\n");
            return -1;
        }
        b->ids[b->n] = strdup(id);
        b->texts[b->n] = without_numbers(text);
        b->lines[b->n] = number;
        b->seen[b->n++] = 0;
    }
    if (ferror(in)) {
        fprintf(stderr, "vc-plugin-test: the baseline %s cannot be read: %m\n", path);
        return -1;
    }
    return 0;
}

int vct_baseline_knows(struct vct_baseline *b, const struct vct_result *r)
{
    vcs_autofree char *text = without_numbers(r->text ? r->text : "");
    int known = 0;
    for (size_t i = 0; text && i < b->n; i++)
        if (b->ids[i] && b->texts[i] && strcasecmp(b->ids[i], r->check->id) == 0 && strstr(text, b->texts[i]))
            known = b->seen[i] = 1;
    return known;
}

int vct_baseline_write(const struct vct_run *run)
{
    vcs_autofclose FILE *out = fopen(run->baseline.path, "we");
    if (!out) {
        fprintf(stderr, "vc-plugin-test: the baseline %s cannot be written: %m\n", run->baseline.path);
        return -1;
    }
    fprintf(out, "# Known failures of %s/%s, one a line: id and text (any number stands for any other).\n",
            vct_kind_name(run->kind), run->name);
    for (size_t i = 0; i < run->n_results; i++) {
        const struct vct_result *r = &run->results[i];
        if (vct_is_finding(r))
            fprintf(out, "%s %.*s\n", r->check->id, (int)strcspn(r->text ? r->text : "", "\n"), r->text ? r->text : "");
    }
    if (fflush(out) != 0 || ferror(out)) {
        fprintf(stderr, "vc-plugin-test: the baseline %s cannot be written: %m\n", run->baseline.path);
        return -1;
    }
    return 0;
}
