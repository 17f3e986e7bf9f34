package load

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"sync"
)

// perConnection is how many calls share a connection: fewer than a server of HTTP/2 in Go
// allows, which is 250.
const perConnection = 200

// Waiting are calls that wait for their answers. They go through a proxy by CONNECT, with
// HTTP/2 inside, since no process may have as many connections as calls can wait.
type Waiting struct {
	Proxy string // base URL
	URL   string // https, of a host whose TLS the proxy opens
	TLS   *tls.Config

	calls sync.WaitGroup
	ends  []func()
}

// Add sends so many more calls. What becomes of them, nobody is told here.
func (w *Waiting) Add(ctx context.Context, count int) error {
	proxy, err := url.Parse(w.Proxy)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	w.ends = append(w.ends, cancel)
	for sent := 0; sent < count; sent += perConnection {
		transport := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: w.TLS.Clone(), ForceAttemptHTTP2: true, MaxConnsPerHost: 1}
		w.ends = append(w.ends, transport.CloseIdleConnections)
		for range min(perConnection, count-sent) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.URL, nil)
			if err != nil {
				return err
			}
			w.calls.Go(func() {
				if resp, err := transport.RoundTrip(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body) // whoever has the slot keeps it
					_ = resp.Body.Close()
				}
			})
		}
	}
	return nil
}

// Leave ends them all.
func (w *Waiting) Leave() {
	for _, end := range w.ends {
		end()
	}
	w.calls.Wait()
}
