package upstream

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// Spans is a collector of OTLP over HTTP that counts, and keeps nothing. Whoever exports
// does so below a path of its own, http://…/NAME.
type Spans struct {
	mu    sync.Mutex
	count map[string]int64 // name → spans that arrived
}

// Count is how many spans of name have arrived.
func (s *Spans) Count(name string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[name]
}

// ServeHTTP takes spans, and metrics and logs, of which it counts none.
func (s *Spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, kind, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	body := r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unpacked
	}
	export, err := io.ReadAll(io.LimitReader(body, 64<<20))
	if err == nil && kind == "v1/traces" {
		err = s.add(name, export)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (s *Spans) add(name string, export []byte) error {
	n, err := countSpans(export)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[name] += n
	return nil
}

// countSpans walks an ExportTraceServiceRequest without decoding what it counts, which
// would take the processor that load and upstream have: resource_spans is field 1, their
// scope_spans 2, and the spans of these 2.
func countSpans(export []byte) (int64, error) {
	var spans int64
	err := each(export, 1, func(resource []byte) error {
		return each(resource, 2, func(scope []byte) error {
			return each(scope, 2, func([]byte) error {
				spans++
				return nil
			})
		})
	})
	return spans, err
}

// each calls do for every message in the field of that number.
func each(message []byte, number protowire.Number, do func([]byte) error) error {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("reading spans: %w", protowire.ParseError(n))
		}
		message = message[n:]
		if field != number || kind != protowire.BytesType {
			n = protowire.ConsumeFieldValue(field, kind, message)
			if n < 0 {
				return fmt.Errorf("reading spans: %w", protowire.ParseError(n))
			}
			message = message[n:]
			continue
		}
		inner, n := protowire.ConsumeBytes(message)
		if n < 0 {
			return fmt.Errorf("reading spans: %w", protowire.ParseError(n))
		}
		if err := do(inner); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}
