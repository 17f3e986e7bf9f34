package auth

import (
	"context"
	"net/http"
	"time"

	"outrider/policy/moment"
	"outrider/policy/replay"
)

// WrapLast returns the decorator that stands where a request leaves, inside of
// everything that waits, below a [Wrap] of the same Source: what goes out is good
// when it does, and not only when its wait began. It asks src once more and puts in
// the token of now, if that is another one; a token that signs signs here. Without one
// nothing is sent. What took the place of a placeholder stays: if it is refused, the
// request is made anew.
//
// It is nil where there is nothing to look after: the tokens of src do not end.
func WrapLast(src Source, guard func(context.Context, *Guard)) func(http.RoundTripper) http.RoundTripper {
	if !ends(src) {
		return nil
	}
	return func(next http.RoundTripper) http.RoundTripper {
		return &last{src: src, guard: guard, next: next}
	}
}

// ends reports whether a token of src may be of no use any more after a wait.
func ends(src Source) bool {
	switch src.(type) {
	case fixed, *static:
		return false
	}
	return true
}

// waits reports whether somebody may have to wait for a token of src.
func waits(src Source) bool {
	switch src := src.(type) {
	case fixed:
		return false
	case *static:
		return !src.Constant
	}
	return true
}

type last struct {
	src   Source
	guard func(context.Context, *Guard)
	next  http.RoundTripper
}

// RoundTrip sends a request with the token of now.
func (l *last) RoundTrip(req *http.Request) (*http.Response, error) {
	e := errandOf(req.Context())
	if e == nil { // it carries no credential of ours
		return l.next.RoundTrip(req)
	}
	in, err := l.renew(req, e)
	moment.Of(req.Context()).Waited() // maybe for a token
	if err != nil {
		replay.CloseBody(req)
		return nil, err
	}
	if in == nil {
		return l.next.RoundTrip(req)
	}
	return in.send(req, l.guard, l.next)
}

// renew returns the request with the token of now, nil if that is in it already.
func (l *last) renew(req *http.Request, e *errand) (*injected, error) {
	token, err := l.src.Token(req.Context(), Token{})
	if err != nil {
		return nil, unavailable(req.Context(), err)
	}
	var in *injected
	switch {
	case token.signing != nil:
		in, err = token.sign(req, wallClock())
	case token != e.token:
		in, err = inject(req, &token)
	}
	if in != nil { // else what stands for a placeholder cannot be taken back
		e.token = token
	}
	return in, err
}

// An errand is a request on its way with a credential that ends. It is the context of
// that request: the stages below find the credential by it, and the one above which
// token went out.
type errand struct {
	context.Context
	src   Source
	token Token // which the request carries; one goroutine at a time sends it
}

type errandKey struct{}

// Value gives the errand itself, besides what its context has.
func (e *errand) Value(key any) any {
	if key == (errandKey{}) {
		return e
	}
	return e.Context.Value(key)
}

func errandOf(ctx context.Context) *errand {
	e, _ := ctx.Value(errandKey{}).(*errand)
	return e
}

// Until tells the credential of a request, which ctx belongs to, that the request
// will be sent at t. A token that ends before then is refreshed meanwhile, if its
// Source knows how: see OAuth2.Until. It does not wait.
func Until(ctx context.Context, t time.Time) {
	if e := errandOf(ctx); e != nil {
		if src, ok := e.src.(interface {
			Until(ctx context.Context, t time.Time)
		}); ok {
			src.Until(ctx, t)
		}
	}
}
