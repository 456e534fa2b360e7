/* A doubly linked list threaded through its members. A node that is on no list points to itself. */
#ifndef PENSTOCK_BASE_LIST_H
#define PENSTOCK_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_insert_between(struct list *node, struct list *before, struct list *after)
{
    node->prev = before;
    node->next = after;
    before->next = node;
    after->prev = node;
}

static inline void list_push_front(struct list *l, struct list *node)
{
    list_insert_between(node, l, l->next);
}

static inline void list_push_back(struct list *l, struct list *node)
{
    list_insert_between(node, l->prev, l);
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* NULL when the list is empty. */
static inline struct list *list_pop_front(struct list *l)
{
    if (list_empty(l))
        return NULL;
    struct list *node = l->next;
    list_remove(node);
    return node;
}

/* Moves all of `from` to the end of `to`. */
static inline void list_append_all(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* The body may remove `node` itself, no other. */
#define LIST_FOR_EACH(node, l) \
    for (struct list *node = (l)->next, *node##_next = node->next; node != (l); node = node##_next, node##_next = node->next)

#endif
