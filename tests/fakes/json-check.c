/* SPDX-License-Identifier: Apache-2.0 */
/* json-check.c: is standard input exactly one JSON value?  For tests in the shell.
 * usage: json-check [PATH]; PATH, such as 0.containers.1.id, must exist and is printed.  "#" at its end is the number of
 * members. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_object *parse(const char *text, size_t len)
{
    struct json_tokener *tok = json_tokener_new();
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    json_object *o = json_tokener_parse_ex(tok, text, (int)len);
    enum json_tokener_error e = json_tokener_get_error(tok);
    size_t end = json_tokener_get_parse_end(tok);
    json_tokener_free(tok);
    /* The parser goes over white space behind the value. */
    int one_line_end = len >= 2 && text[len - 1] == '\n' && text[len - 2] != '\n' && text[len - 2] != ' ';
    if (e != json_tokener_success || end + 1 < len || !one_line_end) {
        fprintf(stderr, "json-check: %s at byte %zu of %zu; one value and one newline are wanted: %.200s\n",
                e == json_tokener_success ? "surplus" : json_tokener_error_desc(e), end, len, text);
        exit(1);
    }
    return o;
}

int main(int argc, char **argv)
{
    static char text[1 << 20];
    size_t len = fread(text, 1, sizeof text - 1, stdin);
    json_object *top = parse(text, len), *o = top;
    char *save = NULL;
    for (char *w = argc > 1 ? strtok_r(argv[1], ".", &save) : NULL; w; w = strtok_r(NULL, ".", &save)) {
        json_object *next = NULL;
        if (!strcmp(w, "#")) {
            printf("%zu\n", json_object_is_type(o, json_type_array) ? json_object_array_length(o)
                                                                  : (size_t)json_object_object_length(o));
            json_object_put(top);
            return 0;
        }
        if (json_object_is_type(o, json_type_array))
            next = json_object_array_get_idx(o, strtoul(w, NULL, 10));
        else if (json_object_is_type(o, json_type_object))
            json_object_object_get_ex(o, w, &next);
        if (!next) {
            fprintf(stderr, "json-check: there is no \"%s\" in: %.200s\n", w, text);
            return 1;
        }
        o = next;
    }
    if (argc > 1)
        puts(json_object_get_string(o));
    json_object_put(top);
    return 0;
}
