/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h: the event loop: descriptors, and work that is put off to the end of a round. */
#ifndef AGENT_LOOP_H
#define AGENT_LOOP_H

#include <stdint.h>

struct watch {
    int fd;
    uint32_t events; /* what is registered; 0: not registered */
    void (*fn)(struct watch *w, uint32_t events);
};

/* 0 or a negative errno. */
int loop_open(void);
void loop_close(void);
/* Register, change or (with events 0) remove a watch.  Without a wish for events a descriptor must not
 * stay registered: EPOLLHUP cannot be masked.  0 or a negative errno. */
int loop_watch(struct watch *w, uint32_t events);
/* Wait for events at most timeout_ms (-1: without limit) and handle them; the number of them, or a
 * negative errno.  A watch that is removed meanwhile gets no event any more. */
int loop_run(int timeout_ms);

#endif
