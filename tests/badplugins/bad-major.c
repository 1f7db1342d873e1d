/* SPDX-License-Identifier: Apache-2.0 */
/* bad-major.c: another major version of the contract. */
#define BAD_NAME "bad-major"
#define BAD_MAJOR 2
#include "bad.h"
