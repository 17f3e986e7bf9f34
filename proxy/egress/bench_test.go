package egress_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"

	"outrider/proxy/egress"
)

// The peer is a minimal raw server, the response that of a small JSON API.
const benchResponse = "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json; charset=utf-8\r\n" +
	"Content-Length: 1024\r\nX-RateLimit-Limit: 5000\r\nX-RateLimit-Remaining: 4999\r\nX-Request-Id: 0123456789abcdef\r\nVary: Accept\r\n\r\n"

func benchPeer(p *peer) {
	out := []byte(benchResponse + strings.Repeat("x", 1024))
	for {
		// No parsing: the head ends with an empty line.
		for {
			line, err := p.br.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				break
			}
		}
		p.Write(out)
	}
}

func BenchmarkKeepAliveGet(b *testing.B) {
	pool := x509.NewCertPool()
	pool.AddCert(newCA().cert)
	plain := "http://" + serve(b, benchPeer).addr + "/v1/things?limit=10"
	secure := "https://" + serveTLS(b, serverTLS("http/1.1"), benchPeer).addr + "/v1/things?limit=10"
	ours := newTransport(b, egress.Settings{CAFile: caFile(b)})
	std := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableCompression: true, MaxIdleConnsPerHost: 64}
	b.Cleanup(std.CloseIdleConnections)
	for _, c := range []struct {
		name, url string
		tr        http.RoundTripper
	}{
		{"plain/egress", plain, ours}, {"plain/net-http", plain, std},
		{"TLS/egress", secure, ours}, {"TLS/net-http", secure, std},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 4<<10)
			req := newRequest(b, "GET", c.url, nil)
			req.Header = http.Header{"Accept": {"application/json"}, "Authorization": {"Bearer 0123456789"}, "User-Agent": {"bench/1"}}
			for b.Loop() {
				resp, err := c.tr.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for err == nil {
					var m int
					m, err = resp.Body.Read(buf)
					n += m
				}
				if err != io.EOF || n != 1024 {
					b.Fatal(n, err)
				}
				resp.Body.Close()
			}
		})
	}
}
