package egress_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/egress"
)

func TestTLSIsAlwaysVerified(t *testing.T) {
	s := serveTLS(t, serverTLS("http/1.1"), answer(hello))
	_, port, _ := net.SplitHostPort(s.addr)
	trusting := newTransport(t, egress.Settings{CAFile: caFile(t)})
	resp, body := get(t, trusting, "https://127.0.0.1:"+port+"/")
	if body != "hello" || resp.TLS == nil || resp.TLS.PeerCertificates == nil || resp.Proto != "HTTP/1.1" {
		t.Errorf("%q %+v", body, resp)
	}
	get(t, trusting, "https://LOCALHOST:"+port+"/") // the name, in any case

	var h hooks
	_, err := newTransport(t, egress.Settings{}).RoundTrip(h.on(newRequest(t, "GET", "https://127.0.0.1:"+port+"/", nil)))
	e := wantError(t, err, egress.TLSFailed, false)
	var unknown x509.UnknownAuthorityError
	if !errors.As(e, &unknown) || h.wrote.Load() != 0 {
		t.Errorf("%v", e)
	}
	// Another name than the certificate's.
	toHere := egress.Settings{CAFile: caFile(t), Dial: dialFunc(func() (net.Conn, error) { return net.Dial("tcp", s.addr) })}
	_, err = newTransport(t, toHere).RoundTrip(newRequest(t, "GET", "https://other.test/", nil))
	wantError(t, err, egress.TLSFailed, false)
	get(t, newTransport(t, toHere), "https://api.test/")
}

// A host that takes connections and says nothing was told from one that is not trusted by
// nothing, and people were sent to look at its certificate.
func TestTLSThatIsNotAnsweredIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &pipes{handle: func(p *peer) { io.Copy(io.Discard, p.br) }}
		tr := newTransport(t, egress.Settings{Dial: n.dial, TLSTimeout: 3 * time.Second})
		_, err := tr.RoundTrip(newRequest(t, "GET", "https://api.test/", nil))
		if e := wantError(t, err, egress.TLSFailed, false); !errors.Is(e, context.DeadlineExceeded) || !strings.Contains(e.Error(), "no TLS handshake within its timeout") {
			t.Errorf("%v", e)
		}
		n.wg.Wait()
	})
}

func TestTLSBelow12IsRefused(t *testing.T) {
	cfg := serverTLS("http/1.1")
	cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	s := serveTLS(t, cfg, answer(hello))
	_, err := newTransport(t, egress.Settings{CAFile: caFile(t)}).RoundTrip(newRequest(t, "GET", "https://"+s.addr+"/", nil))
	wantError(t, err, egress.TLSFailed, false)
}

func TestClientCertificate(t *testing.T) {
	pool := x509.NewCertPool()
	pool.AddCert(newCA().cert)
	cfg := serverTLS("http/1.1")
	cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, pool
	s := serveTLS(t, cfg, answer(hello))

	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	leaf := newCA().leaf([]string{"client"})
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Certificate[0]}), 0o600)
	os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600)
	get(t, newTransport(t, egress.Settings{CAFile: caFile(t), ClientCert: certFile, ClientKey: keyFile}), "https://"+s.addr+"/")

	// Under TLS 1.3 the refusal comes after our Finished, so perhaps after the
	// request.
	_, err = newTransport(t, egress.Settings{CAFile: caFile(t)}).RoundTrip(newRequest(t, "GET", "https://"+s.addr+"/", nil))
	var e *egress.Error
	if !errors.As(err, &e) || e.Kind != egress.TLSFailed && e.Kind != egress.Reset {
		t.Errorf("%v", err)
	}
}

func TestFilesAtFaultAreNamed(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	os.WriteFile(empty, nil, 0o600)
	for _, s := range []egress.Settings{
		{CAFile: "/does/not/exist"}, {CAFile: empty}, {ClientCert: "/does/not/exist"}, {ClientCert: empty, ClientKey: empty},
	} {
		if _, err := egress.New(s); err == nil || !strings.Contains(err.Error(), s.CAFile+s.ClientCert) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if _, err := egress.New(egress.Settings{ClientKey: empty}); err == nil {
		t.Error("a key without certificate")
	}
}

// Anybody on the way can forge a FIN: a body that ends with the connection is
// complete only after close_notify.
func TestTLSBodyUntilCloseNeedsCloseNotify(t *testing.T) {
	for name, polite := range map[string]bool{"close_notify": true, "FIN": false} {
		t.Run(name, func(t *testing.T) {
			s := serveTLS(t, serverTLS("http/1.1"), func(p *peer) {
				p.head()
				p.say("HTTP/1.1 200 OK\r\n\r\nabc")
				if !polite {
					p.Conn.(*tls.Conn).NetConn().(*net.TCPConn).CloseWrite()
					p.br.ReadByte()
				}
			})
			resp, err := newTransport(t, egress.Settings{CAFile: caFile(t)}).RoundTrip(newRequest(t, "GET", "https://"+s.addr+"/", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if string(b) != "abc" {
				t.Errorf("%q", b)
			}
			if polite {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, egress.Truncated, true)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error(err)
			}
		})
	}
}
