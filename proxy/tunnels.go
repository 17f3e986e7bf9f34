package proxy

import (
	"context"
	"io"
	"maps"
	"slices"
	"sync"
)

// tunnels are the connections that no server knows of any longer.
type tunnels struct {
	mu      sync.Mutex
	open    map[*tunnel]struct{}
	idle    chan struct{} // closed when the last one ends while draining
	drained bool          // what begins now is too late
	held    int           // connections by CONNECT, opened ones among them
}

// A tunnel is its two ends. Only with both closed it ends for certain: a write to
// one of them that does not read is not woken by the end of the other.
type tunnel struct{ client, upstream io.Closer }

func (t *tunnel) close() {
	_ = t.client.Close()
	_ = t.upstream.Close()
}

// hold counts a connection by CONNECT, if there are fewer than most. The function
// that it returns counts it out again, once.
func (t *tunnels) hold(most int) (release func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held >= most {
		return nil, false
	}
	t.held++
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.held--
	}), true
}

// count is how many connections by CONNECT there are.
func (t *tunnels) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held
}

// relayed is how many there are.
func (t *tunnels) relayed() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// add notes a tunnel. The function that it returns closes and forgets it.
func (t *tunnels) add(client, upstream io.Closer) (done func()) {
	one := &tunnel{client, upstream}
	if late := t.note(one); late {
		one.close()
	}
	return func() {
		one.close()
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.open, one)
		if t.idle != nil && len(t.open) == 0 {
			close(t.idle)
			t.idle = nil
		}
	}
}

// note reports that the tunnels were drained before this one began.
func (t *tunnels) note(one *tunnel) (late bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[*tunnel]struct{})
	}
	t.open[one] = struct{}{}
	return t.drained
}

// drain waits until the tunnels have ended, and closes those that are left when
// ctx ends. That is no failure: clients keep tunnels open for what may come, and
// nobody can see from outside whether one is in use. One that somebody was still
// about to begin is closed when it does: nobody would wait for it.
func (t *tunnels) drain(ctx context.Context) {
	idle := make(chan struct{})
	t.mu.Lock()
	if len(t.open) == 0 {
		close(idle)
	} else {
		t.idle = idle
	}
	t.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	t.mu.Lock()
	t.drained = true
	left := slices.Collect(maps.Keys(t.open))
	t.mu.Unlock()
	for _, one := range left {
		one.close()
	}
	<-idle
}
