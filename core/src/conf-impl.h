/* SPDX-License-Identifier: Apache-2.0 */
/* conf-impl.h: what conf.c reads from files and section.c checks against option tables. */
#ifndef VCI_CONF_IMPL_H
#define VCI_CONF_IMPL_H

#include "conf.h"

/* One setting as it stood in a file or an override. */
enum vci_value_type {
    VCI_V_STR = 1,
    VCI_V_INT,
    VCI_V_BOOL,
    VCI_V_FLOAT,
    VCI_V_LIST, /* of strings */
    VCI_V_TEXT, /* of an override: its type is what the option says */
    VCI_V_OTHER /* a group, or a list of something else */
};
struct vci_setting {
    struct vci_setting *next;
    char *key;
    char *where; /* "FILE:LINE" or "override" */
    enum vci_value_type type;
    char *str;
    int64_t num;
    char **list;
    size_t n_list;
};
struct vci_group {
    struct vci_group *next;
    char *name; /* "hypervisor_qemu"; "" = the top level */
    char *where;
    struct vci_setting *first;
};
struct vci_conf {
    char *file;               /* in use, or NULL */
    struct vci_group *groups; /* the first is the top level */
    struct vc_config *top;    /* checked, with defaults */
};

/* One checked value. */
struct vci_entry {
    const struct vc_option *opt;
    int set;
    char *str;
    int64_t num;
    char **list;
    uint32_t n_list;
};
struct vc_config {
    size_t n;
    struct vci_entry e[];
};

/* Check settings against an option table.  `what` names the section in errors; the top level has what = NULL. */
int vci_section_build(const struct vci_group *group, const struct vc_option *options, size_t n, size_t stride,
                      const char *what, struct vc_config **ret, vc_error **err);
/* CONFIG when the text of a file has a number that libconfig would cut. */
int vci_conf_check_numbers(const char *text, const char *file, vc_error **err);
/* Why an option's declared default is not possible; 0 when it is. */
int vci_option_default_bad(const struct vc_option *opt, char *why, size_t size);
/* What the files say about one plugin; NULL when there is nothing. */
const struct vci_group *vci_conf_group(const struct vci_conf *conf, uint32_t kind, const char *plugin);
const struct vci_entry *vci_section_find(const struct vc_config *s, const char *key);
const char *vci_option_type_name(uint32_t type);
/* The word of `words` (separated by blanks) that was probably meant, into buf; 0 when there is none. */
int vci_nearest(const char *word, const char *words, char *buf, size_t size);

#endif
