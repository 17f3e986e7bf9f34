package egress_test

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"testing"
)

// serveHTTP runs net/http's server: HTTP/2 if cfg offers it, plain if nil.
func serveHTTP(t testing.TB, cfg *tls.Config, handler http.HandlerFunc) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: handler, TLSConfig: cfg, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan bool)
	go func() {
		defer close(done)
		if cfg == nil {
			srv.Serve(ln)
		} else {
			srv.ServeTLS(ln, "", "")
		}
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	if cfg == nil {
		return "http://" + ln.Addr().String()
	}
	return "https://" + ln.Addr().String()
}

func serveHTTP2(t testing.TB, handler http.HandlerFunc) string {
	return serveHTTP(t, serverTLS("h2"), handler)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
