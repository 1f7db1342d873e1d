/* SPDX-License-Identifier: Apache-2.0 */
/* base64.c: bytes of plugins as text, for the record of a pod. */
#include "base64.h"

#include <stdlib.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *vci_base64(const void *data, size_t len)
{
    const unsigned char *p = data;
    char *text = malloc((len + 2) / 3 * 4 + 1), *at = text;
    if (!text)
        return NULL;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16;
        v |= i + 1 < len ? (uint32_t)p[i + 1] << 8 : 0;
        v |= i + 2 < len ? p[i + 2] : 0;
        *at++ = digits[v >> 18];
        *at++ = digits[v >> 12 & 63];
        *at++ = i + 1 < len ? digits[v >> 6 & 63] : '=';
        *at++ = i + 2 < len ? digits[v & 63] : '=';
    }
    *at = '\0';
    return text;
}

int vci_unbase64(const char *text, char **ret, size_t *ret_len)
{
    size_t n = strlen(text), pad = 0;
    while (pad < 2 && pad < n && text[n - 1 - pad] == '=')
        pad++;
    if (n % 4)
        return -1;
    unsigned char *out = malloc(n / 4 * 3 + 1);
    size_t len = 0;
    for (size_t i = 0; out && i < n; i += 4) {
        uint32_t v = 0;
        for (size_t j = i; j < i + 4; j++) {
            const char *d = j < n - pad ? memchr(digits, text[j], 64) : digits;
            if (!d) {
                free(out);
                return -1;
            }
            v = v << 6 | (uint32_t)(d - digits);
        }
        out[len++] = (unsigned char)(v >> 16);
        out[len++] = (unsigned char)(v >> 8);
        out[len++] = (unsigned char)v;
    }
    if (!out)
        return -2;
    len -= n ? pad : 0;
    out[len] = '\0';
    *ret = (char *)out;
    *ret_len = len;
    return 0;
}
