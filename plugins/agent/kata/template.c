/* SPDX-License-Identifier: Apache-2.0 */
/* template.c: guests that become a template, and guests that were started from one.
 *
 * vc-agent has a service of its own for it, which does all at once; other agents know some of it by the calls of Kata,
 * and have nothing that they put off. */
#include <string.h>
#include <time.h>

#include "guest.pb-c.h"
#include "kata.h"
#include "lib/io.h"
#include "lib/plug.h"

#define SEED_MIN 32
#define SEED_MAX 512

/* Agents say in three ways that they do not have a service. */
static int not_offered(const struct kata_reply *r)
{
    return r->code == VCS_RPC_UNIMPLEMENTED || r->code == VCS_RPC_NOTFOUND ||
           (r->code == VCS_RPC_INVALID && strstr(r->text, "does not exist"));
}

/* Ask vc-agent: as kata_do; *ret_offered is 0, with VC_OK, when the agent does not have the service. */
static int guest_do(vc_inst *inst, const struct vc_call *call, const char *method, const void *req, int *ret_offered)
{
    struct kata_reply r;
    int rc = kata_ask_service(inst, call, KATA_GUEST, method, req, &r);
    *ret_offered = 1;
    if (rc)
        return rc;
    if (not_offered(&r))
        *ret_offered = 0;
    else if (r.code != VCS_RPC_OK)
        return kata_refused(inst, call, method, &r);
    kata_reply_done(&r);
    return VC_OK;
}

int kata_settle(vc_inst *inst, const struct vc_call *call, uint32_t flags)
{
    Vccore__SettleRequest req = VCCORE__SETTLE_REQUEST__INIT;
    int offered;
    req.exercise = (flags & VC_SETTLE_EXERCISE) != 0;
    return guest_do(inst, call, "Settle", &req, &offered);
}

/* The same with the calls that every agent has; it has no machine id to renew. */
static int renew_by_parts(vc_inst *inst, const struct vc_call *call, const struct vc_renew *renew)
{
    Agent__ReseedRandomDevRequest seed = AGENT__RESEED_RANDOM_DEV_REQUEST__INIT;
    Agent__SetGuestDateTimeRequest date = AGENT__SET_GUEST_DATE_TIME_REQUEST__INIT;
    struct timespec now;
    seed.data.data = (uint8_t *)(uintptr_t)renew->seed.data;
    seed.data.len = (size_t)renew->seed.len;
    int rc = kata_do(inst, call, "ReseedRandomDev", &seed);
    if (rc)
        return rc;
    clock_gettime(CLOCK_REALTIME, &now);
    date.sec = now.tv_sec;
    date.usec = now.tv_nsec / 1000;
    return kata_do(inst, call, "SetGuestDateTime", &date);
}

int kata_renew(vc_inst *inst, const struct vc_call *call, const struct vc_renew *renew)
{
    Vccore__RenewRequest req = VCCORE__RENEW_REQUEST__INIT;
    struct timespec now;
    int offered;
    if (renew->seed.len < SEED_MIN || renew->seed.len > SEED_MAX)
        return vcs_fail(inst->host, call, VC_E_INVAL, 0, "agent kata: a seed of %llu bytes is not allowed; %d to %d are",
                        (unsigned long long)renew->seed.len, SEED_MIN, SEED_MAX);
    req.seed.data = (uint8_t *)(uintptr_t)renew->seed.data;
    req.seed.len = (size_t)renew->seed.len;
    clock_gettime(CLOCK_REALTIME, &now);
    req.sec = now.tv_sec;
    req.nsec = now.tv_nsec;
    int rc = guest_do(inst, call, "Renew", &req, &offered);
    return rc || offered ? rc : renew_by_parts(inst, call, renew);
}

int kata_online(vc_inst *inst, const struct vc_call *call, uint32_t vcpus)
{
    Agent__OnlineCPUMemRequest req = AGENT__ONLINE_CPUMEM_REQUEST__INIT;
    req.wait = 1;
    req.nb_cpus = vcpus;
    return kata_do(inst, call, "OnlineCPUMem", &req);
}
