package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Client is a way to make calls, one after the other, as applications do.
type Client struct {
	Name  string
	Needs []string // a command that succeeds where it is installed; nil: it is built in
	Line  string   // what installs it
	// Call makes so many calls of url, whose TLS is trusted by a file of roots, and returns
	// how long each took, the shortest first.
	Call func(ctx context.Context, url string, calls int, roots string) ([]time.Duration, error)
}

// Clients are those that keep no connections, and one that does.
var Clients = []Client{
	{"Python, requests without a Session", []string{"python3", "-c", "import requests"}, "apt-get install python3-requests", callRequests},
	{"curl, a process for each call", []string{"curl", "--version"}, "apt-get install curl", callCurl},
	{"Go, a connection for each call", nil, "", func(ctx context.Context, url string, calls int, roots string) ([]time.Duration, error) {
		return callGo(ctx, url, calls, roots, false)
	}},
	{"Go, a connection that is kept", nil, "", func(ctx context.Context, url string, calls int, roots string) ([]time.Duration, error) {
		return callGo(ctx, url, calls, roots, true)
	}},
}

//go:embed requests.py
var requestsScript string

func callRequests(ctx context.Context, url string, calls int, roots string) ([]time.Duration, error) {
	output, err := exec.CommandContext(ctx, "python3", "-c", requestsScript, url, strconv.Itoa(calls), roots).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("running python3: %w: %s", err, output)
	}
	return parseSeconds(string(output))
}

// parseSeconds reads a duration in seconds from each line.
func parseSeconds(lines string) ([]time.Duration, error) {
	var durations []time.Duration
	for _, line := range strings.Fields(lines) {
		seconds, err := strconv.ParseFloat(line, 64)
		if err != nil {
			return nil, err
		}
		durations = append(durations, time.Duration(seconds*float64(time.Second)))
	}
	slices.Sort(durations)
	return durations, nil
}

func callCurl(ctx context.Context, url string, calls int, roots string) ([]time.Duration, error) {
	return timed(calls, func() error {
		_, err := curl(ctx, "--cacert", roots, url)
		return err
	})
}

func callGo(ctx context.Context, url string, calls int, roots string, keep bool) ([]time.Duration, error) {
	pem, err := os.ReadFile(roots)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	transport := &http.Transport{DisableKeepAlives: !keep, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	one := func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, resp.Status)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := one(); err != nil { // the handshake of a connection that is kept
		return nil, err
	}
	return timed(calls, one)
}

// timed does something so many times, and says how long each took, the shortest first.
func timed(times int, do func() error) ([]time.Duration, error) {
	var durations []time.Duration
	for range times {
		start := time.Now()
		if err := do(); err != nil {
			return nil, err
		}
		durations = append(durations, time.Since(start))
	}
	slices.Sort(durations)
	return durations, nil
}
