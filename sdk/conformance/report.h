/* SPDX-License-Identifier: Apache-2.0 */
/* report.h: what a run of the tool says: for people, as JSON, as TAP, as JUnit's XML, and the baseline of known failures. */
#ifndef VCT_REPORT_H
#define VCT_REPORT_H

#include "run.h"

const char *vct_status_name(enum vct_status status);
/* Before the first check. */
void vct_report_begin(struct vct_run *run);
/* A result, in the order of the catalogue. */
void vct_report_result(struct vct_run *run, const struct vct_result *r);
/* A terminal shows how far it is. */
void vct_report_progress(struct vct_run *run, size_t done, size_t total, const char *running);
/* After the last; 0, or -1 when a file could not be written (said on stderr). */
int vct_report_end(struct vct_run *run, int exit_status);

/* The forms for programs (report-files.c). */
void vct_json_report(const struct vct_run *run, FILE *out, int exit_status, double seconds);
void vct_tap_begin(const struct vct_run *run);
void vct_tap_result(const struct vct_run *run, const struct vct_result *r);
int vct_junit_report(const struct vct_run *run, const char *path, double seconds);

/* Read a baseline; -1 after a message on stderr. */
int vct_baseline_read(struct vct_baseline *b, const char *path);
/* Is the finding a known one?  Marks it as seen. */
int vct_baseline_knows(struct vct_baseline *b, const struct vct_result *r);
int vct_baseline_write(const struct vct_run *run);

#endif
