package simulator

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// A problem is the body of every answer that says no on its own account.
type problem struct {
	Error string   `json:"error"`
	Hint  string   `json:"hint,omitempty"`
	Wrong []string `json:"wrong,omitempty"`
}

// respond answers with v as JSON. The headers already set are kept.
func respond(w http.ResponseWriter, status int, v any) {
	respondBytes(w, status, "application/json", encode(v))
}

func respondBytes(w http.ResponseWriter, status int, kind string, body []byte) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", kind)
	}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		w.Header().Del("Content-Type")
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // a client that left is no concern of ours
}

// encode renders our own types, which cannot fail, one answer a line.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return []byte("{}\n")
	}
	return b.Bytes()
}

// pause waits for d, and says whether it passed in full before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// hold waits for d and aborts the answer if the client or the simulator went
// away meanwhile: what comes late must never look complete.
func hold(ctx context.Context, d time.Duration) {
	if !pause(ctx, d) {
		panic(http.ErrAbortHandler)
	}
}

// drain reads the request to its end, so that what follows is not mixed up
// with the kernel's answer to unread bytes (a reset), and so that the server
// notices when the client leaves.
func drain(r *http.Request) { io.Copy(io.Discard, r.Body) }

// seize takes the connection away from the server, or aborts the answer where
// there is no connection to take. It is closed when the simulator closes; the
// caller closes it otherwise, and calls stop.
func (s *Simulator) seize(w http.ResponseWriter) (conn net.Conn, rw *bufio.ReadWriter, stop func() bool) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if t, ok := conn.(*tappedConn); ok {
		t.tap.stop()
	}
	return conn, rw, context.AfterFunc(s.ctx, func() { conn.Close() })
}

// Hijack notes that the answer is now in the hands of whoever has the connection.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	w.seized = err == nil
	return conn, rw, err
}

// reset closes conn so that the peer sees a reset (RST) instead of an end.
func reset(conn net.Conn) {
	for {
		over, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = over.NetConn() // under TLS as well: no close_notify either
	}
	if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}
