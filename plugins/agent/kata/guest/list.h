/* SPDX-License-Identifier: Apache-2.0 */
/* list.h: circular doubly linked lists whose links are members of the elements. */
#ifndef AGENT_LIST_H
#define AGENT_LIST_H

#include <stddef.h>

struct list {
    struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}
static inline int list_empty(const struct list *l)
{
    return l->next == l;
}
/* Add at the end. */
static inline void list_add(struct list *head, struct list *e)
{
    e->prev = head->prev;
    e->next = head;
    head->prev->next = e;
    head->prev = e;
}
/* Take out; an element that is in no list (but was initialised) may be taken out again. */
static inline void list_del(struct list *e)
{
    e->prev->next = e->next;
    e->next->prev = e->prev;
    list_init(e);
}

#define list_entry(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define list_first(head, type, member) list_entry((head)->next, type, member)
/* The element may be taken out (and freed) in the body; no other one may. */
#define list_for_each_safe(pos, tmp, head) \
    for ((pos) = (head)->next, (tmp) = (pos)->next; (pos) != (head); (pos) = (tmp), (tmp) = (pos)->next)
#define list_for_each(pos, head) for ((pos) = (head)->next; (pos) != (head); (pos) = (pos)->next)

#endif
