package simulator

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// formOf reads a form, or the JSON object that some providers take instead.
func formOf(w http.ResponseWriter, r *http.Request) (map[string]string, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("reading the form: %w", err)
	}
	form := make(map[string]string)
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind {
	case "application/json":
		if err := json.Unmarshal(b, &form); err != nil {
			return nil, errors.New("the body must be a JSON object of strings")
		}
	case "application/x-www-form-urlencoded":
		values, err := url.ParseQuery(string(b))
		if err != nil {
			return nil, errors.New("the form is not well encoded")
		}
		for name, v := range values {
			if len(v) > 1 {
				return nil, fmt.Errorf("%s must not come twice", name) // RFC 6749 section 3.2
			}
			form[name] = v[0]
		}
	default:
		return nil, errors.New("Content-Type must be application/x-www-form-urlencoded or application/json")
	}
	return form, nil
}

// A client is who asks at the token endpoint, and how it proved that.
type client struct {
	id     string
	how    string // "basic", "body", "assertion", or "none" for a public client
	reason string // why it is refused; empty: it is not
}

// clientOf authenticates a client (RFC 6749 section 2.3). known is id → secret;
// nil: everybody's word is taken.
func clientOf(r *http.Request, form map[string]string, known map[string]string) client {
	c := client{id: form["client_id"], how: "none"}
	secret := ""
	if scheme, encoded, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "basic") {
		if form["client_secret"] != "" {
			c.reason = "credentials came both in the header and in the body"
			return c
		}
		c.how = "basic"
		if c.id, secret, ok = basic(encoded); !ok {
			c.reason = "the Basic credentials are not two form-encoded values"
			return c
		}
	} else if form["client_secret"] != "" {
		c.how, secret = "body", form["client_secret"]
	} else if form["client_assertion"] != "" {
		c.how = "assertion" // see assertions.client
		return c
	}
	if c.how == "none" && c.id == "" && (form["grant_type"] == grantJWT || form["grant_type"] == grantExchange) {
		return c // what is shown for the token says who asks, too: RFC 7521 section 4.1
	}
	want, isKnown := known[c.id]
	if known != nil && (!isKnown || c.how != "none" && want != secret) {
		c.reason = "unknown client or wrong secret"
	}
	return c
}

// basic undoes the encoding of RFC 6749 section 2.3.1: each part is
// form-encoded before the two are joined, so that a secret may hold a colon.
func basic(encoded string) (id, secret string, ok bool) {
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	first, second, found := strings.Cut(string(plain), ":")
	if err != nil || !found {
		return "", "", false
	}
	id, err = url.QueryUnescape(first)
	if err != nil {
		return "", "", false
	}
	secret, err = url.QueryUnescape(second)
	return id, secret, err == nil
}
