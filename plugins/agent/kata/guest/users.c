/* SPDX-License-Identifier: Apache-2.0 */
/* users.c: users and groups by number or by name, from the container's own passwd and group files. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctr-internal.h"

/* The files belong to the container, so their size is bounded. */
#define DB_MAX (4u * 1024 * 1024)

struct entry {
    char *field[7];
    size_t n;
};

struct user_entry {
    uint32_t uid, gid;
    const char *name, *home;
};

/* Digits only, at most 4294967294: the largest number means "no id". */
static int parse_id(const char *s, uint32_t *ret)
{
    uint64_t v = 0;
    if (!*s)
        return -1;
    for (; *s; s++) {
        if (!isdigit((unsigned char)*s))
            return -1;
        v = v * 10 + (uint64_t)(*s - '0');
        if (v >= UINT32_MAX)
            return -1;
    }
    *ret = (uint32_t)v;
    return 0;
}

/* Next line of *pos split at colons, in place; the last field keeps what is left.  0 at the end. */
static int next_entry(char **pos, struct entry *e, size_t max_fields)
{
    while (**pos) {
        char *line = *pos, *end = strchr(line, '\n');
        *pos = end ? end + 1 : line + strlen(line);
        if (end)
            *end = '\0';
        if (!*line || *line == '#')
            continue;
        e->n = 0;
        while (e->n < max_fields) {
            e->field[e->n++] = line;
            char *colon = e->n < max_fields ? strchr(line, ':') : NULL;
            if (!colon)
                break;
            *colon = '\0';
            line = colon + 1;
        }
        return 1;
    }
    return 0;
}

/* A file of the container as text; a file that is not there is an empty one. */
static int load(int rootfd, const char *path, char **ret, struct vca_fault *f)
{
    size_t len;
    int r = vca_read_in_root(rootfd, path, DB_MAX, ret, &len);
    if (r == -ENOENT || r == -ENOTDIR) {
        *ret = strdup("");
        return *ret ? 0 : vca_fail(f, ENOMEM, "cannot read %s of the container", path);
    }
    if (r < 0)
        return vca_fail(f, -r, "cannot read %s of the container (a regular file of at most 4 MiB)", path);
    if (strlen(*ret) != len) {
        free(*ret);
        *ret = NULL;
        return vca_fail(f, 0, "%s of the container has a NUL byte in it", path);
    }
    return 0;
}

/* By name, or by number when name is NULL.  The result points into `db`, which is changed.  1 when found. */
static int find_user(char *db, const char *name, uint32_t uid, struct user_entry *ret)
{
    struct entry e;
    while (next_entry(&db, &e, 7)) {
        uint32_t u, g;
        if (e.n < 4 || parse_id(e.field[2], &u) || parse_id(e.field[3], &g))
            continue;
        if (name ? strcmp(e.field[0], name) != 0 : u != uid)
            continue;
        *ret = (struct user_entry){.uid = u, .gid = g, .name = e.field[0], .home = e.n > 5 ? e.field[5] : ""};
        return 1;
    }
    return 0;
}

static int find_group(char *db, const char *name, uint32_t *ret)
{
    struct entry e;
    while (next_entry(&db, &e, 4))
        if (e.n >= 3 && strcmp(e.field[0], name) == 0 && parse_id(e.field[2], ret) == 0)
            return 1;
    return 0;
}

static int add_gid(struct vca_ident *id, gid_t gid, struct vca_fault *f)
{
    for (size_t i = 0; i < id->n_gids; i++)
        if (id->gids[i] == gid)
            return 0;
    if (id->n_gids == VCA_MAX_GIDS)
        return vca_fail(f, 0, "the user has more than %d supplementary groups", VCA_MAX_GIDS);
    id->gids[id->n_gids++] = gid;
    return 0;
}

/* The groups whose member lists name the user. */
static int add_memberships(char *db, const char *user, struct vca_ident *id, struct vca_fault *f)
{
    struct entry e;
    while (next_entry(&db, &e, 4)) {
        uint32_t gid;
        if (e.n < 4 || parse_id(e.field[2], &gid))
            continue;
        for (char *save = NULL, *m = strtok_r(e.field[3], ", \t", &save); m; m = strtok_r(NULL, ", \t", &save))
            if (strcmp(m, user) == 0) {
                if (add_gid(id, gid, f) < 0)
                    return -1;
                break;
            }
    }
    return 0;
}

static int group_by_text(int rootfd, const char *text, gid_t *ret, struct vca_fault *f)
{
    uint32_t gid;
    if (parse_id(text, &gid) < 0) {
        vcs_autofree char *db = NULL;
        if (load(rootfd, "/etc/group", &db, f) < 0)
            return -1;
        if (!find_group(db, text, &gid))
            return vca_fail_code(f, VCS_RPC_INVALID, 0,
                                 "group '%s' is neither a number nor in /etc/group of the container", text);
    }
    *ret = gid;
    return 0;
}

static void set_home(struct vca_ident *id, const char *home)
{
    /* One that does not fit cannot be a path that anybody uses; it is left out rather than cut. */
    size_t len = strlen(home);
    if (len < sizeof(id->home))
        memcpy(id->home, home, len + 1);
}

/* user, user:group, uid, uid:gid. */
static int resolve_text(int rootfd, const char *text, struct vca_ident *id, struct vca_fault *f)
{
    char name[256];
    const char *group = strchr(text, ':');
    size_t len = group ? (size_t)(group - text) : strlen(text);
    if (len == 0 || len >= sizeof(name))
        return vca_fail(f, 0, "user '%.64s' must be USER or USER:GROUP, each a name or a number", text);
    memcpy(name, text, len);
    name[len] = '\0';

    vcs_autofree char *db = NULL;
    if (load(rootfd, "/etc/passwd", &db, f) < 0)
        return -1;
    uint32_t uid = 0;
    int numeric = parse_id(name, &uid) == 0;
    struct user_entry u = {.uid = uid, .gid = 0, .name = NULL, .home = ""};
    if (!find_user(db, numeric ? NULL : name, uid, &u) && !numeric)
        return vca_fail_code(f, VCS_RPC_INVALID, 0,
                             "user '%s' is neither a number nor in /etc/passwd of the container", name);
    id->uid = u.uid;
    id->gid = u.gid;
    set_home(id, u.home);
    if (group)
        return group_by_text(rootfd, group + 1, &id->gid, f);
    if (!u.name)
        return 0;
    vcs_autofree char *groups = NULL;
    if (load(rootfd, "/etc/group", &groups, f) < 0)
        return -1;
    return add_memberships(groups, u.name, id, f);
}

int vca_user_resolve(int rootfd, const Oci__User *user, const char *text, char *const *extra, size_t n_extra,
                     int want_home, struct vca_ident *ret, struct vca_fault *f)
{
    memset(ret, 0, sizeof(*ret));
    if (text && *text) {
        if (resolve_text(rootfd, text, ret, f) < 0)
            return -1;
    } else {
        ret->uid = user ? user->uid : 0;
        ret->gid = user ? user->gid : 0;
        if (ret->uid == UINT32_MAX || ret->gid == UINT32_MAX)
            return vca_fail(f, 0, "user and group numbers must be below 4294967295");
        /* A convenience only: a passwd file that cannot be read is as good as none. */
        vcs_autofree char *db = NULL;
        struct user_entry u;
        struct vca_fault ignored;
        if (want_home && load(rootfd, "/etc/passwd", &db, &ignored) == 0 && find_user(db, NULL, ret->uid, &u))
            set_home(ret, u.home);
    }
    for (size_t i = 0; user && i < user->n_additional_gids; i++)
        if (add_gid(ret, user->additional_gids[i], f) < 0)
            return -1;
    for (size_t i = 0; i < n_extra; i++) {
        gid_t gid;
        if (group_by_text(rootfd, extra[i], &gid, f) < 0 || add_gid(ret, gid, f) < 0)
            return -1;
    }
    return 0;
}
