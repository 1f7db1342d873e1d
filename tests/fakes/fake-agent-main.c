/* SPDX-License-Identifier: Apache-2.0 */
/* fake-agent-main.c: the scripted agent as a program, for tests in the shell.
 * usage: fake-agent SOCKET MODE [METHOD]; prints "ready" and runs until its standard input ends. */
#include <stdio.h>
#include <unistd.h>

#include "fakes/fake-agent.h"

int main(int argc, char **argv)
{
    int mode = argc >= 3 ? fake_agent_mode_by_name(argv[2]) : -1;
    char c;
    if (mode < 0) {
        fprintf(stderr, "usage: fake-agent SOCKET MODE [METHOD]\n");
        return 2;
    }
    struct fake_agent *a = fake_agent_start(argv[1], (enum fake_mode)mode, argc > 3 ? argv[3] : NULL);
    if (!a)
        return 1;
    puts("ready");
    fflush(stdout);
    while (read(0, &c, 1) > 0)
        ;
    fake_agent_stop(a);
    return 0;
}
