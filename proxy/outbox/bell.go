package outbox

import "sync"

// A bell tells the sender that there are letters, without waiting for it.
type bell struct {
	rung chan struct{} // has a signal while there is something to hear

	mu    sync.Mutex
	lanes map[string]struct{} // that have new letters
	all   bool                // any lane may have some
}

func newBell() *bell {
	return &bell{rung: make(chan struct{}, 1), lanes: map[string]struct{}{}}
}

// ring says that a lane has a letter that is due.
func (b *bell) ring(lane string) {
	b.mu.Lock()
	b.lanes[lane] = struct{}{}
	b.mu.Unlock()
	b.signal()
}

// ringAll says that any lane may have one.
func (b *bell) ringAll() {
	b.mu.Lock()
	b.all = true
	b.mu.Unlock()
	b.signal()
}

func (b *bell) signal() {
	select {
	case b.rung <- struct{}{}:
	default: // it is to be heard already
	}
}

// heard gives the lanes for which it rang.
func (b *bell) heard() (lanes map[string]struct{}, all bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lanes, all = b.lanes, b.all
	b.lanes, b.all = map[string]struct{}{}, false
	return lanes, all
}
