package auth

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"

	"outrider/policy/moment"
	"outrider/policy/replay"
)

// A refusable is a Source that knows more of a refusal than that a 401 is one.
type refusable interface {
	Source
	// refuses reports whether an answer is about the token. It may look at the beginning
	// of the body, and puts it back.
	refuses(resp *http.Response) bool
	// refusedNow is told of a refusal for whose call nothing can be done any more, so that
	// the next has a new token. It does not wait for it.
	refusedNow(ctx context.Context, t Token)
	// accepted is told of each answer that is no refusal and no 401. It is on the way of
	// every call.
	accepted(t Token)
}

const peekBytes = 8 << 10 // of the body of a refusal

// refuses reports whether an answer is about the token.
func (t *transport) refuses(resp *http.Response) bool {
	if t.known != nil {
		return t.known.refuses(resp)
	}
	return resp.StatusCode == http.StatusUnauthorized
}

// again gives the response to the same request with a new token, where there is one in
// place of the one that resp refuses: RFC 6750 §3.1 says that a client may then try
// again. Which method it has does not matter: a request that was refused for its
// credential was not carried out. Otherwise it gives back resp, to be read from its
// beginning. A second refusal is the answer.
func (t *transport) again(req *http.Request, token Token, resp *http.Response) (*http.Response, error) {
	if token.empty() {
		return resp, nil
	}
	ctx := req.Context()
	known := t.known
	if !replay.Possible(req) {
		if known != nil {
			known.refusedNow(ctx, token)
		}
		return resp, nil
	}
	fresh, err := t.src.Token(ctx, token)
	if err != nil || fresh == token || ctx.Err() != nil {
		return resp, nil //nolint:nilerr // the upstream's own answer says more
	}
	body, err := replay.Body(req)
	if err != nil {
		return resp, nil //nolint:nilerr // likewise
	}
	second := *req
	second.Body = body
	in, err := inject(&second, &fresh)
	if err != nil || in == nil {
		replay.CloseBody(&second)
		return resp, nil //nolint:nilerr // likewise
	}
	replay.Drop(ctx, resp) // its turn is given back with it, which the replay may need
	moment.Of(ctx).Waited()
	resp, err = t.send(req, in, &fresh)
	switch {
	case err != nil || known == nil:
	case known.refuses(resp):
		known.refusedNow(ctx, fresh)
	case resp.StatusCode != http.StatusUnauthorized:
		known.accepted(fresh)
	}
	return resp, err
}

// mentions reports whether the beginning of a body has one of the texts in it. The
// body can be read from its beginning afterwards.
func mentions(resp *http.Response, texts []string) bool {
	if len(texts) == 0 || resp.Body == nil || resp.Body == http.NoBody {
		return false
	}
	begin, err := io.ReadAll(io.LimitReader(resp.Body, peekBytes))
	rest := io.Reader(resp.Body)
	if err != nil {
		rest = failing{err}
	}
	resp.Body = &peekedBody{Reader: io.MultiReader(bytes.NewReader(begin), rest), Closer: resp.Body}
	plain := string(begin) + inflated(begin)
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(plain, text) })
}

// inflated is the beginning of what is compressed in b: it is our client who said
// that it understands gzip. It is "" if b is not gzip.
func inflated(b []byte) string {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return ""
	}
	plain, _ := io.ReadAll(io.LimitReader(r, 8*peekBytes)) // it ends where b does
	return string(plain)
}

// peekedBody is a body whose beginning was read, and put back.
type peekedBody struct {
	io.Reader
	io.Closer
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func (o *OAuth2) refuses(resp *http.Response) bool {
	return resp.StatusCode == http.StatusUnauthorized && !mentions(resp, o.set.NotExpiry)
}

func (o *OAuth2) refusedNow(ctx context.Context, t Token) { _, _, _ = o.ask(ctx, t) }

func (o *OAuth2) accepted(t Token) {
	if !o.doubted.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held.token == t {
		o.held.accepted = true
		o.doubted.Store(false)
	}
}
