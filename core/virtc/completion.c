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

/* All options of a place, or those of one kind (0: all), parted by blanks, behind that text; how many. */
static int put_options(const struct place *p, enum kind kind, const char *before)
{
    int n = 0;
    for (size_t i = 0; i < p->options.n; i++) {
        const struct argp_option *o = p->options.v[i];
        if (kind && kind_of(&p->options, i) != kind)
            continue;
        printf("%s--%s", n++ ? " " : before, o->name);
        if (o->key > 0 && o->key < 0x80 && isgraph(o->key))
            printf(" -%c", o->key);
    }
    return n;
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

/* The first clause of an explanation, inside single quotes of a shell, which takes such a quote itself as the text `quote'. */
static void put_doc(const char *doc, const char *quote)
{
    for (const char *s = doc; *s && *s != ';' && strncmp(s, " (", 2) != 0; s++)
        if (*s == '\'')
            fputs(quote, stdout);
        else if (*s != '\\')
            putchar(*s);
}
static const char zsh_quote[] = "'\\''", fish_quote[] = "\\'";

static void put_bash(const struct places *all)
{
    puts("# bash completion of virtc, printed by `virtc completion bash'\n"
         "_virtc_table()\n{\n    opts= values= files= dirs= words=\n    case $1 in");
    for (size_t i = 0; i < all->n; i++) {
        const struct place *p = &all->v[i];
        printf("    '%s')\n        opts='", p->path);
        put_options(p, 0, "");
        fputs("'\n        values='", stdout);
        put_options(p, VALUE, "");
        fputs("' files='", stdout);
        put_options(p, FILES, "");
        fputs("' dirs='", stdout);
        put_options(p, DIRS, "");
        fputs("'\n        words='", stdout);
        put_words(p);
        puts("' ;;");
    }
    puts("    esac\n}\n\n"
         "_virtc_files()\n"
         "{\n"
         "    compopt -o filenames 2>/dev/null\n"
         "    mapfile -t COMPREPLY < <(compgen \"$1\" -- \"$2\")\n"
         "}\n"
         "\n"
         "_virtc_list()\n"
         "{\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$(\"${COMP_WORDS[0]}\" \"${given[@]}\" --quiet \"${@:2}\" 2>/dev/null)\" -- \"$1\")\n"
         "}\n"
         "\n"
         "_virtc()\n"
         "{\n"
         "    local cur=${COMP_WORDS[COMP_CWORD]} opts values files dirs words path= i word last= skip= args=() pods=() given=()\n"
         "    COMPREPLY=()\n"
         "    # Words are parted at = and :, too, which part none here.\n"
         "    for ((i = 1; i <= COMP_CWORD; i++)); do\n"
         "        word=${COMP_WORDS[i]}\n"
         "        if [[ $i -gt 1 && ( $word == [=:]* || $last == [=:]* ) && $COMP_LINE == *\"${args[-1]}$word\"* ]]; then\n"
         "            args[-1]+=$word\n"
         "        else\n"
         "            args+=(\"$word\")\n"
         "        fi\n"
         "        last=$word\n"
         "    done\n"
         "    last=${args[-1]}\n"
         "    unset 'args[-1]'\n"
         "    case $cur in [=:]*) cur= ;; esac\n"
         "    _virtc_table ''\n"
         "    for word in \"${args[@]}\"; do\n"
         "        if [ -n \"$skip\" ]; then\n"
         "            # Which pods there are depends on these.\n"
         "            case $path,$skip in ,-c | ,--config | ,-s | ,--set | ,--root) given+=(\"$skip\" \"${word/#\\~\\//$HOME/}\") ;; esac\n"
         "            skip=\n"
         "            continue\n"
         "        fi\n"
         "        if [ \"$word\" = -- ]; then _virtc_files -f \"$cur\"; return; fi\n"
         "        case \" $values $files $dirs \" in *\" $word \"*) skip=$word; continue ;; esac\n"
         "        case $path,$word in ,--config=* | ,--set=* | ,--root=* | ,-[cs]?*) given+=(\"$word\") ;; esac\n"
         "        case $word in -*) continue ;; esac\n"
         "        case \" $words \" in\n"
         "        *\" $word \"*)\n"
         "            path=${path:+$path }$word\n"
         "            _virtc_table \"$path\" ;;\n"
         "        *) pods+=(\"$word\") ;;\n"
         "        esac\n"
         "    done\n"
         "    case $last in --*=*) skip=${last%%=*} ;; esac\n"
         "    if [ -n \"$skip\" ]; then\n"
         "        case \" $files \" in *\" $skip \"*) _virtc_files -f \"$cur\" ;; esac\n"
         "        case \" $dirs \" in *\" $skip \"*) _virtc_files -d \"$cur\" ;; esac\n"
         "        return\n"
         "    fi\n"
         "    case $cur in -*) COMPREPLY=($(compgen -W \"$opts\" -- \"$cur\")); return ;; esac\n"
         "    case \"$words,${#pods[@]}\" in\n"
         "    @pod*,0) _virtc_list \"$cur\" pod list ;;\n"
         "    *@container*,1) _virtc_list \"$cur\" container list \"${pods[0]}\" ;;\n"
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
        put_options(p, VALUE, "");
        fputs("' files='", stdout);
        put_options(p, FILES, "");
        fputs("' dirs='", stdout);
        put_options(p, DIRS, "");
        fputs("' nouns='", stdout);
        put_words(p);
        fputs("'\n        opts=(", stdout);
        for (size_t k = 0; k < p->options.n; k++) {
            const struct argp_option *o = p->options.v[k];
            printf("\n            '--%s:", o->name);
            put_doc(text_of(&p->options, k), zsh_quote);
            putchar('\'');
            if (o->key > 0 && o->key < 0x80 && isgraph(o->key))
                printf(" '-%c:--%s'", o->key, o->name);
        }
        fputs(")\n        cmds=(", stdout);
        for (const struct command *c = p->sub; c && c->name; c++) {
            printf("\n            '%s:", c->name);
            put_doc(c->doc, zsh_quote);
            putchar('\'');
        }
        puts(") ;;");
    }
    puts("    esac\n}\n\n"
         "_virtc_files()\n"
         "{\n"
         "    if [[ \" $files \" == *\" $1 \"* ]]; then _files; elif [[ \" $dirs \" == *\" $1 \"* ]]; then _files -/; fi\n"
         "}\n"
         "\n"
         "_virtc_list()\n"
         "{\n"
         "    compadd -- ${(f)\"$($words[1] $given --quiet $@ 2>/dev/null)\"}\n"
         "}\n"
         "\n"
         "_virtc()\n"
         "{\n"
         "    local values files dirs nouns where= word skip= i\n"
         "    local -a opts cmds pods given\n"
         "    _virtc_table ''\n"
         "    for ((i = 2; i < CURRENT; i++)); do\n"
         "        word=$words[i]\n"
         "        if [[ -n $skip ]]; then\n"
         "            # Which pods there are depends on these.\n"
         "            if [[ -z $where && $skip == (-c|--config|-s|--set|--root) ]]; then given+=($skip \"${${(Q)word}/#\\~\\//$HOME/}\"); fi\n"
         "            skip=\n"
         "            continue\n"
         "        fi\n"
         "        if [[ $word == -- ]]; then _files; return; fi\n"
         "        if [[ \" $values $files $dirs \" == *\" $word \"* ]]; then skip=$word; continue; fi\n"
         "        if [[ -z $where && $word == (--config=*|--set=*|--root=*|-[cs]?*) ]]; then given+=(\"${(Q)word}\"); fi\n"
         "        [[ $word == -* ]] && continue\n"
         "        if [[ \" $nouns \" == *\" $word \"* ]]; then where=${where:+$where }$word; _virtc_table \"$where\"; else pods+=($word); fi\n"
         "    done\n"
         "    if [[ -n $skip ]]; then _virtc_files $skip; return; fi\n"
         "    word=$words[CURRENT]\n"
         "    if [[ $word == --*=* ]]; then compset -P '*='; _virtc_files ${word%%=*}; return; fi\n"
         "    if [[ $word == -* ]]; then _describe option opts; return; fi\n"
         "    if (( $#cmds && ! $#pods )); then _describe command cmds; return; fi\n"
         "    if [[ $nouns == @pod* ]] && (( $#pods == 0 )); then _virtc_list pod list\n"
         "    elif [[ $nouns == *@container* ]] && (( $#pods == 1 )); then _virtc_list container list $pods[1]\n"
         "    elif [[ $nouns != @* ]] && (( $#pods == 0 )); then compadd -- ${=nouns}; fi\n"
         "}\n"
         "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _virtc \"$@\"; else compdef _virtc virtc; fi");
}

static void put_fish(const struct places *all)
{
    puts("# fish completion of virtc, printed by `virtc completion fish'\n"
         "function __virtc_values # of a command: its options that want a value\n"
         "    switch \"$argv\"");
    for (size_t i = 0; i < all->n; i++) {
        const struct place *p = &all->v[i];
        int n = 0;
        printf("        case '%s'\n            ", p->path);
        for (enum kind kind = VALUE; kind <= DIRS; kind++)
            n += put_options(p, kind, n ? " " : "string split ' ' -- '");
        puts(n ? "'" : "return 0");
    }
    puts("        case '*'\n            return 1\n    end\nend\n"
         "function __virtc_read # what is typed: words and nouns without options, and what says where pods are\n"
         "    set -g __virtc_words\n"
         "    set -g __virtc_given\n"
         "    set -l values (__virtc_values)\n"
         "    set -l skip\n"
         "    set -l tokens (commandline -opc)\n"
         "    for t in $tokens[2..-1]\n"
         "        if set -q skip[1]\n"
         "            if not set -q __virtc_words[1]; and contains -- $skip -c --config -s --set --root\n"
         "                set -a __virtc_given $skip (string replace -r -- '^~/' $HOME/ $t)\n"
         "            end\n"
         "            set skip\n"
         "        else if test \"$t\" = --\n"
         "            set -a __virtc_words --\n"
         "            return\n"
         "        else if contains -- $t $values\n"
         "            set skip $t\n"
         "        else if not string match -q -- '-*' $t\n"
         "            set -a __virtc_words $t\n"
         "            set -l more (__virtc_values $__virtc_words); and set values $more\n"
         "        else if not set -q __virtc_words[1]; and string match -qr -- '^(--config=|--set=|--root=|-[cs].)' $t\n"
         "            set -a __virtc_given $t\n"
         "        end\n"
         "    end\n"
         "end\n"
         "function __virtc_list\n"
         "    set -l tokens (commandline -opc)\n"
         "    $tokens[1] $__virtc_given --quiet $argv 2>/dev/null\n"
         "end\n"
         "function __virtc_at\n"
         "    __virtc_read\n"
         "    set -l n (count $argv)\n"
         "    if test $n = 0\n"
         "        not set -q __virtc_words[1]\n"
         "    else\n"
         "        test (count $__virtc_words) -ge $n; and test \"$__virtc_words[1..$n]\" = \"$argv\"\n"
         "    end\n"
         "end\n"
         "function __virtc_next\n"
         "    __virtc_at $argv; and test (count $__virtc_words) = (count $argv)\n"
         "end\n"
         "function __virtc_second\n"
         "    __virtc_at $argv; and test (count $__virtc_words) = (math (count $argv) + 1)\n"
         "end\n"
         "function __virtc_behind\n"
         "    __virtc_read\n"
         "    contains -- -- $__virtc_words\n"
         "end\n"
         "complete -c virtc -f\n"
         "complete -c virtc -n __virtc_behind -F");
    for (size_t i = 0; i < all->n; i++) {
        const struct place *p = &all->v[i];
        const char *at = p->path;
        for (const struct command *c = p->sub; c && c->name; c++) {
            printf("complete -c virtc -n '__virtc_next %s' -a %s -d '", at, c->name);
            put_doc(c->doc, fish_quote);
            puts("'");
        }
        if (!p->sub && strstr(p->usage, "POD"))
            printf("complete -c virtc -n '__virtc_next %s' -a '(__virtc_list pod list)'\n", at);
        if (!p->sub && strstr(p->usage, "CONTAINER"))
            printf("complete -c virtc -n '__virtc_second %s' -a '(__virtc_list container list $__virtc_words[-1])'\n", at);
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
            put_doc(text_of(&p->options, k), fish_quote);
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
