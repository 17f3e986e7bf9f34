package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"outrider/policy"
	"outrider/policy/config"
)

// atStore compiles the configuration at its store, without anything that would serve or
// call, and hands it to do.
func (c *commands) atStore(do func(*policy.Set) error) error {
	_, _, file, err := c.file()
	if err != nil {
		return err
	}
	s := &sidecar{file: file, secrets: newSecrets()}
	s.storage = newStorage(file, s.secrets, slog.New(slog.DiscardHandler))
	defer s.storage.close() // every change is on the disk
	env := s.env()
	// Nothing is sent: secrets may be those of another environment.
	env.Secret = func(config.Reference) (string, error) { return "unread", nil }
	env.Observe = func(context.Context, policy.Event) {}
	set, err := policy.Compile(file, env, nil)
	if err != nil {
		return usageError{fmt.Errorf("the configuration cannot be used:\n%w", err)}
	}
	return do(set)
}

// inProcess is a way to a handler of ours without a network.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &written{header: make(http.Header), status: http.StatusOK}
	p.handler.ServeHTTP(w, r)
	return &http.Response{
		Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// written is an answer in memory.
type written struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *written) Header() http.Header { return w.header }

func (w *written) WriteHeader(status int) { w.status = status }

func (w *written) Write(p []byte) (int, error) { return w.body.Write(p) }
