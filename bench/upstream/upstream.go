package upstream

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"outrider/bench/process"
)

// Big is how long the body of /big is.
const Big = 1 << 30

// FarRoundTrip is how far away the API is that Far leads to.
const FarRoundTrip = 20 * time.Millisecond

// An Upstream is everything that the proxies talk to.
type Upstream struct {
	Certificates
	Spans *Spans

	API         string // URL of the API, by TLS: 1 KiB of JSON, and /big
	Plain       string // URL of the same, without TLS
	Far         string // URL of the API, by TLS, FarRoundTrip away
	Streams     string // URL of /sse and /up, by TLS
	NearStreams string // URL of the same, without TLS
	Collector   string // URL of the collector of spans, to which a name is added
	Log         string // address of a UDP port where lines of log may be sent

	api    *process.Process
	closes []func() error
}

//go:embed nginx.conf
var configuration string

// Start starts the API, by nginx, and the rest in this process. Files are in dir; so many
// open files are allowed.
func Start(ctx context.Context, dir string, ports *process.Ports, openFiles int) (u *Upstream, err error) {
	u = &Upstream{Spans: &Spans{count: map[string]int64{}}}
	defer func() {
		if err != nil {
			u.Stop()
		}
	}()
	if u.Certificates, err = newCertificates(dir); err != nil {
		return u, err
	}
	if err := u.startAPI(ctx, dir, ports, openFiles); err != nil {
		return u, err
	}
	if u.Streams, err = u.serve(ports, streams(), true); err != nil {
		return u, err
	}
	if u.NearStreams, err = u.serve(ports, streams(), false); err != nil {
		return u, err
	}
	if u.Collector, err = u.serve(ports, u.Spans, false); err != nil {
		return u, err
	}
	return u, u.discardLog()
}

// Stop ends what Start began.
func (u *Upstream) Stop() {
	if u.api != nil {
		u.api.Stop()
	}
	for _, end := range u.closes {
		_ = end()
	}
}

// CPU is the processor time that the API has used. What is in this process, this process
// has used.
func (u *Upstream) CPU() (time.Duration, error) { return u.api.CPU() }

func (u *Upstream) startAPI(ctx context.Context, dir string, ports *process.Ports, openFiles int) error {
	plain, err := ports.Next()
	if err != nil {
		return err
	}
	secure, err := ports.Next()
	if err != nil {
		return err
	}
	big, err := os.Create(filepath.Join(dir, "big"))
	if err != nil {
		return err
	}
	defer big.Close()
	if err := big.Truncate(Big); err != nil {
		return err
	}
	path := filepath.Join(dir, "upstream.conf")
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	err = template.Must(template.New("").Parse(configuration)).Execute(file, map[string]any{
		"Dir": dir, "Root": os.Getuid() == 0, "OpenFiles": openFiles, "Connections": openFiles - 500,
		"Chain": u.Chain, "Key": u.Key, "PlainPort": plain, "TLSPort": secure,
	})
	if err != nil {
		return err
	}
	u.api, err = process.Start(process.Spec{Args: []string{"nginx", "-c", path}, Core: process.Anywhere, Output: filepath.Join(dir, "upstream.log")})
	if err != nil {
		return err
	}
	u.Plain, u.API = fmt.Sprintf("http://127.0.0.1:%d", plain), fmt.Sprintf("https://localhost:%d", secure)
	if err := u.api.Answers(ctx, u.Plain); err != nil {
		return err
	}
	return u.startRelay(ports, fmt.Sprintf("127.0.0.1:%d", secure))
}

func (u *Upstream) startRelay(ports *process.Ports, target string) error {
	port, err := ports.Next()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	u.closes = append(u.closes, listener.Close)
	u.Far = fmt.Sprintf("https://localhost:%d", port)
	go relay(listener, target, FarRoundTrip)
	return nil
}

// serve serves handler, and says at which URL.
func (u *Upstream) serve(ports *process.Ports, handler http.Handler, secure bool) (string, error) {
	port, err := ports.Next()
	if err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return "", err
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // clients that break off are no news
		Protocols:         new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true) // not HTTP/2, which half of the proxies do not speak to an upstream
	u.closes = append(u.closes, server.Close)
	go func() {
		serve := server.Serve
		if secure {
			serve = func(l net.Listener) error { return server.ServeTLS(l, u.Chain, u.Key) }
		}
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Printf("an upstream ended: %v", err)
		}
	}()
	if secure {
		return fmt.Sprintf("https://localhost:%d", port), nil
	}
	return fmt.Sprintf("http://127.0.0.1:%d", port), nil
}

// discardLog opens a UDP port that nobody reads from: the kernel drops what does not fit.
// Without it, each line would be answered with an error, which costs whoever sent it.
func (u *Upstream) discardLog() error {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	u.closes = append(u.closes, conn.Close)
	u.Log = conn.LocalAddr().String()
	return nil
}
