/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-plugin-doc.c: manual pages and sample configurations, made from what the library says about options. */
#include "cmd-plugin.h"

#include <ctype.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#define WIDTH 100 /* of the comments of a sample */

static const char *text(json_object *o, const char *key)
{
    json_object *v = NULL;
    return json_object_object_get_ex(o, key, &v) && v ? json_object_get_string(v) : NULL;
}

static int flag(json_object *o, const char *key)
{
    json_object *v = NULL;
    return json_object_object_get_ex(o, key, &v) && json_object_get_boolean(v);
}

/* "int, 1 to 240" */
static void type_text(json_object *o, char *buf, size_t size)
{
    const char *type = text(o, "type"), *choices = text(o, "choices"), *min = text(o, "min"), *max = text(o, "max");
    if (choices)
        snprintf(buf, size, "%s: %s", type, choices);
    else if (min && max)
        snprintf(buf, size, "%s, %s to %s", type, min, max);
    else
        snprintf(buf, size, "%s", type);
}

/* KIND_NAME, as its section is called. */
static void section_name(json_object *p, char *buf, size_t size)
{
    snprintf(buf, size, "%s_%s", text(p, "kind"), text(p, "name"));
    for (char *c = buf; *c; c++)
        if (*c == '-')
            *c = '_';
}

/* ---- manual page ---- */

/* Text between requests of roff. */
static void roff(const char *s)
{
    int start = 1;
    for (; s && *s; s++) {
        if (start && (*s == '.' || *s == '\''))
            fputs("\\&", stdout);
        start = *s == '\n';
        if (*s == '\\')
            fputs("\\e", stdout);
        else if (*s == '-')
            fputs("\\-", stdout);
        else
            putchar(*s);
    }
}

static void roff_option(json_object *o)
{
    char type[512];
    const char *def = text(o, "default");
    type_text(o, type, sizeof type);
    fputs(".TP\n\\fB", stdout);
    roff(text(o, "key"));
    fputs("\\fR (", stdout);
    roff(type);
    fputs(")\n", stdout);
    roff(text(o, "doc"));
    putchar('\n');
    if (flag(o, "required")) {
        puts("It must be given.");
    } else if (def && *def) {
        fputs("Default: ", stdout);
        roff(def);
        puts(".");
    } else {
        puts(def ? "Default: empty." : "Not set by default.");
    }
    if (flag(o, "secret"))
        puts("Its value is never shown or logged.");
}

static void roff_page(json_object *p, json_object *options)
{
    char name[128], section[128];
    snprintf(name, sizeof name, "vc-%s-%s", text(p, "kind"), text(p, "name"));
    section_name(p, section, sizeof section);
    fputs(".\\\" Made by: virtc plugin help --man\n.TH \"", stdout);
    for (const char *c = name; *c; c++)
        putchar(toupper((unsigned char)*c));
    printf("\" 5 \"\" \"%s %s\" \"Plugins of libvccore\"\n.SH NAME\n", text(p, "vendor"), text(p, "version"));
    roff(name);
    fputs(" \\- ", stdout);
    roff(text(p, "description"));
    printf("\n.SH SYNOPSIS\n.nf\n%s = \"%s\";\n", text(p, "kind"), text(p, "name"));
    if (json_object_array_length(options))
        printf("%s = { \\fIoption\\fR = \\fIvalue\\fR; ... };\n", section);
    fputs(".fi\n.SH DESCRIPTION\n", stdout);
    roff(text(p, "description"));
    printf("\nIt is a plugin of the kind %s: a line in\n.BR vccore.conf (5)\nselects it for new pods.\n", text(p, "kind"));
    if (!json_object_array_length(options))
        puts("It has no options.");
    else
        printf(".SH OPTIONS\nOf its section in the configuration,\n.BR %s .\n", section);
    for (size_t i = 0; i < json_object_array_length(options); i++)
        roff_option(json_object_array_get_idx(options, i));
    puts(".SH SEE ALSO\n.BR vccore.conf (5),\n.BR virtc (1),\n.BR vccore\\-plugin (7)");
}

/* ---- sample ---- */

/* A comment of lines that are not too long. */
static void comment(const char *indent, const char *s)
{
    while (s && *s) {
        size_t room = WIDTH - strlen(indent) - 2, n = strcspn(s, "\n");
        if (n > room) {
            n = room;
            while (n > 0 && s[n] != ' ')
                n--;
            n = n ? n : strcspn(s, " \n");
        }
        printf("%s# %.*s\n", indent, (int)n, s);
        s += n;
        s += strspn(s, " \n");
    }
}

/* A string of libconfig. */
static void quoted(const char *s, size_t n)
{
    putchar('"');
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"' || s[i] == '\\')
            putchar('\\');
        putchar(s[i]);
    }
    putchar('"');
}

/* The default as a value of libconfig. */
static void value(const char *type, const char *def)
{
    if (!strcmp(type, "int") || !strcmp(type, "bool")) {
        fputs(def, stdout);
    } else if (!strcmp(type, "list")) {
        const char *comma = "";
        putchar('[');
        for (const char *w = def + strspn(def, " "); *w; w += strspn(w, " ")) {
            size_t n = strcspn(w, " ");
            fputs(comma, stdout);
            quoted(w, n);
            comma = ", ";
            w += n;
        }
        putchar(']');
    } else {
        quoted(def, strlen(def));
    }
}

static void sample_option(json_object *o)
{
    char type[512], line[2200];
    const char *def = text(o, "default"), *doc = text(o, "doc");
    type_text(o, type, sizeof type);
    snprintf(line, sizeof line, "%s (%s%s)", doc, type,
             flag(o, "required") ? "; it must be given" : def ? "" : "; not set by default");
    comment("    ", line);
    if (!def) {
        printf("    # %s = ...;\n", text(o, "key"));
        return;
    }
    printf("    #%s = ", text(o, "key"));
    value(text(o, "type"), def);
    puts(";");
}

static void sample(json_object *p, json_object *options)
{
    char section[128], line[1400];
    section_name(p, section, sizeof section);
    snprintf(line, sizeof line, "%s/%s %s (%s): %s", text(p, "kind"), text(p, "name"), text(p, "version"), text(p, "vendor"),
             text(p, "description"));
    putchar('\n');
    comment("", line);
    if (!json_object_array_length(options)) {
        puts("# It has no options.");
        return;
    }
    printf("%s = {\n", section);
    for (size_t i = 0; i < json_object_array_length(options); i++)
        sample_option(json_object_array_get_idx(options, i));
    puts("};");
}

int virtc_plugin_doc(const char *json, int man)
{
    json_object *all = json_tokener_parse(json);
    int rc = json_object_is_type(all, json_type_array) ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < json_object_array_length(all); i++) {
        json_object *p = json_object_array_get_idx(all, i), *options = NULL;
        if (!json_object_object_get_ex(p, "options", &options) || !json_object_is_type(options, json_type_array))
            rc = -1;
        else if (man)
            roff_page(p, options);
        else
            sample(p, options);
    }
    json_object_put(all);
    return rc;
}

/* What the keys of the top level mean; vccore.conf(5) says more. */
static const char *const top[][2] = {
    {"hypervisor", "Plugin that makes the virtual machines."},
    {"agent", "Plugin that talks to the software inside the VM."},
    {"proxy", "Plugin that shares one channel to the agent."},
    {"shim", "Plugin that stands on the host for a process inside the VM."},
    {"network", "Plugin that gives a pod its network."},
    {"run_root", "Where sockets, locks and ledgers of running pods stand."},
    {"state_root", "Where the states of pods stand."},
    {"plugin_dir", "Plugins are KIND/NAME.so below it."},
    {"libexec_dir", "Helper programs: vc-proxy, vc-shim."},
    {"data_dir", "Guest kernel and initramfs."},
    {"log_level", "Least severe level that is logged: error, warn, info or debug."},
    {"log_format", "Form of log lines: text or json."},
    {"template", "How VMs start: auto, from a saved one, which the first pod makes; off, by booting; require, from a saved one "
                 "that must be there."},
    {"template_dir", "Where those saved VMs stand; the directory templates in state_root when it is not set."},
    {"allow_annotations", "What a pod's annotations may set: KIND.option or KIND.*, with blanks between; nothing when it is not set."},
    {"pool", "How many paused VMs `virtc pool fill' keeps ready; 0 is none."},
    {"create_timeout", "Seconds that making a pod may take."},
    {"call_timeout", "Seconds that any other operation may take."},
    {"stop_timeout", "Seconds a container gets between SIGTERM and SIGKILL."},
};

int virtc_sample_top(const char *json)
{
    json_object *all = json_tokener_parse(json);
    if (!json_object_is_type(all, json_type_object)) {
        json_object_put(all);
        return -1;
    }
    puts("# Configuration of libvccore; vccore.conf(5) explains it.  Every line that begins with # and no blank is an option with\n"
         "# its default: take the # away to change it.");
    for (size_t i = 0; i < sizeof top / sizeof *top; i++) {
        json_object *v = NULL;
        putchar('\n');
        comment("", top[i][1]);
        if (!json_object_object_get_ex(all, top[i][0], &v) || !v) {
            printf("# %s = ...;\n", top[i][0]);
            continue;
        }
        const char *s = json_object_get_string(v);
        printf("#%s = ", top[i][0]);
        value(json_object_is_type(v, json_type_int) ? "int" : "string", s);
        puts(";");
    }
    json_object_object_foreach(all, key, v)
    {
        int known = json_object_is_type(v, json_type_object); /* the section of a plugin */
        for (size_t i = 0; i < sizeof top / sizeof *top; i++)
            known |= !strcmp(top[i][0], key);
        if (!known)
            printf("\n# %s = ...;\n", key);
    }
    json_object_put(all);
    return 0;
}
