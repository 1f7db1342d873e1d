/* SPDX-License-Identifier: Apache-2.0 */
/* bad-symbol.c: a shared object that is no plugin: it does not export the entry symbol. */
__attribute__((visibility("default"))) extern int bad_symbol;
__attribute__((visibility("default"))) int bad_symbol = 1;
