package proxy

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// broken is how long calls that were broken off may take to end: none of them
// waits for anybody any more.
const broken = 2 * time.Second

// Shutdown stops accepting, lets the calls under way end until ctx does, and
// then breaks off what is left. It returns when the last of them has ended.
func (s *Server) Shutdown(ctx context.Context) error {
	s.leave()
	var errs []error
	var stopping sync.WaitGroup
	var mu sync.Mutex
	for _, server := range s.servers {
		stopping.Go(func() {
			err := server.Shutdown(ctx)
			if err != nil {
				_ = server.Close()
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	stopping.Wait()
	s.tunnels.drain(ctx)
	s.breaks() // a call whose client is not being read from does not notice its end
	select {
	case <-s.calls.ended():
	case <-time.After(broken):
		errs = append(errs, errors.New("a call goes on although it was broken off"))
	}
	s.serving.Wait()
	s.outside.mu.Lock()
	s.outside.release()
	s.outside.mu.Unlock()
	return errors.Join(errs...)
}

// underway counts the calls that run, tunnels among them. (A sync.WaitGroup must
// not be added to while somebody waits for it, and a last request may come in
// while its connection is being closed.)
type underway struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n falls to 0; nil: nobody waits
}

// count counts what a handler serves.
func (u *underway) count(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		u.add(1)
		defer u.add(-1)
		handler(w, r)
	}
}

func (u *underway) add(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n += n
	if u.n == 0 && u.none != nil {
		close(u.none)
		u.none = nil
	}
}

// ended is closed when no call runs.
func (u *underway) ended() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	none := make(chan struct{})
	if u.n == 0 {
		close(none)
		return none
	}
	u.none = none
	return none
}
