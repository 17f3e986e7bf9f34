package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode"
)

// Wrap returns a decorator that asks src for a token for each request and
// injects it, in place of whatever the caller sent under the same name.
func Wrap(src Source) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return &transport{src: src, next: next}
	}
}

type transport struct {
	src  Source
	next http.RoundTripper
}

// RoundTrip sends one request with the credential in it.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	r2, err := t.authorize(req)
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	resp, err := t.next.RoundTrip(r2)
	if resp != nil && r2 != req {
		resp.Request = req // the secret goes no further up than this
	}
	return resp, err
}

// authorize returns the request with its credential: a copy, or req itself
// where there is nothing to change.
func (t *transport) authorize(req *http.Request) (*http.Request, error) {
	ctx := req.Context()
	token, err := t.src.Token(ctx, Token{})
	if err != nil {
		return nil, unavailable(ctx, err)
	}
	switch {
	case token.Remove:
		if _, there := req.Header[token.Header]; !there {
			return req, nil
		}
	case token.Header != "" || token.Query != "":
		if err := token.check(); err != nil {
			return nil, unavailable(ctx, err)
		}
	default:
		return req, nil
	}

	r2 := new(http.Request)
	*r2 = *req // shallow: the values of its Trailer arrive later, in the same map
	switch {
	case token.Query != "":
		r2.URL = new(url.URL)
		*r2.URL = *req.URL
		r2.URL.RawQuery = setParameter(req.URL.RawQuery, token.Query, token.Value.Reveal())
	case token.Remove:
		r2.Header = req.Header.Clone()
		delete(r2.Header, token.Header)
	default:
		if r2.Header = req.Header.Clone(); r2.Header == nil {
			r2.Header = http.Header{}
		}
		r2.Header[token.Header] = []string{token.Value.Reveal()}
	}
	return r2, nil
}

// check is the last look at a token of any Source before it is sent.
func (t Token) check() error {
	v := t.Value.Reveal()
	if v == "" {
		return errors.New(t.Kind + ": the token is empty")
	}
	if strings.ContainsFunc(v, unicode.IsControl) {
		return errors.New(t.Kind + ": the token contains a control character")
	}
	return nil
}

// unavailable makes the error of a call without a credential. A caller that
// left, or ran out of time, while a token was fetched is no lack of a token.
func unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, ok := errors.AsType[*UnavailableError](err); ok {
		return err
	}
	return &UnavailableError{Err: err}
}
