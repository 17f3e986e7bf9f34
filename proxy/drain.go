package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// broken is how long calls that were broken off may take to end: none of them
// waits for anybody any more.
const broken = 2 * time.Second

// Shutdown stops accepting, lets the calls under way end until ctx does, and
// then breaks off what is left, and says of how many calls. It returns when the last of them has
// ended, and has them told of.
func (s *Server) Shutdown(ctx context.Context) error {
	s.leave()
	var errs []error
	var stopping sync.WaitGroup
	var mu sync.Mutex
	var left int64
	breakOff := sync.OnceFunc(func() {
		// The end of a tunnel is no failure.
		left = max(0, s.calls.n.Load()-int64(s.tunnels.relayed()))
		s.breaks() // before their connections end, so that they know that it was us
	})
	for _, server := range s.servers {
		stopping.Go(func() {
			err := server.Shutdown(ctx)
			over := err != nil && errors.Is(err, ctx.Err())
			if over {
				breakOff()
				err = nil // it is said once, of all
			}
			if over || err != nil {
				_ = server.Close()
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	stopping.Wait()
	if left > 0 {
		errs = append(errs, fmt.Errorf("%s broken off: %w", wereCalls(left), context.Cause(ctx)))
	}
	s.tunnels.drain(ctx)
	s.breaks() // a call whose client is not being read from does not notice its end
	select {
	case <-s.calls.ended():
	case <-time.After(broken):
		errs = append(errs, errors.New("a call goes on although it was broken off"))
	}
	s.serving.Wait()
	s.Telemetry.Flush()
	s.outside.mu.Lock()
	s.outside.release()
	s.outside.mu.Unlock()
	return errors.Join(errs...)
}

func wereCalls(n int64) string {
	if n == 1 {
		return "1 call was"
	}
	return fmt.Sprintf("%d calls were", n)
}

// underway counts the calls that run, tunnels among them. (A sync.WaitGroup must
// not be added to while somebody waits for it, and a last request may come in
// while its connection is being closed.)
type underway struct {
	n    atomic.Int64
	none atomic.Pointer[ending] // nil: nobody waits
}

// An ending is closed, once, when no call runs.
type ending struct {
	sync.Once
	done chan struct{}
}

func (e *ending) close() { e.Do(func() { close(e.done) }) }

// count counts what a handler serves.
func (u *underway) count(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		u.n.Add(1)
		defer u.leave()
		handler(w, r)
	}
}

// leave is for a call that has ended: the last of them tells who waits.
func (u *underway) leave() {
	if u.n.Add(-1) > 0 {
		return
	}
	if none := u.none.Load(); none != nil {
		none.close()
	}
}

// ended is closed when no call runs. It is for one who waits.
func (u *underway) ended() <-chan struct{} {
	none := &ending{done: make(chan struct{})}
	u.none.Store(none)
	if u.n.Load() == 0 { // else the last call sees that somebody waits
		none.close()
	}
	return none.done
}
