/* SPDX-License-Identifier: Apache-2.0 */
/* conf-number.c: numbers in configuration files that libconfig would cut in silence. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf-impl.h"

/* Behind a comment or a string that begins at p, or p. */
static const char *skip_text(const char *p)
{
    if (*p == '#' || (p[0] == '/' && p[1] == '/'))
        return p + strcspn(p, "\n");
    if (p[0] == '/' && p[1] == '*') {
        const char *end = strstr(p + 2, "*/");
        return end ? end + 2 : p + strlen(p);
    }
    if (*p != '"')
        return p;
    for (p++; *p && *p != '"'; p++)
        p += *p == '\\' && p[1];
    return *p ? p + 1 : p;
}

/* Does it fit?  A number with "L" has 64 bits, others have 32, with a sign even when they are hexadecimal. */
static int fits(const char *number, int hex, int wide)
{
    errno = 0;
    long long v = strtoll(number, NULL, hex ? 16 : 10);
    return errno != ERANGE && (wide || (v >= INT32_MIN && v <= INT32_MAX));
}

int vci_conf_check_numbers(const char *text, const char *file, vc_error **err)
{
    for (const char *p = text; *p;) {
        const char *behind = skip_text(p);
        if (behind != p) {
            p = behind;
            continue;
        }
        size_t word = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.*+-");
        if (!word) {
            p++;
            continue;
        }
        size_t sign = *p == '+' || *p == '-', len = sign;
        int hex = p[len] == '0' && (p[len + 1] == 'x' || p[len + 1] == 'X');
        len += hex ? 2 : 0;
        len += strspn(p + len, hex ? "0123456789abcdefABCDEF" : "0123456789");
        int wide = p[len] == 'L';
        /* Names, true, false and numbers with a fraction are other words. */
        int whole = isdigit((unsigned char)p[sign]) && len + strspn(p + len, "L") == word;
        if (whole && !fits(p, hex, wide)) {
            unsigned line = 1;
            for (const char *nl = text; (nl = memchr(nl, '\n', (size_t)(p - nl))); nl++)
                line++;
            return vci_fail(err, VC_ERR_CONFIG, 0, "%s:%u: the number %.*s has more than %d bits%s%.*s%s", file, line,
                            (int)(len < 80 ? len : 80), p, wide ? 64 : 32, wide ? ", which none may have" : ": write ",
                            wide ? 0 : (int)(len < 80 ? len : 80), p, wide ? "" : "L");
        }
        p += word;
    }
    return 0;
}
