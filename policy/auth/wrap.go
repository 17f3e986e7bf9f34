package auth

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"outrider/policy/moment"
	"outrider/policy/replay"
)

// Wrap returns a decorator that asks src for a token for each request and
// injects it, in place of whatever the caller sent under the same name. Where the
// header or the trailers of the response show it, they get its placeholder.
//
// Informational responses do not come back through here: guard, if not nil, is
// told before a request is sent what those to it must not show.
func Wrap(src Source, guard func(context.Context, *Guard)) func(http.RoundTripper) http.RoundTripper {
	known, _ := src.(refusable)
	inMemory, _ := src.(*static)
	return func(next http.RoundTripper) http.RoundTripper {
		return &transport{src: src, known: known, static: inMemory, ends: ends(src), waits: waits(src), guard: guard, next: next}
	}
}

type transport struct {
	src    Source
	known  refusable // src, if it is one
	static *static   // src, if it is one, whose tokens are not copied
	ends   bool      // its tokens end: see WrapLast
	waits  bool      // it may take its time
	guard  func(context.Context, *Guard)
	next   http.RoundTripper
}

// RoundTrip sends one request with the credential in it; and once more, if that was
// refused and there is another by now.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.static != nil {
		token, err := t.static.lend()
		return t.carry(req, token, err)
	}
	token, err := t.src.Token(req.Context(), Token{})
	return t.carry(req, &token, err)
}

// carry sends a request with a token, unless there is an error in place of that.
func (t *transport) carry(req *http.Request, token *Token, err error) (*http.Response, error) {
	if t.waits {
		moment.Of(req.Context()).Waited()
	}
	var in *injected
	if err != nil {
		err = unavailable(req.Context(), err)
	} else {
		in, err = inject(req, token)
	}
	switch {
	case err != nil:
		replay.CloseBody(req)
		return nil, err
	case in == nil:
		return t.next.RoundTrip(req)
	}
	resp, err := t.send(req, in, token)
	if err == nil && (t.known != nil || resp.StatusCode == http.StatusUnauthorized) {
		return t.judge(req, token, resp)
	}
	return resp, err
}

// judge goes by what an answer says of the token.
func (t *transport) judge(req *http.Request, token *Token, resp *http.Response) (*http.Response, error) {
	switch {
	case t.refuses(resp):
		return t.again(req, *token, resp)
	case t.known != nil && resp.StatusCode != http.StatusUnauthorized:
		t.known.accepted(*token)
	}
	return resp, nil
}

// send sends what was made of req, and makes token, where that ends, the one with which it
// went out.
func (t *transport) send(req *http.Request, in *injected, token *Token) (*http.Response, error) {
	if t.ends {
		return t.sendOff(req, in, token)
	}
	return in.send(req, t.guard, t.next)
}

// sendOff is send with a token that ends.
func (t *transport) sendOff(req *http.Request, in *injected, token *Token) (*http.Response, error) {
	e := &errand{Context: in.Context(), src: t.src, token: *token}
	in.Request = *in.WithContext(e)
	resp, err := in.send(req, t.guard, t.next)
	*token = e.token
	return resp, err
}

// injected is a copy of a request with its credential, and what most responses
// need: together, so that they are one allocation.
type injected struct {
	http.Request
	guard Guard
	value [1]string // of the field that was set
}

// send sends what was made of req.
func (in *injected) send(req *http.Request, guard func(context.Context, *Guard), next http.RoundTripper) (*http.Response, error) {
	if guard != nil {
		guard(req.Context(), &in.guard)
	}
	resp, err := next.RoundTrip(&in.Request)
	if resp != nil {
		in.receive(req, resp)
	}
	return resp, err
}

// inject returns the request with token in it, nil where there is nothing to change.
func inject(req *http.Request, token *Token) (*injected, error) {
	if token.plain() { // mostly
		return token.setHeader(req), nil
	}
	if token.Remove {
		return token.remove(req), nil
	}
	if err := token.bound(req); err != nil {
		return nil, err
	}
	if token.signing != nil {
		return token.prepare(req)
	}
	if token.Header == "" && token.Query == "" && token.Placeholder == "" {
		return nil, nil // there is nothing to change
	}
	if err := token.check(); err != nil {
		return nil, unavailable(req.Context(), err)
	}
	switch {
	case token.Query != "":
		return token.setQuery(req), nil
	case token.Header != "":
		return token.setHeader(req), nil
	}
	in, err := token.fill(req)
	if err != nil {
		return nil, unavailable(req.Context(), err)
	}
	return in, nil
}

// plain reports whether a token is a field, known to be sendable wherever requests go.
func (t *Token) plain() bool {
	return t.checked && t.Header != "" && t.Query == "" && t.Origin == "" && t.signing == nil && !t.Remove
}

// inject begins a request with the token in it. The copy is shallow: the values of
// its Trailer arrive later, in the same map. Of its header, too, only the map is another
// one where a field is set: lists of values are replaced, and never written to.
func (t *Token) inject(req *http.Request) *injected {
	in := copied(req)
	in.guard.watch(t)
	return in
}

func (t *Token) remove(req *http.Request) *injected {
	if _, there := req.Header[t.Header]; !there {
		return nil
	}
	in := t.inject(req)
	in.Header = maps.Clone(req.Header)
	delete(in.Header, t.Header)
	return in
}

func (t *Token) setHeader(req *http.Request) *injected {
	in := t.inject(req)
	if in.Header = maps.Clone(req.Header); in.Header == nil {
		in.Header = http.Header{}
	}
	in.value[0] = t.Value.Reveal()
	in.Header[t.Header] = in.value[:]
	return in
}

func (t *Token) setQuery(req *http.Request) *injected {
	in := t.inject(req)
	in.URL = new(url.URL)
	*in.URL = *req.URL
	in.URL.RawQuery = setParameter(req.URL.RawQuery, t.Query, t.Value.Reveal())
	return in
}

// receive takes the secret out of a response, and out of its trailers when they
// have come.
func (in *injected) receive(req *http.Request, resp *http.Response) {
	resp.Request = req // the secret goes no further up than this
	if in.guard.empty() {
		return
	}
	if len(resp.Status) >= len("200 ")+shortest { // seldom; a provider may choose its text
		resp.Status = in.guard.clean(resp.Status)
	}
	in.guard.Scrub(resp.Header)
	if endsWithBody(resp) { // mostly
		return
	}
	in.guard.Scrub(resp.Trailer)
	if _, upgraded := resp.Body.(io.Writer); upgraded || resp.Body == nil || resp.Body == http.NoBody {
		return
	}
	resp.Body = &guardedBody{resp.Body, resp, &in.guard}
}

// endsWithBody reports whether nothing can come after the body of a response: one of
// HTTP/1 that says how long it is has no trailers (RFC 9112 §6.5).
func endsWithBody(resp *http.Response) bool {
	return resp.ProtoMajor == 1 && resp.ContentLength >= 0 && resp.Trailer == nil
}

// check is the last look at a token of any Source before it is sent.
func (t *Token) check() error {
	if t.checked {
		return nil
	}
	v := t.Value.Reveal()
	if v == "" {
		return errors.New(t.Kind + ": the token is empty")
	}
	if hasControl(v) {
		return errors.New(t.Kind + ": the token contains a control character")
	}
	return nil
}

// hasControl reports whether there is a control character in a text. Most have nothing but
// ASCII, which is looked through quickly: it is done for each call.
func hasControl(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ' || c == 0x7f:
			return true
		case c >= utf8.RuneSelf:
			return strings.ContainsFunc(text[i:], unicode.IsControl)
		}
	}
	return false
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
