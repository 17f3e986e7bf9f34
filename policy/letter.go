package policy

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"outrider/policy/retry"
)

// LetterKey says in which header a letter made of req carries its idempotency key, and the
// key that req has already: without one the letter gets its own, which stays the same
// through all of its sends. The header is "" where the letter gets no key: the method needs
// none, or the configuration does not say that the provider honours those of ours.
func (p *Plan) LetterKey(req *http.Request) (header, key string) {
	cfg := p.Policy.Retry
	if cfg.IdempotencyHeader == "" {
		return "", ""
	}
	header = http.CanonicalHeaderKey(cfg.IdempotencyHeader)
	carried := slices.DeleteFunc(slices.Clone(req.Header[header]), func(key string) bool { return key == "" })
	switch {
	case len(carried) == 1:
		return header, carried[0]
	case len(carried) == 0 && cfg.MintKey && retry.Mints(req.Method):
		return header, ""
	}
	return "", ""
}

// KeepableHeader is the header of a request as a letter has it: without what the credential
// of the plan takes the place of when the letter is sent. refused names a field that holds a
// credential of the caller's own, which no letter may have; "": there is none. header is not
// written to.
func (p *Plan) KeepableHeader(header http.Header) (kept http.Header, refused string) {
	kept = maps.Clone(header)
	for _, name := range p.replaced() {
		delete(kept, name)
	}
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		if !accessHeader(name) {
			continue
		}
		for _, value := range kept[name] {
			if value != "" && !p.stoodIn(value) {
				return nil, name
			}
		}
	}
	return kept, ""
}

// KeepableQuery is KeepableHeader for the query of a request, without its question mark. A
// parameter that the credential takes the place of has the placeholder as its value, so that
// it stays where it is; all else is kept in the bytes in which it came.
func (p *Plan) KeepableQuery(raw string) (kept, refused string) {
	pairs := strings.Split(raw, "&")
	for i, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		decoded, err := url.QueryUnescape(name)
		if err != nil {
			decoded = name
		}
		switch {
		case p.Policy.Auth.Type == "query" && decoded == p.Policy.Auth.Name:
			pairs[i] = name + "=" + p.placeholder()
		case slices.Contains(accessParameters, strings.ToLower(decoded)) && value != "" && !p.stoodIn(value):
			return "", decoded
		}
	}
	return strings.Join(pairs, "&"), ""
}

// replaced are the header fields that the plan's credential takes the place of, whatever a
// caller has put there.
func (p *Plan) replaced() []string {
	switch auth := p.Policy.Auth; auth.Type {
	case "bearer", "basic", "oauth2", "github_app", "service_account":
		return []string{"Authorization"}
	case "sigv4":
		return []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token"}
	case "header":
		return []string{http.CanonicalHeaderKey(auth.Name)}
	}
	return nil
}

// placeholder is what callers write where the credential belongs.
func (p *Plan) placeholder() string { return p.upstream.Config.Placeholder() }

// stoodIn reports whether a value is no secret, since it has the placeholder of one in it:
// as it is, or inside the credentials of Basic (RFC 7617).
func (p *Plan) stoodIn(value string) bool {
	if scheme, encoded, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, "Basic") {
		if plain, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(encoded), "=")); err == nil {
			value = string(plain)
		}
	}
	return strings.Contains(value, p.placeholder())
}

// accessHeaders are header fields that give access, in lower case.
var accessHeaders = []string{
	"authorization", "proxy-authorization", "cookie", "apikey", "x-apikey", "private-token", "job-token",
	"x-amz-security-token", "x-auth-key", "x-auth-token", "x-vault-token", "x-session-token",
	"x-figma-token", "circle-token", "x-rapidapi-key", "x-functions-key",
}

// accessSuffixes are how the names of others end, in lower case: X-Goog-Api-Key,
// X-Shopify-Access-Token, X-Client-Secret, DD-Application-Key, Ocp-Apim-Subscription-Key,
// X-Postmark-Server-Token. Not all that end with Token are: X-Csrf-Token, X-Atlassian-Token.
var accessSuffixes = []string{
	"api-key", "access-key", "application-key", "subscription-key", "access-token", "auth-token", "authorization-token",
	"account-token", "server-token", "-secret",
}

// accessHeader reports whether a header field gives access, going by its name.
func accessHeader(name string) bool {
	lower := strings.ToLower(name)
	return slices.Contains(accessHeaders, lower) ||
		slices.ContainsFunc(accessSuffixes, func(suffix string) bool { return strings.HasSuffix(lower, suffix) })
}

// accessParameters are parameters of a query that give access, in lower case: that of RFC
// 6750 §2.3 and its kin, and those of URLs that are signed.
var accessParameters = []string{
	"access_token", "api_key", "apikey", "api-key", "auth_token", "client_secret",
	"x-amz-signature", "x-amz-security-token", "x-goog-signature",
}
