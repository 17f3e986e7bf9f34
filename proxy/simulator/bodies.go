package simulator

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// below is what the path has after the endpoint's own.
func below(r *http.Request, prefix string) string { return strings.TrimPrefix(r.URL.Path, prefix) }

// size reads the number in a path such as /bytes/N.
func size(w http.ResponseWriter, r *http.Request, prefix string, most int64) (int64, bool) {
	n, err := strconv.ParseInt(below(r, prefix), 10, 64)
	if err != nil || n < 0 || n > most {
		respond(w, http.StatusBadRequest, problem{Error: fmt.Sprintf("%s must be followed by a whole number up to %d", prefix, most)})
		return 0, false
	}
	return n, true
}

// A pattern is an endless body: the letters a to z, over and over.
type pattern struct{ at int }

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'a' + byte(p.at)
		p.at = (p.at + 1) % 26
	}
	return len(b), nil
}

func serveBytes(s *Simulator, w http.ResponseWriter, r *http.Request) {
	n, ok := size(w, r, "/bytes/", 1<<40)
	if !ok {
		return
	}
	drain(r)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		io.CopyN(w, &pattern{}, n)
	}
}

// stream sends N lines of JSON, one chunk each.
func stream(s *Simulator, w http.ResponseWriter, r *http.Request) {
	n, ok := size(w, r, "/stream/", 1<<40)
	if !ok {
		return
	}
	p := paramsOf(r)
	interval := p.duration("interval", 0)
	if p.refused(w) {
		return
	}
	drain(r)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	c := http.NewResponseController(w)
	for i := range n {
		if i > 0 {
			hold(r.Context(), interval)
		}
		if _, err := fmt.Fprintf(w, "{\"line\":%d}\n", i+1); err != nil {
			return
		}
		c.Flush()
	}
}

// sse sends server-sent events, and goes on after the Last-Event-ID that a
// client reconnects with.
func sse(s *Simulator, w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r)
	events, interval := p.count("events", 5, 0, 1<<30), p.duration("interval", 100*time.Millisecond)
	if p.refused(w) {
		return
	}
	drain(r)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	c := http.NewResponseController(w)
	c.Flush()
	seen, _ := strconv.Atoi(r.Header.Get("Last-Event-ID")) // anything else: from the start
	for i := max(seen, 0) + 1; i <= events; i++ {
		if i > max(seen, 0)+1 {
			hold(r.Context(), interval)
		}
		if _, err := fmt.Fprintf(w, "id: %d\nevent: tick\ndata: {\"n\":%d}\n\n", i, i); err != nil {
			return
		}
		c.Flush()
	}
}

// trailers sends a chunked body, and its checksum and length after it.
func trailers(s *Simulator, w http.ResponseWriter, r *http.Request) {
	drain(r)
	w.Header().Set("Trailer", "X-Checksum, X-Length")
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	const body = "a body with trailers\n"
	io.WriteString(w, body)
	http.NewResponseController(w).Flush()
	sum := sha256.Sum256([]byte(body))
	w.Header().Set("X-Checksum", hex.EncodeToString(sum[:]))
	w.Header().Set("X-Length", strconv.Itoa(len(body)))
}

// earlyHints sends 103 (RFC 8297), and the answer after delay.
func earlyHints(s *Simulator, w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r)
	delay := p.duration("delay", 0)
	if p.refused(w) {
		return
	}
	drain(r)
	w.Header().Set("Link", "</style.css>; rel=preload; as=style")
	w.WriteHeader(http.StatusEarlyHints)
	w.Header().Del("Link")
	hold(r.Context(), delay)
	respond(w, http.StatusOK, map[string]bool{"ok": true})
}

func status(s *Simulator, w http.ResponseWriter, r *http.Request) {
	code := below(r, "/status/")
	if !isStatus(code) {
		respond(w, http.StatusBadRequest, problem{Error: "/status/ must be followed by a code from 200 to 599"})
		return
	}
	drain(r)
	n, _ := strconv.Atoi(code)
	respond(w, n, map[string]any{"status": n, "text": http.StatusText(n)})
}

func twoCookies(s *Simulator, w http.ResponseWriter, r *http.Request) {
	drain(r)
	w.Header()["Set-Cookie"] = []string{"first=1; Path=/", "second=2; Path=/; HttpOnly"}
	w.Header()["X-Twice"] = []string{"one", "two, with a comma"}
	respond(w, http.StatusOK, map[string]bool{"ok": true})
}

// zipped answers with gzip whether or not the client asked, so that what comes
// out can be compared byte by byte.
func zipped(s *Simulator, w http.ResponseWriter, r *http.Request) {
	drain(r)
	var b strings.Builder
	z := gzip.NewWriter(&b)
	io.CopyN(z, &pattern{}, 1000)
	z.Close()
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("Vary", "Accept-Encoding")
	respondBytes(w, http.StatusOK, "text/plain", []byte(b.String()))
}
