package policy

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// A scope is the context of a call within its time, or of one of its attempts. It keeps
// what package context promises, and is made for calls that end well: what only those
// need that wait for something, a channel and somebody to tell of the end, is made when it
// is asked for.
//
// Err is the cause itself, a *TimeoutError where one of our clocks ended it, and so is
// what context.Cause gives. A scope ends with what it is part of, which it is told of only
// when somebody waits for the end, as its clock runs only from then on.
type scope struct {
	context.Context // that it is part of
	call            *Call
	clock           *clock // of the call; nil: it has as long as it takes

	ended atomic.Pointer[outcome] // nil: it has not, as far as is known
	waits atomic.Pointer[waits]   // nil: nobody has waited for the end. Set once, with mu held
	mu    sync.Mutex              // guards what is in waits
}

// An outcome is why a scope has ended.
type outcome struct{ err error }

// The outcomes of what ends well.
var (
	leftOff = &outcome{context.Canceled}
	wasOver = &outcome{errOver}
)

// outcomeOf is that of a cause.
func outcomeOf(cause error) *outcome {
	switch cause { //nolint:errorlint // it is the very one that is told apart
	case context.Canceled:
		return leftOff
	case errOver:
		return wasOver
	}
	return &outcome{cause}
}

// waits are who waits for the end of a scope, and how it hears of that itself.
type waits struct {
	done  chan struct{} // nil: nobody has asked for it
	told  bool          // the end has come, and was told to all of these
	heirs []*heir       // are told of the end
	first [1]*heir      // room for most

	whole   *scope      // by this one it is told of the end of Context
	heir    *heir       // the one that it is there
	unheard func() bool // ends that where it is not by a scope; nil: Context never ends
}

// An heir is told of the end of a scope: a part of it, at once, or a function, on a
// goroutine of its own.
type heir struct {
	part *scope
	f    func()
}

type scopeKey struct{}

// Value gives what is known here, and else what Context has. Whoever asks package context
// for the cause of the end is to find Err, and not the cause of something above that has
// ended later.
func (s *scope) Value(key any) any {
	if _, own := key.(scopeKey); own {
		return s
	}
	if key == causeKey {
		return nil
	}
	return s.Context.Value(key)
}

// Err is the cause of the end; nil: it has not come.
func (s *scope) Err() error {
	if err := s.known(); err != nil || s.Context.Err() == nil {
		return err
	}
	s.end(nil)
	return s.known()
}

func (s *scope) known() error {
	if o := s.ended.Load(); o != nil {
		return o.err
	}
	return nil
}

// Done is closed at the end.
func (s *scope) Done() <-chan struct{} {
	done, made := s.channel()
	if made {
		s.run()
	}
	return done
}

// channel is what is closed at the end, and whether it was just made.
func (s *scope) channel() (done chan struct{}, made bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.hear()
	if w.done != nil {
		return w.done, false
	}
	w.done = make(chan struct{})
	if w.told {
		close(w.done)
	}
	return w.done, true
}

// run has the clock run, since somebody waits.
func (s *scope) run() {
	if s.clock != nil {
		s.clock.run()
	}
}

// AfterFunc is what context.AfterFunc does: package context asks for it where a context
// made of this one has to end with it.
func (s *scope) AfterFunc(f func()) (stop func() bool) {
	h := &heir{f: f}
	if !s.tell(h) {
		go f()
		return func() bool { return false }
	}
	s.run()
	return func() bool { return s.remove(h) }
}

// end ends the scope, if it has not ended: for a cause, or where that is nil as context.Canceled.
func (s *scope) end(cause error) {
	if cause == nil {
		cause = context.Canceled
	}
	s.endWith(outcomeOf(cause))
}

// endWith ends the scope, if it has not ended. Where what it is part of has ended, that was before.
func (s *scope) endWith(o *outcome) {
	if s.Context.Err() != nil {
		o = outcomeOf(context.Cause(s.Context))
	}
	if s.ended.CompareAndSwap(nil, o) {
		if w := s.waits.Load(); w != nil { // seldom
			s.tellAll(w)
		}
	}
}

// tellAll tells who waits of the end, once.
func (s *scope) tellAll(w *waits) {
	s.mu.Lock()
	if w.told {
		s.mu.Unlock()
		return
	}
	w.told = true
	if w.done != nil {
		close(w.done)
	}
	heirs := w.heirs
	w.heirs = nil
	s.mu.Unlock()

	switch {
	case w.whole != nil:
		w.whole.remove(w.heir)
	case w.unheard != nil:
		w.unheard()
	}
	for _, h := range heirs {
		if h.part != nil {
			h.part.end(nil)
		} else {
			go h.f()
		}
	}
}

// hear gives who waits, and has the scope told of the end of what it is part of, if it has
// not ended. mu is held. An end that comes meanwhile finds that somebody waits, or is found
// here.
func (s *scope) hear() *waits {
	if w := s.waits.Load(); w != nil {
		return w
	}
	w := new(waits)
	s.waits.Store(w)
	if w.told = s.known() != nil; w.told {
		return w
	}
	whole, _ := s.Context.Value(scopeKey{}).(*scope)
	switch {
	case whole != nil && whole.Done() == s.Context.Done(): // nothing between them ends by itself
		w.whole, w.heir = whole, &heir{part: s}
		if !whole.tell(w.heir) {
			go s.end(nil)
		}
	case s.Context.Done() != nil:
		w.unheard = context.AfterFunc(s.Context, func() { s.end(nil) })
	}
	return w
}

// tell has h told of the end, unless that has come.
func (s *scope) tell(h *heir) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.hear()
	if w.told {
		return false
	}
	w.add(h)
	return true
}

// add makes h an heir.
func (w *waits) add(h *heir) {
	if w.heirs == nil {
		w.heirs = w.first[:0]
	}
	w.heirs = append(w.heirs, h)
}

// remove makes h no heir any more, and reports whether it was one.
func (s *scope) remove(h *heir) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.waits.Load()
	i := slices.Index(w.heirs, h)
	if i >= 0 {
		w.heirs = slices.Delete(w.heirs, i, i+1)
	}
	return i >= 0
}

// causeKey is what context.Cause asks a context for.
var causeKey = keyAsked(func(ctx context.Context) { _ = context.Cause(ctx) })

// keyAsked gives the last key by which ask asks a context for a value: those of the
// standard library have no names.
func keyAsked(ask func(context.Context)) any {
	asked := &eavesdropper{Context: context.Background()}
	ask(asked)
	return asked.key
}

// An eavesdropper is a context that has ended, and has no values.
type eavesdropper struct {
	context.Context
	key any
}

func (*eavesdropper) Err() error { return context.Canceled }

func (e *eavesdropper) Value(key any) any {
	e.key = key
	return nil
}
