/* OpenSSL's memory. A connection gives its two record buffers back between messages, so that an idle one has none; each thread keeps a
 * few of them for the next, because to the general allocator they are large, and cost as much as the rest of a small message. */
#ifndef PENSTOCK_NET_TLS_MEMORY_H
#define PENSTOCK_NET_TLS_MEMORY_H

/* Once, before anything uses OpenSSL; without effect afterwards. */
void tls_memory_keep_buffers(void);

#endif
