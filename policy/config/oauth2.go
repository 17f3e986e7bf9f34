package config

import (
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

func defaultOAuth2() OAuth2 { return OAuth2{ClientAuth: "auto", RefreshShare: 0.2} }

// grantAgrees reports what a grant needs, and what it cannot use.
func grantAgrees(n node, o *OAuth2) {
	if !n.sound("grant", "refresh_token", "client_secret", "client_auth") {
		return
	}
	if o.Grant == "authorization_code" {
		loginAgrees(n, o)
	}
	switch {
	case o.Grant == "refresh_token" && o.RefreshToken == "" && !n.excused("refresh_token", Auth{Type: "oauth2", OAuth2: *o}):
		n.child("refresh_token").deny("is missing: the first one, such as \"env:CRM_REFRESH_TOKEN\"; those that come later are kept in the store")
	case o.Grant == "client_credentials" && o.RefreshToken != "":
		n.child("refresh_token").deny("does not belong to the grant client_credentials, which needs none")
	}
	switch {
	case o.ClientAuth == "none" && o.ClientSecret != "":
		n.child("client_secret").deny("is not sent where client_auth is \"none\"")
	case o.ClientAuth != "none" && o.ClientSecret == "" && n.writes("client_auth"):
		n.child("client_secret").deny("is missing: client_auth sends one; \"none\" is for public clients")
	case o.ClientSecret == "" && o.Grant == "client_credentials":
		n.child("client_secret").deny("is missing: the grant client_credentials has nothing else to show (RFC 6749 section 4.4)")
	case o.ClientSecret == "":
		o.ClientAuth = "none"
	}
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

func scopes(key string) field[OAuth2] {
	read := list(key, func(l *[]string) *[]string { return l }, readText, func(v string) string {
		if v == "" || strings.ContainsAny(v, " \"\\") {
			return "must be one scope (RFC 6749 section 3.3), without spaces and quotes"
		}
		return ""
	})
	return field[OAuth2]{key: key, read: func(n node, o *OAuth2) {
		var all []string
		read.read(n, &all)
		o.Scopes = strings.Join(all, " ")
	}}
}

// reservedParams are the parameters of a token request that other keys set.
var reservedParams = []string{"grant_type", "client_id", "client_secret", "refresh_token", "scope", "audience"}

// params reads further parameters of a request. Their values are not repeated: nobody
// knows what they are.
func params(key string, at func(*OAuth2) *string, reserved []string) field[OAuth2] {
	return field[OAuth2]{key: key, read: func(n node, o *OAuth2) {
		written, ok := n.raw.(map[string]any)
		if !ok {
			n.deny(`must be a table of texts, such as { resource = "https://api.example.com" }`)
			return
		}
		values := url.Values{}
		for _, name := range slices.Sorted(maps.Keys(written)) {
			text, ok := written[name].(string)
			switch {
			case !ok:
				n.child(name).deny("must be text in quotes")
			case slices.Contains(reserved, name):
				n.child(name).deny("has a key of its own")
			}
			values.Set(name, text)
		}
		*at(o) = values.Encode()
	}}
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
