package telemetry_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"
	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// A collector is a real OTLP receiver on loopback.
type collector struct {
	*httptest.Server
	mu      sync.Mutex
	traces  []*tracepb.ResourceSpans
	metrics []string // names
	deltas  []string // names of histograms that tell what has come since the last time
	logs    []*logspb.ResourceLogs
	headers http.Header
}

func newCollector(t testing.TB) *collector {
	c := &collector{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		var msg coltrace.ExportTraceServiceRequest
		if c.read(t, r, &msg) {
			c.mu.Lock()
			c.traces = append(c.traces, msg.ResourceSpans...)
			c.mu.Unlock()
		}
	})
	mux.HandleFunc("POST /v1/metrics", func(w http.ResponseWriter, r *http.Request) {
		var msg colmetrics.ExportMetricsServiceRequest
		if c.read(t, r, &msg) {
			c.mu.Lock()
			for _, rm := range msg.ResourceMetrics {
				for _, sm := range rm.ScopeMetrics {
					for _, m := range sm.Metrics {
						c.metrics = append(c.metrics, m.Name)
						if m.GetHistogram().GetAggregationTemporality() == metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA {
							c.deltas = append(c.deltas, m.Name)
						}
					}
				}
			}
			c.mu.Unlock()
		}
	})
	mux.HandleFunc("POST /v1/logs", func(_ http.ResponseWriter, r *http.Request) {
		var msg collogs.ExportLogsServiceRequest
		if c.read(t, r, &msg) {
			c.mu.Lock()
			c.logs = append(c.logs, msg.ResourceLogs...)
			c.mu.Unlock()
		}
	})
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

func (c *collector) read(t testing.TB, r *http.Request, msg proto.Message) bool {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(r.Body)
	}
	data, err := io.ReadAll(body)
	if err == nil {
		err = proto.Unmarshal(data, msg)
	}
	if err != nil {
		t.Errorf("reading an export: %v", err)
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headers = r.Header.Clone()
	return true
}

// spans lists what has arrived, by kind.
func (c *collector) spans(kind tracepb.Span_SpanKind) []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []*tracepb.Span
	for _, rs := range c.traces {
		for _, ss := range rs.ScopeSpans {
			for _, span := range ss.Spans {
				if span.Kind == kind {
					list = append(list, span)
				}
			}
		}
	}
	return list
}

func (c *collector) records() []*logspb.LogRecord {
	c.mu.Lock()
	defer c.mu.Unlock()
	return recordsOf(c.logs)
}

func recordsOf(all []*logspb.ResourceLogs) (list []*logspb.LogRecord) {
	for _, resource := range all {
		for _, scope := range resource.ScopeLogs {
			list = append(list, scope.LogRecords...)
		}
	}
	return list
}

func (c *collector) resource(key string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range c.traces {
		if v := find(rs.Resource.Attributes, key); v != nil {
			return v.GetStringValue()
		}
	}
	return ""
}

func find(attrs []*commonpb.KeyValue, key string) *commonpb.AnyValue {
	for _, kv := range attrs {
		if kv.Key == key {
			return kv.Value
		}
	}
	return nil
}

// exporting is a rig that exports, and nothing else.
func exporting(t testing.TB, s telemetry.Settings, env map[string]string) *rig {
	t.Helper()
	clearEnvironment(t)
	for name, value := range env {
		t.Setenv(name, value)
	}
	s.Sample = 1
	r := &rig{}
	r.log = &buffer{of: r}
	s.LogOutput = r.log
	var err error
	if r.Telemetry, err = telemetry.New(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Shutdown(context.Background()) })
	return r
}

// oneCall is a call with a wait, a failed attempt and a good one.
func (r *rig) oneCall(t testing.TB) string {
	ctx, span, call := r.begin("GET", "crm")
	chain := policy.Passage(r.Transport(answers(503, 200)))
	for i := range 2 {
		if i == 1 {
			r.Observe(ctx, policy.Event{Kind: policy.EventBackoff, Upstream: "crm", Attempt: 2, Reason: "status 503", Delay: time.Microsecond})
		}
		if err := send(t, chain, outbound(ctx, "GET", "https://crm.test/a?q=1")); err != nil {
			t.Fatal(err)
		}
	}
	span.End(&telemetry.Outcome{Call: call, Method: "GET", Host: "crm.test", Path: "/a", Status: 200, Class: policy.ClassOK})
	return span.TraceID()
}

func TestWholeTraceArrivesAtACollector(t *testing.T) {
	c := newCollector(t)
	r := exporting(t, telemetry.Settings{Endpoint: c.URL, Version: "1.2.3"}, nil)
	traceID := r.oneCall(t)
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	servers, clients := c.spans(tracepb.Span_SPAN_KIND_SERVER), c.spans(tracepb.Span_SPAN_KIND_CLIENT)
	if len(servers) != 1 || len(clients) != 2 {
		t.Fatalf("%d SERVER and %d CLIENT spans arrived", len(servers), len(clients))
	}
	server := servers[0]
	id, _ := trace.TraceIDFromHex(traceID)
	if string(server.TraceId) != string(id[:]) || server.Name != "GET crm" {
		t.Errorf("SERVER span %v", server)
	}
	if waits := c.spans(tracepb.Span_SPAN_KIND_INTERNAL); len(waits) != 1 || waits[0].Name != "backoff" || len(server.Events) != 0 {
		t.Errorf("waits %v, events %v", waits, server.Events)
	}
	if n := find(server.Attributes, "outrider.attempts").GetIntValue(); n != 2 {
		t.Errorf("outrider.attempts = %d", n)
	}
	for i, client := range clients {
		if string(client.ParentSpanId) != string(server.SpanId) || string(client.TraceId) != string(server.TraceId) {
			t.Errorf("CLIENT span %d is not a child", i)
		}
		if client.StartTimeUnixNano < server.StartTimeUnixNano || client.EndTimeUnixNano > server.EndTimeUnixNano {
			t.Errorf("CLIENT span %d is not within the call", i)
		}
		if n := find(client.Attributes, "http.request.resend_count").GetIntValue(); int(n) != i {
			t.Errorf("CLIENT span %d: resend_count %d", i, n)
		}
	}
	if clients[0].Status.Code != tracepb.Status_STATUS_CODE_ERROR || clients[1].Status.GetCode() != tracepb.Status_STATUS_CODE_UNSET {
		t.Errorf("status %v, %v", clients[0].Status, clients[1].Status)
	}
	if name, version := c.resource("service.name"), c.resource("service.version"); name != "outrider" || version != "1.2.3" {
		t.Errorf("service %q %q", name, version)
	}
	if len(c.metrics) != 0 {
		t.Error("metrics were exported though nobody asked")
	}
}

func TestEnvironmentWinsOverSettings(t *testing.T) {
	c := newCollector(t)
	r := exporting(t, telemetry.Settings{Endpoint: "http://127.0.0.1:1", ServiceName: "mine"}, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL,
		"OTEL_EXPORTER_OTLP_HEADERS":  "x-collector-key=k",
		"OTEL_SERVICE_NAME":           "theirs",
		"OTEL_RESOURCE_ATTRIBUTES":    "deployment.environment.name=prod",
		"OTEL_METRICS_EXPORTER":       "otlp,prometheus",
	})
	r.oneCall(t)
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(c.spans(tracepb.Span_SPAN_KIND_CLIENT)) != 2 {
		t.Fatal("the spans went elsewhere")
	}
	if got := c.resource("service.name") + " " + c.resource("deployment.environment.name"); got != "theirs prod" {
		t.Errorf("resource %s", got)
	}
	if got := r.ServiceName(); got != "theirs" {
		t.Errorf("others are told of the service %q", got)
	}
	if got := c.headers.Get("X-Collector-Key"); got != "k" {
		t.Errorf("header %q", got)
	}
	if !strings.Contains(strings.Join(c.metrics, " "), "http.server.request.duration") {
		t.Errorf("metrics %v", c.metrics)
	}
	if !strings.Contains(r.metrics(t), "http_server_request_duration_seconds_count") && !strings.Contains(r.metrics(t), "go_goroutines") {
		t.Error("the metrics page is gone")
	}
}

func TestSamplerOfTheEnvironmentWins(t *testing.T) {
	c := newCollector(t)
	r := exporting(t, telemetry.Settings{Endpoint: c.URL}, map[string]string{"OTEL_TRACES_SAMPLER": "always_off"})
	r.oneCall(t)
	r.Shutdown(context.Background())
	if n := len(c.traces); n != 0 {
		t.Errorf("%d exports", n)
	}
}

func TestNothingIsExportedUnlessAsked(t *testing.T) {
	c := newCollector(t)
	for name, env := range map[string]map[string]string{
		"nothing said": {},
		"disabled":     {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_METRICS_EXPORTER": "otlp"},
		"none":         {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": c.URL},
	} {
		r := exporting(t, telemetry.Settings{}, env)
		id := r.oneCall(t)
		if len(id) != 32 || strings.Trim(id, "0") == "" {
			t.Errorf("%s: trace id %q", name, id)
		}
		if err := r.Shutdown(context.Background()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r.Recent(telemetry.Filter{})[0].TraceID != id || r.log.String() != "" {
			t.Errorf("%s: log %s", name, r.log)
		}
	}
	if len(c.traces)+len(c.metrics) != 0 {
		t.Error("something was exported")
	}
}

func TestUnknownExporterIsAnError(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_METRICS_EXPORTER": "statsd", "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon",
	} {
		clearEnvironment(t)
		t.Setenv(name, value)
		_, err := telemetry.New(context.Background(), telemetry.Settings{Endpoint: "http://127.0.0.1:1", LogOutput: io.Discard})
		if err == nil || !strings.Contains(err.Error(), name+"="+value) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}

// A bubble ends only when all that was begun in it has ended.
func TestTelemetryThatCannotBeBuiltLeavesNothingRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clearEnvironment(t)
		t.Setenv("OTEL_TRACES_SAMPLER", "dice")
		_, err := telemetry.New(context.Background(), telemetry.Settings{Endpoint: "http://127.0.0.1:1", LogOutput: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "OTEL_TRACES_SAMPLER=dice") {
			t.Errorf("error %v", err)
		}
	})
}

// Beside us HTTP_PROXY names us: an export that followed it would be a call,
// which is exported, and so on without end. net/http reads the variable once in
// a process, so the test has one of its own.
func TestExporterNeverUsesAProxy(t *testing.T) {
	if os.Getenv("TEST_EXPORTER_PROXY") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestExporterNeverUsesAProxy$")
		cmd.Env = append(os.Environ(), "TEST_EXPORTER_PROXY=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s went through the proxy", r.Method, r.URL)
	}))
	defer proxy.Close()
	c := newCollector(t)
	// net/http never proxies loopback addresses, but it does proxy names.
	endpoint := strings.Replace(c.URL, "127.0.0.1", "collector.invalid", 1)
	r := exporting(t, telemetry.Settings{Endpoint: endpoint}, map[string]string{
		"HTTP_PROXY": proxy.URL, "http_proxy": proxy.URL, "NO_PROXY": "", "no_proxy": "",
		"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TIMEOUT": "1000",
	})
	r.oneCall(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	r.Shutdown(ctx)
	if !strings.Contains(r.log.String(), "collector.invalid") {
		t.Errorf("the export did not try the collector itself: %s", r.log)
	}
}

// A collector that cannot be reached, or accepts and then says nothing, costs
// the calls nothing, and a shutdown no more than its context allows.
func TestDeadCollectorIsNobodysProblem(t *testing.T) {
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, addr := range map[string]string{"hanging": hanging.Addr().String(), "unreachable": closed.Addr().String()} {
		for _, protocol := range []string{"http/protobuf", "grpc"} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				r := exporting(t, telemetry.Settings{Endpoint: "http://" + addr}, map[string]string{
					"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_BSP_MAX_QUEUE_SIZE": "16",
					"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8", "OTEL_METRICS_EXPORTER": "otlp",
				})
				for range 200 { // many times the queue
					r.oneCall(t)
				}
				r.wantLost(t, 200*4-16)
				if !strings.Contains(r.log.String(), "telemetry could not be exported") { // a collector that hangs was passed over in silence
					t.Error("the log does not say that anything is lost")
				}
				if !strings.Contains(r.metrics(t), `outrider_telemetry_dropped_total{signal="traces"} `) {
					t.Error("the metrics do not have what was lost")
				}
				ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
				defer cancel()
				done := make(chan struct{})
				go func() { r.Shutdown(ctx); close(done) }()
				select {
				case <-done:
				case <-time.After(10 * time.Second):
					t.Fatal("Shutdown did not return")
				}
				if n := strings.Count(r.log.String(), "telemetry could not be exported"); n != 1 {
					t.Errorf("%d lines about the collector", n)
				}
			})
		}
	}
}

// wantLost wants at least so many spans to be known as lost.
func (r *rig) wantLost(t *testing.T, spans int64) {
	t.Helper()
	lost := r.Losses()
	i := slices.IndexFunc(lost, func(l telemetry.Loss) bool { return l.Signal == "traces" })
	if i < 0 || lost[i].Dropped < spans || lost[i].Why == "" || lost[i].Last.Before(lost[i].Since) {
		t.Fatalf("lost are %+v, want %d spans", lost, spans)
	}
}

// What the queue has no room for is counted, and nothing else: after an outage of the
// collector, what it got and what was lost are all that there was.
func TestEverySpanIsExportedOrCounted(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			sink := &grpcSink{}
			url := sink.serve(t)
			count := func() int { return sink.count() }
			if protocol != "grpc" {
				c := newCollector(t)
				url = c.URL
				count = func() int {
					return len(c.spans(tracepb.Span_SPAN_KIND_SERVER)) + len(c.spans(tracepb.Span_SPAN_KIND_CLIENT)) + len(c.spans(tracepb.Span_SPAN_KIND_INTERNAL))
				}
			}
			r := exporting(t, telemetry.Settings{Endpoint: url}, map[string]string{
				"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_BSP_MAX_QUEUE_SIZE": "64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "16",
			})
			const calls = 500
			var making sync.WaitGroup
			for range 4 {
				making.Go(func() {
					for range calls / 4 {
						r.oneCall(t)
					}
				})
			}
			making.Wait()
			if err := r.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			dropped := 0
			for _, lost := range r.Losses() {
				dropped += int(lost.Dropped)
			}
			if got := count(); got+dropped != 4*calls {
				t.Errorf("%d spans arrived and %d were dropped, of %d", got, dropped, 4*calls)
			}
		})
	}
}

// A collector that comes back gets what is told from then on; what was lost stays known.
func TestFailingCollectorIsCountedAndLoggedOnceAMinute(t *testing.T) {
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer failing.Close()
	r := exporting(t, telemetry.Settings{Endpoint: failing.URL}, map[string]string{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4"})
	for range 5 {
		r.oneCall(t)
	}
	r.Shutdown(context.Background())
	r.wantLost(t, 20)
	if log := r.log.String(); strings.Count(log, "telemetry could not be exported") != 1 || !strings.Contains(log, `"dropped":`) {
		t.Errorf("log: %s", log)
	}
}

// A gRPC collector gets the same trace.
func TestExportByGRPC(t *testing.T) {
	sink := &grpcSink{}
	r := exporting(t, telemetry.Settings{Endpoint: sink.serve(t)}, map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
	r.oneCall(t)
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := sink.count(); n != 4 {
		t.Errorf("%d spans arrived", n)
	}
}

// A collector that wants JSON gets spans that can be read: they are sent as they are encoded
// by any other protocol, but not by this one.
func TestExportAsJSON(t *testing.T) {
	var got struct {
		ResourceSpans []struct {
			ScopeSpans []struct {
				Spans []struct{ TraceID, Name string }
			}
		}
	}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", r.Header.Get("Content-Type"), err)
		}
	}))
	defer collector.Close()
	r := exporting(t, telemetry.Settings{Endpoint: collector.URL}, map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"})
	traceID := r.oneCall(t)
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	spans := got.ResourceSpans[0].ScopeSpans[0].Spans
	if len(spans) != 4 || !strings.EqualFold(spans[3].TraceID, traceID) || spans[3].Name != "GET crm" {
		t.Errorf("arrived are %+v", got)
	}
}

// The console has spans as people read them. They are written to standard output, so the test
// has a process of its own.
func TestConsoleGetsSpans(t *testing.T) {
	if os.Getenv("TEST_CONSOLE") != "" {
		r := exporting(t, telemetry.Settings{}, map[string]string{"OTEL_TRACES_EXPORTER": "console"})
		r.oneCall(t)
		if err := r.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestConsoleGetsSpans$")
	cmd.Env = append(os.Environ(), "TEST_CONSOLE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, part := range []string{`"Name":"backoff"`, `"Name":"GET crm"`, `"ChildSpanCount":3`, `"Key":"outrider.attempts","Value":{"Type":"INT64","Value":2}`} {
		if !strings.Contains(string(out), part) {
			t.Errorf("there is no %s in\n%s", part, out)
		}
	}
}

// A call that is not sampled and fails arrives whole.
func TestKeptCallArrivesAtACollector(t *testing.T) {
	c := newCollector(t)
	r := exporting(t, telemetry.Settings{Endpoint: c.URL, KeepErrors: true}, map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"})
	r.oneCall(t)
	ctx, span, _ := r.begin("GET", "crm")
	send(t, r.Transport(answers(503)), outbound(ctx, "GET", "https://crm.test/"))
	span.End(&telemetry.Outcome{Method: "GET", Status: 503})
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	servers, clients := c.spans(tracepb.Span_SPAN_KIND_SERVER), c.spans(tracepb.Span_SPAN_KIND_CLIENT)
	if len(servers) != 1 || len(clients) != 1 || string(clients[0].ParentSpanId) != string(servers[0].SpanId) || servers[0].Flags&1 != 1 {
		t.Errorf("arrived are %v and %v", servers, clients)
	}
}

type grpcSink struct {
	coltrace.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans int
	logs  []*logspb.ResourceLogs
}

// serve has it take spans on loopback, for as long as the test lasts.
func (s *grpcSink) serve(t *testing.T) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	coltrace.RegisterTraceServiceServer(server, s)
	collogs.RegisterLogsServiceServer(server, grpcLogs{sink: s})
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return "http://" + l.Addr().String()
}

func (s *grpcSink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spans
}

func (s *grpcSink) Export(_ context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rs := range r.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			s.spans += len(ss.Spans)
		}
	}
	return &coltrace.ExportTraceServiceResponse{}, nil
}

func (s *grpcSink) records() []*logspb.LogRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	return recordsOf(s.logs)
}

type grpcLogs struct {
	collogs.UnimplementedLogsServiceServer
	sink *grpcSink
}

func (l grpcLogs) Export(_ context.Context, r *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	l.sink.logs = append(l.sink.logs, r.ResourceLogs...)
	return &collogs.ExportLogsServiceResponse{}, nil
}
