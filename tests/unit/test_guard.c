/* What never reaches a connector, and what must still. */
#include "edge/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void commands_of_the_edge_are_dropped(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool dropped;
    } rows[] = {
        { "cf-cloudflared-proxy-connection-upgrade", true },
        { "Cf-Cloudflared-Proxy-Connection-Upgrade", true },
        { "CF-CLOUDFLARED-PROXY-SRC", true },
        { "cf_cloudflared_proxy_connection_upgrade", true },
        { "cf-cloudflared_proxy-src", true },
        { "Cf_cLoUdFlArEd-x", true },
        { "cf-cloudflared-", true },
        { "cf-cloudflared-response-headers", true },
        { "cf-cloudflared-anything-new", true },
        { "cf-int-cloudflared-tracing", true },
        { "CF_INT_X", true },
        { "cf-proxy-worker", true },
        { "Cf_Proxy_Worker", true },
        { "cf-warp-tag-id", true },
        { "CF-Warp_Tag-Id", true },
        { "cf-trace-id", true },
        { "Cf_Trace_Id", true },
        { "CF-TRACE-ID", true },
        { "", false },
        { "cf", false },
        { "cf-", false },
        { "cf-cloudflared", false },
        { "cf-trace-i", false },
        { "cf-trace-id2", false },
        { "cf-ray", false },
        { "cf-connecting-ip", false },
        { "cf-ipcountry", false },
        { "cf-visitor", false },
        { "cf-intro", false },
        { "cf-proxyx", false },
        { "xcf-int-a", false },
        { "x-cf-cloudflared-a", false },
        { "cfcloudflared-a", false },
        { "cf--cloudflared-a", false },
        { "host", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (guard_drops_field(slice_of(rows[i].name)) != rows[i].dropped)
            fail_msg("'%s' is %s", rows[i].name, rows[i].dropped ? "let through" : "dropped");
}

static void the_management_host_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool refused;
    } rows[] = {
        { "management.argotunnel.com", true },
        { "MANAGEMENT.ArgoTunnel.COM", true },
        { "management.argotunnel.com.", true },
        { "management.argotunnel.com..", true },
        { "management..argotunnel.com", true },
        { "management.argotunnel.com:443", true },
        { "management.argotunnel.com:", true },
        { "Management.argotunnel.com.:8443", true },
        { "management%2eargotunnel.com", true },
        { "%6D%61nagement.argotunnel.com%2E", true },
        { "%4danagement.argotunnel.com", true },
        { "management.fed.argotunnel.com", true },
        { "management.fed.argotunnel.com.:80", true },
        { "", false },
        { ".", false },
        { ":", false },
        { "argotunnel.com", false },
        { "xmanagement.argotunnel.com", false },
        { "a.management.argotunnel.com", false },
        { "management.argotunnel.com.example.com", false },
        { "management.argotunnel.co", false },
        { "management.argotunnel.com%", false },
        { "management.argotunnel.com%2", false },
        { "management.argotunnel.com%2g", false },
        { "management.argotunnel.com%00", false },
        { "[::1]:443", false },
        { "a-name-that-is-very-much-longer-than-any-of-the-names-that-are-refused.example.com", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (guard_refuses_host(slice_of(rows[i].host)) != rows[i].refused)
            fail_msg("'%s' is %s", rows[i].host, rows[i].refused ? "let through" : "refused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_of_the_edge_are_dropped),
        cmocka_unit_test(the_management_host_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
