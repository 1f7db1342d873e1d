/* SPDX-License-Identifier: Apache-2.0 */
/* completion.c: scripts for the completion of shells, made from the very tables that commands and options are read by. */
#include "virtc.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct found {
    const struct argp_option *v[128];
    size_t n;
};

/* One command, or virtc itself with an empty path. */
struct place {
    char path[48];
    const char *usage, *doc;
    const struct command *sub; /* what may follow */
    struct found options;
};

enum { MOST_PLACES = 96 };
struct places {
    struct place v[MOST_PLACES];
    size_t n;
};

static const struct argp_option builtin[] = {{"help", '?', NULL, 0, "Explain the options", 0}, {"usage", 0, NULL, 0, "List the options", 0}, {0}};
static const struct argp_option version[] = {{"version", 'V', NULL, 0, "Print the version", 0}, {0}};

static void add_table(struct found *f, const struct argp_option *o)
{
    for (; o && (o->name || o->key || o->doc); o++)
        if (o->name && f->n < sizeof f->v / sizeof *f->v)
            f->v[f->n++] = o;
}

static void collect(void *arg, const struct argp *argp)
{
    add_table(arg, argp->options);
    for (const struct argp_child *c = argp->children; c && c->argp; c++)
        collect(arg, c->argp);
}

static void add_command(struct places *all, const struct command *c, const char *group)
{
    struct place *p = &all->v[all->n];
    if (all->n == MOST_PLACES)
        return;
    all->n++;
    snprintf(p->path, sizeof p->path, "%s%s%s", group, *group ? " " : "", c->name);
    p->usage = c->usage;
    p->doc = c->doc;
    p->sub = c->sub;
    if (c->run) {
        struct virtc vt = {.collect = collect, .collect_arg = &p->options};
        char name[64], *argv[] = {name, NULL};
        snprintf(name, sizeof name, "virtc %s", p->path);
        int saved = argp_err_exit_status;
        c->run(&vt, 1, argv); /* shows its table and returns */
        argp_err_exit_status = saved;
    }
    add_table(&p->options, builtin);
    for (const struct command *s = c->sub; s && s->name; s++)
        add_command(all, s, p->path);
}

/* An alias has the argument of the option before it. */
static const char *argument(const struct found *f, size_t i)
{
    while (i && f->v[i]->flags & OPTION_ALIAS)
        i--;
    return f->v[i]->arg;
}

static const char *text_of(const struct found *f, size_t i)
{
    while (i && f->v[i]->flags & OPTION_ALIAS)
        i--;
    return f->v[i]->doc ? f->v[i]->doc : "";
}

enum kind { PLAIN = 1, VALUE, FILES, DIRS };
static enum kind kind_of(const struct found *f, size_t i)
{
    const char *arg = argument(f, i);
    return !arg ? PLAIN : strcmp(arg, "FILE") == 0 ? FILES : strcmp(arg, "DIR") == 0 ? DIRS : VALUE;
}

/* All options of a place, or those of one kind (0: all), parted by blanks. */
static void put_options(const struct place *p, enum kind kind)
{
    int n = 0;
    for (size_t i = 0; i < p->options.n; i++) {
        const struct argp_option *o = p->options.v[i];
        if (kind && kind_of(&p->options, i) != kind)
            continue;
        printf("%s--%s", n++ ? " " : "", o->name);
        if (o->key > 0 && o->key < 0x80 && isgraph(o->key))
            printf(" -%c", o->key == '?' ? '?' : o->key);
    }
}

/* What the words of a command name: "pod", "container", or the words themselves. */
static void put_words(const struct place *p)
{
    int n = 0;
    for (const struct command *c = p->sub; c && c->name; c++)
        printf("%s%s", n++ ? " " : "", c->name);
    if (p->sub)
        return;
    if (strstr(p->usage, "POD"))
        fputs("@pod", stdout);
    if (strstr(p->usage, "CONTAINER"))
        fputs(" @container", stdout);
    if (islower((unsigned char)*p->usage))
        for (const char *s = p->usage; *s; s++)
            putchar(*s == '|' ? ' ' : *s);
}

/* The first clause of an explanation, without what a single-quoted word of a shell cannot hold. */
static void put_doc(const char *doc)
{
    for (const char *s = doc; *s && *s != ';' && strncmp(s, " (", 2) != 0; s++)
        if (*s != '\'' && *s != '`' && *s != '\\' && *s != ':')
            putchar(*s);
}

static void put_bash(const struct places *all)
{
    puts("# bash completion of virtc, printed by `virtc completion bash'\n"
         "_virtc_table()\n{\n    opts= values= files= dirs= words=\n    case $1 in");
    for (size_t i = 0; i < all->n; i++) {
        const struct place *p = &all->v[i];
        printf("    '%s')\n        opts='", p->path);
        put_options(p, 0);
        fputs("'\n        values='", stdout);
        put_options(p, VALUE);
        fputs("' files='", stdout);
        put_options(p, FILES);
        fputs("' dirs='", stdout);
        put_options(p, DIRS);
        fputs("'\n        words='", stdout);
        put_words(p);
        puts("' ;;");
    }
    puts("    esac\n}\n\n"
         "_virtc()\n{\n"
         "    local cur=${COMP_WORDS[COMP_CWORD]} opts values files dirs words path= found= i word last= skip= pods=() kind= before=\n"
         "    COMPREPLY=()\n"
         "    _virtc_table ''\n"
         "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "        word=${COMP_WORDS[i]}\n"
         "        [ \"$word\" = = ] && continue\n"
         "        if [ -n \"$skip\" ]; then skip=; before=$word; continue; fi\n"
         "        if [ \"$word\" = -- ]; then COMPREPLY=($(compgen -f -- \"$cur\")); return; fi\n"
         "        case \" $values $files $dirs \" in *\" $word \"*) skip=$word; continue ;; esac\n"
         "        case $word in -*) continue ;; esac\n"
         "        case \" $words \" in\n"
         "        *\" $word \"*)\n"
         "            path=${path:+$path }$word\n"
         "            _virtc_table \"$path\" ;;\n"
         "        *) pods+=(\"$word\") ;;\n"
         "        esac\n"
         "    done\n"
         "    [ \"$cur\" = = ] && cur=\n"
         "    if [ -n \"$skip\" ]; then\n"
         "        case \" $files \" in *\" $skip \"*) COMPREPLY=($(compgen -f -- \"$cur\")) ;; esac\n"
         "        case \" $dirs \" in *\" $skip \"*) COMPREPLY=($(compgen -d -- \"$cur\")) ;; esac\n"
         "        return\n"
         "    fi\n"
         "    case $cur in -*) COMPREPLY=($(compgen -W \"$opts\" -- \"$cur\")); return ;; esac\n"
         "    case \"$words,${#pods[@]}\" in\n"
         "    @pod*,0) COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" --quiet pod list 2>/dev/null)\" -- \"$cur\")) ;;\n"
         "    *@container*,1) COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" --quiet container list \"${pods[0]}\" 2>/dev/null)\" -- \"$cur\")) ;;\n"
         "    @*) ;;\n"
         "    *,0) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
         "    esac\n"
         "}\n"
         "complete -F _virtc virtc");
}

static void put_zsh(const struct places *all)
{
    puts("#compdef virtc\n# zsh completion of virtc, printed by `virtc completion zsh'\n"
         "_virtc_table()\n{\n    opts=() cmds=() values= files= dirs= nouns=\n    case $1 in");
    for (size_t i = 0; i < all->n; i++) {
        const struct place *p = &all->v[i];
        printf("    '%s')\n", p->path);
        fputs("        values='", stdout);
        put_options(p, VALUE);
        fputs("' files='", stdout);
        put_options(p, FILES);
        fputs("' dirs='", stdout);
        put_options(p, DIRS);
        fputs("' nouns='", stdout);
        put_words(p);
        fputs("'\n        opts=(", stdout);
        for (size_t k = 0; k < p->options.n; k++) {
            const struct argp_option *o = p->options.v[k];
            printf("\n            '--%s:", o->name);
            put_doc(text_of(&p->options, k));
            putchar('\'');
            if (o->key > 0 && o->key < 0x80 && isgraph(o->key))
                printf(" '-%c:--%s'", o->key, o->name);
        }
        fputs(")\n        cmds=(", stdout);
        for (const struct command *c = p->sub; c && c->name; c++) {
            printf("\n            '%s:", c->name);
            put_doc(c->doc);
            putchar('\'');
        }
        puts(") ;;");
    }
    puts("    esac\n}\n\n"
         "_virtc()\n{\n"
         "    local values files dirs nouns where= word skip= i\n"
         "    local -a opts cmds pods\n"
         "    pods=()\n"
         "    _virtc_table ''\n"
         "    for ((i = 2; i < CURRENT; i++)); do\n"
         "        word=$words[i]\n"
         "        if [[ -n $skip ]]; then skip=; continue; fi\n"
         "        if [[ $word == -- ]]; then _files; return; fi\n"
         "        if [[ \" $values $files $dirs \" == *\" $word \"* ]]; then skip=$word; continue; fi\n"
         "        [[ $word == -* ]] && continue\n"
         "        if [[ \" $nouns \" == *\" $word \"* ]]; then where=${where:+$where }$word; _virtc_table \"$where\"; else pods+=($word); fi\n"
         "    done\n"
         "    if [[ -n $skip ]]; then\n"
         "        [[ \" $files \" == *\" $skip \"* ]] && _files\n"
         "        [[ \" $dirs \" == *\" $skip \"* ]] && _files -/\n"
         "        return\n"
         "    fi\n"
         "    if [[ $words[CURRENT] == -* ]]; then _describe option opts; return; fi\n"
         "    if (( $#cmds )); then _describe command cmds; return; fi\n"
         "    if [[ $nouns == @pod* ]] && (( $#pods == 0 )); then compadd -- ${(f)\"$(virtc --quiet pod list 2>/dev/null)\"}\n"
         "    elif [[ $nouns == *@container* ]] && (( $#pods == 1 )); then compadd -- ${(f)\"$(virtc --quiet container list $pods[1] 2>/dev/null)\"}\n"
         "    elif [[ $nouns != @* ]] && (( $#pods == 0 )); then compadd -- ${=nouns}; fi\n"
         "}\n"
         "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _virtc \"$@\"; else compdef _virtc virtc; fi");
}

static void put_fish(const struct places *all)
{
    fputs("# fish completion of virtc, printed by `virtc completion fish'\n"
          "function __virtc_words\n"
          "    set -l skip 0\n"
          "    set -l tokens (commandline -opc)\n"
          "    for t in $tokens[2..-1]\n"
          "        if test $skip = 1\n"
          "            set skip 0\n"
          "        else if contains -- $t ", stdout);
    put_options(&all->v[0], VALUE);
    putchar(' ');
    put_options(&all->v[0], FILES);
    putchar(' ');
    put_options(&all->v[0], DIRS);
    puts("\n            set skip 1\n"
         "        else if not string match -q -- '-*' $t\n"
         "            echo $t\n"
         "        end\n"
         "    end\n"
         "end\n"
         "function __virtc_at\n"
         "    set -l words (__virtc_words)\n"
         "    set -l n (count $argv)\n"
         "    if test $n = 0\n"
         "        test (count $words) = 0\n"
         "    else\n"
         "        test (count $words) -ge $n; and test \"$words[1..$n]\" = \"$argv\"\n"
         "    end\n"
         "end\n"
         "function __virtc_next\n"
         "    __virtc_at $argv; and test (count (__virtc_words)) = (count $argv)\n"
         "end\n"
         "complete -c virtc -f");
    for (size_t i = 0; i < all->n; i++) {
        const struct place *p = &all->v[i];
        const char *at = p->path;
        for (const struct command *c = p->sub; c && c->name; c++) {
            printf("complete -c virtc -n '__virtc_next %s' -a %s -d '", at, c->name);
            put_doc(c->doc);
            puts("'");
        }
        if (!p->sub && strstr(p->usage, "POD"))
            printf("complete -c virtc -n '__virtc_next %s' -a '(virtc --quiet pod list 2>/dev/null)'\n", at);
        if (!p->sub && islower((unsigned char)*p->usage)) {
            printf("complete -c virtc -n '__virtc_next %s' -a '", at);
            put_words(p);
            puts("'");
        }
        for (size_t k = 0; k < p->options.n; k++) {
            const struct argp_option *o = p->options.v[k];
            enum kind kind = kind_of(&p->options, k);
            printf("complete -c virtc -n '__virtc_at %s' -l %s", at, o->name);
            if (o->key > 0 && o->key < 0x80 && isgraph(o->key))
                printf(" -s '%c'", o->key);
            printf("%s -d '", kind == PLAIN ? "" : kind == VALUE ? " -x" : kind == DIRS ? " -x -a '(__fish_complete_directories)'" : " -r -F");
            put_doc(text_of(&p->options, k));
            puts("'");
        }
    }
}

struct completion_args {
    const char *shell;
};

static error_t completion_parse(int key, char *arg, struct argp_state *state)
{
    struct completion_args *a = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (a->shell)
            argp_error(state, "unexpected \"%s\"", arg);
        a->shell = arg;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "say for which shell: bash, zsh or fish"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

int cmd_completion(struct virtc *vt, int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*put)(const struct places *all);
    } shells[] = {{"bash", put_bash}, {"zsh", put_zsh}, {"fish", put_fish}};
    static const struct argp argp = {NULL, completion_parse, "bash|zsh|fish",
                                     "Print a script that lets a shell complete virtc's commands, options, pods and containers.\v"
                                     "Examples:\n  bash: eval \"$(virtc completion bash)\"\n"
                                     "  zsh:  virtc completion zsh >\"${fpath[1]}/_virtc\"\n"
                                     "  fish: virtc completion fish >~/.config/fish/completions/virtc.fish", NULL, NULL, NULL};
    struct completion_args a = {0};
    if (virtc_parse(vt, &argp, 0, argc, argv, &a))
        return VIRTC_USAGE;
    struct places *all = calloc(1, sizeof *all);
    if (!all)
        return virtc_complain(vt, VIRTC_FAILED, "out of memory");
    struct place *top = &all->v[all->n++];
    top->usage = "COMMAND";
    top->sub = virtc_commands;
    collect(&top->options, &virtc_main_argp);
    add_table(&top->options, builtin);
    add_table(&top->options, version);
    for (const struct command *c = virtc_commands; c->name; c++)
        add_command(all, c, "");
    int rc = -1;
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (strcmp(shells[i].name, a.shell) == 0) {
            shells[i].put(all);
            rc = 0;
        }
    free(all);
    return rc < 0 ? virtc_complain(vt, VIRTC_USAGE, "there is no completion for \"%s\"; it is made for bash, zsh and fish", a.shell) : 0;
}
