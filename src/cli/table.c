#include "cli/table.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdlib.h>

enum { GAP = 2, LAST_COLUMN_MIN = 12 };

struct table_cell {
    char *text;
    enum tone tone;
};

void table_init(struct table *t, const struct table_column *columns, size_t n_columns)
{
    *t = (struct table){ .columns = columns, .n_columns = n_columns };
}

void table_clear(struct table *t)
{
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i].text);
    free(t->cells);
    *t = (struct table){ 0 };
}

/* Takes the text over. */
static void append_cell(struct table *t, enum tone tone, char *text)
{
    if (t->n_cells == t->size) {
        t->size = t->size ? t->size * 2 : 64;
        t->cells = mem_resize(t->cells, t->size, sizeof *t->cells);
    }
    t->cells[t->n_cells++] = (struct table_cell){ text, tone };
}

void table_add(struct table *t, enum tone tone, const char *text)
{
    append_cell(t, tone, mem_copy_text(text && *text ? text : "-"));
}

void table_addf(struct table *t, enum tone tone, const char *format, ...)
{
    struct text text = { 0 };
    va_list arguments;

    va_start(arguments, format);
    text_vaddf(&text, format, arguments);
    va_end(arguments);
    append_cell(t, tone, text_take(&text));
}

void table_add_state(struct table *t, const char *word)
{
    table_add(t, word ? tone_of_state(word) : TONE_PLAIN, word);
}

static void measure(const struct table *t, unsigned widths[static TABLE_COLUMNS_MAX])
{
    for (size_t i = 0; i < t->n_columns; i++)
        widths[i] = terminal_columns(slice_of(t->columns[i].title));
    for (size_t i = 0; i < t->n_cells; i++) {
        unsigned width = terminal_columns(slice_of(t->cells[i].text));
        if (width > widths[i % t->n_columns])
            widths[i % t->n_columns] = width;
    }
}

static void add_spaces(struct text *out, unsigned n)
{
    text_addf(out, "%*s", (int)n, "");
}

/* How wide the last column may be; 0: as wide as it likes. */
static unsigned last_column_limit(const struct table *t, const struct terminal *terminal,
                                  const unsigned widths[static TABLE_COLUMNS_MAX])
{
    unsigned before = 0;
    for (size_t i = 0; i + 1 < t->n_columns; i++)
        before += widths[i] + GAP;
    if (!terminal->width)
        return 0;
    return terminal->width > before + LAST_COLUMN_MIN ? terminal->width - before : LAST_COLUMN_MIN;
}

struct table_layout {
    const struct terminal *terminal;
    unsigned widths[TABLE_COLUMNS_MAX];
    unsigned last_limit;
};

static void write_cell(const struct table *t, const struct table_layout *layout, size_t column, enum tone tone, const char *text,
                       struct text *out)
{
    bool last = column + 1 == t->n_columns, right = t->columns[column].align == ALIGN_RIGHT;
    unsigned limit = last ? layout->last_limit : 0;
    unsigned width = terminal_columns(slice_of(text));
    unsigned padding = layout->widths[column] > width ? layout->widths[column] - width : 0;

    if (right)
        add_spaces(out, padding);
    text_add(out, terminal_tone_begin(layout->terminal, tone));
    terminal_add_text(out, slice_of(text), limit);
    text_add(out, terminal_tone_end(layout->terminal, tone));
    if (last)
        text_add(out, "\n");
    else
        add_spaces(out, right ? GAP : padding + GAP);
}

void table_write(const struct table *t, const struct terminal *terminal, bool cut, struct text *out)
{
    struct table_layout layout = { .terminal = terminal };

    measure(t, layout.widths);
    layout.last_limit = cut ? last_column_limit(t, terminal, layout.widths) : 0;
    for (size_t i = 0; i < t->n_columns; i++)
        write_cell(t, &layout, i, TONE_HEADING, t->columns[i].title, out);
    for (size_t i = 0; i < t->n_cells; i++)
        write_cell(t, &layout, i % t->n_columns, t->cells[i].tone, t->cells[i].text, out);
}
