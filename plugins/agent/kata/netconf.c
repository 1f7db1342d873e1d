/* SPDX-License-Identifier: Apache-2.0 */
/* netconf.c: network settings, given as JSON text, to the guest. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kata.h"

#define LIST_MAX 1024u

/* Member `key` of an object as text, "" when it is not there; NULL when it is something else. */
static const char *text(struct json_object *o, const char *key)
{
    struct json_object *v = NULL;
    if (!json_object_object_get_ex(o, key, &v) || !v)
        return "";
    return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

/* Member `key` as a number of at least 0, 0 when it is not there; -1 when it is something else. */
static int64_t number(struct json_object *o, const char *key)
{
    struct json_object *v = NULL;
    if (!json_object_object_get_ex(o, key, &v) || !v)
        return 0;
    int64_t n = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : -1;
    return n > UINT32_MAX ? -1 : n;
}

/* Member `key` as array: its length, 0 when it is not there; -1 when it is something else. */
static int list(struct json_object *o, const char *key, struct json_object **ret)
{
    *ret = NULL;
    if (!json_object_object_get_ex(o, key, ret) || !*ret)
        return 0;
    if (!json_object_is_type(*ret, json_type_array) || json_object_array_length(*ret) > LIST_MAX)
        return -1;
    return (int)json_object_array_length(*ret);
}

static Types__IPFamily family(const char *address)
{
    return strchr(address, ':') ? TYPES__IPFAMILY__v6 : TYPES__IPFAMILY__v4;
}

static int bad(vc_inst *inst, const struct vc_call *call, const char *what, size_t i, const char *why)
{
    return vcs_fail(inst->host, call, VC_E_INVAL, 0, "network settings: %s[%zu] %s", what, i, why);
}

static int no_memory(vc_inst *inst, const struct vc_call *call)
{
    return vcs_fail(inst->host, call, VC_E_NOMEM, 0, "agent kata: no memory for the network settings");
}

/* ---- interfaces ---- */

struct address {
    Types__IPAddress msg;
    char text[64];
};

/* "10.0.0.2/24" into a message: 0 or -1. */
static int parse_address(struct json_object *o, struct address *a)
{
    const char *s = json_object_is_type(o, json_type_string) ? json_object_get_string(o) : "";
    char *slash;
    types__ipaddress__init(&a->msg);
    if ((size_t)snprintf(a->text, sizeof(a->text), "%s", s) >= sizeof(a->text))
        return -1;
    slash = strchr(a->text, '/');
    if (!slash || slash == a->text || !slash[1])
        return -1;
    *slash = '\0';
    a->msg.address = a->text;
    a->msg.mask = slash + 1;
    a->msg.family = family(a->text);
    return 0;
}

static int update_interface(vc_inst *inst, const struct vc_call *call, struct json_object *o, size_t i)
{
    Agent__UpdateInterfaceRequest req = AGENT__UPDATE_INTERFACE_REQUEST__INIT;
    Types__Interface ifc = TYPES__INTERFACE__INIT;
    struct json_object *addresses = NULL;
    const char *name = text(o, "name"), *mac = text(o, "mac");
    int64_t mtu = number(o, "mtu");
    int n = list(o, "addresses", &addresses);
    if (!name || !*name || !mac || !*mac || mtu < 0 || n < 0)
        return bad(inst, call, "interfaces", i, "must have name, mac, mtu and an array of addresses");
    vcs_autofree struct address *mem = calloc((size_t)n + 1, sizeof(*mem));
    vcs_autofree Types__IPAddress **ptr = calloc((size_t)n + 1, sizeof(*ptr));
    if (!mem || !ptr)
        return no_memory(inst, call);
    for (int k = 0; k < n; k++) {
        if (parse_address(json_object_array_get_idx(addresses, (size_t)k), &mem[k]) < 0)
            return bad(inst, call, "interfaces", i, "has an address that is not of the form \"10.0.0.2/24\"");
        ptr[k] = &mem[k].msg;
    }
    ifc.device = ifc.name = (char *)name;
    ifc.hw_addr = (char *)mac;
    ifc.mtu = mtu ? (uint64_t)mtu : 1500;
    ifc.ip_addresses = ptr;
    ifc.n_ip_addresses = (size_t)n;
    req.interface = &ifc;
    return kata_do(inst, call, "UpdateInterface", &req);
}

/* ---- routes and neighbors ---- */

static int update_routes(vc_inst *inst, const struct vc_call *call, struct json_object *a, size_t n)
{
    vcs_autofree Types__Route *mem = calloc(n + 1, sizeof(*mem));
    vcs_autofree Types__Route **ptr = calloc(n + 1, sizeof(*ptr));
    if (!mem || !ptr)
        return no_memory(inst, call);
    for (size_t i = 0; i < n; i++) {
        struct json_object *o = json_object_array_get_idx(a, i);
        const char *dest = text(o, "dest"), *gateway = text(o, "gateway"), *device = text(o, "device"),
                   *source = text(o, "source");
        int64_t scope = number(o, "scope");
        if (!dest || !gateway || !device || !source || scope < 0 || (!*device && !*gateway))
            return bad(inst, call, "routes", i,
                       "must have dest, gateway, device, source and scope, of which device or gateway is needed");
        types__route__init(&mem[i]);
        mem[i].dest = (char *)dest;
        mem[i].gateway = (char *)gateway;
        mem[i].device = (char *)device;
        mem[i].source = (char *)source;
        mem[i].scope = (uint32_t)scope;
        mem[i].family = family(*dest ? dest : gateway);
        ptr[i] = &mem[i];
    }
    Agent__UpdateRoutesRequest req = AGENT__UPDATE_ROUTES_REQUEST__INIT;
    Agent__Routes routes = AGENT__ROUTES__INIT;
    routes.routes = ptr;
    routes.n_routes = n;
    req.routes = &routes;
    return kata_do(inst, call, "UpdateRoutes", &req);
}

static int add_neighbors(vc_inst *inst, const struct vc_call *call, struct json_object *a, size_t n)
{
    vcs_autofree Types__ARPNeighbor *mem = calloc(n + 1, sizeof(*mem));
    vcs_autofree Types__ARPNeighbor **ptr = calloc(n + 1, sizeof(*ptr));
    vcs_autofree Types__IPAddress *ip = calloc(n + 1, sizeof(*ip));
    if (!mem || !ptr || !ip)
        return no_memory(inst, call);
    for (size_t i = 0; i < n; i++) {
        struct json_object *o = json_object_array_get_idx(a, i);
        const char *address = text(o, "address"), *mac = text(o, "mac"), *device = text(o, "device");
        int64_t state = number(o, "state");
        if (!address || !*address || !mac || !*mac || !device || !*device || state < 0 || state > INT32_MAX)
            return bad(inst, call, "neighbors", i, "must have address, mac, device and may have state");
        types__arpneighbor__init(&mem[i]);
        types__ipaddress__init(&ip[i]);
        ip[i].address = (char *)address;
        ip[i].family = family(address);
        mem[i].to_ip_address = &ip[i];
        mem[i].device = (char *)device;
        mem[i].lladdr = (char *)mac;
        mem[i].state = state ? (int32_t)state : 0x80; /* permanent */
        ptr[i] = &mem[i];
    }
    Agent__AddARPNeighborsRequest req = AGENT__ADD_ARPNEIGHBORS_REQUEST__INIT;
    Agent__ARPNeighbors neighbors = AGENT__ARPNEIGHBORS__INIT;
    neighbors.arp_neighbors = ptr;
    neighbors.n_arp_neighbors = n;
    req.neighbors = &neighbors;
    return kata_do(inst, call, "AddARPNeighbors", &req);
}

int kata_net_update(vc_inst *inst, const struct vc_call *call, const struct vc_agent_net *net)
{
    if (!net->json.len)
        return VC_OK;
    struct json_tokener *t = net->json.len <= INT32_MAX ? json_tokener_new_ex(8) : NULL;
    struct json_object *o = t ? json_tokener_parse_ex(t, net->json.data, (int)net->json.len) : NULL, *ifcs, *routes,
                       *neighbors;
    if (t)
        json_tokener_free(t);
    int n_ifcs, n_routes, n_neighbors, rc = VC_OK;
    if (!json_object_is_type(o, json_type_object)) {
        rc = vcs_fail(inst->host, call, VC_E_INVAL, 0,
                      "network settings: a JSON object with interfaces, routes and neighbors is wanted");
    } else if ((n_ifcs = list(o, "interfaces", &ifcs)) < 0 || (n_routes = list(o, "routes", &routes)) < 0 ||
               (n_neighbors = list(o, "neighbors", &neighbors)) < 0) {
        rc = vcs_fail(inst->host, call, VC_E_INVAL, 0,
                      "network settings: interfaces, routes and neighbors must be arrays of at most %u", LIST_MAX);
    } else {
        for (int i = 0; i < n_ifcs && !rc; i++)
            rc = update_interface(inst, call, json_object_array_get_idx(ifcs, (size_t)i), (size_t)i);
        if (!rc && routes)
            rc = update_routes(inst, call, routes, (size_t)n_routes);
        if (!rc && n_neighbors)
            rc = add_neighbors(inst, call, neighbors, (size_t)n_neighbors);
    }
    json_object_put(o);
    return rc;
}
