/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-plugin.h: the reference of plugins, printed from their option tables. */
#ifndef VIRTC_CMD_PLUGIN_H
#define VIRTC_CMD_PLUGIN_H

/* Print what vc_plugin_help says as JSON: as a manual page, or as a section of a sample configuration.  0, or -1 when it is
 * no such text. */
int virtc_plugin_doc(const char *json, int man);
/* Print the top level of a sample configuration, with the keys and values of vc_context_show's JSON.  0 or -1. */
int virtc_sample_top(const char *json);

#endif
