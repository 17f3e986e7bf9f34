package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"

	"outrider/policy"
	"outrider/policy/config"
)

// atStore compiles the configuration at its store, without anything that would serve or
// call, and hands both to do.
func (c *commands) atStore(do func(*policy.Set, *storage) error) error {
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
	return do(set, s.storage)
}

// inProcess is a way to a handler of ours without a network.
type inProcess struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper. The handler runs beside its caller, who reads what
// it writes while it does: an answer may be longer than what has room in memory.
func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	from, to := io.Pipe()
	w := &written{header: make(http.Header), body: to, begun: make(chan struct{}), ended: make(chan struct{})}
	go w.serve(p.handler, r)
	<-w.begun
	return &http.Response{
		Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: pipedBody{from, w.ended}, ContentLength: -1, Request: r,
	}, nil
}

// written is an answer that somebody reads while it is written.
type written struct {
	header http.Header
	body   *io.PipeWriter

	begun  chan struct{} // closed when status and sent are there
	ended  chan struct{} // closed when nothing more comes
	once   sync.Once
	status int
	sent   http.Header
}

// serve has the handler answer. A handler that breaks off (http.ErrAbortHandler) leaves an
// answer whose end is missing, as a server does.
func (w *written) serve(handler http.Handler, r *http.Request) {
	defer close(w.ended)
	defer func() {
		broken := recover()
		w.WriteHeader(http.StatusOK)
		switch broken {
		case nil:
			_ = w.body.Close()
		case http.ErrAbortHandler:
			_ = w.body.CloseWithError(io.ErrUnexpectedEOF)
		default:
			panic(broken)
		}
	}()
	handler.ServeHTTP(w, r)
}

func (w *written) Header() http.Header { return w.header }

func (w *written) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.begun)
	})
}

func (w *written) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// pipedBody is the body of an answer in this process. Nobody writes any more once it is closed.
type pipedBody struct {
	*io.PipeReader
	ended <-chan struct{}
}

// Close implements io.Closer.
func (b pipedBody) Close() error {
	err := b.PipeReader.Close()
	<-b.ended
	return err
}
