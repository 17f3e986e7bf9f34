package cli

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"outrider/policy/config"
	"outrider/proxy/intercept"
)

// BenchmarkCapture is one GET to an upstream that speaks TLS, by the ways in: a base URL;
// https:// through the proxy, opened, over a connection that is kept; the same by HTTP/2, with
// net/http's client, whose allocations are most of those; and with a connection for each call,
// which is CONNECT, a handshake and a GET. The last is what a client does that keeps none, and
// "tunnel" what that costs where nothing is opened. Compare within one run.
func BenchmarkCapture(b *testing.B) {
	server, ca := certificate(b)
	address := smallUpstream(b, server)
	document := fmt.Sprintf(`
[forward]
allow_private = ["127.0.0.0/8"]
[telemetry]
access_log = false
sample = 0.0
[upstream.api]
url = "https://%s"
hosts = ["api.example.test"]
ca_file = %q
`, address, ca)
	data := []byte(fmt.Sprintf("listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nstate_dir = %q\n", b.TempDir()) + document)
	file, err := config.Parse("bench.toml", data)
	if err != nil {
		b.Fatal(err)
	}
	s, err := start(context.Background(), "", data, file, io.Discard)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.stop(ctx)
	}()
	root, err := intercept.Open(file.StateDir).Root()
	if err != nil {
		b.Fatal(err)
	}
	ours, theirs := x509.NewCertPool(), x509.NewCertPool()
	ours.AddCert(root)
	leaf, err := x509.ParseCertificate(server.Certificates[0].Certificate[0])
	if err != nil {
		b.Fatal(err)
	}
	theirs.AddCert(leaf)

	b.Run("base URL", func(b *testing.B) { direct(b, s.addresses[""]) })
	b.Run("opened/kept", func(b *testing.B) {
		conn := tls.Client(throughProxy(b, s.addresses[""], "api.example.test:443"), &tls.Config{RootCAs: ours, ServerName: "api.example.test"})
		defer func() { _ = conn.Close() }()
		calls(b, conn, "api.example.test")
	})
	b.Run("opened/each", func(b *testing.B) {
		callsApart(b, s.addresses[""], "api.example.test:443", &tls.Config{RootCAs: ours, ServerName: "api.example.test"})
	})
	b.Run("opened/http2", func(b *testing.B) {
		transport := &http.Transport{
			Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: s.addresses[""]}), TLSClientConfig: &tls.Config{RootCAs: ours}, ForceAttemptHTTP2: true,
		}
		defer transport.CloseIdleConnections()
		client := http.Client{Transport: transport}
		b.ReportAllocs()
		for b.Loop() {
			resp, err := client.Get("https://api.example.test/v1/things")
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	})
	b.Run("tunnel/each", func(b *testing.B) {
		callsApart(b, s.addresses[""], address, &tls.Config{RootCAs: theirs, ServerName: "127.0.0.1"})
	})
}

// callsApart makes each call over a connection of its own.
func callsApart(b *testing.B, proxy, authority string, trust *tls.Config) {
	b.ReportAllocs()
	for b.Loop() {
		conn := tls.Client(throughProxy(b, proxy, authority), trust)
		if _, err := io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: "+trust.ServerName+"\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
		if err := skipAnswer(bufio.NewReader(conn)); err != nil {
			b.Fatal(err)
		}
		_ = conn.Close()
	}
}

// throughProxy opens a connection by CONNECT.
func throughProxy(b *testing.B, proxy, authority string) net.Conn {
	b.Helper()
	conn, err := net.Dial("tcp", proxy)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.WriteString(conn, "CONNECT "+authority+" HTTP/1.1\r\nHost: "+authority+"\r\n\r\n"); err != nil {
		b.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("%v %v", resp, err)
	}
	return conn
}
