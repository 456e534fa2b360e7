/* Tables for people: columns as wide as their widest cell, numbers to the right, states in colour. */
#ifndef PENSTOCK_CLI_TABLE_H
#define PENSTOCK_CLI_TABLE_H

#include "cli/terminal.h"

struct table_column {
    const char *title;
    enum { ALIGN_LEFT, ALIGN_RIGHT } align;
};

enum { TABLE_COLUMNS_MAX = 16 };
struct table_cell;
struct table {
    const struct table_column *columns;
    size_t n_columns;
    struct table_cell *cells; /* row after row */
    size_t n_cells, size;
};

/* `columns` must outlive it. */
void table_init(struct table *, const struct table_column *columns, size_t n_columns);
void table_clear(struct table *);
/* The next cell of the row; the row is full after n_columns of them. Copies the text. NULL is shown as "-". */
void table_add(struct table *, enum tone, const char *text);
void table_addf(struct table *, enum tone, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A state's word, in its colour. */
void table_add_state(struct table *, const char *word);

/* Titles and rows. On a terminal, the last column is cut where its line would break when `cut` is set. No trailing white space. */
void table_write(const struct table *, const struct terminal *, bool cut, struct text *out);

#endif
