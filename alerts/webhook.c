/* A POST of the event's JSON to a URL, signed by the Standard Webhooks convention when the channel has a secret. */
#include "alerts/channel.h"
#include "alerts/signature.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ERROR_SIZE = 256 };

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool there = curl_url_get(url, part, &text, 0) == CURLUE_OK && *text;
    curl_free(text);
    return there;
}

/* libcurl takes the first word of a path for one that is missing. */
static bool names_no_host(const char *text, CURLU *url)
{
    const char *slashes = strstr(text, "://");
    return !has_part(url, CURLUPART_HOST) || (slashes && slashes[3] == '/');
}

static bool is_http(CURLU *url)
{
    char *scheme = NULL;
    bool http = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && (strcmp(scheme, "https") == 0 || strcmp(scheme, "http") == 0);
    curl_free(scheme);
    return http;
}

/* The message never repeats the URL: with many receivers it is the secret. */
static const char *what_is_wrong_with_url(const char *text)
{
    if (!text || !*text)
        return "url is missing";
    CURLU *url = curl_url();
    if (!url)
        return "out of memory";
    const char *wrong = NULL;
    if (curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
        wrong = "url is not a URL: write https://host/path";
    else if (!is_http(url))
        wrong = "url must begin with https:// or http://";
    else if (names_no_host(text, url))
        wrong = "url names no host";
    else if (has_part(url, CURLUPART_FRAGMENT))
        wrong = "url has a fragment (#…), which is never sent";
    curl_url_cleanup(url);
    return wrong;
}

static bool webhook_check(const struct channel_conf *channel, char *error)
{
    const char *wrong = what_is_wrong_with_url(channel->url);
    if (wrong) {
        snprintf(error, ERROR_SIZE, "%s", wrong);
        return false;
    }
    wrong = channel->secret ? signature_check_secrets(channel->secret) : NULL;
    if (wrong)
        snprintf(error, ERROR_SIZE, "secret: %s", wrong);
    return !wrong;
}

static void webhook_compose(const struct channel_conf *channel, const struct event *event, nsec_t wall, struct channel_request *out)
{
    int64_t seconds = wall / NSEC_PER_SEC;

    text_add(&out->url, channel->url);
    event_write_json(event, &out->body);
    text_addf(&out->headers, "Content-Type: application/json\nwebhook-id: %s\nwebhook-timestamp: %" PRId64 "\n", event->id, seconds);
    if (!channel->secret)
        return;
    text_add(&out->headers, "webhook-signature: ");
    signature_write(channel->secret, event->id, seconds, out->body.p, out->body.n, &out->headers);
    text_add(&out->headers, "\n");
}

static enum delivery webhook_judge(unsigned status, const char *body)
{
    (void)body;
    if (status >= 200 && status < 300)
        return DELIVERY_DONE;
    if (status == 410)
        return DELIVERY_GONE;
    if (status >= 400 && status < 500 && status != 408 && status != 425 && status != 429)
        return DELIVERY_REFUSED;
    return DELIVERY_RETRY; /* nothing, a redirect (which is not followed), overload, a server's error */
}

const struct channel_type channel_webhook = {
    .name = "webhook",
    .check = webhook_check,
    .compose = webhook_compose,
    .judge = webhook_judge,
};
