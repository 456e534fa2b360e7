/* What cloudflared is told: how it is started, and the file by which its own commands ask us. */
#include "cli/run_command.h"
#include "cli/origin_cert.h"

#include "base/base64.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#define ID "c1744f8b-faa1-48a4-9e5c-02ac921467fa"

static const char *const one[] = { "127.0.0.1:7844" };
static const char *const three[] = { "a.example.com:7844", "[2001:db8::1]:7844", "b.example.com:443" };

static const struct run_command sample = {
    .id = ID,
    .name = "ams",
    .token = "eyJhIjoiYWNjb3VudCJ9",
    .credentials = "{\"AccountTag\":\"account\"}",
    .ca = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n",
    .edge = one,
    .n_edge = 1,
    .connections = 1,
    .url = "http://localhost:8080",
    .here = "/home/ams",
};

static void assert_writes(void (*write)(const struct run_command *, struct text *), const struct run_command *r,
                          const char *expected)
{
    struct text out = { 0 };
    write(r, &out);
    assert_string_equal(out.p, expected);
    text_clear(&out);
}

/* With a single address cloudflared dials without a pause while it can't connect. */
static void a_lone_address_is_given_twice(void **state)
{
    (void)state;
    assert_writes(
        run_command_line, &sample,
        "env TUNNEL_NO_PRECHECKS=true cloudflared tunnel --no-autoupdate --edge 127.0.0.1:7844 --edge 127.0.0.1:7844 --cacert penstock-ca.pem --protocol http2 "
        "--retries 1 --cred-file " ID ".json run --url http://localhost:8080 " ID "\n");
    assert_writes(run_command_yaml, &sample,
                  "tunnel: " ID "\ncredentials-file: \"/home/ams/" ID ".json\"\nedge:\n  - \"127.0.0.1:7844\"\n  - \"127.0.0.1:7844\"\n"
                  "cacert: \"/home/ams/penstock-ca.pem\"\nprotocol: http2\nretries: 1\nno-prechecks: true\nno-autoupdate: true\n"
                  "ingress:\n  - service: \"http://localhost:8080\"\n");
    assert_writes(
        run_command_environment, &sample,
        "TUNNEL_EDGE=127.0.0.1:7844,127.0.0.1:7844\nTUNNEL_CACERT=/home/ams/penstock-ca.pem\nTUNNEL_TRANSPORT_PROTOCOL=http2\nTUNNEL_RETRIES="
        "1\n"
        "TUNNEL_NO_PRECHECKS=true\nNO_AUTOUPDATE=true\nTUNNEL_URL=http://localhost:8080\nTUNNEL_TOKEN=eyJhIjoiYWNjb3VudCJ9\n");
}

/* It makes a connection per address, and four at the most unless told otherwise. */
static void addresses_are_repeated_for_more_connections(void **state)
{
    struct run_command r = sample;
    (void)state;

    r.edge = three;
    r.n_edge = 2;
    r.connections = 5;
    assert_writes(
        run_command_line, &r,
        "env TUNNEL_NO_PRECHECKS=true cloudflared tunnel --no-autoupdate --edge a.example.com:7844 --edge '[2001:db8::1]:7844' --edge a.example.com:7844 "
        "--edge '[2001:db8::1]:7844' --edge a.example.com:7844 --ha-connections 5 --cacert penstock-ca.pem --protocol http2 "
        "--retries 1 --cred-file " ID ".json run --url http://localhost:8080 " ID "\n");
    r.connections = 4;
    assert_writes(
        run_command_environment, &r,
        "TUNNEL_EDGE=a.example.com:7844,[2001:db8::1]:7844,a.example.com:7844,[2001:db8::1]:7844\nTUNNEL_CACERT=/home/ams/penstock-ca.pem\n"
        "TUNNEL_TRANSPORT_PROTOCOL=http2\nTUNNEL_RETRIES=1\nTUNNEL_NO_PRECHECKS=true\nNO_AUTOUPDATE=true\n"
        "TUNNEL_URL=http://localhost:8080\nTUNNEL_TOKEN=eyJhIjoiYWNjb3VudCJ9\n");
}

/* Brackets would be a pattern for a shell, and a list for YAML. */
static void several_addresses_are_given_once_each(void **state)
{
    struct run_command r = sample;
    (void)state;

    r.edge = three;
    r.n_edge = 3;
    r.url = NULL; /* it gets its rules from us */
    assert_writes(
        run_command_line, &r,
        "env TUNNEL_NO_PRECHECKS=true cloudflared tunnel --no-autoupdate --edge a.example.com:7844 --edge '[2001:db8::1]:7844' --edge b.example.com:443 "
        "--cacert penstock-ca.pem --protocol http2 --retries 1 --cred-file " ID ".json run " ID "\n");
    assert_writes(run_command_yaml, &r,
                  "tunnel: " ID "\ncredentials-file: \"/home/ams/" ID ".json\"\nedge:\n  - \"a.example.com:7844\"\n  - \"[2001:db8::1]:7844\"\n"
                  "  - \"b.example.com:443\"\ncacert: \"/home/ams/penstock-ca.pem\"\nprotocol: http2\nretries: 1\nno-prechecks: "
                  "true\nno-autoupdate: true\n");
    assert_writes(run_command_environment, &r,
                  "TUNNEL_EDGE=a.example.com:7844,[2001:db8::1]:7844,b.example.com:443\nTUNNEL_CACERT=/home/ams/penstock-ca.pem\n"
                  "TUNNEL_TRANSPORT_PROTOCOL=http2\nTUNNEL_RETRIES=1\nTUNNEL_NO_PRECHECKS=true\nNO_AUTOUPDATE=true\n"
                  "TUNNEL_TOKEN=eyJhIjoiYWNjb3VudCJ9\n");
}

static void assert_in_order(const struct run_command *r, const char *const *in_order, size_t n)
{
    struct text out = { 0 };
    run_command_script(r, &out);
    const char *from = out.p;
    for (size_t i = 0; i < n; i++) {
        const char *found = strstr(from, in_order[i]);
        if (!found)
            fail_msg("no %s in: %s", in_order[i], from);
        from = found + 1;
    }
    text_clear(&out);
}

/* Files that it names are made before it runs, and nobody else may read them. */
static void the_script_has_all_it_needs(void **state)
{
    static const char *const in_order[] = {
        "umask 077\n",
        "cat > penstock-ca.pem <<'EOF'\n-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\nEOF\n",
        "cat > " ID ".json <<'EOF'\n{\"AccountTag\":\"account\"}\nEOF\n",
        "--config ams.yml run\ncat > ams.yml <<EOF\ntunnel: ",
        "\ncredentials-file: \"$PWD/" ID ".json\"\n",
        "\ncacert: \"$PWD/penstock-ca.pem\"\n",
        "env $(cat ams.env) cloudflared tunnel run\ncat > ams.env <<EOF\nTUNNEL_EDGE=",
        "\nTUNNEL_CACERT=$PWD/penstock-ca.pem\n",
        "\nenv TUNNEL_NO_PRECHECKS=true cloudflared tunnel --no-autoupdate --edge ",
    };
    (void)state;
    assert_in_order(&sample, in_order, sizeof in_order / sizeof *in_order);
}

static void all_is_in_the_folder_that_was_given(void **state)
{
    static const char *const in_order[] = {
        "umask 077\n\nmkdir -p \"/etc/cloudflared\"\ncat > \"/etc/cloudflared/penstock-ca.pem\" <<'EOF'\n",
        "\ncat > \"/etc/cloudflared/" ID ".json\" <<'EOF'\n",
        "--config \"/etc/cloudflared/ams.yml\" run\ncat > \"/etc/cloudflared/ams.yml\" <<EOF\n",
        "\ncredentials-file: \"/etc/cloudflared/" ID ".json\"\n",
        "\ncacert: \"/etc/cloudflared/penstock-ca.pem\"\n",
        "env $(cat \"/etc/cloudflared/ams.env\") cloudflared",
        "\nTUNNEL_CACERT=/etc/cloudflared/penstock-ca.pem\n",
        " --cacert \"/etc/cloudflared/penstock-ca.pem\" ",
        " --cred-file \"/etc/cloudflared/" ID ".json\" run",
    };
    struct run_command r = sample;
    (void)state;
    r.folder = "/etc/cloudflared";
    assert_in_order(&r, in_order, sizeof in_order / sizeof *in_order);
}

static void services_that_a_shell_leaves_alone(void **state)
{
    static const struct {
        const char *url;
        bool plain;
    } cases[] = {
        { "http://localhost:8080", true },     { "https://[::1]:8443/a-b_c.d%20e?x", true },
        { "unix:/run/app.sock", true },        { "http_status:404", true },
        { "", false },                         { "http://a b", false },
        { "http://a'; touch /tmp/x; '", false }, { "http://a\n- service: b", false },
        { "http://$(id)", false },             { "http://a\"", false },
        { "http://a#b", false },               { "http://\xc3\xa9", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (run_command_is_plain(cases[i].url) != cases[i].plain)
            fail_msg("%s", cases[i].url);
}

/* --- the certificate file --- */

static void the_origin_certificate_is_a_pem_block(void **state)
{
    static const char begin[] = "-----BEGIN ARGO TUNNEL TOKEN-----\n", end[] = "-----END ARGO TUNNEL TOKEN-----\n";
    char base64[512] = "", json[512];
    size_t n = 0;
    char *pem = origin_cert_write("zone", "account", "to\"ken-0123456789-0123456789-0123456789");
    (void)state;

    assert_memory_equal(pem, begin, sizeof begin - 1);
    assert_string_equal(pem + strlen(pem) - (sizeof end - 1), end);
    for (char *line = pem + sizeof begin - 1, *next; strcmp(line, end) != 0; line = next) {
        next = strchr(line, '\n') + 1;
        assert_true(next - line <= 65);
        strncat(base64, line, (size_t)(next - line) - 1);
    }
    assert_true(base64_decode(slice_of(base64), BASE64_PADDING_OPTIONAL, json, sizeof json - 1, &n));
    json[n] = '\0';
    assert_string_equal(
        json, "{\"zoneID\":\"zone\",\"accountID\":\"account\",\"apiToken\":\"to\\\"ken-0123456789-0123456789-0123456789\"}");
    mem_free_secret(pem);
    assert_null(origin_cert_write("zone", "account", "\xff"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lone_address_is_given_twice),
        cmocka_unit_test(addresses_are_repeated_for_more_connections),
        cmocka_unit_test(several_addresses_are_given_once_each),
        cmocka_unit_test(the_script_has_all_it_needs),
        cmocka_unit_test(all_is_in_the_folder_that_was_given),
        cmocka_unit_test(services_that_a_shell_leaves_alone),
        cmocka_unit_test(the_origin_certificate_is_a_pem_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
