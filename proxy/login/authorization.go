package login

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
)

// Settings say what is asked for, and where.
type Settings struct {
	Name         string // of what is logged in to, for the page that the browser ends at
	AuthorizeURL string // the provider's page; its query is kept
	TokenURL     string // the provider's other endpoint, whose host may be named as issuer, too
	ClientID     string
	Scopes       string            // separated by spaces; "": the provider's default
	Params       map[string]string // further parameters of the page

	// RedirectURL is where the page leads back to. "": http://127.0.0.1/callback. At
	// loopback without a port it gets Port, or else a free one. One that is not ours
	// has no listener: its answer is brought by Paste.
	RedirectURL string
	Port        int // 0: that of RedirectURL, or a free one
}

// A Code is what a provider gave for an authorization, and what proves that it is ours.
type Code struct {
	Code        string
	RedirectURL string // as it was in the request
	Verifier    string // RFC 7636 §4.1
}

// Format writes no value, for every verb.
func (c Code) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "REDACTED") }

// An Authorization is one request to a user, and the wait for the answer.
type Authorization struct {
	URL       string // where the browser has to go
	Listening bool   // the answer comes by itself, if the browser is on this machine

	set      Settings
	issuers  []string // hosts that may be named as issuer
	redirect redirect
	state    string
	verifier string

	server  *http.Server // nil: there is no listener
	serving sync.WaitGroup
	answers chan answer // the first one

	mu       sync.Mutex
	answered bool
	ended    chan struct{} // closed by Close
	outcome  error         // what Close was told; set before ended is closed
}

// Open makes the request, and listens for its answer. Close ends that.
func Open(s Settings) (*Authorization, error) {
	page, err := url.Parse(s.AuthorizeURL)
	if err != nil {
		return nil, errors.New("the authorization endpoint is no URL")
	}
	a := &Authorization{
		set: s, issuers: []string{page.Host},
		// Of 260 bits, in letters and digits, as RFC 7636 §4.1 and RFC 6749 §10.10 want.
		state: rand.Text(), verifier: rand.Text() + rand.Text(),
		answers: make(chan answer, 1), ended: make(chan struct{}),
	}
	if token, err := url.Parse(s.TokenURL); err == nil {
		a.issuers = append(a.issuers, token.Host)
	}
	if err := a.listen(); err != nil {
		return nil, err
	}
	page.RawQuery = a.query(page.Query()).Encode()
	a.URL = page.String()
	return a, nil
}

// query adds what is asked for to the query that a page has (RFC 6749 §4.1.1, RFC 7636
// §4.3).
func (a *Authorization) query(q url.Values) url.Values {
	for name, value := range a.set.Params {
		q.Set(name, value)
	}
	challenge := sha256.Sum256([]byte(a.verifier))
	q.Set("response_type", "code")
	q.Set("client_id", a.set.ClientID)
	q.Set("redirect_uri", a.redirect.url)
	q.Set("state", a.state)
	q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(challenge[:]))
	q.Set("code_challenge_method", "S256")
	if a.set.Scopes != "" {
		q.Set("scope", a.set.Scopes)
	}
	return q
}

// Wait gives the code of the answer. The error is a *RefusedError, what else is wrong
// with the answer, or the cause of ctx.
func (a *Authorization) Wait(ctx context.Context) (Code, error) {
	select {
	case got := <-a.answers:
		return Code{got.code, a.redirect.url, a.verifier}, got.err
	case <-ctx.Done():
		return Code{}, context.Cause(ctx)
	}
}
