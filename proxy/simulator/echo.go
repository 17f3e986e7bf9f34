package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"sort"
)

// An Echo is what /echo answers: the request as it arrived.
type Echo struct {
	Method string `json:"method"`
	Target string `json:"target"` // the raw bytes of the request line
	Proto  string `json:"proto"`
	Host   string `json:"host"`
	// Headers are name and value, one pair a line. Ordered says whether they
	// are in the order and spelling of the wire, which is known for HTTP/1
	// over a connection of Serve without TLS; they are sorted otherwise.
	Headers  [][2]string         `json:"headers"`
	Ordered  bool                `json:"ordered"`
	Body     Digest              `json:"body"`
	Trailers map[string][]string `json:"trailers,omitempty"`
}

// A Digest is a body that was read and not kept.
type Digest struct {
	Length int64  `json:"length"`
	SHA256 string `json:"sha256"`
}

// digest reads a body to its end, in constant memory.
func digest(body io.Reader) (Digest, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, body)
	return Digest{Length: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, err
}

func echo(s *Simulator, w http.ResponseWriter, r *http.Request) {
	e := Echo{Method: r.Method, Target: r.RequestURI, Proto: r.Proto, Host: r.Host}
	if t, ok := r.Context().Value(connKey{}).(*tappedConn); ok {
		e.Headers, e.Ordered = t.tap.last()
	}
	if !e.Ordered {
		e.Headers = sorted(r.Header)
	}
	d, err := digest(r.Body)
	if err != nil {
		respond(w, http.StatusBadRequest, problem{Error: "reading the body: " + err.Error()})
		return
	}
	e.Body, e.Trailers = d, r.Trailer
	respond(w, http.StatusOK, e)
}

func sorted(h http.Header) [][2]string {
	pairs := make([][2]string, 0, len(h))
	for name, values := range h {
		for _, v := range values {
			pairs = append(pairs, [2]string{name, v})
		}
	}
	sort.SliceStable(pairs, func(i, j int) bool { return pairs[i][0] < pairs[j][0] })
	return pairs
}

func upload(s *Simulator, w http.ResponseWriter, r *http.Request) {
	d, err := digest(r.Body)
	if err != nil {
		respond(w, http.StatusBadRequest, problem{Error: "reading the body: " + err.Error()})
		return
	}
	respond(w, http.StatusOK, d)
}

// duplex sends back what it reads while it reads it.
func duplex(s *Simulator, w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	c.EnableFullDuplex() // HTTP/2 has nothing to enable
	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(http.StatusOK)
	c.Flush()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
			c.Flush()
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler) // the request broke off, so the answer does
		}
	}
}
