#include "conf/conf.h"

#include "base/mem.h"

#include <string.h>

enum { MESSAGES_MAX = 1000 };

static int compare(const struct source *a, const struct source *b)
{
    int by_file = strcmp(a->file, b->file);
    return by_file ? by_file : (a->line > b->line) - (a->line < b->line);
}

/* Behind those of the same line, so that what was found first is read first. */
static size_t place_for(const struct conf_messages *m, const struct source *at)
{
    size_t i = m->n;
    while (i > 0 && compare(&(struct source){ m->items[i - 1].file, m->items[i - 1].line }, at) > 0)
        i--;
    return i;
}

void conf_messages_add(struct conf_messages *m, enum conf_severity severity, const struct source *at, const char *format, ...)
{
    struct text text = { 0 };
    va_list arguments;

    if (severity == CONF_ERROR)
        m->errors++;
    if (m->n >= MESSAGES_MAX)
        return;
    va_start(arguments, format);
    text_vaddf(&text, format, arguments);
    va_end(arguments);
    size_t i = place_for(m, at);
    m->items = mem_resize(m->items, m->n + 1, sizeof *m->items);
    memmove(m->items + i + 1, m->items + i, (m->n - i) * sizeof *m->items);
    m->items[i] = (struct conf_message){ severity, mem_copy_text(at->file), at->line, text_take(&text) };
    m->n++;
}

void conf_messages_clear(struct conf_messages *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free((char *)m->items[i].file);
        free((char *)m->items[i].text);
    }
    free(m->items);
    *m = (struct conf_messages){ 0 };
}

void conf_message_print(const struct conf_message *message, struct text *out)
{
    text_add(out, message->file);
    if (message->line)
        text_addf(out, ":%u", message->line);
    text_addf(out, ": %s%s", message->severity == CONF_WARNING ? "warning: " : "", message->text);
}

void conf_messages_print(const struct conf_messages *m, struct text *out)
{
    for (size_t i = 0; i < m->n; i++) {
        conf_message_print(&m->items[i], out);
        text_add(out, "\n");
    }
}
