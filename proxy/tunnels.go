package proxy

import (
	"context"
	"io"
	"maps"
	"slices"
	"sync"
)

// tunnels are the connections that net/http no longer knows of.
type tunnels struct {
	mu   sync.Mutex
	open map[*tunnel]struct{}
	idle chan struct{} // closed when the last one ends while draining
	held int           // connections by CONNECT, opened ones among them
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

// add notes a tunnel. The function that it returns closes and forgets it.
func (t *tunnels) add(client, upstream io.Closer) (done func()) {
	one := &tunnel{client, upstream}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[*tunnel]struct{})
	}
	t.open[one] = struct{}{}
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

// drain waits until the tunnels have ended, and closes those that are left when
// ctx ends. That is no failure: clients keep tunnels open for what may come, and
// nobody can see from outside whether one is in use.
func (t *tunnels) drain(ctx context.Context) {
	t.mu.Lock()
	if len(t.open) == 0 {
		t.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	t.idle = idle
	t.mu.Unlock()
	select {
	case <-idle:
		return
	case <-ctx.Done():
	}
	t.mu.Lock()
	left := slices.Collect(maps.Keys(t.open))
	t.mu.Unlock()
	for _, one := range left {
		one.close()
	}
	<-idle
}
