package clients_test

import (
	"bufio"
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
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience ends a broken test; no other is decided by it.
const patience = 30 * time.Second

// A rig is a proxy before two servers, one with TLS, that have every name.
type rig struct {
	proxy  *httptest.Server
	root   string // file with the authority of the server with TLS
	plain  string // address of the server without
	secure string // address of the server with

	mu    sync.Mutex
	asked []string // what the proxy was asked for: "CONNECT api.test:443", with the key if one was shown
}

func newRig(t *testing.T) *rig {
	t.Helper()
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"ok":true,"path":%q,"length":%d,"object":"list","data":[]}`, r.URL.Path, len(body))
	})
	plain := httptest.NewServer(answer)
	t.Cleanup(plain.Close)
	secure := httptest.NewUnstartedServer(answer)
	r := &rig{root: filepath.Join(t.TempDir(), "root.pem")}
	secure.TLS = authority(t, r.root)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	r.plain, r.secure = plain.Listener.Addr().String(), secure.Listener.Addr().String()
	r.proxy = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.proxy.Close)
	return r
}

// serve is a proxy for absolute-form requests and for CONNECT.
func (r *rig) serve(w http.ResponseWriter, req *http.Request) {
	asked := req.Method + " " + req.RequestURI
	if shown := req.Header.Get("Proxy-Authorization"); shown != "" {
		asked += " " + shown
	}
	r.mu.Lock()
	r.asked = append(r.asked, asked)
	r.mu.Unlock()
	if req.Method != http.MethodConnect {
		_, _ = io.WriteString(w, `{"ok":true,"form":"absolute"}`)
		return
	}
	if strings.HasPrefix(req.Host, "refused.") {
		w.Header().Set("Proxy-Status", `outrider; error=destination_ip_prohibited; details="not for you"`)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if strings.HasPrefix(req.Host, "silent.") {
		<-req.Context().Done()
		return
	}
	to := r.plain
	if strings.HasSuffix(req.Host, ":443") {
		to = r.secure
	}
	outside, err := net.Dial("tcp", to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = outside.Close()
		return
	}
	join(client, buffered.Reader, outside)
}

func join(client net.Conn, early *bufio.Reader, outside net.Conn) {
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(outside, early); _ = outside.Close() })
	both.Go(func() { _, _ = io.Copy(client, outside); _ = client.Close() })
	both.Wait()
}

// take gives what the proxy was asked for since the last take.
func (r *rig) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	return asked
}

// url is that of the proxy.
func (r *rig) url() string { return r.proxy.URL }

// authority makes a certificate authority, writes it into a file, and gives a
// server's side for every name below "test".
func authority(t *testing.T, file string) *tls.Config {
	t.Helper()
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Root"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"api.test", "api.stripe.com", "api.openai.com"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	rootKey, leafKey := newKey(t), newKey(t)
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, leafKey.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})))
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}}}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run runs a program in an environment of its own.
func run(t *testing.T, env []string, name string, args ...string) (stdout string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, errs.String())
	}
	return out.String(), nil
}

// need skips a test whose program is not there; where nothing may be skipped it
// fails.
func need(t *testing.T, program, install string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	skip(t, program+" is not installed: "+install)
	return ""
}

// skip skips a test; where nothing may be skipped it fails.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("OUTRIDER_TEST_NO_SKIP") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}
