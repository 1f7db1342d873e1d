/* SPDX-License-Identifier: Apache-2.0 */
/* output.c: what virtc prints: errors, tables, JSON. */
#include "virtc.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void json_string_to(FILE *f, const char *text)
{
    fputc('"', f);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(f, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            fprintf(f, "\\u%04x", *p);
        else
            fputc(*p, f);
    }
    fputc('"', f);
}

static void print_error(const struct virtc *vt, const char *code, const char *text)
{
    if (vt->json) {
        fputs("{\"error\":{\"code\":", stderr);
        json_string_to(stderr, code);
        fputs(",\"message\":", stderr);
        json_string_to(stderr, text);
        fputs("}}\n", stderr);
    } else {
        fprintf(stderr, "virtc: %s\n", text);
    }
}

int virtc_error(const struct virtc *vt, vc_error *err, int exit_code)
{
    print_error(vt, vc_error_name(vc_error_code(err)), vc_error_text(err));
    vc_error_free(err);
    return exit_code;
}

int virtc_complain(const struct virtc *vt, int exit_code, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    print_error(vt, exit_code == VIRTC_USAGE ? "usage" : "failed", text);
    return exit_code;
}

void virtc_table(const char *const *cells, size_t columns, size_t rows)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            const char *cell = cells[r * columns + c];
            size_t width = 0;
            for (size_t i = 0; i < rows; i++) {
                size_t n = strlen(cells[i * columns + c]);
                width = n > width ? n : width;
            }
            if (c + 1 == columns)
                printf("%s\n", cell);
            else
                printf("%-*s  ", (int)width, cell);
        }
}

void virtc_json_string(const char *text)
{
    json_string_to(stdout, text ? text : "");
}

void virtc_print_id(const struct virtc *vt, const char *id)
{
    if (vt->json) {
        fputs("{\"id\":", stdout);
        virtc_json_string(id);
        puts("}");
    } else {
        puts(id);
    }
}
