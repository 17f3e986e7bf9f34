package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"outrider/policy/config"
)

// policies are those of a call that is measured.
const policies = `
limit = { rate = "1000000/s", burst = 1000000 }
retry = { attempts = 3 }
`

// aCall is one, to an upstream that has the name api.
func aCall(host string) []byte {
	return []byte("GET /api/v1/things?limit=10 HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: bench/1\r\nAccept: application/json\r\nAuthorization: Bearer x\r\n\r\n")
}

// BenchmarkCall is one GET by base URL over a kept-alive connection: client →
// Outrider → upstream and back. Client and upstream are as small as they can
// be and allocate nothing, so that the allocations are Outrider's. The times
// hold all three, on however many cores there are: compare them within one run.
func BenchmarkCall(b *testing.B) {
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer sink.Close()
	everything := fmt.Sprintf("[telemetry]\nsample = 1.0\nendpoint = %q\n", sink.URL) // spans are exported, in this process
	for _, c := range []struct {
		name      string
		tls       bool
		document  string
		telemetry string
	}{
		{"plain", false, "", "[telemetry]\naccess_log = false\nsample = 0.0\n"},
		{"plain/policies", false, policies, "[telemetry]\naccess_log = false\nsample = 0.0\n"},
		{"plain/policies+log+spans", false, policies, everything},
		{"tls", true, "", "[telemetry]\naccess_log = false\nsample = 0.0\n"},
		{"tls/policies+log+spans", true, policies, everything},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkCall(b, c.tls, c.telemetry, c.document) })
	}
	b.Run("direct", func(b *testing.B) { direct(b, smallUpstream(b, nil)) })
}

func benchmarkCall(b *testing.B, secure bool, telemetry, document string) {
	direct(b, between(b, secure, telemetry, document))
}

// between is the address of an Outrider in front of a small upstream, which has the name api.
func between(tb testing.TB, secure bool, telemetry, document string) string {
	tb.Helper()
	scheme := "http"
	var server *tls.Config
	if secure {
		scheme = "https"
		config, ca := certificate(tb)
		server = config
		document = fmt.Sprintf("ca_file = %q\n%s", ca, document)
	}
	address := smallUpstream(tb, server)
	data := []byte("listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n" + telemetry +
		fmt.Sprintf("[upstream.api]\nurl = \"%s://%s\"\n", scheme, address) + document)
	file, err := config.Parse("bench.toml", data)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := start(context.Background(), "", data, file, io.Discard)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.stop(ctx)
	})
	return s.addresses[""]
}

// direct makes calls over one connection, without an HTTP library.
func direct(b *testing.B, address string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	calls(b, conn, "localhost")
}

// calls makes calls over a connection.
func calls(b *testing.B, conn net.Conn, host string) {
	request := aCall(host)
	r := bufio.NewReader(conn)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		if err := skipAnswer(r); err != nil {
			b.Fatal(err)
		}
	}
}

// answerBody is what the upstream says: 1 KiB.
var answerBody = bytes.Repeat([]byte("x"), 1024)

// skipAnswer reads an answer whose body is answerBody.
func skipAnswer(r *bufio.Reader) error {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			_, err := r.Discard(len(answerBody))
			return err
		}
	}
}

// smallUpstream answers every head with answerBody.
func smallUpstream(tb testing.TB, secure *tls.Config) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	tb.Cleanup(func() { _ = listener.Close() })
	answer := append([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n"), answerBody...)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				r := bufio.NewReader(conn)
				for {
					line, err := r.ReadSlice('\n')
					if err != nil {
						return
					}
					if len(line) == 2 {
						if _, err := conn.Write(answer); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// certificate makes a server's TLS for 127.0.0.1, and the file to trust it by.
func certificate(tb testing.TB) (*tls.Config, string) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(tb.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		tb.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, path
}
