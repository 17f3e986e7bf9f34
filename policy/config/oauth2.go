package config

import (
	"net"
	"slices"
	"strings"
	"time"
)

func defaultOAuth2() OAuth2 {
	return OAuth2{ClientAuth: "auto", RefreshShare: 0.2, Signing: Signing{AssertionLifetime: 2 * time.Minute}}
}

// tokenURL reads where tokens come from.
func tokenURL(key string) field[OAuth2] {
	return field[OAuth2]{key: key, read: func(n node, o *OAuth2) {
		v, ok := readText(n)
		if !ok {
			return
		}
		u, problem := parseURL(v)
		if problem != "" {
			n.fail(problem)
			return
		}
		if u.Scheme == "http" && !loopback(net.JoinHostPort(u.Hostname(), "0")) {
			n.warn("sends the client's secret over a connection without TLS")
		}
		o.TokenURL = v
	}}
}

// scopes reads what a token is for.
func scopes(key string) field[OAuth2] {
	return words(key, func(o *OAuth2) *string { return &o.Scopes }, func(v string) string {
		if v == "" || strings.ContainsAny(v, " \"\\") {
			return "must be one scope (RFC 6749 section 3.3), without spaces and quotes"
		}
		return ""
	})
}

// reservedParams are the parameters of a token request that other keys set.
var reservedParams = []string{
	"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "refresh_token", "scope", "audience",
}

// params reads further parameters of a request.
func params(key string, at func(*OAuth2) *string, reserved []string) field[OAuth2] {
	return namedTexts(key, at, `must be a table of texts, such as { resource = "https://api.example.com" }`,
		func(name, _ string) string {
			if slices.Contains(reserved, name) {
				return "has a key of its own"
			}
			return ""
		})
}

// refreshBefore reads a share of the lifetime, or a time before its end.
func refreshBefore(key string) field[OAuth2] {
	const form = `must be a share of the lifetime, such as "20%", or a time, such as "5m"`
	return field[OAuth2]{key: key, read: func(n node, o *OAuth2) {
		text, ok := n.raw.(string)
		var d Duration
		var r Ratio
		switch {
		case ok && d.UnmarshalText([]byte(text)) == nil && d > 0:
			o.RefreshShare, o.RefreshBefore = 0, time.Duration(d)
		case ok && r.UnmarshalText([]byte(text)) == nil && r > 0 && r < 1:
			o.RefreshShare, o.RefreshBefore = float64(r), 0
		default:
			n.fail(form)
		}
	}}
}

// serviceAccountAgrees reports a service account that asks for no token, or for two.
func serviceAccountAgrees(n node, o *OAuth2) {
	switch {
	case !n.sound("scopes", "audience"):
	case o.Scopes == "" && o.Audience == "":
		n.child("scopes").missing(`what may the token do? Such as ["https://www.googleapis.com/auth/devstorage.read_only"]; or give an audience, for an ID token`)
	case o.Scopes != "" && o.Audience != "":
		n.child("audience").deny("is for an ID token, which has no scopes")
	}
}

// notExpiry reads texts that a 401 about something else than the token has in its
// body.
func notExpiry(key string) field[OAuth2] {
	read := list(key, func(l *[]string) *[]string { return l }, readText, func(v string) string {
		if strings.TrimSpace(v) == "" || strings.ContainsAny(v, "\r\n") {
			return "must be a part of the body of a 401, on one line"
		}
		return ""
	})
	return field[OAuth2]{key: key, read: func(n node, o *OAuth2) {
		var all []string
		read.read(n, &all)
		o.NotExpiry = strings.Join(all, "\n")
	}}
}
