package policy

import (
	"context"
	"sync/atomic"

	"outrider/policy/answer"
	"outrider/policy/auth"
	"outrider/policy/moment"
)

// notes are what stages tell each other of the attempt under way. Attempts of a call
// follow each other, and whoever asks has the latest answer in hand: so what is noted is
// never that of another. Two requests at a time have notes each: see apart.
type notes struct {
	guard   *auth.Guard                    // of the latest attempt; nil: none carried a secret. Who sends it has this to itself
	meaning atomic.Pointer[answer.Finding] // of the latest answer; nil: what its status says
}

type notesKey struct{}

// notesFrom are the notes that belong to a context; nil: there is no call.
func notesFrom(ctx context.Context) *notes {
	call := CallFrom(ctx)
	if call == nil {
		return nil
	}
	if call.raced.Load() {
		if own, ok := ctx.Value(notesKey{}).(*notes); ok {
			return own
		}
	}
	return &call.notes
}

// An apartContext is that of one of two requests of a call, which have nothing in common
// but the call.
type apartContext struct {
	context.Context
	notes *notes
}

// Value gives the notes, and nothing that is for one request at a time.
func (a *apartContext) Value(key any) any {
	switch key {
	case notesKey{}:
		return a.notes
	case moment.Key{}:
		return nil
	}
	return a.Context.Value(key)
}

// apart gives one of two requests notes of its own. chosen makes what they say of the
// answer what the call goes by.
func apart(ctx context.Context) (own context.Context, chosen func()) {
	call, n := CallFrom(ctx), new(notes)
	own = &apartContext{ctx, n}
	if call == nil {
		return own, nil
	}
	return own, func() {
		call.notes.meaning.Store(n.meaning.Load())
		call.notes.guard = n.guard
	}
}

// found notes what an answer means.
func found(ctx context.Context, f *answer.Finding) {
	if n := notesFrom(ctx); n != nil {
		n.meaning.Store(f)
	}
}

// finding is what the latest answer means; nil: what its status says.
func finding(ctx context.Context) *answer.Finding {
	if n := notesFrom(ctx); n != nil {
		return n.meaning.Load()
	}
	return nil
}

// guard notes what the responses to the next attempt must not show.
func guard(ctx context.Context, g *auth.Guard) {
	if n := notesFrom(ctx); n != nil {
		n.guard = g
	}
}

// guarded is what the responses to the latest attempt must not show. nil: it carried no
// secret, or there was none.
func guarded(ctx context.Context) *auth.Guard {
	if n := notesFrom(ctx); n != nil {
		return n.guard
	}
	return nil
}
