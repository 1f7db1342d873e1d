/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.c: is it UTF-8, and may it be shown? */
#include "lib/utf8.h"

size_t vcs_utf8(const void *p, size_t left)
{
    const unsigned char *b = p;
    if (!left)
        return 0;
    if (b[0] < 0x80)
        return 1;
    size_t n = b[0] < 0xc2 ? 0 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : b[0] < 0xf5 ? 4 : 0;
    if (!n || n > left)
        return 0;
    /* The second byte keeps out what a shorter form could say, surrogates, and what lies beyond the last character. */
    unsigned char least = b[0] == 0xe0 ? 0xa0 : b[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char most = b[0] == 0xed ? 0x9f : b[0] == 0xf4 ? 0x8f : 0xbf;
    if (b[1] < least || b[1] > most)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((b[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

size_t vcs_utf8_plain(const void *p, size_t left)
{
    const unsigned char *b = p;
    size_t n = vcs_utf8(p, left);
    if (n == 1 && (b[0] < 0x20 || b[0] == 0x7f))
        return 0;
    return n == 2 && b[0] == 0xc2 && b[1] < 0xa0 ? 0 : n;
}

int vcs_utf8_line(const void *text, size_t len)
{
    const unsigned char *b = text;
    for (size_t at = 0, n; at < len; at += n)
        if (!(n = vcs_utf8_plain(b + at, len - at)))
            return 0;
    return 1;
}
