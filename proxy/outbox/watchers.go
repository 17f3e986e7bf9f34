package outbox

import (
	"context"
	"sync"
	"time"
)

// lookAgain is how often it is looked for what other processes do: they tell nobody.
const lookAgain = time.Second

// Wait waits until a letter has ended, and tells how.
func (o *Outbox) Wait(ctx context.Context, id string) (*View, error) {
	ended, forget := o.watchers.watch(id)
	defer forget()
	for {
		view, err := o.Letter(ctx, id)
		if err != nil || view.HasEnded() {
			return view, err
		}
		again := time.NewTimer(lookAgain)
		select {
		case <-ended:
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return view, context.Cause(ctx)
		}
		again.Stop()
	}
}

// watchers wait for the ends of letters, in this process.
type watchers struct {
	mu sync.Mutex
	of map[string]*watched // id of a letter → those who wait for its end
}

// A watched letter has count watchers.
type watched struct {
	ended chan struct{} // closed at its end
	count int
}

// watch gives a channel that is closed when a letter ends, until forget.
func (w *watchers) watch(id string) (ended <-chan struct{}, forget func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of = map[string]*watched{}
	}
	letter := w.of[id]
	if letter == nil {
		letter = &watched{ended: make(chan struct{})}
		w.of[id] = letter
	}
	letter.count++
	return letter.ended, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if letter.count--; letter.count == 0 && w.of[id] == letter {
			delete(w.of, id)
		}
	}
}

// tell tells those who wait for a letter that it has ended.
func (w *watchers) tell(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if letter := w.of[id]; letter != nil {
		close(letter.ended)
		delete(w.of, id)
	}
}
