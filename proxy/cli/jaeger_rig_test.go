package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// jaegerProgram is a Jaeger v2: the one that a variable names, or the one in the PATH.
func jaegerProgram(t *testing.T) string {
	t.Helper()
	named := os.Getenv("OUTRIDER_TEST_JAEGER")
	if named == "none" {
		t.Skip("there is no Jaeger here: OUTRIDER_TEST_JAEGER=none")
	}
	if named != "" {
		return named
	}
	found, err := exec.LookPath("jaeger")
	if err != nil {
		missing(t, "jaeger is not installed: .ci/run builds it and says where, or name a Jaeger v2 in OUTRIDER_TEST_JAEGER")
	}
	return found
}

// A jaeger is a real one. What it is sent it keeps in memory.
type jaeger struct {
	t     *testing.T
	query string // base URLs
	http  string // takes OTLP by HTTP
	grpc  string // takes OTLP by gRPC
}

// runJaeger starts one on ports of its own, until the test ends.
func runJaeger(t *testing.T) *jaeger {
	t.Helper()
	program := jaegerProgram(t)
	clearTelemetryVariables(t)
	ports := freePorts(t, 4)
	config := filepath.Join(t.TempDir(), "jaeger.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, jaegerConfig, ports[0], ports[1], ports[2], ports[3]), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	ctx, stop := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, program, "--config", config)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		stop()
		<-ended
		if t.Failed() {
			t.Log(log.String())
		}
	})
	j := &jaeger{t: t, query: "http://" + ports[0], grpc: "http://" + ports[2], http: "http://" + ports[3]}
	eventually(t, "Jaeger", func() (bool, string) {
		var services any
		return j.ask("/api/services", &services) == nil, log.String()
	})
	return j
}

// jaegerConfig is that of its image, without what takes in anything but OTLP.
const jaegerConfig = `
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: { receivers: [otlp], exporters: [jaeger_storage_exporter] }
  telemetry:
    metrics: { level: none }
    logs: { level: error }
extensions:
  jaeger_query:
    storage: { traces: memory }
    enable_tracing: false # of itself
    http: { endpoint: %q }
    grpc: { endpoint: %q }
  jaeger_storage:
    backends:
      memory: { memory: { max_traces: 1000 } }
receivers:
  otlp:
    protocols:
      grpc: { endpoint: %q }
      http: { endpoint: %q }
exporters:
  jaeger_storage_exporter: { trace_storage: memory }
`

// freePorts are addresses on loopback at which nobody listens.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var addresses []string
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses
}

// ask reads what the query API has at a path.
func (j *jaeger) ask(path string, into any) error {
	resp, err := (&http.Client{Timeout: patience}).Get(j.query + path)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %d %s", path, resp.StatusCode, data)
	}
	return json.Unmarshal(data, into)
}

// A seenTrace is a trace as Jaeger tells of it.
type seenTrace struct {
	TraceID   string
	Spans     []seenSpan
	Processes map[string]struct {
		ServiceName string
		Tags        []seenTag
	}
}

type seenSpan struct {
	SpanID        string
	OperationName string
	References    []struct{ RefType, TraceID, SpanID string }
	StartTime     int64 // microseconds since 1970
	Duration      int64 // microseconds
	Tags          []seenTag
	Logs          []struct{ Fields []seenTag }
	ProcessID     string
}

type seenTag struct {
	Key   string
	Value any
}

// trace waits for a trace of so many spans.
func (j *jaeger) trace(id string, spans int) *seenTrace {
	j.t.Helper()
	var answer struct{ Data []*seenTrace }
	eventually(j.t, "the trace "+id, func() (bool, string) {
		answer.Data = nil
		if err := j.ask("/api/traces/"+id, &answer); err != nil {
			return false, err.Error()
		}
		return len(answer.Data) == 1 && len(answer.Data[0].Spans) >= spans, fmt.Sprintf("%+v", answer)
	})
	return answer.Data[0]
}

// shows compares the trace of a call, as its answer names it, with what it has to be. It
// gives the trace.
func (j *jaeger) shows(t *testing.T, resp *http.Response, service, want string) *seenTrace {
	t.Helper()
	want = strings.TrimPrefix(want, "\n")
	trace := j.trace(resp.Header.Get("Outrider-Trace"), strings.Count(want, "server ")+strings.Count(want, "client ")+strings.Count(want, "internal "))
	if got := trace.String(); got != want {
		t.Errorf("Jaeger has\n%s\nwant\n%s", got, want)
	}
	for _, s := range trace.Spans {
		s.complete(t)
		if got := trace.Processes[s.ProcessID].ServiceName; got != service {
			t.Errorf("%s is of the service %q, want %q", s.OperationName, got, service)
		}
		parent := trace.span(trace.parent(&s)) // in whole microseconds, each cut off
		if parent != nil && (s.StartTime < parent.StartTime || s.StartTime+s.Duration > parent.StartTime+parent.Duration+1) {
			t.Errorf("%s is not within %s", s.OperationName, parent.OperationName)
		}
	}
	return trace
}

// tag is the value of a tag as text, "" when there is none.
func tag(tags []seenTag, key string) string {
	for _, t := range tags {
		if t.Key == key {
			return fmt.Sprint(t.Value)
		}
	}
	return ""
}

// parent is the span of the same trace that a span is a child of; "": of none.
func (t *seenTrace) parent(s *seenSpan) string {
	for _, r := range s.References {
		if r.RefType == "CHILD_OF" && r.TraceID == t.TraceID {
			return r.SpanID
		}
	}
	return ""
}

// link is the trace that a span leads to, beside its own.
func (t *seenTrace) link(s *seenSpan) string {
	for _, r := range s.References {
		if r.TraceID != t.TraceID {
			return r.TraceID
		}
	}
	return ""
}

// span is the one of an id; nil: there is none.
func (t *seenTrace) span(id string) *seenSpan {
	for i := range t.Spans {
		if t.Spans[i].SpanID == id {
			return &t.Spans[i]
		}
	}
	return nil
}

// named is the first span of a name, and an empty one where there is none.
func (t *seenTrace) named(name string) *seenSpan {
	for i := range t.Spans {
		if t.Spans[i].OperationName == name {
			return &t.Spans[i]
		}
	}
	return &seenSpan{}
}

// String is the tree of the spans, in the order in which they began, with what is the same
// in every run: no instants, durations, ids and ports.
func (t *seenTrace) String() string {
	var b strings.Builder
	var write func(parent, indent string)
	write = func(parent, indent string) {
		for _, s := range t.Spans {
			if t.parent(&s) != parent {
				continue
			}
			fmt.Fprintf(&b, "%s%s %s: ", indent, tag(s.Tags, "span.kind"), s.OperationName)
			said := steady(s.Tags)
			if t.link(&s) != "" {
				said = append(said, "and a link")
			}
			fmt.Fprintln(&b, strings.Join(said, ", "))
			for _, log := range s.Logs {
				fmt.Fprintf(&b, "%s  %s\n", indent, strings.Join(steady(log.Fields), ", "))
			}
			write(s.SpanID, indent+"  ")
		}
	}
	slices.SortFunc(t.Spans, func(a, b seenSpan) int { return cmp.Compare(a.StartTime, b.StartTime) })
	write("", "")
	return b.String()
}

// changing are the tags that have a value of their own in every run, or the same for all
// spans of a kind: see complete.
var changing = []string{
	"span.kind", "otel.status_code", "otel.scope.name", "otel.scope.version", "http.request.method", "url.scheme", "url.full",
	"server.address", "server.port", "network.peer.address", "network.peer.port", "network.protocol.version",
	"outrider.connection.reused", "outrider.form", "outrider.upstream", "outrider.key", "outrider.wait", "outrider.delay", "outrider.duration",
}

// steady are the tags that are the same in every run, but for ports.
func steady(tags []seenTag) []string {
	port := regexp.MustCompile(`127\.0\.0\.1:\d+`)
	var list []string
	for _, t := range tags {
		if !slices.Contains(changing, t.Key) {
			list = append(list, t.Key+"="+port.ReplaceAllString(fmt.Sprint(t.Value), "HOST"))
		}
	}
	slices.Sort(list)
	return list
}

// complete checks that a span says what those of its kind always do.
func (s *seenSpan) complete(t *testing.T) {
	t.Helper()
	keys := []string{"outrider.upstream"}
	switch tag(s.Tags, "span.kind") {
	case "server":
		keys = append(keys, "http.request.method", "url.scheme", "url.path", "server.address", "server.port", "outrider.form")
	case "client":
		keys = append(keys, "http.request.method", "url.full", "server.address", "server.port", "network.protocol.version")
	}
	for _, key := range keys {
		if tag(s.Tags, key) == "" {
			t.Errorf("%s has no %s: %v", s.OperationName, key, s.Tags)
		}
	}
}
