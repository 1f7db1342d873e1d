/* SPDX-License-Identifier: Apache-2.0 */
/* create-from-spec.c: makes a container from an OCI specification through the embedding API, for tests in the shell.
 * usage: create-from-spec POD ID ROOTFS CONFIG.JSON; prints the container's id. */
#include <vccore/vccore.h>

#include <stdio.h>
#include <stdlib.h>

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = calloc(1, 1 << 20);
    if (f && text)
        text[fread(text, 1, (1 << 20) - 1, f)] = '\0';
    if (f)
        fclose(f);
    return f ? text : NULL;
}

int main(int argc, char **argv)
{
    char *spec = argc >= 5 ? read_file(argv[4]) : NULL, *id = NULL;
    if (!spec) {
        fprintf(stderr, "usage: create-from-spec POD ID ROOTFS CONFIG.JSON\n");
        return 2;
    }
    struct vc_process_config process;
    VC_INIT(&process);
    struct vc_container_config config;
    VC_INIT(&config);
    config.id = argv[2];
    config.rootfs = argv[3];
    config.process = &process;
    config.spec_json = spec;

    vc_context *ctx = NULL;
    vc_error *err = NULL;
    int rc = vc_context_new(NULL, &ctx, &err);
    if (rc == 0)
        rc = vc_container_create(ctx, argv[1], &config, &id, &err);
    if (rc == 0)
        puts(id);
    else
        fprintf(stderr, "create-from-spec: %s\n", vc_error_text(err));
    free(id);
    free(spec);
    vc_error_free(err);
    vc_context_free(ctx);
    return rc == 0 ? 0 : 1;
}
