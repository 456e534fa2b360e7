/* The file that cloudflared's --origincert wants: a PEM block "ARGO TUNNEL TOKEN" with {"zoneID", "accountID", "apiToken"}. */
#ifndef PENSTOCK_CLI_ORIGIN_CERT_H
#define PENSTOCK_CLI_ORIGIN_CERT_H

/* The text, which holds the token; the caller frees it with mem_free_secret(). NULL if one of them is not UTF-8. */
char *origin_cert_write(const char *zone, const char *account, const char *api_token);

#endif
